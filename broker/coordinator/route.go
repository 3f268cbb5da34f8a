package coordinator

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// PartitionFor returns the partition of a group among so many, as Kafka's
// coordinator does: Java's hash of the text, without its sign.
func PartitionFor(groupID string, partitions int32) int32 {
	var hash int32
	for _, r := range groupID {
		if r > 0xffff {
			high, low := utf16.EncodeRune(r)
			hash = 31*(31*hash+high) + low
			continue
		}
		hash = 31*hash + r
	}
	if hash == math.MinInt32 {
		hash = 0
	}
	return max(hash, -hash) % partitions
}

// partitionFor is for a topic that exists.
func (c *Core) partitionFor(groupID string) int32 {
	return PartitionFor(groupID, int32(len(c.topic.Partitions)))
}

// ensure calls done when the topic exists: at once if it does.
func (c *Core) ensure(done func(error)) {
	c.look()
	if c.topic != nil {
		done(nil)
		return
	}
	if !c.h.Ready() {
		done(ErrUnavailable)
		return
	}
	if len(c.creating) >= requestsMax {
		done(fmt.Errorf("%w: too many requests wait for topic %s", ErrUnavailable, Topic))
		return
	}
	c.creating = append(c.creating, done)
	if len(c.creating) > 1 {
		return
	}
	c.h.Command(c.command(), func(r metadata.Result) {
		c.h.Later(func() { c.created(r.Err) })
	})
}

// command makes the topic.
func (c *Core) command() metadata.CreateTopic {
	brokers := min(c.h.Image().BrokerCount(), math.MaxInt16)
	cmd := metadata.CreateTopic{
		Name: Topic, Partitions: c.s.Partitions, Internal: true, TimeMs: c.now.UnixMilli(),
		ReplicationFactor: int16(max(1, min(int(c.s.ReplicationFactor), brokers))),
		Configs: []metadata.KV{
			{Name: "cleanup.policy", Value: "compact"},
			{Name: "compression.type", Value: "producer"},
			{Name: "segment.bytes", Value: strconv.FormatInt(c.s.SegmentBytes, 10)},
		},
	}
	cmd.TopicID = c.s.Group.Entropy()
	return cmd
}

// created takes the outcome of making the topic.
func (c *Core) created(err error) {
	if errors.Is(err, metadata.ErrTopicExists) {
		err = nil
	}
	c.look()
	if err == nil && c.topic == nil {
		err = errors.New("this broker has not heard of it yet")
	}
	if err != nil {
		err = fmt.Errorf("%w: make topic %s: %w", ErrUnavailable, Topic, err)
	}
	waiting := c.creating
	c.creating = nil
	for _, done := range waiting {
		done(err)
	}
}

// look finds the topic, and drops the shards of one that is gone.
func (c *Core) look() {
	t, _ := c.h.Image().Topic(Topic)
	if t != c.topic && (t == nil || c.topic == nil || t.ID != c.topic.ID) {
		c.stopAll()
		c.shards = nil
	}
	if c.topic = t; t != nil {
		c.shards = append(c.shards, make([]*shard, max(0, len(t.Partitions)-len(c.shards)))...)
	}
}

// stopAll stops every shard.
func (c *Core) stopAll() {
	for _, s := range c.shards {
		if s != nil {
			s.stop(ErrNotCoordinator)
		}
	}
}

// replica returns this broker's replica of a partition and the epoch under which
// it leads.
func (c *Core) replica(index int32) (*partition.Partition, partition.Offsets, error) {
	id := ident.Partition{Topic: c.topic.ID, Index: index}
	r := c.h.Replica(id)
	switch {
	case r == nil:
		return nil, partition.Offsets{}, ErrNotCoordinator
	case r.Partition == nil:
		return nil, partition.Offsets{}, fmt.Errorf("%w: partition %d: %w", ErrUnavailable, index, errors.Join(r.Err))
	}
	o, err := r.Partition.Offsets()
	switch {
	case errors.Is(err, partition.ErrDamaged):
		return nil, o, fmt.Errorf("%w: partition %d: %w", ErrUnavailable, index, err)
	case err != nil:
		return nil, o, fmt.Errorf("%w: partition %d: %w", ErrNotCoordinator, index, err)
	}
	return r.Partition, o, nil
}

// serving returns the shard of a partition if it serves; else it is loaded if it
// can be, before others that wait for their turn.
func (c *Core) serving(index int32) (*shard, error) {
	p, o, err := c.replica(index)
	s := c.shards[index]
	if s != nil && (err != nil || !s.current(p, o)) {
		s.stop(ErrNotCoordinator)
		s = nil
	}
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = c.begin(p, o)
	}
	switch {
	case s.g != nil:
		c.compare()
		return s, nil
	case s.failed != nil && c.now.Before(s.retry):
		return nil, fmt.Errorf("%w: partition %d: %w", ErrUnavailable, index, s.failed)
	}
	if c.enqueue(s, true); s.g != nil {
		return s, nil
	}
	return nil, ErrLoading
}

// check looks at every partition of the topic: it stops the shards of those that
// are led no more, and loads those that are led.
func (c *Core) check() {
	if c.look(); c.topic != nil && len(c.creating) > 0 {
		c.created(nil) // its maker may have lost the answer
	}
	if c.topic == nil || c.draining || !c.h.Ready() {
		return
	}
	now := c.now
	for i := range c.topic.Partitions {
		index := int32(i)
		p, o, err := c.replica(index)
		s := c.shards[index]
		if s != nil && (err != nil || !s.current(p, o)) {
			s.stop(ErrNotCoordinator)
			s = nil
		}
		if err != nil {
			continue
		}
		if s == nil {
			s = c.begin(p, o)
		}
		switch {
		case s.g == nil && !now.Before(s.retry):
			c.enqueue(s, false)
		}
	}
	c.compare()
	for _, s := range c.shards {
		if s != nil && s.g != nil && s.unsure {
			s.dropAgain(now)
		}
	}
	c.answerAll()
}

// answerAll answers the requests for all shards when none is being loaded.
func (c *Core) answerAll() {
	if len(c.all) == 0 {
		return
	}
	var shards []*group.Shard
	var err error
	for _, s := range c.shards {
		switch {
		case s == nil:
		case s.g != nil:
			shards = append(shards, s.g)
		case s.replayed != nil:
			err = fmt.Errorf("%w: partition %d: the cluster metadata of this broker is too old", ErrLoading, s.id.Index)
		case s.failed == nil || s.loading:
			return
		default:
			err = fmt.Errorf("%w: partition %d: %w", ErrUnavailable, s.id.Index, s.failed)
		}
	}
	waiting := c.all
	c.all = nil
	for _, f := range waiting {
		f(c.now, shards, err)
	}
}
