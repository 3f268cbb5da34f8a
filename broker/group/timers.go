package group

import (
	"container/heap"
	"time"

	"github.com/varvelog/varve/internal/invariant"
)

// sweepGroups is how many groups one Tick looks at for what expired.
const sweepGroups = 256

// timers are the groups that wait for a time, the first one in front. Each is in
// it once: a deadline that moves away leaves its group where it is, and the
// group is looked at a little too often.
type timers []*group

// Len implements heap.Interface, as the next four methods do.
func (t timers) Len() int { return len(t) }

// Less orders by time, and at the same time by id.
func (t timers) Less(i, j int) bool {
	if !t[i].wake.Equal(t[j].wake) {
		return t[i].wake.Before(t[j].wake)
	}
	return t[i].id < t[j].id
}

// Swap keeps the groups' places.
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push adds a group at the end.
func (t *timers) Push(x any) {
	g := x.(*group)
	g.place = len(*t)
	*t = append(*t, g)
}

// Pop takes the last group away.
func (t *timers) Pop() any {
	old := *t
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	g.place = -1
	return g
}

// drop takes a group out, wherever it is.
func (t *timers) drop(g *group) {
	if g.place >= 0 {
		heap.Remove(t, g.place)
	}
}

// wakeBy makes sure that the group is looked at by then.
func (s *Shard) wakeBy(g *group, at time.Time) {
	switch {
	case g.place < 0:
		g.wake = at
		heap.Push(&s.timers, g)
	case at.Before(g.wake):
		g.wake = at
		heap.Fix(&s.timers, g.place)
	}
}

// renew starts a member's session anew.
func (s *Shard) renew(now time.Time, g *group, m *member) {
	m.deadline = now.Add(m.session)
	if m.fresh {
		m.deadline = now.Add(s.c.NewMemberTimeout)
	}
	s.wakeBy(g, m.deadline)
}

// Next is when Tick wants to be called at the latest. It may change with every
// call and every append that lands, so the owner asks after each.
func (s *Shard) Next() time.Time {
	if len(s.timers) > 0 && s.timers[0].wake.Before(s.sweepAt) {
		return s.timers[0].wake
	}
	return s.sweepAt
}

// Tick does what is due: sessions, ends of rebalances, expiry. It returns what
// Next would; a time that is not after now asks to be called again soon. The
// owner hands over the requests that it has before it calls Tick, or a pause of
// its own expires members that it did hear of.
func (s *Shard) Tick(now time.Time) (next time.Time) {
	invariant.Costly(s.verify)
	if s.serving() != nil {
		return now.Add(s.c.OffsetsRetentionCheck)
	}
	for len(s.timers) > 0 && !s.timers[0].wake.After(now) {
		g := s.timers[0]
		s.due(now, g)
		if g.place < 0 {
			continue // it is gone
		}
		if at := g.nextDue(); at.IsZero() {
			s.timers.drop(g)
		} else {
			g.wake = at
			heap.Fix(&s.timers, g.place)
		}
		s.settle(g)
	}
	if !s.sweepAt.After(now) {
		s.sweep(now)
	}
	return s.Next()
}

// due does what is due for one group.
func (s *Shard) due(now time.Time, g *group) {
	// order: they are only forgotten
	for id, until := range g.pending {
		if !until.After(now) {
			s.unpend(g, id)
		}
	}
	var silent []*member
	for _, m := range g.order {
		if !m.waits() && !m.deadline.After(now) {
			silent = append(silent, m)
		}
	}
	s.expireMembers(g, silent, "session timed out")
	switch {
	case len(silent) > 0 && (g.state == Stable || g.state == CompletingRebalance):
		s.rebalance(now, g, "session of member "+silent[0].id+" timed out")
	case g.state == PreparingRebalance:
		s.maybeComplete(now, g)
	}
	if !g.joinAt.IsZero() && !g.joinAt.After(now) {
		s.joinDue(now, g)
	}
	if !g.syncAt.IsZero() && !g.syncAt.After(now) {
		s.syncDue(now, g)
	}
}

// expireMembers removes members that were not heard of in time.
func (s *Shard) expireMembers(g *group, members []*member, reason string) {
	for _, m := range members {
		s.remove(g, m)
		s.observe(Event{Kind: EventExpired, GroupID: g.id, MemberID: m.id, Generation: g.generation, Reason: reason})
	}
}

// nextDue is the earliest time at which something is due, zero for never.
func (g *group) nextDue() time.Time {
	var at time.Time
	by := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	by(g.joinAt)
	by(g.syncAt)
	// order: the earliest is the same in any
	for _, until := range g.pending {
		by(until)
	}
	for _, m := range g.order {
		if !m.waits() {
			by(m.deadline)
		}
	}
	return at
}
