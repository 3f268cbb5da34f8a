package group

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/mutant"
)

// topicOffsets are a group's offsets of one topic.
type topicOffsets struct {
	name  string
	parts map[int32]*entry
	// subscribed is the sweep that last saw the topic in a subscription.
	subscribed uint64
}

// entry is one partition's offset. Only what is committed shows.
type entry struct {
	value     offset
	committed bool
	// flight are the appends in flight that set or remove it. As long as there is
	// one the entry stays, and does not expire.
	flight int32
}

// entry finds an offset; e is nil if there is none.
func (g *group) entry(topic string, partition int32) (t *topicOffsets, e *entry) {
	if t = g.topics[topic]; t != nil {
		e = t.parts[partition]
	}
	return t, e
}

// makeEntry finds or makes one.
func (s *Shard) makeEntry(g *group, topic string, partition int32) (*topicOffsets, *entry) {
	t := g.topics[topic]
	if t == nil {
		t = &topicOffsets{name: topic, parts: map[int32]*entry{}}
		g.topics[topic] = t
		s.bytes += topicCost + int64(len(topic))
	}
	e := t.parts[partition]
	if e == nil {
		e = &entry{}
		t.parts[partition] = e
		s.bytes += entryCost
	}
	return t, e
}

// setOffset makes an offset the committed one, or removes it.
func (s *Shard) setOffset(e *entry, o offset, committed bool) {
	s.bytes += int64(len(o.metadata) - len(e.value.metadata))
	e.value, e.committed = o, committed
}

// settleEntry forgets an entry of which nothing is left.
func (s *Shard) settleEntry(g *group, t *topicOffsets, partition int32, e *entry) {
	if e.committed || e.flight > 0 {
		return
	}
	delete(t.parts, partition)
	s.bytes -= entryCost
	if len(t.parts) == 0 {
		delete(g.topics, t.name)
		s.bytes -= topicCost + int64(len(t.name))
	}
}

// sortedTopics are the group's topics by name.
func (g *group) sortedTopics() []*topicOffsets {
	return slices.SortedFunc(maps.Values(g.topics), func(a, b *topicOffsets) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		}
		return 0
	})
}

// sorted are the topic's partitions.
func (t *topicOffsets) sorted() []int32 { return slices.Sorted(maps.Keys(t.parts)) }

// commit is an OffsetCommit that is being stored.
type commit struct {
	s       *Shard
	g       *group
	errs    []error // by place in the request, nil if there is none
	places  int
	waiting int // appends in flight
	done    func(errs []error, err error)

	buf     []byte
	records []Record
	staged  []staged
}

// staged is one offset of an append.
type staged struct {
	t         *topicOffsets
	e         *entry
	partition int32
	place     int
	value     offset
}

// CommitOffsets handles an OffsetCommit. done is called once: with the error of
// the whole request, else with one error or nil per partition, in the request's
// order; errs is nil if there was none. What succeeded is committed then, and
// visible.
func (s *Shard) CommitOffsets(now time.Time, r CommitRequest, done func(errs []error, err error)) {
	invariant.Costly(s.verify)
	g, err := s.committer(now, &r)
	if err != nil {
		done(nil, err)
		return
	}
	expire := int64(-1)
	if r.Retention >= 0 {
		expire = now.UnixMilli() + r.Retention.Milliseconds()
	}
	c := &commit{s: s, g: g, done: done}
	c.reserve(&r)
	c.waiting++ // until everything is appended
	for i := range r.Topics {
		topic := &r.Topics[i]
		index, unknown := s.indexOf(topic)
		for _, p := range topic.Partitions {
			place := c.places
			c.places++
			o := offset{offset: p.Offset, epoch: max(p.LeaderEpoch, -1), metadata: p.Metadata, commit: now.UnixMilli(), expire: expire, topic: topic.TopicID, index: index}
			if expire >= 0 && topic.TopicID.IsZero() {
				o.epoch = -1 // its record has none
			}
			err := unknown
			if err == nil {
				err = s.checkOffset(g, topic.Topic, p.Partition, &o)
			}
			if err != nil {
				c.fail(place, err)
				continue
			}
			c.add(now, topic.Topic, p.Partition, place, o)
		}
	}
	c.flush(now)
	c.finish()
	s.settle(g)
}

// committer finds or makes the group that a commit is for, and says whether it
// may commit. A member's commit keeps its session alive.
func (s *Shard) committer(now time.Time, r *CommitRequest) (*group, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	if len(r.GroupID) > GroupIDMaxBytes {
		return nil, ErrInvalidGroup
	}
	g := s.groups[r.GroupID]
	switch {
	case g == nil && r.Generation >= 0:
		return nil, ErrGroupNotFound
	case g == nil && s.full(groupCost+int64(len(r.GroupID))):
		return nil, fmt.Errorf("make group %q: %w", r.GroupID, ErrOverloaded)
	case g == nil:
		return s.group(r.GroupID), nil
	case r.Generation < 0 && g.state == Empty:
		return g, nil // a simple consumer, or an administrator
	}
	m, err := g.member(r.MemberID, r.InstanceID)
	switch {
	case err != nil:
		return nil, err
	case r.Generation != g.generation && !mutant.On(mutant.FencedCommit):
		return nil, ErrIllegalGeneration
	case g.state == CompletingRebalance:
		// It knows the new generation and not yet what it owns there.
		return nil, ErrRebalanceInProgress
	}
	s.renew(now, g, m)
	return g, nil
}

