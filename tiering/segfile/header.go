package segfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

const (
	headerMagic = "VARVES"
	version     = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what the first bytes of an object say: whose it is, as its key does.
type Header struct {
	Partition ident.Partition
	Base      ident.Offset
	Term      uint64
	ID        manifest.ID
}

// appendTo adds the header, manifest.DataOffset bytes.
func (h *Header) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	start := len(b)
	b = append(b, headerMagic...)
	b = le.AppendUint16(b, version)
	b = le.AppendUint32(b, 0)
	b = append(b, h.Partition.Topic[:]...)
	b = le.AppendUint32(b, uint32(h.Partition.Index))
	b = le.AppendUint64(b, uint64(h.Base))
	b = le.AppendUint64(b, h.Term)
	b = append(b, h.ID[:]...)
	le.PutUint32(b[start+8:], headerCRC(b[start:]))
	return b
}

func headerCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, b[12:manifest.DataOffset])
}

// ParseHeader reads the header at the front of b, which is borrowed. It fails
// with ErrDamaged or ErrVersion.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < manifest.DataOffset || string(b[:6]) != headerMagic {
		return h, fmt.Errorf("%w: no header of a segment object", ErrDamaged)
	}
	le := binary.LittleEndian
	if v := le.Uint16(b[6:]); v != version {
		// The checksum of another version may lie elsewhere.
		return h, fmt.Errorf("%w: header of version %d", ErrVersion, v)
	}
	if le.Uint32(b[8:]) != headerCRC(b) {
		return h, fmt.Errorf("%w: checksum of the header", ErrDamaged)
	}
	copy(h.Partition.Topic[:], b[12:])
	h.Partition.Index = int32(le.Uint32(b[28:]))
	h.Base, h.Term = ident.Offset(le.Uint64(b[32:])), le.Uint64(b[40:])
	copy(h.ID[:], b[48:])
	if h.Partition.Index < 0 || h.Base < 0 {
		return h, fmt.Errorf("%w: header of partition %d, offset %d", ErrDamaged, h.Partition.Index, h.Base)
	}
	return h, nil
}
