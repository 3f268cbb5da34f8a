package segfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// Info is what an object says of itself.
type Info struct {
	Partition ident.Partition
	// Segment is what a manifest would say of it, without CommittedAt.
	Segment manifest.Segment
	Tail    *Tail
}

// ReadTail reads the tail of an object of size bytes of which nothing else is
// known, as a restore from a bucket has to. It reads the footer first, and then
// as much as that says and size allows. It fails with ErrDamaged, ErrVersion, or
// with what r said.
func ReadTail(r io.ReaderAt, size int64) (Info, error) {
	var in Info
	if size < manifest.DataOffset+footerBytes {
		return in, fmt.Errorf("%w: an object of %d bytes", ErrDamaged, size)
	}
	foot := make([]byte, footerBytes)
	if err := readAt(r, foot, size-footerBytes); err != nil {
		return in, err
	}
	f, err := parseFooter(foot)
	if err != nil {
		return in, err
	}
	if f.segment.ObjectBytes != size || size-f.segment.TailOffset() < footerBytes {
		return in, fmt.Errorf("%w: an object of %d bytes, its footer has %d", ErrDamaged, size, f.segment.ObjectBytes)
	}
	tail := make([]byte, size-f.segment.TailOffset())
	if err := readAt(r, tail, f.segment.TailOffset()); err != nil {
		return in, err
	}
	if in.Tail, err = parseTail(tail); err != nil {
		return in, err
	}
	in.Partition, in.Segment = in.Tail.foot.partition, in.Tail.foot.segment
	in.Segment.TailCRC = crc32.Checksum(tail, castagnoli)
	return in, nil
}

// Verify reads a whole object of size bytes, the tail first, and checks all that
// can be checked without a manifest: header, tail, every batch, and that the index
// and the checksums are those of the data. It holds the tail, one buffer, and 4
// bytes per block. It fails with ErrDamaged, for a batch with a *BatchError, for
// a block whose batches look right with a *BlockError, with ErrVersion, or with
// what r said.
func Verify(r io.ReaderAt, size int64) (Info, error) {
	in, err := ReadTail(r, size)
	if err != nil {
		return in, err
	}
	b := make([]byte, manifest.DataOffset)
	if err := readAt(r, b, 0); err != nil {
		return in, err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return in, err
	}
	if want := (Header{in.Partition, in.Segment.Base, in.Segment.Term, in.Segment.ID}); h != want {
		return in, fmt.Errorf("%w: header and footer are of different segments", ErrDamaged)
	}
	return in, verifyData(r, b, in.Tail)
}

// verifyData goes over the data and compares it, and the header, with the tail.
func verifyData(r io.ReaderAt, header []byte, t *Tail) error {
	s := &t.foot.segment
	crc, batches, largest, next := uint32(0), uint32(0), int64(record.NoTimestamp), 0
	data := io.NewSectionReader(r, manifest.DataOffset, s.DataBytes)
	blocks := newPieceSums(t.block, s.DataBytes)
	blocks.write(header)
	scan := newScanner(data, s.DataBytes, s.Base, s.End, func(b []byte) {
		crc = crc32.Update(crc, castagnoli, b)
		blocks.write(b)
	})
	// leave compares the timestamp of the entry before next.
	leave := func() error {
		if next > 0 && t.entry(next-1).maxTimestamp != largest {
			return fmt.Errorf("%w: maximum timestamp of entry %d of the index", ErrDamaged, next-1)
		}
		return nil
	}
	for {
		h, at, err := scan.batch()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		batches++
		if next < t.entries() && t.entry(next).pos <= at {
			e := t.entry(next)
			if e.pos != at || e.rel != h.BaseOffset-int64(s.Base) {
				return fmt.Errorf("%w: entry %d of the index names no batch", ErrDamaged, next)
			}
			if err := leave(); err != nil {
				return err
			}
			next++
		}
		largest = max(largest, timestampOf(&h))
	}
	if err := leave(); err != nil {
		return err
	}
	for i, got := range blocks.all() {
		if from := int64(i) * t.block; got != t.blockCRC(int64(i)) {
			return &BlockError{From: from, To: min(from+t.block, s.TailOffset())}
		}
	}
	switch {
	case next != t.entries():
		return fmt.Errorf("%w: entry %d of the index names no batch", ErrDamaged, next)
	case batches != t.foot.batches:
		return fmt.Errorf("%w: %d batches, the footer has %d", ErrDamaged, batches, t.foot.batches)
	case crc != t.foot.dataCRC:
		return fmt.Errorf("%w: checksum of the data", ErrDamaged)
	}
	return nil
}

// readAt fills b. An object that ends early is damaged.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends in the %d bytes from %d", ErrDamaged, len(b), off)
	}
	return fmt.Errorf("read %d bytes from %d: %w", len(b), off, err)
}
