package storage

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// maxReadBytes bounds what one Read returns, but for a single larger batch.
const maxReadBytes = 64 << 20

// Chunk is what a Read returns: whole batches, back to back, in pieces for
// writev. The pieces may alias memory that others share: nobody may change them.
type Chunk struct {
	Buffers [][]byte
	Bytes   int
	Batches int
	// First is the base offset of the first batch, which may lie below the
	// offset asked for. -1 if there is none.
	First ident.Offset
	// NextOffset is where to read on: behind the last batch, or at until if
	// nothing but a hole came before it. With no batches and NextOffset below
	// until, maxBytes was too small.
	NextOffset ident.Offset
}

// view is what a reader takes from the log under the mutex to go on without.
type view struct {
	g          *segment
	next       ident.Offset // where the search goes on behind this segment
	stop       ident.Offset // batches from here on are in the tail
	stopPos    int64        // where they begin in this file, at most
	ceil       ident.Offset // where the segment ends
	limit      int64        // bytes in the file
	whole      bool
	sealed     bool
	indexBytes int64
	pending    []indexEntry
	maxTime    int64
	maxTimeAt  ident.Offset
}

// Read returns batches from the one that contains from, or the next one if from
// lies in a hole, up to those that end below until, which is a high watermark
// or last stable offset. It returns at most maxBytes, and at least the first
// batch, whatever its size, if minOne is set (KIP-74). What is not in the tail
// is read from the files, checksums verified, and may block.
//
// It fails with ErrBelowStart if from is below the local log start, ErrBeyondEnd
// if it is above the log end, and ErrDamaged if the first batch is damaged; a
// damaged batch further on only ends the chunk.
func (l *Log) Read(from, until ident.Offset, maxBytes int, minOne bool) (Chunk, error) {
	r := reading{
		l: l, from: from, at: from, until: until, minOne: minOne,
		left:  int64(max(min(maxBytes, maxReadBytes), 0)),
		chunk: Chunk{First: -1, NextOffset: from},
	}
	defer r.count()
	for done := false; !done; {
		var err error
		if done, err = r.step(); err == nil {
			continue
		}
		if r.chunk.Batches > 0 {
			break
		}
		return Chunk{First: -1, NextOffset: from}, fmt.Errorf("read %s at offset %d: %w", l.dir, from, l.explain(from, err))
	}
	return r.chunk, nil
}

// count counts what the read found where.
func (r *reading) count() {
	switch {
	case r.filed:
		r.l.cache.misses.Add(1)
	case r.chunk.Batches > 0:
		r.l.cache.hits.Add(1)
	}
}

// explain turns an error that comes from the removal of the segment under the
// reader into ErrBelowStart.
func (l *Log) explain(from ident.Offset, err error) error {
	if errors.Is(err, vfs.ErrNotExist) || errors.Is(err, vfs.ErrClosed) {
		if from < l.LocalStart() {
			return ErrBelowStart
		}
	}
	return err
}

// reading is the state of one Read.
type reading struct {
	l      *Log
	from   ident.Offset
	at     ident.Offset // everything below was looked at
	until  ident.Offset
	left   int64
	minOne bool
	filed  bool // a file was looked at
	chunk  Chunk

	copying bool // ReadCopy
}

// step serves from the tail, which ends the read, or from one segment file.
func (r *reading) step() (done bool, err error) {
	l := r.l
	l.mu.RLock()
	switch {
	case r.from < r.floor() && r.chunk.Batches == 0:
		err = ErrBelowStart
	case r.from > l.end:
		err = ErrBeyondEnd
	}
	if err != nil {
		l.mu.RUnlock()
		return true, err
	}
	if r.at < r.floor() && r.chunk.Batches > 0 {
		l.mu.RUnlock()
		return true, nil // what comes next left the disk meanwhile: it is no hole
	}
	r.until = min(r.until, l.end)
	if r.at >= r.until {
		l.mu.RUnlock()
		r.reachedUntil()
		return true, nil
	}
	if r.at >= l.tail.from {
		r.fromTail(&l.tail)
		l.mu.RUnlock()
		return true, nil
	}
	v, ok := l.viewAt(r.at)
	l.mu.RUnlock()
	if !ok {
		r.at = v.next
		return false, nil
	}
	if r.full() {
		return true, nil
	}
	r.filed = true
	return r.fromFile(v)
}

// reachedUntil notes that no batch is left below until.
func (r *reading) reachedUntil() {
	r.chunk.NextOffset = max(r.chunk.NextOffset, r.until)
}

// takes reports whether a batch of so many bytes still fits.
func (r *reading) takes(size int64) bool {
	return size <= r.left || (r.minOne && r.chunk.Batches == 0)
}

// full reports that nothing more can fit.
func (r *reading) full() bool { return r.left < batchHeaderSize && r.chunk.Batches > 0 }

func (r *reading) took(base, last ident.Offset, size int64) {
	if r.chunk.Batches == 0 {
		r.chunk.First = base
	}
	r.chunk.Batches++
	r.chunk.Bytes += int(size)
	r.chunk.NextOffset = last + 1
	r.left = max(r.left-size, 0)
}

