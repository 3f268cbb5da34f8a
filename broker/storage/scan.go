package storage

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// scanner walks the batches of a segment file from a position on. It reads
// large pieces; batches alias them. With keep set a piece is never reused, so
// that batches stay valid.
type scanner struct {
	f     io.ReaderAt
	name  string
	pos   int64        // of the next batch
	limit int64        // bytes of the file that belong to the log
	floor ident.Offset // no batch may start below
	ceil  ident.Offset // no batch may reach; 0: not known
	whole bool         // the limit lies between two batches
	sure  int64        // batches that begin below are whole in the file
	keep  bool
	ahead int64 // how much to read at once
	alloc func(n int) []byte
	// placed and log say what base offsets and leader epochs are right; nil: they
	// are taken as they are read.
	placed *placement
	log    *Log

	follow bool  // the batch at pos begins at floor, unless placed names it
	wrong  error // the base offset of the batch at pos was another one
	buf    []byte
	bufAt  int64 // position of buf in the file
}

// next returns the header of the next batch, and io.EOF at the limit or, unless
// whole, before a batch that the limit cuts. skip or body move on.
func (s *scanner) next() (record.Header, error) {
	left := s.limit - s.pos
	whole := s.whole || s.pos < s.sure
	if left == 0 || (left < batchHeaderSize && !whole) {
		return record.Header{}, io.EOF
	}
	if left < batchHeaderSize {
		return record.Header{}, s.damage("%d bytes behind the last batch", left)
	}
	b, err := s.bytes(batchHeaderSize)
	if err != nil {
		return record.Header{}, err
	}
	h, err := record.ParseHeader(b)
	if err != nil {
		return record.Header{}, s.damage("batch header: %v", err)
	}
	s.place(&h)
	if base := ident.Offset(h.BaseOffset); base < s.floor || h.LastOffsetDelta < 0 || h.LastOffset() < h.BaseOffset {
		return record.Header{}, s.damage("batch at offset %d + %d", base, h.LastOffsetDelta)
	}
	if int64(h.Size()) > left {
		if whole {
			return record.Header{}, s.damage("batch of %d bytes in %d", h.Size(), left)
		}
		return record.Header{}, io.EOF
	}
	return h, nil
}

// place puts the right base offset into the header of the batch at pos, if it is
// known. That is for batches that are passed: body refuses one that had another.
func (s *scanner) place(h *record.Header) {
	s.wrong = nil
	if s.placed == nil {
		return
	}
	base, named := s.placed.named(s.pos)
	switch {
	case named:
		s.follow = true
	case s.follow:
		base = s.floor
	default:
		return
	}
	if have := ident.Offset(h.BaseOffset); have != base {
		s.wrong = s.damage("batch at offset %d, %d belongs here", have, base)
		h.BaseOffset = int64(base)
	}
}

// skip moves behind the batch that next returned.
func (s *scanner) skip(h record.Header) {
	s.pos += int64(h.Size())
	s.floor = ident.Offset(h.LastOffset()) + 1
}

// body returns the bytes of the batch that next returned, checksum, base offset
// and leader epoch verified, and moves behind it.
func (s *scanner) body(h record.Header) ([]byte, error) {
	b, err := s.bytes(int64(h.Size()))
	if err != nil {
		return nil, err
	}
	if !record.VerifyCRC(b) && !mutant.On(mutant.ChecksumUnchecked) {
		return nil, s.damage("batch checksum at offset %d", h.BaseOffset)
	}
	if s.wrong != nil && !mutant.On(mutant.OffsetsTrusted) {
		return nil, s.wrong
	}
	if err := s.follows(h); err != nil {
		return nil, err
	}
	if s.log != nil {
		if err := s.log.checkEpoch(s.name, s.pos, &h); err != nil {
			return nil, err
		}
	}
	s.skip(h)
	return b, nil
}

// follows checks a base offset that is not known from before with the batch
// behind: it must begin above this one's last offset.
func (s *scanner) follows(h record.Header) error {
	if s.follow {
		return nil
	}
	next, known, err := s.behind(h)
	if err == nil && known && ident.Offset(h.LastOffset()) >= next {
		err = s.damage("batch at offset %d to %d, the next begins at %d", h.BaseOffset, h.LastOffset(), next)
	}
	return err
}

// behind returns where the batch behind the present one begins, or where the
// segment ends if there is none, as far as that is known.
func (s *scanner) behind(h record.Header) (next ident.Offset, known bool, err error) {
	at := s.pos + int64(h.Size())
	if at+8 > s.limit {
		return s.ceil, s.ceil > 0, nil
	}
	var b [8]byte
	if from := at - s.bufAt; from >= 0 && from+8 <= int64(len(s.buf)) {
		copy(b[:], s.buf[from:])
	} else if _, err := s.f.ReadAt(b[:], at); errors.Is(err, io.EOF) {
		return 0, false, s.damage("file ends below %d, %d bytes were written", at+8, s.limit)
	} else if err != nil {
		return 0, false, err
	}
	return ident.Offset(binary.BigEndian.Uint64(b[:])), true, nil
}

// pass moves behind a batch that ends below an offset, by its header. If the batch
// behind begins there or below, that is so whatever this one holds, even if it is
// damaged; else it is believed only if the checksum is right.
func (s *scanner) pass(h record.Header, at ident.Offset) error {
	next, known, err := s.behind(h)
	if err != nil {
		return err
	}
	named := false
	if s.placed != nil {
		if base, ok := s.placed.named(s.pos + int64(h.Size())); ok {
			next, known, named = base, true, true
		}
	}
	below := known && next >= s.floor && next <= at
	if below && (named || !s.follow || next == ident.Offset(h.LastOffset())+1) {
		s.skip(h)
		s.floor = next
		return nil
	}
	b, err := s.bytes(int64(h.Size()))
	if err != nil {
		return err
	}
	if record.VerifyCRC(b) {
		if err := s.follows(h); err != nil {
			return err
		}
		s.skip(h)
		return nil
	}
	if !below {
		return s.damage("batch checksum at offset %d", h.BaseOffset)
	}
	s.skip(h)
	s.floor, s.follow = next, false // this one does not tell where the next begins
	return nil
}

// buffered reports whether so many bytes from the position on need no read.
func (s *scanner) buffered(n int64) bool {
	at := s.pos - s.bufAt
	return at >= 0 && at+n <= int64(len(s.buf))
}

// bytes returns n bytes from the position on, which must lie below the limit.
func (s *scanner) bytes(n int64) ([]byte, error) {
	if !s.buffered(n) {
		if err := s.read(n); err != nil {
			return nil, err
		}
	}
	at := s.pos - s.bufAt
	return s.buf[at : at+n], nil
}

func (s *scanner) read(n int64) error {
	want := min(max(n, s.ahead), s.limit-s.pos)
	if s.keep || int64(cap(s.buf)) < want {
		s.buf = s.alloc(int(want))
	}
	s.buf, s.bufAt = s.buf[:want], s.pos
	got, err := s.f.ReadAt(s.buf, s.pos)
	if got == len(s.buf) {
		return nil
	}
	s.buf = s.buf[:0]
	if errors.Is(err, io.EOF) {
		return s.damage("file ends at %d, %d bytes were written", s.pos+int64(got), s.limit)
	}
	return err
}

func (s *scanner) damage(format string, args ...any) error {
	return damaged(s.name, s.pos, s.floor, format, args...)
}
