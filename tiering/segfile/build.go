package segfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

const (
	indexEntry = 16 // bytes
	epochEntry = 12

	// indexEntriesMax bounds the index: where it would have more, its interval
	// is larger.
	indexEntriesMax = 1 << 16
)

// Build makes the object of a segment. It reads src.Data once, from front to
// back, and checks every batch: header, checksum, offsets, and what src.Check does. It fails with a
// *BatchError, which is an ErrDamaged, on the first bad one, with ErrSource, or
// with what Data said. The Object reads src.Data again, so that must stay
// readable and unchanged for as long as it is used.
func Build(src Source, o Options) (*Object, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	h := Header{Partition: src.Partition, Base: src.Base, Term: src.Term, ID: src.ID}
	obj := &Object{Segment: src.segment(), data: src.Data, header: h.appendTo(nil)}
	parts := newPartSums(o.PartBytes, src.DataBytes)
	parts.write(obj.header)
	blocks := newPieceSums(blockSize(o.BlockBytes), src.DataBytes)
	blocks.write(obj.header)

	x := indexer{base: int64(src.Base), interval: o.IndexIntervalBytes, largest: record.NoTimestamp}
	if x.interval <= 0 {
		x.interval = indexIntervalDefault
	}
	x.interval = max(x.interval, src.DataBytes/indexEntriesMax+1)
	dataCRC := uint32(0)
	scan := newScanner(io.NewSectionReader(src.Data, 0, src.DataBytes), src.DataBytes, src.Base, src.End, func(b []byte) {
		dataCRC = crc32.Update(dataCRC, castagnoli, b)
		parts.write(b)
		blocks.write(b)
	})
	batches := uint32(0)
	for {
		bh, at, err := scan.batch()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("build the object of a segment: %w", err)
		}
		if src.Check != nil {
			if err := src.Check(at, &bh); err != nil {
				err = &BatchError{Position: at, Offset: ident.Offset(bh.BaseOffset), Err: err}
				return nil, fmt.Errorf("build the object of a segment: %w", err)
			}
		}
		batches++
		if err := x.note(&bh, at); err != nil {
			return nil, fmt.Errorf("build the object of a segment: %w", err)
		}
	}
	x.finish()
	f := footer{partition: src.Partition, segment: obj.Segment, batches: batches, dataCRC: dataCRC}
	f.segment.MaxTimestamp = x.largest
	obj.tail = f.tail(append(sectionsOf(&src, x.entries), blocksOf(blocks.size, blocks.all())))
	obj.Segment = f.segment
	obj.Segment.TailCRC = crc32.Checksum(obj.tail, castagnoli)
	if err := obj.Segment.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	parts.write(obj.tail)
	obj.checksum, obj.dataCRC = parts.text(), dataCRC
	return obj, nil
}

// tail makes the tail and sets the object's length in the footer.
func (f *footer) tail(sections []section) []byte {
	n := int64(len(sections)*tableEntry + footerBytes)
	for _, s := range sections {
		n += int64(len(s.body))
	}
	f.segment.ObjectBytes = manifest.DataOffset + f.segment.DataBytes + n
	if f.segment.Check() != nil {
		return nil // larger than a tail may be; the caller checks again
	}
	b := make([]byte, 0, n)
	for _, s := range sections {
		b = append(b, s.body...)
	}
	return f.appendTo(b, sections)
}

func sectionsOf(src *Source, index []byte) []section {
	var out []section
	if len(index) > 0 {
		out = append(out, section{kindIndex, index})
	}
	if b := epochsOf(src); len(b) > 0 {
		out = append(out, section{kindEpochs, b})
	}
	if len(src.Producers) > 0 {
		out = append(out, section{kindProducers, src.Producers})
	}
	le := binary.LittleEndian
	names := append(le.AppendUint16(nil, uint16(len(src.Cluster))), src.Cluster...)
	names = append(le.AppendUint16(names, uint16(len(src.Topic))), src.Topic...)
	return append(out, section{kindNames, names})
}

func epochsOf(src *Source) []byte {
	var b []byte
	for _, e := range src.Epochs {
		if e.Start < src.End {
			b = binary.LittleEndian.AppendUint32(b, uint32(e.Epoch))
			b = binary.LittleEndian.AppendUint64(b, uint64(e.Start))
		}
	}
	return b
}

// indexer makes the index while the batches go by.
type indexer struct {
	base     int64
	interval int64
	entries  []byte
	last     int64 // position of the last entry's batch
	largest  int64 // timestamp so far, -1: none
}

// note takes the next batch.
func (x *indexer) note(h *record.Header, at int64) error {
	if len(x.entries) == 0 || at-x.last >= x.interval {
		rel := h.BaseOffset - x.base
		if rel > math.MaxUint32 {
			return fmt.Errorf("%w: batch at position %d, offset %d: more than 2^32 above the segment's base", ErrSource, at, h.BaseOffset)
		}
		x.finish()
		x.entries = binary.LittleEndian.AppendUint32(x.entries, uint32(rel))
		x.entries = binary.LittleEndian.AppendUint32(x.entries, uint32(at))
		x.entries = binary.LittleEndian.AppendUint64(x.entries, 0)
		x.last = at
	}
	x.largest = max(x.largest, timestampOf(h))
	return nil
}

// finish sets the maximum timestamp of the last entry.
func (x *indexer) finish() {
	if n := len(x.entries); n > 0 {
		binary.LittleEndian.PutUint64(x.entries[n-8:], uint64(x.largest))
	}
}

// timestampOf returns the maximum timestamp of a batch; anything below 0 is none.
func timestampOf(h *record.Header) int64 {
	if h.MaxTimestamp < 0 {
		return record.NoTimestamp
	}
	return h.MaxTimestamp
}
