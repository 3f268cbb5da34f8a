package remote

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// object is the object of a segment.
type object struct {
	seg *manifest.Segment
	p   ident.Partition
	id  [16]byte
}

func (r *Reader) object(p ident.Partition, seg *manifest.Segment) object {
	var b [128]byte
	le := binary.LittleEndian
	s := append(b[:0], r.clusterSum[:]...)
	s = append(s, p.Topic[:]...)
	s = le.AppendUint32(s, uint32(p.Index))
	s = le.AppendUint64(s, uint64(seg.Base))
	s = le.AppendUint64(s, seg.Term)
	s = append(s, seg.ID[:]...)
	sum := sha256.Sum256(s)
	return object{seg: seg, p: p, id: [16]byte(sum[:])}
}

// key returns the key in the store.
func (r *Reader) key(o *object) string { return o.seg.Key(r.cluster, o.p) }

// chunkStart returns where the chunk begins that holds a byte of an object.
func (r *Reader) chunkStart(off int64) int64 { return off - off%int64(r.o.ChunkBytes) }

// chunkLen returns the length of the chunk that begins at off.
func (r *Reader) chunkLen(o *object, off int64) int {
	return int(min(int64(r.o.ChunkBytes), o.seg.ObjectBytes-off))
}
