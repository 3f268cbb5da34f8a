package storage

import (
	"fmt"
	"sort"

	"github.com/varvelog/varve/internal/ident"
)

// Copy is a piece of one segment, for a replica that copies the log.
type Copy struct {
	Chunk
	// Sealed tells that the segment is closed, and SegmentEnd where it ends.
	Sealed     bool
	SegmentEnd ident.Offset
}

// ReadCopy returns batches of the one segment that holds an offset, like Read,
// but also from what lies below the local log start in the oldest segment, so
// that a copy has the same segments. Any goroutine may call it; it may block.
func (l *Log) ReadCopy(from, until ident.Offset, maxBytes int) (Copy, error) {
	l.mu.RLock()
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > from }) - 1
	if i < 0 {
		l.mu.RUnlock()
		return Copy{}, fmt.Errorf("copy %s at offset %d: %w", l.dir, from, ErrBelowStart)
	}
	g := l.segs[i]
	c := Copy{Sealed: g.sealed, SegmentEnd: g.end}
	l.mu.RUnlock()
	if c.Sealed {
		until = min(until, c.SegmentEnd)
	}
	r := reading{
		l: l, from: from, at: from, until: until, minOne: true, copying: true,
		left: int64(max(min(maxBytes, maxReadBytes), 0)), chunk: Chunk{First: -1, NextOffset: from},
	}
	for done := false; !done; {
		var err error
		if done, err = r.step(); err != nil {
			return Copy{}, fmt.Errorf("copy %s at offset %d: %w", l.dir, from, l.explain(from, err))
		}
	}
	c.Chunk = r.chunk
	return c, nil
}

// floor returns the first offset that the read may take. The caller holds the
// read lock.
func (r *reading) floor() ident.Offset {
	if r.copying && len(r.l.segs) > 0 {
		return min(r.l.segs[0].base, r.l.localStart)
	}
	return r.l.localStart
}

// Begin gives an empty log an active segment that starts at its end, so that a
// copy's first segment has the name of the original's. A log that has one is
// left as it is. It belongs to the owner.
func (l *Log) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active() == nil {
		l.addSegment(l.end)
	}
}

// FirstBase returns the base offset of the oldest segment, -1 if there is none.
func (l *Log) FirstBase() ident.Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.segs) == 0 {
		return -1
	}
	return l.segs[0].base
}
