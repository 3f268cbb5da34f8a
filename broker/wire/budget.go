package wire

import (
	"sync"

	"github.com/varvelog/varve/internal/invariant"
)

// A budget is a number of bytes that requests share, first come, first served:
// who asks later waits behind who waits already, so nobody is starved. What is
// there in any case is charged without waiting, so more may be taken than there
// is; then nobody is granted anything until it is given back. It may be used by
// any goroutine.
type budget struct {
	total int64

	mu      sync.Mutex
	free    int64
	waiting []*budgetWaiter // in the order of arrival
}

type budgetWaiter struct {
	bytes   int64
	granted func() // must not block, nor use the budget
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
	granted := make(chan struct{})
	w := &budgetWaiter{bytes: n, granted: func() { close(granted) }}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()

	select {
	case <-granted:
		return n, true
	case <-stop:
	}
	b.cancel(w)
	return 0, false
}

// takeSome takes at most most bytes and at least least, or what the whole budget
// is: a sixteenth of what is free where that lies between, so that many fit
// beside each other, the later ones with less. If they are not there, it returns
// 0 and a waiter, whose granted is called when least are its own.
func (b *budget) takeSome(least, most int64, granted func()) (int64, *budgetWaiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	least = min(least, b.total)
	if len(b.waiting) == 0 && b.free >= least {
		n := max(least, min(most, b.free/16))
		b.free -= n
		return n, nil
	}
	w := &budgetWaiter{bytes: least, granted: granted}
	b.waiting = append(b.waiting, w)
	return 0, w
}

// more takes n bytes if they are free, whoever waits.
func (b *budget) more(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free < n {
		return false
	}
	b.free -= n
	return true
}

// charge takes n bytes that are in use already, whether they are free or not.
func (b *budget) charge(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free -= n
}

// available reports whether something is free and nobody waits.
func (b *budget) available() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free > 0 && len(b.waiting) == 0
}

// overdrawn returns by how much more is taken than there is.
func (b *budget) overdrawn() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(-b.free, 0)
}

// waiters returns how many wait.
func (b *budget) waiters() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
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
		w.granted()
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
