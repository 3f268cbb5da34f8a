package segfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// Tail is what a reader knows of an object's data. It does not change.
type Tail struct {
	raw            []byte
	foot           footer
	index          []byte
	epochs         []byte
	producers      []byte
	cluster, topic []byte
	block          int64
	blocks         []byte // checksums of the blocks
}

// ParseTail checks the tail of a partition's segment against the manifest, and
// against itself, and returns it. It keeps tail, which must not change any more,
// and copies nothing. It fails with ErrDamaged if tail is not what was committed,
// and with ErrVersion.
func ParseTail(seg *manifest.Segment, p ident.Partition, tail []byte) (*Tail, error) {
	if err := seg.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if want := seg.ObjectBytes - seg.TailOffset(); int64(len(tail)) != want {
		return nil, fmt.Errorf("%w: a tail of %d bytes, the manifest has %d", ErrDamaged, len(tail), want)
	}
	if crc32.Checksum(tail, castagnoli) != seg.TailCRC {
		return nil, fmt.Errorf("%w: checksum of the tail", ErrDamaged)
	}
	t, err := parseTail(tail)
	if err != nil {
		return nil, err
	}
	theirs := *seg
	theirs.TailCRC, theirs.CommittedAt = 0, 0
	if t.foot.partition != p || t.foot.segment != theirs {
		return nil, fmt.Errorf("%w: the tail of another segment: %v from %d, term %d, upload %x",
			ErrDamaged, t.foot.partition, t.foot.segment.Base, t.foot.segment.Term, t.foot.segment.ID)
	}
	return t, nil
}

// parseTail reads a tail that nothing else is known of.
func parseTail(tail []byte) (*Tail, error) {
	f, err := parseFooter(tail)
	if err != nil {
		return nil, err
	}
	if want := f.segment.ObjectBytes - f.segment.TailOffset(); int64(len(tail)) != want {
		return nil, fmt.Errorf("%w: a tail of %d bytes, its footer has %d", ErrDamaged, len(tail), want)
	}
	t := &Tail{raw: tail, foot: f}
	seen := uint32(0)
	err = f.split(tail, func(kind uint32, body []byte) error {
		if kind == kindBlocks {
			return t.setBlocks(body)
		}
		if kind >= mustUnderstand {
			return fmt.Errorf("%w: section %#x", ErrVersion, kind)
		}
		if kind < 32 {
			if seen&(1<<kind) != 0 {
				return fmt.Errorf("%w: a second section %d", ErrDamaged, kind)
			}
			seen |= 1 << kind
		}
		return t.section(kind, body)
	})
	if err != nil {
		return nil, err
	}
	if len(t.index) == 0 && f.segment.DataBytes > 0 {
		return nil, fmt.Errorf("%w: no index", ErrDamaged)
	}
	if t.blocks == nil {
		return nil, fmt.Errorf("%w: no checksums of blocks", ErrDamaged)
	}
	return t, nil
}

func (t *Tail) section(kind uint32, body []byte) error {
	switch kind {
	case kindIndex:
		t.index = body
		return t.checkIndex()
	case kindEpochs:
		t.epochs = body
		if len(body)%epochEntry != 0 {
			return fmt.Errorf("%w: epochs of %d bytes", ErrDamaged, len(body))
		}
		last := Epoch{Epoch: -1, Start: -1}
		for i := range len(body) / epochEntry {
			e := t.epoch(i)
			if e.Epoch <= last.Epoch || e.Start <= last.Start || e.Start >= t.foot.segment.End {
				return fmt.Errorf("%w: epoch %d from offset %d", ErrDamaged, e.Epoch, e.Start)
			}
			last = e
		}
	case kindProducers:
		t.producers = body
	case kindNames:
		var ok1, ok2 bool
		t.cluster, body, ok1 = name(body)
		t.topic, body, ok2 = name(body)
		if !ok1 || !ok2 || len(body) > 0 {
			return fmt.Errorf("%w: names", ErrDamaged)
		}
	}
	return nil
}

func name(b []byte) (name, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(b))
	if n > len(b)-2 {
		return nil, nil, false
	}
	return b[2 : 2+n : 2+n], b[2+n:], true
}

