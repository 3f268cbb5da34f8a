package group

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/internal/mutant"
)

// Shard is one partition of __consumer_offsets with the groups in it. One
// goroutine owns it. No callback that it is given may call it.
type Shard struct {
	c   Config
	log Log

	started bool
	stopped error

	groups map[string]*group
	all    []*group // the same, in an order that the same calls give again
	timers timers

	index   uint64   // see MetadataIndex
	flight  []*write // appends in flight, oldest first
	pending int      // ids given out, of all groups
	bytes   int64    // what everything is taken to hold

	sweepAt   time.Time // the next round of expiry
	sweepNext int       // the place in all where it goes on
	sweeps    uint64    // rounds per group, to mark what a group is subscribed to
}

// write is one append in flight.
type write struct {
	finish func(now time.Time, err error)
	landed bool
}

var errNoEntropy = errors.New("group: Config.Entropy is not set")

// New returns an empty shard that is loading: Replay comes next, then Start. It
// panics without Config.Entropy.
func New(c Config, log Log) *Shard {
	if c.Entropy == nil {
		panic(errNoEntropy)
	}
	return &Shard{c: c.withDefaults(), log: log, groups: map[string]*group{}}
}

// Replay takes one committed record, in log order, while the shard is loading;
// a nil value is a tombstone. It copies what it keeps. Keys of versions that are
// not known are skipped. The error wraps ErrCorrupt; the shard is then as
// before, and may go on.
func (s *Shard) Replay(key, value []byte) error {
	k, known, err := parseKey(key)
	if err != nil || !known {
		return err
	}
	if k.isGroup {
		return s.replayGroup(k.group, value)
	}
	return s.replayOffset(k, value)
}

func (s *Shard) replayGroup(id string, value []byte) error {
	if value == nil {
		if g := s.groups[id]; g != nil {
			s.clear(g)
			s.setSaved(g, nil)
			s.settle(g)
		}
		return nil
	}
	value = bytes.Clone(value)
	v, err := parseGroup(value)
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return fmt.Errorf("replay group %q: %w", id, err)
	}
	g := s.group(id)
	s.clear(g)
	s.setSaved(g, value)
	g.generation, g.protocol, g.since = v.generation, v.protocol, v.since
	for i := range v.members {
		s.add(g, s.loaded(&v.members[i], v.protocol), v.protocolType)
	}
	g.protocolType = v.protocolType
	g.state = Empty
	if len(g.members) > 0 {
		g.state = Stable
	}
	if g.members[v.leader] != nil {
		g.leader = v.leader
	}
	return nil
}

// loaded is a member as its record has it.
func (s *Shard) loaded(v *memberValue, protocol string) *member {
	m := &member{
		id: v.id, instance: v.instance, client: v.client, host: v.host,
		session:   time.Duration(v.session) * time.Millisecond,
		rebalance: time.Duration(v.rebalance) * time.Millisecond,
		protocols: []Protocol{{Name: protocol, Metadata: v.subscription}}, assignment: v.assignment,
		protocolsBytes: int64(len(protocol) + len(v.subscription)),
	}
	if m.session <= 0 {
		m.session = s.c.MinSessionTimeout
	}
	if m.rebalance <= 0 {
		m.rebalance = m.session
	}
	return m
}

// check says what no coordinator can have written.
func (v *metadataValue) check() error {
	ids, instances := map[string]bool{}, map[string]bool{}
	for i := range v.members {
		m := &v.members[i]
		if m.id == "" || ids[m.id] || m.instance != "" && instances[m.instance] {
			return fmt.Errorf("member %q of instance %q is there twice: %w", m.id, m.instance, ErrCorrupt)
		}
		ids[m.id], instances[m.instance] = true, true
	}
	if len(v.members) > 0 && (v.protocol == "" || v.protocolType == "") {
		return fmt.Errorf("members without a protocol: %w", ErrCorrupt)
	}
	return nil
}

func (s *Shard) replayOffset(k parsedKey, value []byte) error {
	if value == nil {
		g := s.groups[k.group]
		if g == nil {
			return nil
		}
		if t, e := g.entry(k.topic, k.partition); e != nil {
			s.setOffset(e, offset{}, false)
			s.settleEntry(g, t, k.partition, e)
			s.settle(g)
		}
		return nil
	}
	o, err := parseOffset(value)
	if err != nil {
		return fmt.Errorf("replay offset of group %q, %q-%d: %w", k.group, k.topic, k.partition, err)
	}
	_, e := s.makeEntry(s.group(k.group), k.topic, k.partition)
	if mutant.On(mutant.OffsetRewound) && e.committed {
		return nil
	}
	s.setOffset(e, o, true)
	s.index = max(s.index, o.index)
	return nil
}

// MetadataIndex returns an index of the cluster metadata that is not below that of
// any offset which was replayed: who knows the metadata up to there, and does not
// find an offset's topic in it, knows that the topic is gone.
func (s *Shard) MetadataIndex() uint64 { return s.index }

// indexOf returns the index of the cluster metadata in which the topic of a commit
// is, and refuses a topic that is not.
func (s *Shard) indexOf(t *CommitTopic) (uint64, error) {
	if s.c.Topic == nil || t.TopicID.IsZero() {
		return 0, nil
	}
	index, ok := s.c.Topic(t.Topic, t.TopicID)
	if !ok {
		return 0, fmt.Errorf("commit offsets of topic %q, id %v: %w", cut(t.Topic, topicMaxBytes), t.TopicID, ErrUnknownTopic)
	}
	return index, nil
}

