package broker

import (
	"sync"
	"time"
)

// askMax bounds how long a scrape waits for values that one goroutine alone may
// read. When it is over, those of the last answer are told.
const askMax = 250 * time.Millisecond

// asked are values that another goroutine tells. At most one question is under
// way, however many scrapes come.
type asked[T any] struct {
	mu    sync.Mutex
	last  T
	at    time.Time     // when last was told
	under chan struct{} // closed when the question under way is answered, nil without one
}

// get asks unless somebody has, waits, and returns the last answer and when it
// was given. ask must call answer once, at any time, on any goroutine; not ok
// keeps the last answer.
func (a *asked[T]) get(now func() time.Time, ask func(answer func(v T, ok bool))) (T, time.Time) {
	a.mu.Lock()
	under := a.under
	if under == nil {
		under = make(chan struct{})
		a.under = under
		a.mu.Unlock()
		ask(func(v T, ok bool) {
			a.mu.Lock()
			if ok {
				a.last, a.at = v, now()
			}
			a.under = nil
			a.mu.Unlock()
			close(under)
		})
	} else {
		a.mu.Unlock()
	}
	t := time.NewTimer(askMax)
	defer t.Stop()
	select {
	case <-under:
	case <-t.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, a.at
}
