package broker

import (
	"container/heap"
	"sync"
	"time"
)

// alarms calls functions at their time: one goroutine and one timer for all.
type alarms struct {
	mu     sync.Mutex
	heap   alarmHeap
	wake   chan struct{}
	closed chan struct{}
	done   chan struct{}
}

type alarm struct {
	at    time.Time
	f     func()
	index int // in the heap, -1 outside
}

func newAlarms() *alarms {
	a := &alarms{wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
	go a.run()
	return a
}

// after calls f once when d has passed, unless stop is called before.
func (a *alarms) after(d time.Duration, f func()) (stop func()) {
	x := &alarm{at: time.Now().Add(d), f: f}
	a.mu.Lock()
	heap.Push(&a.heap, x)
	first := x.index == 0
	a.mu.Unlock()
	if first {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return func() {
		a.mu.Lock()
		if x.index >= 0 {
			heap.Remove(&a.heap, x.index)
		}
		a.mu.Unlock()
	}
}

func (a *alarms) run() {
	defer close(a.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(a.fire(time.Now()))
		select {
		case <-timer.C:
		case <-a.wake:
		case <-a.closed:
			return
		}
	}
}

// fire calls what is due and returns how long nothing else will be.
func (a *alarms) fire(now time.Time) time.Duration {
	for {
		a.mu.Lock()
		if len(a.heap) == 0 {
			a.mu.Unlock()
			return time.Hour
		}
		x := a.heap[0]
		if wait := x.at.Sub(now); wait > 0 {
			a.mu.Unlock()
			return wait
		}
		heap.Pop(&a.heap)
		a.mu.Unlock()
		x.f()
	}
}

// close ends the goroutine; alarms that are not due are never called.
func (a *alarms) close() {
	close(a.closed)
	<-a.done
}

type alarmHeap []*alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *alarmHeap) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h)
	*h = append(*h, a)
}
func (h *alarmHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.index = -1
	return a
}
