package main

import (
	"sync"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/replog"
)

// owner drives a node as the broker's owner does: one goroutine holds it, the
// tasks of each class have goroutines of their own.
type owner struct {
	n     *node.Node
	pools map[replog.Class]chan replog.Task
	wg    sync.WaitGroup

	mu     sync.Mutex
	events []func()
	done   []replog.Task
	wake   chan struct{}
	stop   chan struct{}
	ended  chan error
}

func newOwner(n *node.Node, tasksMax int) *owner {
	o := &owner{n: n, pools: map[replog.Class]chan replog.Task{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan error, 1)}
	for class, workers := range map[replog.Class]int{
		replog.ClassCommit: 1, replog.ClassPrepare: 1, replog.ClassSegment: 2, replog.ClassSync: 4,
	} {
		tasks := make(chan replog.Task, 2*tasksMax+4)
		o.pools[class] = tasks
		for range workers {
			o.wg.Go(func() {
				for t := range tasks {
					_ = t.Do() // the task keeps its error for the engine
					o.mu.Lock()
					o.done = append(o.done, t)
					o.mu.Unlock()
					o.nudge()
				}
			})
		}
	}
	go func() { o.ended <- o.run() }()
	return o
}

// post runs f on the owner's goroutine.
func (o *owner) post(f func()) {
	o.mu.Lock()
	o.events = append(o.events, f)
	o.mu.Unlock()
	o.nudge()
}

func (o *owner) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *owner) turn() {
	o.mu.Lock()
	events, done := o.events, o.done
	o.events, o.done = nil, nil
	o.mu.Unlock()
	now := time.Now()
	for _, t := range done {
		o.n.Done(now, t)
	}
	for _, f := range events {
		f()
	}
	for _, t := range o.n.Poll(now) {
		o.pools[t.Class()] <- t
	}
}

func (o *owner) run() error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		o.turn()
		if err := o.n.Err(); err != nil {
			return err
		}
		select {
		case <-o.wake:
		case <-ticker.C:
			o.n.Tick(time.Now())
		case <-o.stop:
			return nil
		}
	}
}

// close stops the owner, ends the tasks in hand and closes the node.
func (o *owner) close() error {
	close(o.stop)
	err := <-o.ended
	for _, tasks := range o.pools {
		close(tasks)
	}
	o.wg.Wait()
	o.n.Close()
	return err
}
