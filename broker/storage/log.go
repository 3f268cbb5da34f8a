package storage

import (
	"fmt"
	"sync"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/vfs"
)

// Log is the applied log of one partition. The package documentation says which
// methods belong to its owner.
type Log struct {
	fs    vfs.FS
	dir   string
	cache *Cache

	// mu guards what readers see: offsets, the list of segments, their fields
	// and the tail. Only the owner writes, so that it reads without the mutex.
	mu         sync.RWMutex
	start      ident.Offset
	localStart ident.Offset // never below start
	end        ident.Offset
	segs       []*segment // ascending; the last one is active, all others are sealed
	tail       tail

	// epochs gives the leader epoch of the batch that ends at an offset. It is set
	// once, before others use the log.
	epochs func(last ident.Offset) ident.Epoch

	// What follows is the owner's alone.
	set       Settings
	dirty     []*segment // not closed or not synced; the active one is the last
	garbage   []*segment
	unwritten int64
	running   *Run
	syncing   *Sync
	syncErr   error
	stale     ident.Offset // marks that cover this base offset are stale, -1: none
	names     int          // files created since the log was opened
	synced    int          // of those, how many names are durable
	durable   Position

	partial    []byte // the written bytes of partialOf in its last block
	partialOf  *segment
	localSet   ident.Offset // the tier's local start as it was set
	closedDown bool
}

// Append adds one whole batch behind the log end. base and last are its first
// and last offset, epoch its leader epoch, maxTimestamp the largest timestamp in
// ms (-1: none). The payload is retained and must not change; base offset and
// leader epoch in it are ignored, and set in what is stored. Offsets between the
// log end and base become a hole.
//
// If the batch does not fit, the active segment is closed first, which depends
// only on sizes and offsets; it becomes garbage if all of it is below the local
// log start. Append does no I/O. It fails with ErrAppend, and
// changes nothing, if the offsets do not follow or the payload is no batch of
// that length.
func (l *Log) Append(base, last ident.Offset, epoch ident.Epoch, maxTimestamp int64, payload []byte) error {
	size := int64(len(payload))
	if base < l.end || last < base || size < batchHeaderSize || size > maxBatchBytes || batchSize(payload) != size {
		return fmt.Errorf("append [%d, %d], %d bytes, at %d: %w", base, last, size, l.end, ErrAppend)
	}
	if int64(last-base) > maxRelativeOffset {
		return fmt.Errorf("append [%d, %d]: %w", base, last, ErrAppend)
	}
	l.mu.Lock()
	g := l.active()
	if g == nil {
		g = l.addSegment(base)
	}
	closed := !g.fits(last, size, l.set.SegmentBytes)
	if closed {
		l.seal(g, base)
		g = l.addSegment(base)
	}
	pos := g.add(base, last, maxTimestamp, size, l.set.IndexIntervalBytes)
	e := tailEntry{g: g, base: base, last: last, pos: pos, maxTime: maxTimestamp, epoch: epoch, payload: payload}
	l.tail.add(e)
	l.end = last + 1
	l.mu.Unlock()
	l.unwritten += size
	if closed { // what was closed may lie below the start
		l.advance(l.start, l.localSet)
	}
	if l.cache.tail.Add(e.cost()) > l.cache.limits.TailBytes {
		l.shrinkTail()
	}
	invariant.Costly(l.consistent)
	return nil
}

// batchSize returns the length of the batch that b starts with, by its header.
func batchSize(b []byte) int64 {
	return 12 + int64(int32(uint32(b[8])<<24|uint32(b[9])<<16|uint32(b[10])<<8|uint32(b[11])))
}

// active returns the segment that is appended to, or nil before the first.
func (l *Log) active() *segment {
	if len(l.segs) == 0 {
		return nil
	}
	return l.segs[len(l.segs)-1]
}

// addSegment makes a new active segment. The caller holds the mutex.
func (l *Log) addSegment(base ident.Offset) *segment {
	g := newSegment(l.dir, base)
	l.segs = append(l.segs, g)
	l.dirty = append(l.dirty, g)
	return g
}

// seal closes g, which ends where the next segment begins. The caller holds the
// mutex.
func (l *Log) seal(g *segment, end ident.Offset) {
	g.sealed, g.end = true, end
}

// Roll closes the active segment if it holds a batch, and reports whether it
// did. Like with Append, it may become garbage.
func (l *Log) Roll() bool {
	g := l.active()
	if g == nil || g.bytes == 0 {
		return false
	}
	l.mu.Lock()
	l.seal(g, l.end)
	l.addSegment(l.end)
	l.mu.Unlock()
	l.advance(l.start, l.localSet)
	return true
}

// SetEnd moves the log end up over a hole. A lower end is ignored.
func (l *Log) SetEnd(end ident.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = max(l.end, end)
}

// SetSettings changes the layout of what is appended from now on.
func (l *Log) SetSettings(s Settings) { l.set = s.normal() }

// Start returns the log start offset.
func (l *Log) Start() ident.Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.start
}

// LocalStart returns the first offset that can be read here, at least Start.
func (l *Log) LocalStart() ident.Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.localStart
}

// End returns the log end offset: that of the next record.
func (l *Log) End() ident.Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.end
}

// Size returns the bytes of all segments that are not garbage, written or not.
func (l *Log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var n int64
	for _, g := range l.segs {
		n += g.bytes
	}
	return n
}

// Sealed describes the closed segments, oldest first.
func (l *Log) Sealed() []SegmentInfo {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]SegmentInfo, 0, max(len(l.segs)-1, 0))
	for i := 0; i < len(l.segs)-1; i++ {
		out = append(out, l.segs[i].info(l.end))
	}
	return out
}

// Active describes the segment that is appended to. Before the first batch it
// is empty and starts at the log end.
func (l *Log) Active() SegmentInfo {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if g := l.active(); g != nil {
		return g.info(l.end)
	}
	return SegmentInfo{Base: l.end, End: l.end, MaxTimestamp: noTimestamp, FirstTimestamp: noTimestamp}
}

// Unwritten returns how many bytes are in no file yet.
func (l *Log) Unwritten() int64 { return l.unwritten }

// Durable returns the last Position that a Sync made durable, at first the one
// that the log was opened with.
func (l *Log) Durable() Position { return l.durable }

// EvictIdle drops everything written from the tail, for an owner that needs the
// memory elsewhere.
func (l *Log) EvictIdle() {
	l.mu.Lock()
	var freed int64
	for n := l.tail.evict(); n > 0; n = l.tail.evict() {
		freed += n
	}
	l.mu.Unlock()
	l.cache.tail.Add(-freed)
	l.partial, l.partialOf = nil, nil
}

// shrinkTail evicts what is written while the budget of all logs is exceeded.
func (l *Log) shrinkTail() {
	if l.tail.head >= l.tail.next {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.cache.TailOver() > 0 {
		n := l.tail.evict()
		if n == 0 {
			return
		}
		l.cache.tail.Add(-n)
	}
}

// Close gives back what the log holds of the Cache. It writes nothing. The log
// must not be used afterwards, and no run, sync or read may be in flight.
func (l *Log) Close() {
	if l.closedDown {
		return
	}
	l.closedDown = true
	var held int64
	for i := l.tail.head; i < len(l.tail.list); i++ {
		held += l.tail.list[i].cost()
	}
	l.cache.tail.Add(-held)
	l.tail.list = nil
	for _, g := range l.segs {
		l.cache.forget(g)
	}
	for _, g := range l.garbage {
		l.cache.forget(g)
	}
}
