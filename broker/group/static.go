package group

import "time"

// identity is what a static member's return with a new id changes, KIP-345.
type identity struct {
	id, client, host   string
	session, rebalance time.Duration
	protocols          []Protocol
	protocolsBytes     int64
}

func (m *member) identity() identity {
	return identity{m.id, m.client, m.host, m.session, m.rebalance, m.protocols, m.protocolsBytes}
}

// become gives a static member another identity, in its place in the group.
func (s *Shard) become(g *group, m *member, to identity) {
	delete(g.members, m.id)
	if g.leader == m.id {
		g.leader = to.id
	}
	s.bytes -= m.cost()
	g.offer(m, -1)
	m.id, m.client, m.host = to.id, to.client, to.host
	m.session, m.rebalance = to.session, to.rebalance
	m.protocols, m.protocolsBytes = to.protocols, to.protocolsBytes
	g.offer(m, 1)
	s.bytes += m.cost()
	g.members[m.id] = m
}

// replace handles the join of a static member that has no id any more while the
// group still has it: it was restarted. Whoever has the old id is fenced. In a
// stable group whose protocol stays the same it takes over its assignment, and
// nobody else notices, unless the one before went when it had given up partitions
// and had not joined again: nobody would get them.
func (s *Shard) replace(now time.Time, g *group, m *member, id string, r *JoinRequest, done func(JoinResponse, error)) {
	g.answerJoin(m, JoinResponse{MemberID: m.id}, ErrFencedInstance)
	m.answerSync(SyncResponse{}, ErrFencedInstance)
	before, leader := m.identity(), g.leader
	owes := g.owesJoin(m)
	to := identity{
		id: id, client: cut(r.ClientID, clientMaxBytes), host: cut(r.ClientHost, clientMaxBytes),
		session: r.SessionTimeout, rebalance: r.RebalanceTimeout,
	}
	to.protocols, to.protocolsBytes = copyProtocols(r.Protocols)
	s.become(g, m, to)
	g.awaitJoin(m, done)
	s.renew(now, g, m)
	if g.state != Stable || owes || g.elect() != g.protocol {
		// In CompletingRebalance the leader may assign to the old id.
		s.rebalanceOrComplete(now, g, "static member "+id+" is back: "+cut(r.Reason, reasonMaxBytes))
		return
	}
	c := comeback{g: g, m: m, attempt: m.attempt, generation: g.generation, before: before, leader: leader, skip: r.SkipAssignment}
	err := s.save(now, g, g.value(func(m *member) []byte { return m.assignment }), func(now time.Time, err error) {
		s.returned(now, &c, err)
	})
	c.written = g.written
	if err != nil {
		s.returned(now, &c, err)
	}
}

// owesJoin says that a member of a stable group is to join again.
func (g *group) owesJoin(m *member) bool {
	data, ok := m.metadata(g.protocol)
	return ok && g.protocolType == consumerProtocol && owesJoin(data, m.assignment)
}

// comeback is a static member's return that is being stored.
type comeback struct {
	g          *group
	m          *member
	attempt    uint64
	generation int32
	before     identity
	leader     string // before
	skip       bool
	written    uint64
}

// returned answers a static member whose return is stored, or is not. If the
// group has moved on, the member waits for the rebalance, or has its answer.
func (s *Shard) returned(now time.Time, c *comeback, err error) {
	g, m := c.g, c.m
	if g.members[m.id] != m || m.join == nil || m.attempt != c.attempt || g.state != Stable || g.generation != c.generation {
		return
	}
	if err != nil {
		if g.written == c.written {
			// No later record holds the new id: the old one goes on.
			s.become(g, m, c.before)
		}
		s.renew(now, g, m)
		g.answerJoin(m, JoinResponse{}, err)
		return
	}
	s.renew(now, g, m)
	r := g.joined(m)
	switch {
	case m.id != g.leader:
	case c.skip:
		r.SkipAssignment = true
	default:
		// A client that cannot skip the assignment must not believe that it
		// leads.
		r.Leader, r.Members = c.leader, nil
	}
	g.answerJoin(m, r, nil)
}
