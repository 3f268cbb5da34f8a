package manifest

import (
	"errors"
	"fmt"
	"sort"

	"github.com/varvelog/varve/internal/ident"
)

// ErrGap: a segment that does not follow the list's last one.
var ErrGap = errors.New("manifest: the segment does not follow the list")

// List is the segments of a partition that are in the tier, in order. The zero
// value is empty.
type List struct {
	segments []Segment
	bytes    int64 // of data
}

// Len returns how many segments there are.
func (l List) Len() int { return len(l.segments) }

// At returns a segment by its place, from 0 to Len-1.
func (l List) At(i int) *Segment { return &l.segments[i] }

// DataBytes returns the bytes of batches in the list.
func (l List) DataBytes() int64 { return l.bytes }

// End returns the offset at which the tier ends, exclusive, and whether there
// is anything in it.
func (l List) End() (ident.Offset, bool) {
	if len(l.segments) == 0 {
		return -1, false
	}
	return l.segments[len(l.segments)-1].End, true
}

// Start returns the first offset of the tier, -1 if it is empty.
func (l List) Start() ident.Offset {
	if len(l.segments) == 0 {
		return -1
	}
	return l.segments[0].Base
}

// Append returns the list with one more segment. It fails with ErrGap, or if the
// segment cannot be true.
func (l List) Append(s Segment) (List, error) {
	if err := s.Check(); err != nil {
		return l, err
	}
	if end, ok := l.End(); ok && s.Base != end {
		return l, fmt.Errorf("%w: it begins at %d, the tier ends at %d", ErrGap, s.Base, end)
	}
	// What was handed out before is shorter and does not see the new one, even
	// where both share memory.
	return List{segments: append(l.segments, s), bytes: l.bytes + s.DataBytes}, nil
}

// Trim returns the list without the segments that lie wholly below start, and
// those.
func (l List) Trim(start ident.Offset) (List, []Segment) {
	n := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].End > start })
	if n == 0 {
		return l, nil
	}
	gone := l.segments[:n:n]
	kept := l.segments[n:]
	if len(kept) < cap(l.segments)/4 { // let go of the memory of what was trimmed
		kept = append([]Segment(nil), kept...)
	}
	out := List{segments: kept, bytes: l.bytes}
	for i := range gone {
		out.bytes -= gone[i].DataBytes
	}
	return out, gone
}

// Find returns the place of the segment that holds an offset, or ok false if the
// tier does not reach there.
func (l List) Find(o ident.Offset) (i int, ok bool) {
	i = sort.Search(len(l.segments), func(i int) bool { return l.segments[i].End > o })
	return i, i < len(l.segments) && l.segments[i].Base <= o
}

// SinceTimestamp returns the place of the first segment at or behind from whose
// largest timestamp is at least ts (ms), Len if there is none.
func (l List) SinceTimestamp(from int, ts int64) int {
	for i := from; i < len(l.segments); i++ {
		if l.segments[i].MaxTimestamp >= ts {
			return i
		}
	}
	return len(l.segments)
}
