package storage

import (
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// tailEntryCost is what an entry counts besides its payload.
const tailEntryCost = 96

// tailEntry is one applied batch in memory.
type tailEntry struct {
	g       *segment
	base    ident.Offset
	last    ident.Offset
	pos     int64 // in the segment
	maxTime int64
	epoch   ident.Epoch
	payload []byte // as it was appended: placement not set
}

func (e *tailEntry) cost() int64 { return int64(len(e.payload)) + tailEntryCost }

// placement writes the first bytes of the batch as they are stored.
func (e *tailEntry) placement(dst *[placementSize]byte) {
	// The payload is longer than a batch header, so that this cannot fail.
	_ = record.PatchPlacement(dst, e.payload, int64(e.base), int32(e.epoch))
}

// copyFrom copies the stored bytes of the batch from byte skip on to dst and
// returns how many fitted.
func (e *tailEntry) copyFrom(dst []byte, skip int64) int {
	n := 0
	if skip < placementSize {
		var head [placementSize]byte
		e.placement(&head)
		n = copy(dst, head[skip:])
		skip = placementSize
	}
	return n + copy(dst[n:], e.payload[skip:])
}

// tail is the end of the log in memory: every batch at or above from. Entries
// before next are in the file. The owner changes it under the log's mutex.
type tail struct {
	list []tailEntry // list[:head] is evicted
	head int
	next int // first entry that is not wholly written
	from ident.Offset
}

func (t *tail) add(e tailEntry) {
	if len(t.list) == cap(t.list) && t.head > len(t.list)/2 {
		n := copy(t.list, t.list[t.head:])
		clear(t.list[n:])
		t.list, t.next, t.head = t.list[:n], t.next-t.head, 0
	}
	t.list = append(t.list, e)
}

// evict drops the oldest entry and returns what it cost, or 0 if there is none
// that is written.
func (t *tail) evict() int64 {
	if t.head >= t.next {
		return 0
	}
	e := &t.list[t.head]
	cost := e.cost()
	t.from = max(t.from, e.last+1)
	*e = tailEntry{}
	t.head++
	if t.head == len(t.list) {
		t.list, t.head, t.next = t.list[:0], 0, 0
		if cap(t.list) > 1024 {
			t.list = nil
		}
	}
	return cost
}

// advance moves next over the entries that are now in their file.
func (t *tail) advance() {
	for t.next < len(t.list) {
		e := &t.list[t.next]
		if e.pos+int64(len(e.payload)) > e.g.written {
			return
		}
		t.next++
	}
}

// search returns the index of the first entry that ends at or above off.
func (t *tail) search(off ident.Offset) int {
	live := t.list[t.head:]
	return t.head + sort.Search(len(live), func(i int) bool { return live[i].last >= off })
}
