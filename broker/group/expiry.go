package group

import "time"

// sweep looks at some groups for offsets whose retention passed, and for empty
// groups that hold nothing (KIP-211). It goes on with the next Tick until it saw
// all.
func (s *Shard) sweep(now time.Time) {
	for range sweepGroups {
		if s.sweepNext >= len(s.all) {
			s.sweepNext = 0
			s.sweepAt = now.Add(s.c.OffsetsRetentionCheck)
			return
		}
		g := s.all[s.sweepNext]
		s.sweepNext++
		s.expire(now, g)
	}
}

// expire appends the tombstones of what expired in one group.
func (s *Shard) expire(now time.Time, g *group) {
	expired, able := s.expirer(now, g)
	if g.expiring || !able {
		return
	}
	count, rest := 0, 0
	r := s.remover(now, func(err error) {
		g.expiring = false
		if err == nil && count > 0 {
			s.observe(Event{Kind: EventOffsetsExpired, GroupID: g.id, Count: count})
		}
	})
	empty := g.state == Empty && g.flight == 0 && len(g.pending) == 0
	for _, t := range g.sortedTopics() {
		for _, p := range t.sorted() {
			if e := t.parts[p]; e.committed && e.flight == 0 && expired(t, &e.value) {
				count++
				r.offset(g, t, p, e)
			} else {
				rest++
			}
		}
	}
	gone := empty && rest == 0 && g.saved != nil
	if gone {
		r.group(g)
	}
	g.expiring = count > 0 || gone
	r.end()
}

// expirer returns what says of an offset whether it expired. able is false for a
// group of which nothing does now: one that rebalances, one whose members'
// subscriptions are not known.
func (s *Shard) expirer(now time.Time, g *group) (expired func(*topicOffsets, *offset) bool, able bool) {
	since := int64(-1)
	switch {
	case g.state == Empty && g.protocolType != "":
		// The retention begins when the last member leaves, or with a commit
		// after that.
		since = g.since
	case g.state == Empty: // a simple group
	case g.state != Stable || g.protocolType != consumerProtocol || !s.markSubscribed(g):
		return nil, false
	}
	ms, sweep, stable := now.UnixMilli(), s.sweeps, g.state == Stable
	return func(t *topicOffsets, o *offset) bool {
		switch {
		case stable && t.subscribed == sweep:
			return false
		case o.expire >= 0:
			return ms >= o.expire
		}
		return s.c.OffsetsRetention > 0 && ms-max(since, o.commit) >= s.c.OffsetsRetention.Milliseconds()
	}, true
}

// markSubscribed marks the topics that the group has offsets of and that its
// members are subscribed to. It reports false if that cannot be told.
func (s *Shard) markSubscribed(g *group) bool {
	s.sweeps++
	return g.subscriptions(func(name []byte) {
		if t := g.topics[string(name)]; t != nil {
			t.subscribed = s.sweeps
		}
	})
}
