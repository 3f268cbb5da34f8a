package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
)

// tails are the parsed tails in memory.
type tails struct {
	max  int64
	room budget // of bytes that are being loaded

	mu      sync.Mutex
	parsed  *lru[[16]byte, *segfile.Tail]
	loading map[[16]byte]*tailFlight
}

// tailFlight is a tail on its way.
type tailFlight struct {
	done   chan struct{} // closed when tail or err is set
	tail   *segfile.Tail
	err    error
	cancel context.CancelFunc

	readers int // guarded by the mutex of tails
}

func newTails(max int64) *tails {
	return &tails{
		max: max, room: budget{max: max},
		parsed: newLRU[[16]byte, *segfile.Tail](), loading: map[[16]byte]*tailFlight{},
	}
}

// has tells whether a tail is in memory.
func (t *tails) has(id [16]byte) bool { return t.peek(id) != nil }

// peek returns a tail that is in memory, or nil.
func (t *tails) peek(id [16]byte) *segfile.Tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tail := t.parsed.peek(id); tail != nil {
		return *tail
	}
	return nil
}

func (t *tails) bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.parsed.cost
}

// join returns a tail, or the flight that will bring it. created tells that the
// caller has to start it.
func (t *tails) join(id [16]byte) (tail *segfile.Tail, f *tailFlight, created bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tail, ok := t.parsed.get(id); ok {
		return tail, nil, false
	}
	f = t.loading[id]
	if f == nil {
		f, created = &tailFlight{done: make(chan struct{})}, true
		t.loading[id] = f
	}
	f.readers++
	return nil, f, created
}

// leave ends the flight if its last reader does not wait any more. The chunks
// that are being downloaded for it go on.
func (t *tails) leave(id [16]byte, f *tailFlight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.readers--
	if f.readers == 0 {
		if t.loading[id] == f {
			delete(t.loading, id)
		}
		f.cancel()
	}
}

func (t *tails) land(id [16]byte, f *tailFlight, tail *segfile.Tail, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.tail, f.err = tail, err
	if t.loading[id] == f {
		delete(t.loading, id)
	}
	if err == nil {
		t.parsed.put(id, tail, tail.MemoryBytes())
		for t.parsed.cost > t.max && t.parsed.len() > 1 {
			oldest, _, _ := t.parsed.oldest()
			t.parsed.remove(oldest)
		}
	}
	close(f.done)
}

// Tail returns what a segment's object says behind its data, verified. It does
// not change. It may block on the store. The errors are those of Read.
func (r *Reader) Tail(ctx context.Context, p ident.Partition, seg *manifest.Segment) (*segfile.Tail, error) {
	o := r.object(p, seg)
	return r.tail(ctx, &o)
}

func (r *Reader) tail(ctx context.Context, o *object) (*segfile.Tail, error) {
	t, f, created := r.tails.join(o.id)
	if t != nil {
		return t, nil
	}
	if created {
		base, cancel := context.WithCancel(r.base)
		f.cancel = cancel
		if !r.table.begin() {
			r.tails.land(o.id, f, nil, ErrClosed)
		} else {
			go func(o object) {
				defer r.running.Done()
				t, err := r.loadTail(base, &o)
				r.tails.land(o.id, f, t, err)
			}(*o)
		}
	}
	defer r.tails.leave(o.id, f)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return f.tail, f.err
}

// loadTail reads and parses a tail.
func (r *Reader) loadTail(ctx context.Context, o *object) (*segfile.Tail, error) {
	if err := o.seg.Check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, r.key(o), err)
	}
	from, n := o.seg.TailOffset(), o.seg.ObjectBytes-o.seg.TailOffset()
	taken, err := r.tails.room.acquire(ctx, n)
	if err != nil {
		return nil, r.ended(err)
	}
	defer r.tails.room.release(taken)
	var t *segfile.Tail
	err = r.mend(o, func(fresh span) error {
		u := cursor{r: r, o: o, fresh: fresh}
		defer u.close()
		b := make([]byte, n)
		if err := u.copy(ctx, b, from); err != nil {
			return r.ended(err)
		}
		t, err = r.parseTail(o, b)
		switch {
		case errors.Is(err, errBlocks):
			return errors.Join(ErrUnavailable, err)
		case errors.Is(err, segfile.ErrVersion):
			// A newer broker wrote it: nothing is wrong with the bytes.
			return errors.Join(ErrUnavailable, err)
		case err != nil:
			return u.damage(from, from, o.seg.ObjectBytes, err.Error())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.vouchFor(o, t)
	return t, nil
}

// errBlocks: an object whose blocks of checksums are larger than the chunks.
var errBlocks = errors.New("remote: blocks do not fit into chunks")

// parseTail parses the tail of an object, which it keeps. It fails as
// segfile.ParseTail does, or with errBlocks.
func (r *Reader) parseTail(o *object, b []byte) (*segfile.Tail, error) {
	t, err := segfile.ParseTail(o.seg, o.p, b)
	if err == nil && int64(r.o.ChunkBytes)%t.BlockBytes() != 0 {
		return nil, fmt.Errorf("%w: %s: %d bytes into %d", errBlocks, r.key(o), t.BlockBytes(), r.o.ChunkBytes)
	}
	return t, err
}
