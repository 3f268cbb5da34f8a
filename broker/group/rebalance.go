package group

import (
	"time"

	"github.com/varvelog/varve/internal/mutant"
)

// The phases of a rebalance: in PreparingRebalance members join, until all have
// or the time is up; that makes a generation. In CompletingRebalance they ask for
// their assignment, which the leader brings; once it is committed the group is
// Stable. Whoever does not join or does not ask in time is removed.

// rebalanceOrComplete starts a rebalance, or ends the join phase of the one that
// is under way if this was the last member to wait for.
func (s *Shard) rebalanceOrComplete(now time.Time, g *group, reason string) {
	if g.state == PreparingRebalance {
		s.maybeComplete(now, g)
		return
	}
	s.rebalance(now, g, reason)
}

// rebalance starts a join phase. The group is not in one.
func (s *Shard) rebalance(now time.Time, g *group, reason string) {
	for _, m := range g.order {
		if m.sync != nil {
			m.answerSync(SyncResponse{}, ErrRebalanceInProgress)
			s.renew(now, g, m)
		}
		g.settleSync(m)
	}
	g.initial = g.state == Empty
	g.came, g.late = false, false
	g.enter(now, PreparingRebalance)
	s.observe(Event{Kind: EventRebalance, GroupID: g.id, Generation: g.generation, Reason: reason})
	switch {
	case g.initial && s.c.InitialRebalanceDelay > 0:
		// A group that is started comes member by member.
		g.left = max(g.rebalanceTimeout()-s.c.InitialRebalanceDelay, 0)
		s.joinBy(g, now.Add(s.c.InitialRebalanceDelay))
	case g.initial:
		s.complete(now, g)
	default:
		if !mutant.On(mutant.JoinWithoutEnd) {
			s.joinBy(g, now.Add(g.rebalanceTimeout()))
		}
		s.maybeComplete(now, g)
	}
}

func (s *Shard) joinBy(g *group, at time.Time) {
	g.joinAt = at
	s.wakeBy(g, at)
}

// maybeComplete ends the join phase if nobody is missing. The first one of a
// group has a time of its own. Without members there is nothing to wait for.
func (s *Shard) maybeComplete(now time.Time, g *group) {
	all := !g.initial && g.joining == len(g.members) && len(g.pending) == 0
	if g.state == PreparingRebalance && (all || len(g.members) == 0) {
		s.complete(now, g)
	}
}

// joinDue handles the end of the time to join.
func (s *Shard) joinDue(now time.Time, g *group) {
	if g.initial && g.came && g.left > 0 {
		more := min(s.c.InitialRebalanceDelay, g.left)
		g.came, g.left = false, g.left-more
		s.joinBy(g, now.Add(more))
		return
	}
	s.complete(now, g)
}

// complete ends the join phase with the members that joined. Static members stay
// until their session ends, unless nobody at all joined, twice.
func (s *Shard) complete(now time.Time, g *group) {
	g.joinAt = time.Time{}
	var gone []*member
	for _, m := range g.order {
		if m.join == nil && (m.instance == "" || g.late && g.joining == 0) {
			gone = append(gone, m)
		}
	}
	s.expireMembers(g, gone, "did not join in time")
	if len(g.members) > 0 && g.joining == 0 {
		g.late = true
		s.joinBy(g, now.Add(g.rebalanceTimeout()))
		return
	}
	g.initial, g.late, g.assigning = false, false, false
	g.generation = g.next()
	if len(g.members) == 0 {
		g.protocol = ""
		g.enter(now, Empty)
		s.observe(Event{Kind: EventEmpty, GroupID: g.id, Generation: g.generation})
		s.saveEmpty(now, g)
		return
	}
	g.lead()
	g.protocol = g.elect()
	g.enter(now, CompletingRebalance)
	s.observe(Event{Kind: EventGeneration, GroupID: g.id, Generation: g.generation, Count: len(g.members)})
	for _, m := range g.order {
		m.fresh = false
		g.oweSync(m)
		s.renew(now, g, m)
	}
	g.syncAt = now.Add(g.rebalanceTimeout())
	s.wakeBy(g, g.syncAt)
	for _, m := range g.order {
		g.answerJoin(m, g.joined(m), nil)
	}
}

// lead makes sure that the leader is one of those who joined.
func (g *group) lead() {
	if m := g.members[g.leader]; m != nil && m.join != nil {
		return
	}
	for _, m := range g.order {
		if m.join != nil {
			g.leader = m.id
			return
		}
	}
}

// joined is what a member is told of the generation.
func (g *group) joined(m *member) JoinResponse {
	r := JoinResponse{
		MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType,
		Protocol: g.protocol, Leader: g.leader,
	}
	if m.id == g.leader {
		r.Members = g.roster()
	}
	return r
}

// roster is what the leader is told of the members.
func (g *group) roster() []JoinMember {
	out := make([]JoinMember, len(g.order))
	for i, m := range g.order {
		data, _ := m.metadata(g.protocol)
		out[i] = JoinMember{MemberID: m.id, InstanceID: m.instance, Metadata: data}
	}
	return out
}

// emptied are those who wait until it is stored that the group is empty.
type emptied struct{ waiting []func(error) }

// saveEmpty stores that the group has no members. Should that fail, the members
// of the last stored generation come back after a failover, for a session
// timeout.
func (s *Shard) saveEmpty(now time.Time, g *group) {
	w := &emptied{}
	g.emptied = w
	err := s.save(now, g, g.value(nil), func(_ time.Time, err error) {
		for _, done := range w.waiting {
			done(err)
		}
		w.waiting = nil
	})
	if err != nil { // not even this fits
		g.emptied = nil
	}
}

// syncDue removes the members that did not ask for their assignment in time.
func (s *Shard) syncDue(now time.Time, g *group) {
	g.syncAt = time.Time{}
	var gone []*member
	for _, m := range g.order {
		if m.owesSync {
			gone = append(gone, m)
		}
	}
	if len(gone) == 0 || g.state != CompletingRebalance && g.state != Stable {
		return
	}
	s.expireMembers(g, gone, "did not sync in time")
	s.rebalance(now, g, "member "+gone[0].id+" did not sync in time")
}