// fromTail takes what fits from the tail. The caller holds the read lock.
func (r *reading) fromTail(t *tail) {
	first := t.search(r.at)
	n, size, all := 0, int64(0), true
	for i := first; i < len(t.list); i++ {
		e := &t.list[i]
		if e.base >= r.until || e.last >= r.until {
			break
		}
		k := int64(len(e.payload))
		if size+k > r.left && (n > 0 || !r.takes(k)) {
			all = false
			break
		}
		size += k
		n++
	}
	heads := make([][placementSize]byte, n)
	if r.chunk.Buffers == nil {
		r.chunk.Buffers = make([][]byte, 0, 2*n)
	}
	for i := range n {
		e := &t.list[first+i]
		e.placement(&heads[i])
		if mutant.On(mutant.TailAsSent) {
			copy(heads[i][:], e.payload)
		}
		r.chunk.Buffers = append(r.chunk.Buffers, heads[i][:], e.payload[placementSize:])
		r.took(e.base, e.last, int64(len(e.payload)))
	}
	if all {
		r.reachedUntil()
	}
}

// viewAt returns the view of the segment that holds, or would hold, an offset
// below the tail. If there is none, or it is empty, ok is false and next says
// where to go on.
// The caller holds the read lock.
func (l *Log) viewAt(at ident.Offset) (v view, ok bool) {
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > at }) - 1
	if i < 0 {
		next := l.tail.from
		if len(l.segs) > 0 {
			next = min(next, l.segs[0].base)
		}
		return view{next: next}, false
	}
	g := l.segs[i]
	v = view{
		g: g, next: l.tail.from, stop: l.tail.from, limit: g.written, whole: g.written == g.bytes,
		sealed: g.sealed, indexBytes: g.indexBytes, pending: g.pending,
		maxTime: g.maxTime, maxTimeAt: g.maxTimeAt,
	}
	v.stopPos, v.ceil = g.bytes, l.end
	if t := &l.tail; t.head < len(t.list) && t.list[t.head].g == g {
		v.stopPos = t.list[t.head].pos
	}
	if g.sealed {
		v.next, v.ceil = min(v.next, g.end), g.end
	}
	return v, v.limit > 0
}

// scan opens the file of a view and returns a scanner at the batch that
// contains off, or the first behind it. The caller releases the handle.
func (l *Log) scan(v view, off ident.Offset) (*scanner, *handle, error) {
	h, err := l.cache.acquire(l.fs, v.g)
	if err != nil {
		return nil, nil, fmt.Errorf("open segment %s: %w", v.g.data, err)
	}
	pos, placed, err := l.floorPosition(v, h, off)
	if err != nil {
		l.cache.release(h)
		return nil, nil, err
	}
	s := &scanner{
		f: h, name: v.g.data, pos: pos, limit: v.limit, floor: v.g.base, ceil: v.ceil,
		whole: v.whole, sure: min(v.stopPos, v.limit), ahead: scanAhead, alloc: l.cache.limits.Alloc,
		placed: placed, log: l,
	}
	return s, h, nil
}

// fromFile takes what fits from one file.
func (r *reading) fromFile(v view) (done bool, err error) {
	s, h, err := r.l.scan(v, r.at)
	if err != nil {
		return true, err
	}
	defer r.l.cache.release(h)
	s.keep = true
	for s.ahead = r.left + defaultIndexBytes; !r.full(); s.ahead = r.left + batchHeaderSize {
		b, err := s.next()
		if err == io.EOF {
			r.at = max(r.at, v.next)
			return false, nil
		}
		if err != nil {
			return true, err
		}
		base, last, size := ident.Offset(b.BaseOffset), ident.Offset(b.LastOffset()), int64(b.Size())
		if s.pos >= v.stopPos {
			r.at = v.stop
			return false, nil
		}
		if base >= v.stop {
			return true, s.damage("batch at offset %d, those from %d on begin at %d", base, v.stop, v.stopPos)
		}
		if last < r.at {
			if err := s.pass(b, r.at); err != nil {
				return true, err
			}
			continue
		}
		if last >= r.until {
			if _, err := s.body(b); err != nil { // only then it does reach so far
				return true, err
			}
			r.reachedUntil()
			return true, nil
		}
		if !r.takes(size) {
			return true, nil
		}
		data, err := s.body(b)
		if err != nil {
			return true, err
		}
		r.append(data)
		r.took(base, last, size)
		r.at = last + 1
	}
	return true, nil
}

// append adds bytes of a file to the chunk, joined with the piece before if
// they follow it in the same buffer.
func (r *reading) append(data []byte) {
	if k := len(r.chunk.Buffers); k > 0 {
		last := r.chunk.Buffers[k-1]
		if n := len(last); cap(last)-n >= len(data) {
			if joined := last[:n+len(data)]; &joined[n] == &data[0] {
				r.chunk.Buffers[k-1] = joined
				return
			}
		}
	}
	r.chunk.Buffers = append(r.chunk.Buffers, data)
}
