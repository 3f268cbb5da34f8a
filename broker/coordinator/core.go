package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// Broker is what the deciding part needs of its broker. Any goroutine may call
// it, and no method blocks.
type Broker interface {
	// Ready reports whether the broker serves.
	Ready() bool
	// Image returns the cluster metadata.
	Image() *metadata.Image
	// Replica returns this broker's replica of a partition, or nil.
	Replica(ident.Partition) *node.Replica
	// Post calls f on the goroutine that owns the partitions, in order.
	Post(f func())
	// Command proposes a change of the cluster metadata, and calls the function
	// once, also if it cannot be known what became of it.
	Command(metadata.Command, func(metadata.Result))
	// Confirm calls the function once, with nil when this broker is known to have
	// led a partition at some time since the call.
	Confirm(ident.Partition, func(error))
	// Run performs work that may wait for the disk.
	Run(f func())
}

// Edge is what is around a Core.
type Edge interface {
	Broker
	// Later has f handed to Core.Turn, not before it returned. Any goroutine may
	// call it, the owner too.
	Later(f func())
}

// Core is the deciding part of a Coordinator. One goroutine owns it and calls
// every method; it starts none and reads no clock.
type Core struct {
	h   Edge
	s   Settings
	log *slog.Logger

	closing atomic.Bool // loads give up; any goroutine may set it

	now      time.Time // of the present turn
	draining bool
	topic    *metadata.Topic              // as it was when last looked for; nil if there is none
	image    *metadata.Image              // that the offsets were last compared with
	shards   []*shard                     // by partition; nil is unknown
	writes   map[*partition.Partition]int // being appended, also by shards that ended
	toLoad   []*shard
	loads    int
	all      []func(time.Time, []*group.Shard, error) // wait for all shards
	creating []func(error)                            // wait for the topic
	reads    []*read                                  // wait until it is known that this broker leads
	checked  time.Time
}

// NewCore returns a core that waits for its first Advance. It panics without
// Settings.Group.Entropy.
func NewCore(h Edge, s Settings, log *slog.Logger) *Core {
	if s.SnapshotBytes == 0 {
		s.SnapshotBytes = snapshotBatchBytes
	}
	c := &Core{h: h, s: s, log: log, writes: map[*partition.Partition]int{}}
	c.s.Group.Topic = c.topicIndex
	return c
}

// Turn calls f, which was given to Edge.Later, at a time.
func (c *Core) Turn(now time.Time, f func()) {
	c.now = now
	f()
}

// Do calls f once with the shard of a group, or with why there is none. f must
// not use the shard after it returned.
func (c *Core) Do(now time.Time, groupID string, f func(now time.Time, s *group.Shard, err error)) {
	c.now = now
	c.ensure(func(err error) {
		var s *shard
		if err == nil {
			s, err = c.serving(c.partitionFor(groupID))
		}
		if err != nil {
			f(time.Time{}, nil, err)
			return
		}
		s.whenClean(f)
	})
}

// read is a Read that waits.
type read struct {
	groupID string
	f       func(now time.Time, s *group.Shard, err error)
}

// Read is Do for what tells committed offsets: a coordinator that was replaced
// and has not heard of it would tell old ones. Where there are other replicas,
// f is called when it is known that this broker led since the call.
func (c *Core) Read(now time.Time, groupID string, f func(now time.Time, s *group.Shard, err error)) {
	c.now = now
	c.ensure(func(err error) {
		if err != nil {
			f(time.Time{}, nil, err)
			return
		}
		index := c.partitionFor(groupID)
		switch {
		case len(c.topic.Partitions[index].Replicas) < 2:
			c.Do(c.now, groupID, f)
			return
		case len(c.reads) >= requestsMax:
			f(time.Time{}, nil, ErrUnavailable)
			return
		}
		r := &read{groupID, f}
		c.reads = append(c.reads, r)
		c.h.Confirm(ident.Partition{Topic: c.topic.ID, Index: index}, func(err error) {
			c.h.Later(func() { c.confirmed(r, err) })
		})
	})
}

// confirmed goes on with a Read, if nobody answered it since.
func (c *Core) confirmed(r *read, err error) {
	i := slices.Index(c.reads, r)
	if i < 0 {
		return
	}
	c.reads = slices.Delete(c.reads, i, i+1)
	if err != nil {
		r.f(time.Time{}, nil, fmt.Errorf("%w: %w", ErrNotCoordinator, err))
		return
	}
	c.Do(c.now, r.groupID, r.f)
}

// Find calls done once with nil when this broker coordinates a group, or with why
// it does not. The topic of the groups is made if it does not exist. That the
// group is being loaded is no error here.
func (c *Core) Find(now time.Time, groupID string, done func(error)) {
	c.now = now
	c.ensure(func(err error) {
		if err == nil {
			_, err = c.serving(c.partitionFor(groupID))
		}
		if errors.Is(err, ErrLoading) {
			err = nil
		}
		done(err)
	})
}

// All calls f once with the shards of all partitions that this broker leads when
// all of them are loaded. With an error they are not all.
func (c *Core) All(now time.Time, f func(now time.Time, shards []*group.Shard, err error)) {
	c.now = now
	if c.check(); len(c.all) >= requestsMax {
		f(time.Time{}, nil, ErrUnavailable)
		return
	}
	c.all = append(c.all, f)
	c.answerAll()
}

// Make makes the topic of the groups if it does not exist, and calls done once.
func (c *Core) Make(now time.Time, done func(error)) {
	c.now = now
	c.ensure(done)
}

// Drain answers all requests that wait for members or time. What is being
// appended is still answered with its outcome. No request may follow.
func (c *Core) Drain(now time.Time) {
	c.now = now
	c.draining = true
	for _, s := range c.shards {
		if s != nil {
			s.drain()
		}
	}
	c.release(ErrNotCoordinator)
}

// Advance lets time pass and hands out what shards want to append. It comes after
// every turn and every request, and at the latest at the time that it returned.
func (c *Core) Advance(now time.Time) (next time.Time) {
	c.now = now
	if !now.Before(c.checked.Add(checkEvery)) {
		c.checked = now
		c.check()
	}
	next = c.checked.Add(checkEvery)
	for _, s := range c.shards {
		if s == nil || s.g == nil {
			continue
		}
		if at := s.g.Next(); !at.IsZero() && !now.Before(at) {
			s.g.Tick(now)
		}
		s.flush(now)
		if s.g == nil { // it has ended
			continue
		}
		if at := s.g.Next(); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

// End answers everything that waits.
func (c *Core) End() {
	c.stopAll()
	c.release(ErrNotCoordinator)
}

// release answers the requests that wait for the topic or for all shards.
func (c *Core) release(err error) {
	creating, all, reads := c.creating, c.all, c.reads
	c.creating, c.all, c.reads = nil, nil, nil
	for _, r := range reads {
		r.f(time.Time{}, nil, err)
	}
	for _, done := range creating {
		done(err)
	}
	for _, f := range all {
		f(time.Time{}, nil, err)
	}
}