// checkOffset checks the bounds of one offset.
func (s *Shard) checkOffset(g *group, topic string, partition int32, o *offset) error {
	if topic == "" || len(topic) > topicMaxBytes || partition < 0 {
		return fmt.Errorf("commit offset of partition %d: %w", partition, ErrInvalidRequest)
	}
	if len(o.metadata) > s.c.OffsetMetadataMaxBytes {
		return fmt.Errorf("commit offset of %s-%d: %d bytes: %w", topic, partition, len(o.metadata), ErrMetadataTooLarge)
	}
	more := int64(len(o.metadata))
	if _, e := g.entry(topic, partition); e == nil {
		more += entryCost
	} else if more -= int64(len(e.value.metadata)); more <= 0 {
		return nil
	}
	if s.full(more) {
		return fmt.Errorf("commit offset of %s-%d: %w", topic, partition, ErrOverloaded)
	}
	return nil
}

// reserve makes room for the whole request, or as much as one append takes.
func (c *commit) reserve(r *CommitRequest) {
	size, count := 0, 0
	for i := range r.Topics {
		t := &r.Topics[i]
		count += len(t.Partitions)
		size += len(t.Partitions) * (offsetKeyBytes(r.GroupID, t.Topic) + offset{}.valueBytes())
		for j := range t.Partitions {
			size += len(t.Partitions[j].Metadata)
		}
	}
	c.buf = make([]byte, 0, min(size, c.s.c.AppendBytesMax))
	c.records = make([]Record, 0, count)
	c.staged = make([]staged, 0, count)
}

// fail notes the error of one partition.
func (c *commit) fail(place int, err error) {
	for len(c.errs) <= place {
		c.errs = append(c.errs, nil)
	}
	c.errs[place] = err
}

// add stages one offset.
func (c *commit) add(now time.Time, topic string, partition int32, place int, o offset) {
	size := offsetKeyBytes(c.g.id, topic) + o.valueBytes()
	if len(c.staged) > 0 && len(c.buf)+size > c.s.c.AppendBytesMax {
		c.flush(now)
	}
	t, e := c.s.makeEntry(c.g, topic, partition)
	e.flight++
	from := len(c.buf)
	c.buf = offsetKey(c.buf, c.g.id, topic, partition)
	mid := len(c.buf)
	c.buf = o.appendTo(c.buf)
	c.records = append(c.records, Record{Key: c.buf[from:mid:mid], Value: c.buf[mid:len(c.buf):len(c.buf)]})
	c.staged = append(c.staged, staged{t: t, e: e, partition: partition, place: place, value: o})
}

// flush appends what is staged.
func (c *commit) flush(now time.Time) {
	if len(c.staged) == 0 {
		return
	}
	records, all := c.records, c.staged
	c.buf, c.records, c.staged = nil, nil, nil
	c.waiting++
	c.g.flight++
	c.s.append(now, records, func(_ time.Time, err error) {
		c.g.flight--
		for i := range all {
			c.land(&all[i], err)
		}
		c.finish()
		c.s.settle(c.g)
	})
}

// land makes one offset visible, or leaves the one before.
func (c *commit) land(o *staged, err error) {
	o.e.flight--
	if err == nil {
		c.s.setOffset(o.e, o.value, true)
	} else {
		c.fail(o.place, err)
	}
	c.s.settleEntry(c.g, o.t, o.partition, o.e)
}

// finish answers when everything has landed.
func (c *commit) finish() {
	if c.waiting--; c.waiting > 0 {
		return
	}
	for c.errs != nil && len(c.errs) < c.places {
		c.errs = append(c.errs, nil)
	}
	c.done(c.errs, nil)
}

// FetchOffsets handles one group of an OffsetFetch. A group that is not there
// has no offsets.
func (s *Shard) FetchOffsets(r FetchRequest) ([]FetchedTopic, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	g := s.groups[r.GroupID]
	if r.All {
		if g == nil {
			return nil, nil
		}
		return g.fetchAll(), nil
	}
	out := make([]FetchedTopic, len(r.Topics))
	for i, topic := range r.Topics {
		parts := make([]FetchedOffset, len(topic.Partitions))
		for j, p := range topic.Partitions {
			parts[j] = FetchedOffset{Partition: p, Offset: -1, LeaderEpoch: -1}
			if g == nil {
				continue
			}
			if _, e := g.entry(topic.Topic, p); e != nil && e.committed {
				parts[j] = e.fetched(p)
			}
		}
		out[i] = FetchedTopic{Topic: topic.Topic, Partitions: parts}
	}
	return out, nil
}

func (e *entry) fetched(partition int32) FetchedOffset {
	f := FetchedOffset{Partition: partition, Offset: e.value.offset, LeaderEpoch: e.value.epoch, Metadata: e.value.metadata}
	if mutant.On(mutant.OffsetToldAhead) {
		f.Offset++
	}
	return f
}

func (g *group) fetchAll() []FetchedTopic {
	var out []FetchedTopic
	for _, t := range g.sortedTopics() {
		f := FetchedTopic{Topic: t.name}
		for _, p := range t.sorted() {
			if e := t.parts[p]; e.committed {
				f.Partitions = append(f.Partitions, e.fetched(p))
			}
		}
		if len(f.Partitions) > 0 {
			out = append(out, f)
		}
	}
	return out
}
