package segfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// scanBytes is the buffer of a pass over the data.
const scanBytes = 256 << 10

// uncheckedBytes is the part of a batch that its checksum does not cover, and the
// checksum: base offset, length, leader epoch, magic, CRC.
const uncheckedBytes = 21

// scanner goes over the batches of a segment once, from front to back, and holds
// one buffer, also where a batch is larger.
type scanner struct {
	r    io.Reader
	size int64 // bytes of data
	end  ident.Offset
	seen func(raw []byte) // is given all bytes in order

	buf     []byte // what was read and not yet used
	room    []byte
	fetched int64 // bytes read of size
	pos     int64 // of the next batch
	next    ident.Offset
}

func newScanner(r io.Reader, size int64, base, end ident.Offset, seen func([]byte)) *scanner {
	return &scanner{r: r, size: size, end: end, seen: seen, next: base, room: make([]byte, min(scanBytes, max(size, 1)))}
}

// batch checks the next batch and returns its header and position. It fails with
// io.EOF behind the last one, with a *BatchError, or with what the reader said.
func (s *scanner) batch() (record.Header, int64, error) {
	if s.pos == s.size {
		return record.Header{}, 0, io.EOF
	}
	h, err := s.header()
	if err != nil {
		return h, s.pos, err
	}
	crc, skip, left := uint32(0), uncheckedBytes, h.Size()
	for {
		b := s.buf[:min(left, len(s.buf))]
		crc = crc32.Update(crc, castagnoli, b[skip:])
		s.buf, left, skip = s.buf[len(b):], left-len(b), 0
		if left == 0 {
			break
		}
		if err := s.fill(1); err != nil {
			return h, s.pos, err
		}
	}
	at := s.pos
	if crc != h.CRC {
		return h, at, s.damage(ident.Offset(h.BaseOffset), fmt.Errorf("%w: checksum", record.ErrCorrupt))
	}
	s.pos += int64(h.Size())
	s.next = ident.Offset(h.LastOffset()) + 1
	return h, at, nil
}

// header reads and checks the header of the next batch, without using it up.
func (s *scanner) header() (record.Header, error) {
	left := s.size - s.pos
	if err := s.fill(int(min(left, record.HeaderSize))); err != nil {
		return record.Header{}, err
	}
	h, err := record.ParseHeader(s.buf)
	base := ident.Offset(h.BaseOffset)
	switch {
	case err != nil:
		return h, s.damage(s.next, err)
	case int64(h.Size()) > left:
		return h, s.damage(s.next, fmt.Errorf("%w: %d bytes, %d are left", record.ErrTruncated, h.Size(), left))
	case base < s.next:
		return h, s.damage(s.next, fmt.Errorf("%w: base offset %d, at least %d is due", record.ErrCorrupt, base, s.next))
	case base >= s.end || h.LastOffsetDelta < 0 || int64(h.LastOffsetDelta) >= int64(s.end-base):
		return h, s.damage(base, fmt.Errorf("%w: last offset delta %d, the segment ends at %d", record.ErrCorrupt, h.LastOffsetDelta, s.end))
	}
	return h, nil
}

func (s *scanner) damage(o ident.Offset, err error) error {
	return &BatchError{Position: s.pos, Offset: o, Err: err}
}

// fill makes sure that the buffer holds at least n bytes, at most HeaderSize.
func (s *scanner) fill(n int) error {
	if len(s.buf) >= n {
		return nil
	}
	kept := copy(s.room, s.buf)
	want := int(min(int64(len(s.room)), int64(kept)+s.size-s.fetched))
	got, err := io.ReadFull(s.r, s.room[kept:want])
	if err != nil {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			err = s.damage(s.next, fmt.Errorf("%w: the data ends after %d of %d bytes", record.ErrTruncated, s.fetched+int64(got), s.size))
		}
		return err
	}
	s.seen(s.room[kept:want])
	s.fetched += int64(got)
	s.buf = s.room[:want]
	return nil
}