// Start ends loading. Members get a whole session timeout from now.
func (s *Shard) Start(now time.Time) {
	s.started = true
	s.sweepAt = now.Add(s.c.OffsetsRetentionCheck)
	for _, g := range slices.Clone(s.all) {
		for _, m := range g.order {
			s.renew(now, g, m)
		}
		if s.c.MaxSize > 0 && len(g.members) > s.c.MaxSize {
			s.rebalance(now, g, "group is larger than its maximum size")
		}
	}
}

// Stop ends the shard, because leadership was lost or the broker shuts down:
// every request that waits is answered with err, at once, and so is every later
// one. Appends in flight count for nothing any more, whatever the Log says of
// them.
func (s *Shard) Stop(err error) {
	if s.stopped != nil {
		return
	}
	s.stopped = err
	for _, g := range s.all {
		g.state = Dead
		for _, m := range g.order {
			g.answerJoin(m, JoinResponse{MemberID: m.id}, err)
			m.answerSync(SyncResponse{}, err)
		}
	}
	flight := s.flight
	s.flight = nil
	for _, w := range flight {
		if !w.landed {
			w.landed = true
			w.finish(time.Time{}, err)
		}
	}
	s.groups, s.all, s.timers = map[string]*group{}, nil, nil
	s.pending, s.bytes = 0, 0
}

// serving is the reason why requests are not answered, or nil.
func (s *Shard) serving() error {
	if s.stopped != nil {
		return s.stopped
	}
	if !s.started {
		return ErrLoading
	}
	return nil
}

// Pending is the number of appends in flight.
func (s *Shard) Pending() int { return len(s.flight) }

// append gives records to the log. finish is called once: with what the log
// says, or with Stop's error.
func (s *Shard) append(now time.Time, records []Record, finish func(now time.Time, err error)) {
	w := &write{finish: finish}
	s.flight = append(s.flight, w)
	s.log.Append(now, records, func(now time.Time, err error) {
		if w.landed {
			return
		}
		w.landed = true
		for len(s.flight) > 0 && s.flight[0].landed {
			s.flight[0] = nil
			s.flight = s.flight[1:]
		}
		finish(now, err)
	})
}

// save appends the group's metadata record. The error is that the record is too
// large, and then finish is not called.
func (s *Shard) save(now time.Time, g *group, v metadataValue, finish func(now time.Time, err error)) error {
	size := 4 + len(g.id) + v.valueBytes()
	if size > s.c.AppendBytesMax {
		return fmt.Errorf("save group %q: %d bytes: %w", g.id, size, ErrGroupTooLarge)
	}
	key := groupKey(make([]byte, 0, 4+len(g.id)), g.id)
	value := v.appendTo(make([]byte, 0, v.valueBytes()))
	g.flight++
	g.writes++
	g.written++
	s.append(now, []Record{{Key: key, Value: value}}, func(now time.Time, err error) {
		g.flight--
		g.writes--
		if err == nil {
			s.setSaved(g, value)
		} else if s.stopped == nil {
			s.observe(Event{Kind: EventAppendFailed, GroupID: g.id, Generation: g.generation, Reason: err.Error()})
		}
		finish(now, err)
		s.settle(g)
	})
	return nil
}

// setSaved notes the committed metadata record.
func (s *Shard) setSaved(g *group, value []byte) {
	s.bytes += int64(len(value) - len(g.saved))
	g.saved = value
}

// group finds or makes a group.
func (s *Shard) group(id string) *group {
	g := s.groups[id]
	if g == nil {
		g = &group{
			id: id, index: len(s.all), state: Empty, since: -1, place: -1,
			members: map[string]*member{}, statics: map[string]*member{}, offered: map[string]int{},
			pending: map[string]time.Time{}, topics: map[string]*topicOffsets{},
		}
		s.groups[id] = g
		s.all = append(s.all, g)
		s.bytes += groupCost + int64(len(id))
	}
	return g
}

// clear takes away what a metadata record says; nobody waits.
func (s *Shard) clear(g *group) {
	for len(g.order) > 0 {
		s.remove(g, g.order[len(g.order)-1])
	}
	g.state, g.since, g.generation = Empty, -1, 0
	g.protocolType, g.protocol, g.leader = "", "", ""
}

// settle forgets a group of which nothing is left.
func (s *Shard) settle(g *group) {
	if s.groups[g.id] != g || !g.spare() {
		return
	}
	delete(s.groups, g.id)
	last := s.all[len(s.all)-1]
	last.index = g.index
	s.all[g.index] = last
	s.all[len(s.all)-1] = nil
	s.all = s.all[:len(s.all)-1]
	s.bytes -= groupCost + int64(len(g.id))
	s.timers.drop(g)
}

// full says that the shard cannot hold more bytes on top.
func (s *Shard) full(more int64) bool { return more > 0 && s.bytes+more > s.c.StateBytesMax }

func (s *Shard) observe(e Event) {
	if s.c.Observe != nil {
		e.Reason = cut(e.Reason, reasonMaxBytes)
		s.c.Observe(e)
	}
}
