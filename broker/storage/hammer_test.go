package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// TestReadersWhileEverythingMoves has readers check every byte they get while
// the owner appends, rolls, evicts, advances the start and removes garbage, and
// a writer carries out runs and syncs.
func TestReadersWhileEverythingMoves(t *testing.T) {
	const count, readers = 3000, 4
	rng := rand.New(rand.NewPCG(5, 5))
	batches := make([]testBatch, 0, count)
	byBase := map[ident.Offset]*testBatch{}
	for next := ident.Offset(0); len(batches) < count; {
		next += ident.Offset(rng.IntN(8) / 7 * 5)
		b := makeBatch(t, next, 1, []int64{int64(next) * 10, int64(next)*10 + 5}, rng.IntN(600), rng)
		batches = append(batches, b)
		next = b.last + 1
	}
	for i := range batches {
		byBase[batches[i].base] = &batches[i]
	}
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cache := NewCache(Limits{TailBytes: 60 << 10, OpenFiles: 2, IndexBytes: 1000})
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 40 << 10, IndexIntervalBytes: 1000, RunBytes: 16 << 10}, cache)

	work, done := make(chan func() func()), make(chan func(), 4)
	var stop atomic.Bool
	var group, writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for f := range work {
				done <- f()
			}
		})
	}
	for i := range readers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 6))
			for !stop.Load() && !t.Failed() {
				hammerRead(t, l, byBase, rng)
			}
		})
	}
	o := owner{l: l, fs: fs, rng: rng, t: t, work: work, done: done}
	for i := range batches {
		batches[i].appendTo(t, l)
		o.turn()
	}
	for o.removed == 0 || o.syncs == 0 || o.flying > 0 { // at least once, however slow the writers were
		l.AdvanceStart(l.End() - 50)
		o.garbage = append(o.garbage, l.TakeGarbage()...)
		if o.mark == nil && o.syncs+o.removed == 0 || len(o.garbage) > 0 {
			m := l.Mark()
			o.mark = &m
		}
		o.turn()
		for o.flying > 0 {
			o.collect(true)
		}
	}
	stop.Store(true)
	group.Wait()
	close(work)
	writers.Wait()
}

// owner plays the worker that applies.
type owner struct {
	t       *testing.T
	l       *Log
	fs      vfs.FS
	rng     *rand.Rand
	work    chan func() func()
	done    chan func()
	flying  int
	mark    *Mark
	removed int
	syncs   int
	garbage []Garbage // waiting for a checkpoint
}

// collect runs what a writer reported.
func (o *owner) collect(wait bool) {
	if wait {
		(<-o.done)()
		o.flying--
		return
	}
	select {
	case f := <-o.done:
		f()
		o.flying--
	default:
	}
}

func (o *owner) start(f func() func()) {
	for o.flying >= 4 {
		o.collect(true)
	}
	o.flying++
	o.work <- f
}

func (o *owner) turn() {
	l := o.l
	o.collect(false)
	for l.Unwritten() > 32<<10 && o.flying > 0 {
		o.collect(true)
	}
	if r, ok := l.NextRun(int64(o.rng.IntN(2)) * 8192); ok {
		o.start(func() func() {
			err := l.DoRun(r)
			return func() {
				if err != nil {
					o.t.Error(err)
				}
				l.RunDone(r, err)
			}
		})
	}
	switch n := o.rng.IntN(200); {
	case n == 0:
		l.Roll()
	case n == 1:
		l.EvictIdle()
	case n < 4:
		l.AdvanceStart(max(l.End()-ident.Offset(300+o.rng.IntN(800)), 0))
		o.garbage = append(o.garbage, l.TakeGarbage()...)
	case n < 10 && o.mark == nil:
		m := l.Mark()
		o.mark = &m
	}
	if o.mark != nil && l.Reached(*o.mark) {
		o.sync()
	}
}

func (o *owner) sync() {
	l := o.l
	s, err := l.PlanSync(*o.mark)
	if err != nil {
		if errors.Is(err, ErrStaleMark) {
			o.mark = nil
		}
		return
	}
	o.mark = nil
	var garbage, used []Garbage
	for _, g := range o.garbage {
		if g.Busy() {
			used = append(used, g)
		} else {
			garbage = append(garbage, g)
		}
	}
	o.garbage = used
	o.start(func() func() {
		err := s.Do()
		return func() {
			if err != nil {
				o.t.Error(err)
			}
			l.SyncDone(s, err)
			o.syncs++
			for _, g := range garbage {
				if err := g.Remove(o.fs); err != nil {
					o.t.Error(err)
				}
				o.removed++
			}
		}
	})
}

// hammerRead reads somewhere and checks that every batch is the one appended.
func hammerRead(t *testing.T, l *Log, byBase map[ident.Offset]*testBatch, rng *rand.Rand) {
	start, end := l.LocalStart(), l.End()
	if start == end {
		return
	}
	from := start + ident.Offset(rng.Int64N(int64(end-start)))
	if rng.IntN(4) == 0 {
		off, at, found, err := l.OffsetForTimestamp(int64(from)*10, end)
		switch {
		case errors.Is(err, ErrBelowStart):
		case err != nil:
			t.Error(err)
		case found && (at < int64(from)*10 || off < from && l.LocalStart() <= from):
			t.Errorf("timestamp %d: offset %d, %d", from*10, off, at)
		}
		return
	}
	c, err := l.Read(from, end, rng.IntN(40000), true)
	if errors.Is(err, ErrBelowStart) && from < l.LocalStart() {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	next := ident.Offset(-1)
	for rest := content(c); len(rest) > 0; {
		b := byBase[ident.Offset(int64(be64(rest)))]
		if b == nil || !bytes.HasPrefix(rest, b.stored) || b.base < next {
			t.Errorf("read from %d: wrong bytes", from)
			return
		}
		next = b.last + 1
		rest = rest[len(b.stored):]
	}
}

func be64(b []byte) (v uint64) {
	for _, c := range b[:8] {
		v = v<<8 | uint64(c)
	}
	return v
}
