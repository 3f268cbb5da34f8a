package sim

import (
	"container/heap"
	"time"
)

// event is something that happens at a moment of virtual time.
type event struct {
	at  time.Time
	seq uint64 // among those of one moment
	do  func()
}

// eventQueue is a heap of events by time.
type eventQueue struct {
	list []event
	seq  uint64
}

// Len implements heap.Interface.
func (q *eventQueue) Len() int { return len(q.list) }

// Less implements heap.Interface.
func (q *eventQueue) Less(i, j int) bool {
	a, b := &q.list[i], &q.list[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}

// Swap implements heap.Interface.
func (q *eventQueue) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }

// Push implements heap.Interface.
func (q *eventQueue) Push(x any) { q.list = append(q.list, x.(event)) }

// Pop implements heap.Interface.
func (q *eventQueue) Pop() any {
	n := len(q.list) - 1
	e := q.list[n]
	q.list[n] = event{}
	q.list = q.list[:n]
	return e
}

func (q *eventQueue) add(at time.Time, do func()) {
	q.seq++
	heap.Push(q, event{at: at, seq: q.seq, do: do})
}

func (q *eventQueue) next() event { return heap.Pop(q).(event) }
