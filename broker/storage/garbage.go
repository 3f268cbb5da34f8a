package storage

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// AdvanceStart moves the log start up, at most to the log end. A lower start is
// ignored. Closed segments wholly below it become garbage.
func (l *Log) AdvanceStart(start ident.Offset) {
	l.advance(start, l.localSet)
}

// AdvanceLocalStart moves the local log start up, at most to the log end: what
// is below stays in the log, but is read from the tier. Closed segments wholly
// below it become garbage here.
func (l *Log) AdvanceLocalStart(start ident.Offset) {
	l.advance(l.start, start)
}

// DropBelow makes garbage of closed segments wholly below an offset and leaves the
// start where it is. It is for a log that nobody reads, of which it is known that
// its start will move there.
func (l *Log) DropBelow(offset ident.Offset) {
	l.mu.Lock()
	l.drop(offset)
}

func (l *Log) advance(start, local ident.Offset) {
	l.mu.Lock()
	l.start = max(l.start, min(start, l.end))
	l.localSet = max(l.localSet, min(local, l.end))
	l.localStart = max(l.start, l.localSet)
	l.drop(l.localStart)
}

// drop makes garbage of closed segments wholly below an offset. The caller holds
// the mutex, and drop gives it up.
func (l *Log) drop(offset ident.Offset) {
	n := 0
	for n < len(l.segs)-1 && l.segs[n].end <= offset {
		n++
	}
	gone := l.segs[:n]
	if n > 0 {
		l.segs = append([]*segment(nil), l.segs[n:]...)
	}
	freed := l.dropTail(gone)
	l.mu.Unlock()
	l.cache.tail.Add(-freed)
	for _, g := range gone {
		l.discard(g)
	}
}

// dropTail drops the tail's entries of segments that are garbage, which are its
// first. The caller holds the mutex.
func (l *Log) dropTail(gone []*segment) (freed int64) {
	for _, g := range gone {
		g.discarded = true
	}
	t := &l.tail
	for t.head < len(t.list) && t.list[t.head].g.discarded {
		t.next = max(t.next, t.head+1)
		freed += t.evict()
	}
	return freed
}

// discard gives up what is not yet durable of a segment that became garbage,
// so that a full disk cannot keep it from being removed.
func (l *Log) discard(g *segment) {
	l.unwritten -= g.bytes - g.written
	for i, d := range l.dirty {
		if d == g {
			l.dirty = append(l.dirty[:i], l.dirty[i+1:]...)
			l.stale = max(l.stale, g.base)
			break
		}
	}
	l.garbage = append(l.garbage, g)
}

// Garbage is one segment that is no longer part of the log. Its files may go
// once a checkpoint that covers what made it garbage is durable.
type Garbage struct {
	Base  ident.Offset
	Bytes int64

	cache *Cache
	g     *segment
}

// TakeGarbage returns the segments that became garbage since the last call,
// oldest first, busy ones too.
func (l *Log) TakeGarbage() []Garbage {
	var out []Garbage
	for _, g := range l.garbage {
		out = append(out, Garbage{Base: g.base, Bytes: g.bytes, cache: l.cache, g: g})
	}
	l.garbage = nil
	return out
}

// Busy reports whether a run or a sync still uses the segment: Remove must wait
// until RunDone or SyncDone ended that, since it might make the file again. No
// other one will begin. It belongs to the log's owner.
func (d Garbage) Busy() bool { return d.g.busy > 0 }

// Remove unlinks the files, which may be missing. It may block, and may be
// called again after an error. The segment must not be Busy. Readers that have the segment open finish with
// the bytes they asked for.
func (d Garbage) Remove(fs vfs.FS) error {
	d.cache.forget(d.g)
	for _, name := range []string{d.g.data, d.g.idx} {
		if err := fs.Remove(name); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return fmt.Errorf("remove segment file %s: %w", name, err)
		}
	}
	return nil
}
