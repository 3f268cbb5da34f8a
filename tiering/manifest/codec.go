package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
)

// ErrDamaged: bytes that are not what was written.
var ErrDamaged = errors.New("manifest: damaged")

// SegmentBytes is the length of an encoded segment (docs/format/manifest.md).
const SegmentBytes = 8*6 + 16 + 8 + 4

// AppendTo adds the encoded segment to b.
func (s *Segment) AppendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(s.Base))
	b = le.AppendUint64(b, uint64(s.End))
	b = le.AppendUint64(b, s.Term)
	b = append(b, s.ID[:]...)
	b = le.AppendUint64(b, uint64(s.DataBytes))
	b = le.AppendUint64(b, uint64(s.ObjectBytes))
	b = le.AppendUint64(b, uint64(s.MaxTimestamp))
	b = le.AppendUint64(b, uint64(s.CommittedAt))
	return le.AppendUint32(b, s.TailCRC)
}

// DecodeSegment reads what AppendTo wrote and returns the bytes behind it. It
// fails with ErrDamaged.
func DecodeSegment(b []byte) (Segment, []byte, error) {
	var s Segment
	if len(b) < SegmentBytes {
		return s, nil, fmt.Errorf("%w: a segment of %d bytes", ErrDamaged, len(b))
	}
	le := binary.LittleEndian
	s.Base, s.End, s.Term = ident.Offset(le.Uint64(b)), ident.Offset(le.Uint64(b[8:])), le.Uint64(b[16:])
	copy(s.ID[:], b[24:])
	s.DataBytes, s.ObjectBytes = int64(le.Uint64(b[40:])), int64(le.Uint64(b[48:]))
	s.MaxTimestamp, s.CommittedAt = int64(le.Uint64(b[56:])), int64(le.Uint64(b[64:]))
	s.TailCRC = le.Uint32(b[72:])
	if err := s.Check(); err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, b[SegmentBytes:], nil
}

// AppendTo adds the encoded list to b: the number of segments, and each.
func (l List) AppendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(l.segments)))
	for i := range l.segments {
		b = l.segments[i].AppendTo(b)
	}
	return b
}

// DecodeList reads what AppendTo wrote and returns the bytes behind it. It fails
// with ErrDamaged, also where the segments do not follow each other.
func DecodeList(b []byte) (List, []byte, error) {
	if len(b) < 4 {
		return List{}, nil, fmt.Errorf("%w: a list of %d bytes", ErrDamaged, len(b))
	}
	n := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > int64(len(b)/SegmentBytes) {
		return List{}, nil, fmt.Errorf("%w: %d segments in %d bytes", ErrDamaged, n, len(b))
	}
	l := List{segments: make([]Segment, 0, n)}
	for range n {
		s, rest, err := DecodeSegment(b)
		if err == nil {
			l, err = l.Append(s)
		}
		if err != nil {
			return List{}, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		b = rest
	}
	return l, b, nil
}
