package group

import (
	"fmt"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/invariant"
)

// removal appends tombstones, in as many appends as their size asks for. Each
// takes away what it names when it is committed; what is appended later is later
// in the log, and stays.
type removal struct {
	s       *Shard
	now     time.Time
	records []Record
	bytes   int
	offsets []removed
	groups  []*group
	waiting int
	err     error // the first one
	done    func(error)
}

// removed is one offset of an append.
type removed struct {
	g         *group
	t         *topicOffsets
	e         *entry
	partition int32
}

// remover begins a removal, which end ends. done is called once.
func (s *Shard) remover(now time.Time, done func(error)) *removal {
	return &removal{s: s, now: now, done: done, waiting: 1}
}

// add stages one tombstone.
func (r *removal) add(key []byte) {
	if r.bytes > 0 && r.bytes+len(key) > r.s.c.AppendBytesMax {
		r.flush()
	}
	r.bytes += len(key)
	r.records = append(r.records, Record{Key: key})
}

// offset removes one offset, and what is in flight for it.
func (r *removal) offset(g *group, t *topicOffsets, partition int32, e *entry) {
	r.add(offsetKey(make([]byte, 0, offsetKeyBytes(g.id, t.name)), g.id, t.name, partition))
	r.offsets = append(r.offsets, removed{g: g, t: t, e: e, partition: partition})
	e.flight++
	g.flight++
}

// topic removes all offsets of a topic.
func (r *removal) topic(g *group, t *topicOffsets) {
	for _, p := range t.sorted() {
		r.offset(g, t, p, t.parts[p])
	}
}

// group removes a group's metadata, the last thing to go.
func (r *removal) group(g *group) {
	r.add(groupKey(make([]byte, 0, 4+len(g.id)), g.id))
	r.groups = append(r.groups, g)
	g.flight++
}

func (r *removal) flush() {
	if len(r.records) == 0 {
		return
	}
	records, offsets, groups := r.records, r.offsets, r.groups
	r.records, r.offsets, r.groups, r.bytes = nil, nil, nil, 0
	r.waiting++
	r.s.append(r.now, records, func(_ time.Time, err error) {
		for i := range offsets {
			r.s.removeOffset(&offsets[i], err)
		}
		for _, g := range groups {
			r.s.removeGroup(g, err)
		}
		if err != nil && r.err == nil {
			r.err = fmt.Errorf("append %d tombstones: %w", len(records), err)
		}
		r.finish()
	})
}

// end appends what is left and waits for all.
func (r *removal) end() {
	r.flush()
	r.finish()
}

func (r *removal) finish() {
	if r.waiting--; r.waiting == 0 {
		r.done(r.err)
	}
}

// removeOffset takes an offset away whose tombstone landed.
func (s *Shard) removeOffset(o *removed, err error) {
	o.g.flight--
	o.e.flight--
	if err == nil {
		s.setOffset(o.e, offset{}, false)
	}
	s.settleEntry(o.g, o.t, o.partition, o.e)
	s.settle(o.g)
}

// removeGroup takes a group's metadata away whose tombstone landed. Members that
// came meanwhile stay, and so does what they made of the group.
func (s *Shard) removeGroup(g *group, err error) {
	g.flight--
	if err == nil {
		s.setSaved(g, nil)
		if g.state == Empty && g.writes == 0 {
			// order: they are only forgotten
			for id := range g.pending {
				s.unpend(g, id)
			}
			s.clear(g)
			s.observe(Event{Kind: EventDeleted, GroupID: g.id})
		}
	}
	s.settle(g)
}

// DeleteGroup handles one group of a DeleteGroups. done is called once; with nil
// the group and its offsets are gone.
func (s *Shard) DeleteGroup(now time.Time, groupID string, done func(error)) {
	invariant.Costly(s.verify)
	g, err := s.existing(groupID)
	if err == nil && g.state != Empty {
		err = ErrNonEmptyGroup
	}
	if err != nil {
		done(err)
		return
	}
	r := s.remover(now, done)
	for _, t := range g.sortedTopics() {
		r.topic(g, t)
	}
	r.group(g)
	r.end()
}

// existing finds a group that must be there.
func (s *Shard) existing(id string) (*group, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	if g := s.groups[id]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("group %q: %w", cut(id, GroupIDMaxBytes), ErrGroupNotFound)
}

// DeleteOffsets handles an OffsetDelete. done is called once: with the error of
// the whole request, else with one error or nil per partition, in the request's
// order; errs is nil if there was none. Offsets that are not there are deleted.
func (s *Shard) DeleteOffsets(now time.Time, r DeleteOffsetsRequest, done func(errs []error, err error)) {
	invariant.Costly(s.verify)
	g, err := s.existing(r.GroupID)
	if err == nil && g.state != Empty && g.protocolType != consumerProtocol {
		err = ErrNonEmptyGroup
	}
	if err != nil {
		done(nil, err)
		return
	}
	subscribed := g.subscribedOf(r.Topics)
	var errs []error
	removal := s.remover(now, func(err error) {
		if err != nil {
			errs = nil
		}
		done(errs, err)
	})
	place := 0
	for _, topic := range r.Topics {
		for _, p := range topic.Partitions {
			if subscribed[topic.Topic] {
				errs = append(errs, make([]error, place-len(errs))...)
				errs = append(errs, ErrSubscribed)
			} else if t, e := g.entry(topic.Topic, p); e != nil {
				removal.offset(g, t, p, e)
			}
			place++
		}
	}
	if errs != nil {
		errs = append(errs, make([]error, place-len(errs))...)
	}
	removal.end()
}

// subscribedOf tells of each of the topics whether the group's members subscribe
// to it, or may.
func (g *group) subscribedOf(topics []TopicPartitions) map[string]bool {
	out := make(map[string]bool, len(topics))
	for _, t := range topics {
		out[t.Topic] = false
	}
	known := g.subscriptions(func(name []byte) {
		if _, asked := out[string(name)]; asked {
			out[string(name)] = true
		}
	})
	if !known {
		for _, t := range topics {
			out[t.Topic] = true
		}
	}
	return out
}

// DropGone removes the offsets that any group has of topics that are gone: alive
// is asked with an offset's topic and the id under which that was known when it
// was committed, zero if that was not recorded. It returns false, and does not
// call done, if there is none. The owner calls it after Start, when nothing is
// being appended; done is called once.
func (s *Shard) DropGone(now time.Time, alive func(topic string, id ident.TopicID) bool, done func(error)) bool {
	r := s.remover(now, done)
	found := false
	for _, g := range s.all {
		for _, t := range g.sortedTopics() {
			for _, p := range t.sorted() {
				if e := t.parts[p]; e.committed && e.flight == 0 && !alive(t.name, e.value.topic) {
					r.offset(g, t, p, e)
					found = true
				}
			}
		}
	}
	if found {
		r.end()
	}
	return found
}

// DropTopics removes the offsets that any group has of topics that were deleted.
// done is called once. The owner calls it when topics go.
func (s *Shard) DropTopics(now time.Time, topics []string, done func(error)) {
	if err := s.serving(); err != nil {
		done(err)
		return
	}
	r := s.remover(now, done)
	for _, g := range s.all {
		for _, name := range topics {
			if t := g.topics[name]; t != nil {
				r.topic(g, t)
			}
		}
	}
	r.end()
}
