//varve:shell one goroutine, its queue and its alarm drive the core

package coordinator

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/group"
)

// Topic holds the records of all groups.
const Topic = "__consumer_offsets"

// Errors that requests are refused with. What became of the request's records is
// not known after any of them but ErrTooLarge.
var (
	// ErrNotCoordinator: this broker does not lead the group's partition, or
	// ceased to, or ends.
	ErrNotCoordinator = errors.New("coordinator: not the coordinator of the group")
	// ErrLoading: the group's partition is being read.
	ErrLoading = errors.New("coordinator: groups are being loaded")
	// ErrUnavailable: the group's partition cannot be made, read or written to
	// for some time, or too many requests wait.
	ErrUnavailable = errors.New("coordinator: groups are not available")
	// ErrTooLarge: an operation needs more than recordsBytesMax of records.
	ErrTooLarge = errors.New("coordinator: records of one operation are too large")
)

const (
	// requestsMax bounds the requests in the queue.
	requestsMax = 10_000
	// loadsMax bounds the partitions that are read at a time, so that they leave
	// room on the pool to others.
	loadsMax = 2
	// checkEvery is how often shards are compared with the partitions that they
	// are made of, and topics with the offsets that are kept of them.
	checkEvery = time.Second
	// retryAfter is how long a partition that could not be read is left alone.
	retryAfter = time.Second
)

// Host is a Coordinator's broker.
type Host interface {
	Broker
	// After calls f once, about when d has passed, unless stop is called before.
	After(d time.Duration, f func()) (stop func())
	// Now is the broker's clock.
	Now() time.Time
}

// Coordinator coordinates the groups whose partitions this broker leads.
type Coordinator struct {
	h   Host
	log *slog.Logger

	mu       sync.Mutex
	events   []func()
	requests int  // among the events
	ended    bool // Close was called
	wake     chan struct{}
	done     chan struct{}

	// The goroutine's own.
	core     *Core
	draining bool
	armed    time.Time // when the alarm comes; zero if none is set
	disarm   func()
}

// edge is the coordinator as its core sees it.
type edge struct {
	Host
	c *Coordinator
}

// Later implements Edge.
func (e edge) Later(f func()) { e.c.later(f) }

// New starts a coordinator. Close ends it.
func New(h Host, s Settings, log *slog.Logger) *Coordinator {
	s.Group.Entropy, s.Group.Observe = entropy, observe(log)
	c := &Coordinator{h: h, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	c.core = NewCore(edge{h, c}, s, log)
	go c.run()
	c.nudge()
	return c
}

// entropy gives the ids of members and topics.
func entropy() (b [16]byte) {
	rand.Read(b[:]) // it never fails
	return b
}

// Do calls f with the shard of a group, or with why there is none, once, on the
// coordinator's goroutine or at once. f must not block, and must not use the
// shard after it returned.
func (c *Coordinator) Do(groupID string, f func(now time.Time, s *group.Shard, err error)) {
	c.shard(c.core.Do, groupID, f)
}

// Read is Do for what tells committed offsets; see Core.Read.
func (c *Coordinator) Read(groupID string, f func(now time.Time, s *group.Shard, err error)) {
	c.shard(c.core.Read, groupID, f)
}

// shard has the core get the shard of a group in one of its ways.
func (c *Coordinator) shard(get func(now time.Time, groupID string, f func(time.Time, *group.Shard, error)), groupID string, f func(time.Time, *group.Shard, error)) {
	c.request(func(err error) {
		if err != nil {
			f(time.Time{}, nil, err)
			return
		}
		get(c.h.Now(), groupID, f)
	})
}

// Find calls done with nil when this broker coordinates a group, or with why it
// does not, like Do. The topic of the groups is made if it does not exist. That
// the group is being loaded is no error here.
func (c *Coordinator) Find(groupID string, done func(error)) {
	c.request(func(err error) {
		if err != nil {
			done(err)
			return
		}
		c.core.Find(c.h.Now(), groupID, done)
	})
}

// All calls f, like Do, with the shards of all partitions that this broker leads
// when all of them are loaded. With an error they are not all.
func (c *Coordinator) All(f func(now time.Time, shards []*group.Shard, err error)) {
	c.request(func(err error) {
		if err != nil {
			f(time.Time{}, nil, err)
			return
		}
		c.core.All(c.h.Now(), f)
	})
}

// Make makes the topic of the groups if it does not exist, and calls done once,
// like Do.
func (c *Coordinator) Make(done func(error)) {
	c.request(func(err error) {
		if err != nil {
			done(err)
			return
		}
		c.core.Make(c.h.Now(), done)
	})
}

// Drain answers all requests that wait for members or time, and from then on
// refuses every request. What is being appended is still answered with its
// outcome.
func (c *Coordinator) Drain() {
	c.post(func() {
		c.draining = true
		c.core.Drain(c.h.Now())
	})
}

// Close answers everything that still waits and ends the coordinator. It blocks
// until that is done.
func (c *Coordinator) Close() {
	c.core.closing.Store(true)
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.nudge()
	<-c.done
}

// request queues f, or calls it with an error at once.
func (c *Coordinator) request(f func(error)) {
	c.mu.Lock()
	switch {
	case c.ended:
		c.mu.Unlock()
		f(ErrNotCoordinator)
		return
	case c.requests >= requestsMax:
		c.mu.Unlock()
		f(ErrUnavailable)
		return
	}
	c.requests++
	c.events = append(c.events, func() {
		if c.draining {
			f(ErrNotCoordinator)
			return
		}
		f(nil)
	})
	c.mu.Unlock()
	c.nudge()
}

// later implements Edge: it queues the outcome of something under way. After the
// end nobody waits for it.
func (c *Coordinator) later(f func()) {
	c.post(func() { c.core.Turn(c.h.Now(), f) })
}

func (c *Coordinator) post(f func()) {
	c.mu.Lock()
	c.events = append(c.events, f)
	c.mu.Unlock()
	c.nudge()
}

func (c *Coordinator) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run turns until Close.
func (c *Coordinator) run() {
	defer close(c.done)
	for range c.wake {
		if c.turn() {
			return
		}
	}
}

// turn takes everything that waits, and what the time brings. It returns true at
// the end.
func (c *Coordinator) turn() bool {
	c.mu.Lock()
	events, ended := c.events, c.ended
	c.events, c.requests = nil, 0
	c.mu.Unlock()
	for _, f := range events {
		c.guard(f)
	}
	if ended {
		c.end()
		return true
	}
	c.guard(c.advance)
	return false
}

// guard calls f. If that panics, a mistake of ours, every shard is read anew from
// its log, and the broker goes on.
func (c *Coordinator) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("the group coordinator failed; groups are loaded again", "error", r, "stack", string(debug.Stack()))
			c.core.stopAll()
			c.nudge()
		}
	}()
	f()
}

// advance lets time pass.
func (c *Coordinator) advance() {
	now := c.h.Now()
	c.arm(now, c.core.Advance(now))
}

// arm asks to be woken at a time, unless that is so already.
func (c *Coordinator) arm(now, at time.Time) {
	if !c.armed.IsZero() && !at.Before(c.armed) {
		return
	}
	if c.disarm != nil {
		c.disarm()
	}
	c.armed = at
	c.disarm = c.h.After(max(at.Sub(now), time.Millisecond), func() {
		c.post(func() { c.armed = time.Time{} })
	})
}

// end answers everything that waits.
func (c *Coordinator) end() {
	if c.disarm != nil {
		c.disarm()
	}
	c.core.End()
}
