package broker

import (
	"sync"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/metric"
)

// tickEvery is the engine's tick.
const tickEvery = 100 * time.Millisecond

// owner is the goroutine that holds the Node. Events come from anywhere; it
// takes all that wait at once, so that one group commit serves them all.
type owner struct {
	n     *node.Node
	pools *pools
	now   func() time.Time
	turns *metric.Histogram // nil: they are not measured

	mu     sync.Mutex
	events []func(*node.Node)
	done   []replog.Task
	wake   chan struct{}
	out    int // tasks handed out and not yet done; the goroutine's own

	// failed is told once that the node failed, and says whether what is stored
	// goes on being served. nil: it does not. It is set before run.
	failed func(error) bool
}

func newOwner(n *node.Node, tasksMax int, now func() time.Time) *owner {
	o := &owner{n: n, now: now, wake: make(chan struct{}, 1)}
	o.pools = newPools(tasksMax, func(t replog.Task) {
		o.mu.Lock()
		o.done = append(o.done, t)
		o.mu.Unlock()
		o.nudge()
	})
	return o
}

// measure has tasks and turns measured. It is called before anything runs.
func (o *owner) measure(d *diskMeters) {
	o.turns = d.turn
	o.pools.performed = d.performed
}

// post gives the owner something to do. It does not block.
func (o *owner) post(f func(*node.Node)) {
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

// turn takes everything that waits, lets the node act, and hands out its tasks.
func (o *owner) turn() {
	o.mu.Lock()
	events, done := o.events, o.done
	o.events, o.done = nil, nil
	o.mu.Unlock()
	now := o.now()
	for _, t := range done {
		o.out--
		passing(t, o.n)
		o.n.Done(now, t)
		if t.Class() == replog.ClassCommit {
			failpoint.Hit(failpoint.CommitReplied)
		}
	}
	for _, f := range events {
		f(o.n)
	}
	for _, t := range o.n.Poll(now) {
		o.out++
		o.pools.perform(t)
	}
}

// passing is where tests let the process die: a task is done, and nobody knows.
func passing(t replog.Task, n *node.Node) {
	switch t.Class() {
	case replog.ClassCommit:
		if n.Checkpointing() {
			failpoint.Hit(failpoint.CheckpointDone)
		}
		failpoint.Hit(failpoint.CommitDone)
	case replog.ClassPrepare:
		failpoint.Hit(failpoint.PrepareDone)
	case replog.ClassSegment:
		failpoint.Hit(failpoint.SegmentDone)
	case replog.ClassSync:
		failpoint.Hit(failpoint.SyncDone)
	}
}

// run turns until stop is closed, or the node fails and is not to go on. It
// returns why the node failed. A failed node writes nothing and refuses every
// proposal; what it has is still read.
func (o *owner) run(stop <-chan struct{}) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	var failure error
	for {
		began := o.now()
		o.turn()
		o.turns.Record(int64(o.now().Sub(began)))
		if err := o.n.Err(); err != nil && failure == nil {
			failure = err
			if o.failed == nil || !o.failed(err) {
				return failure
			}
		}
		select {
		case <-o.wake:
		case <-ticker.C:
			o.n.Tick(o.now())
		case <-stop:
			return failure
		}
	}
}

// settle makes a checkpoint of everything, so that the next start has nothing
// to replay, but gives up at the deadline: a start can replay.
func (o *owner) settle(deadline time.Time) error {
	o.n.Checkpoint()
	for {
		o.turn()
		switch {
		case o.n.Err() != nil:
			return o.n.Err()
		case !o.n.Checkpointing() && o.out == 0:
			return nil
		case o.now().After(deadline):
			return nil
		}
		select {
		case <-o.wake:
		case <-time.After(tickEvery):
			o.n.Tick(o.now())
		}
	}
}

// close ends the pools and the node.
func (o *owner) close() {
	o.pools.close()
	o.n.Close()
}