// checkIndex makes sure that lookups stay inside the segment.
func (t *Tail) checkIndex() error {
	n := t.entries()
	s := &t.foot.segment
	if len(t.index)%indexEntry != 0 || n == 0 || s.DataBytes == 0 {
		return fmt.Errorf("%w: an index of %d bytes for %d bytes of data", ErrDamaged, len(t.index), s.DataBytes)
	}
	var last entry
	for i := range n {
		e := t.entry(i)
		switch {
		case i == 0 && e.pos != 0,
			i > 0 && (e.rel <= last.rel || e.pos < last.pos+record.HeaderSize || e.maxTimestamp < last.maxTimestamp),
			e.rel >= int64(s.End-s.Base),
			e.pos > s.DataBytes-record.HeaderSize,
			e.maxTimestamp < record.NoTimestamp:
			return fmt.Errorf("%w: entry %d of the index", ErrDamaged, i)
		}
		last = e
	}
	if last.maxTimestamp != s.MaxTimestamp {
		return fmt.Errorf("%w: maximum timestamp of the index", ErrDamaged)
	}
	return nil
}

// entry is one of the index.
type entry struct {
	rel          int64 // base offset of the batch, above that of the segment
	pos          int64
	maxTimestamp int64
}

func (t *Tail) entries() int { return len(t.index) / indexEntry }

func (t *Tail) entry(i int) entry {
	b, le := t.index[i*indexEntry:], binary.LittleEndian
	return entry{rel: int64(le.Uint32(b)), pos: int64(le.Uint32(b[4:])), maxTimestamp: int64(le.Uint64(b[8:]))}
}

func (t *Tail) epoch(i int) Epoch {
	b, le := t.epochs[i*epochEntry:], binary.LittleEndian
	return Epoch{Epoch: ident.Epoch(le.Uint32(b)), Start: ident.Offset(le.Uint64(b[4:]))}
}

// Floor returns the position in the data from which a scan finds the batch that
// holds an offset, or the first one behind it: that of the last indexed batch
// whose base offset is not above it, 0 if there is none.
func (t *Tail) Floor(o ident.Offset) int64 {
	rel := int64(o - t.foot.segment.Base)
	if o < t.foot.segment.Base {
		return 0
	}
	i := sort.Search(t.entries(), func(i int) bool { return t.entry(i).rel > rel })
	if i == 0 {
		return 0
	}
	if i < t.entries() && mutant.On(mutant.ColdReadLate) {
		i++
	}
	return t.entry(i - 1).pos
}

// SinceTimestamp returns the position in the data from which a scan finds the
// first batch whose maximum timestamp is at least ts (ms): it lies before
// Next of that position. It is false if there is none.
func (t *Tail) SinceTimestamp(ts int64) (pos int64, ok bool) {
	i := sort.Search(t.entries(), func(i int) bool { return t.entry(i).maxTimestamp >= ts })
	if i == t.entries() {
		return 0, false
	}
	return t.entry(i).pos, true
}

// Next returns the position of the first indexed batch behind pos, or the length
// of the data: a batch begins or the data ends there.
func (t *Tail) Next(pos int64) int64 {
	i := sort.Search(t.entries(), func(i int) bool { return t.entry(i).pos > pos })
	if i == t.entries() {
		return t.foot.segment.DataBytes
	}
	return t.entry(i).pos
}

// DataCRC returns the CRC-32C of the data.
func (t *Tail) DataCRC() uint32 { return t.foot.dataCRC }

// Batches returns how many batches the data holds.
func (t *Tail) Batches() int { return int(t.foot.batches) }

// Epochs returns the leader epochs that began below the segment's end, in a new
// slice.
func (t *Tail) Epochs() []Epoch {
	out := make([]Epoch, len(t.epochs)/epochEntry)
	for i := range out {
		out[i] = t.epoch(i)
	}
	return out
}

// Producers returns the producer state as of the segment's end, nil if there is
// none. The slice is the tail's and must not be changed.
func (t *Tail) Producers() []byte { return t.producers }

// Cluster returns the id of the cluster that uploaded the object.
func (t *Tail) Cluster() string { return string(t.cluster) }

// Topic returns the topic's name at the time of the upload.
func (t *Tail) Topic() string { return string(t.topic) }

// tailOverhead is about what a Tail takes beside its bytes.
const tailOverhead = 384

// MemoryBytes returns how much memory the tail takes.
func (t *Tail) MemoryBytes() int64 { return int64(cap(t.raw)) + tailOverhead }
