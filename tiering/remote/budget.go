package remote

import (
	"container/list"
	"context"
	"sync"
)

// budget is a number of bytes that several share, in order of arrival.
type budget struct {
	max int64

	mu    sync.Mutex
	used  int64
	queue list.List // of *waiter
}

// acquire takes n bytes, or all there are if that is less, and returns how much
// it took. It waits until they are free or ctx ends.
func (b *budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.max)
	b.mu.Lock()
	if b.queue.Len() == 0 && b.used+n <= b.max {
		b.used += n
		b.mu.Unlock()
		return n, nil
	}
	w := &waiter{n: n, granted: make(chan struct{})}
	e := b.queue.PushBack(w)
	b.mu.Unlock()
	select {
	case <-w.granted:
		return n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted:
		b.used -= n
	default:
		b.queue.Remove(e)
	}
	b.grant()
	return 0, ctx.Err()
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.grant()
}

func (b *budget) grant() {
	for e := b.queue.Front(); e != nil; e = b.queue.Front() {
		w := e.Value.(*waiter)
		if b.used+w.n > b.max {
			return
		}
		b.used += w.n
		b.queue.Remove(e)
		close(w.granted)
	}
}
