package wire

import (
	"sync"

	"github.com/varvelog/varve/internal/invariant"
)

// A budget is a number of bytes that requests share, first come, first served:
// who asks later waits behind who waits already, so nobody is starved. It may
// be used by any goroutine.
type budget struct {
	total int64

	mu      sync.Mutex
	free    int64
	waiting []*budgetWaiter // in the order of arrival
}

type budgetWaiter struct {
	bytes   int64
	granted chan struct{}
}

func newBudget(total int64) *budget { return &budget{total: total, free: total} }

// take takes n bytes, at most the whole budget, and returns what it took. It
// blocks until they are there, or stop is closed: then it takes nothing and
// returns false.
func (b *budget) take(n int64, stop <-chan struct{}) (int64, bool) {
	n = min(n, b.total)
	b.mu.Lock()
	if len(b.waiting) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return n, true
	}
	w := &budgetWaiter{bytes: n, granted: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()

	select {
	case <-w.granted:
		return n, true
	case <-stop:
	}
	b.cancel(w)
	return 0, false
}

// cancel withdraws a waiter, whether its bytes were granted meanwhile or not.
func (b *budget) cancel(w *budgetWaiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := false
	for i, other := range b.waiting {
		if other == w {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			found = true
			break
		}
	}
	if !found {
		b.free += w.bytes
	}
	b.grant() // those behind it may fit now
}

// give returns n bytes that take returned.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	if b.free > b.total {
		invariant.Fail("budget: %d of %d bytes free", b.free, b.total)
	}
	b.grant()
}

// grant serves the waiters at the head that fit.
func (b *budget) grant() {
	for len(b.waiting) > 0 && b.waiting[0].bytes <= b.free {
		w := b.waiting[0]
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
		b.free -= w.bytes
		close(w.granted)
	}
	if len(b.waiting) == 0 {
		b.waiting = nil
	}
}

// state returns the bytes that are taken and the number of waiters.
func (b *budget) state() (taken int64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free, len(b.waiting)
}
