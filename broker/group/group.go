package group

import (
	"math"
	"slices"
	"time"

	"github.com/varvelog/varve/internal/mutant"
)

// group is one classic group. Everything but saved and the committed offsets is
// in memory only: after a failover its members join again.
type group struct {
	id    string
	index int // in Shard.all

	state      State
	since      int64 // ms of the last change of state, -1 if not known
	generation int32
	// protocolType is "" for a simple group, which only holds offsets.
	protocolType string
	protocol     string

	leader  string // "" if none
	members map[string]*member
	order   []*member          // by the time that they came
	statics map[string]*member // by instance id
	offered map[string]int     // how many members offer each protocol
	bytes   int64              // of the members' protocols

	joining int                  // members whose join waits
	owed    int                  // members that owe a sync
	pending map[string]time.Time // ids given out, until when (KIP-394)

	// initial says that the rebalance began in Empty: it waits for more members
	// to come, left says how long at most, and came whether one did.
	initial bool
	came    bool
	left    time.Duration
	// late says that the join phase was over once and nobody had joined.
	late bool

	joinAt time.Time // when the join phase ends, zero if none does
	syncAt time.Time // when who owes a sync is removed

	// saved is the value of the last metadata record that was committed, nil if
	// there is none. It does not change any more.
	saved []byte
	// writes are the metadata records in flight, and written counts all that
	// ever were.
	writes  int
	written uint64
	// assigning says that the assignment of this generation is in flight.
	assigning bool
	// flight are all appends in flight that touch the group.
	flight int
	// emptied is the last record in flight that says the group is empty.
	emptied *emptied
	// expiring says that an expiry is in flight.
	expiring bool

	topics map[string]*topicOffsets

	wake  time.Time // never later than anything that is due
	place int       // in Shard.timers, -1 if not there
}

// spare says that nothing is left of the group.
func (g *group) spare() bool {
	return len(g.members) == 0 && len(g.pending) == 0 && len(g.topics) == 0 &&
		g.saved == nil && g.flight == 0
}

// enter changes the state.
func (g *group) enter(now time.Time, state State) {
	g.state, g.since = state, now.UnixMilli()
}

// next is the generation after this one.
func (g *group) next() int32 {
	if g.generation == math.MaxInt32 || g.generation < 0 {
		return 1
	}
	return g.generation + 1
}

// rebalanceTimeout is the longest of the members'.
func (g *group) rebalanceTimeout() time.Duration {
	var t time.Duration
	for _, m := range g.order {
		t = max(t, m.rebalance)
	}
	return t
}

// add takes a new member in. Its id and instance must not be taken yet. The
// first member makes the group's type, and leads it.
func (s *Shard) add(g *group, m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	s.unpend(g, m.id)
	g.members[m.id] = m
	g.order = append(g.order, m)
	if m.instance != "" {
		g.statics[m.instance] = m
	}
	g.offer(m, 1)
	s.bytes += m.cost()
}

// offer counts a member's protocols in or out.
func (g *group) offer(m *member, n int) {
	for i, p := range m.protocols {
		if slices.IndexFunc(m.protocols, func(q Protocol) bool { return q.Name == p.Name }) != i {
			continue // named twice
		}
		if g.offered[p.Name] += n; g.offered[p.Name] == 0 {
			delete(g.offered, p.Name)
		}
	}
	g.bytes += int64(n) * m.protocolsBytes
}

// remove takes a member out. What waits is answered with ErrUnknownMember, so
// that a client that is still there joins again.
func (s *Shard) remove(g *group, m *member) {
	g.answerJoin(m, JoinResponse{}, ErrUnknownMember)
	m.answerSync(SyncResponse{}, ErrUnknownMember)
	g.settleSync(m)
	g.offer(m, -1)
	s.bytes -= m.cost()
	delete(g.members, m.id)
	if m.instance != "" {
		delete(g.statics, m.instance)
	}
	g.order = slices.DeleteFunc(g.order, func(o *member) bool { return o == m })
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
}

// awaitJoin lets a join wait for the end of the join phase. One that waited
// already was sent again: nobody waits for its answer any more.
func (g *group) awaitJoin(m *member, done func(JoinResponse, error)) {
	g.answerJoin(m, JoinResponse{MemberID: m.id}, ErrRebalanceInProgress)
	m.join = done
	m.attempt++
	g.joining++
}

// answerJoin answers the join that waits, if one does.
func (g *group) answerJoin(m *member, r JoinResponse, err error) {
	if done := m.join; done != nil {
		m.join = nil
		g.joining--
		done(r, err)
	}
}

// oweSync notes that the member has to ask for its assignment.
func (g *group) oweSync(m *member) {
	if !m.owesSync {
		m.owesSync = true
		g.owed++
	}
}

// settleSync notes that the member asked, or does not need to.
func (g *group) settleSync(m *member) {
	if m.owesSync {
		m.owesSync = false
		g.owed--
	}
	if g.owed == 0 {
		g.syncAt = time.Time{}
	}
}

// change gives a member other protocols and timeouts.
func (s *Shard) change(g *group, m *member, protocols []Protocol, bytes int64, session, rebalance time.Duration) {
	s.bytes -= m.cost()
	g.offer(m, -1)
	m.protocols, m.protocolsBytes = protocols, bytes
	m.session, m.rebalance = session, rebalance
	g.offer(m, 1)
	s.bytes += m.cost()
}

// assign gives a member its assignment.
func (s *Shard) assign(m *member, data []byte) {
	s.bytes += int64(len(data) - len(m.assignment))
	m.assignment = data
}

// pend notes an id that was given out.
func (s *Shard) pend(g *group, id string, until time.Time) {
	g.pending[id] = until
	s.pending++
	s.bytes += pendingCost + int64(len(id))
	s.wakeBy(g, until)
}

// unpend forgets it, and reports whether it was there.
func (s *Shard) unpend(g *group, id string) bool {
	if _, ok := g.pending[id]; !ok {
		return false
	}
	delete(g.pending, id)
	s.pending--
	s.bytes -= pendingCost + int64(len(id))
	return true
}

// supports says that the group can take a member with these protocols.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if len(g.members) == 0 {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	for _, p := range protocols {
		if g.offered[p.Name] == len(g.members) {
			return true
		}
	}
	return false
}

// elect returns the protocol that all members offer and most prefer, the first
// in the order of the members' preference if there are several; "" if there is
// none.
func (g *group) elect() string {
	votes := map[string]int{}
	best := ""
	for _, m := range g.order {
		for _, p := range m.protocols {
			if g.offered[p.Name] == len(g.members) {
				votes[p.Name]++
				break
			}
		}
	}
	for _, m := range g.order {
		for _, p := range m.protocols {
			if best == "" && votes[p.Name] > 0 || votes[p.Name] > votes[best] {
				best = p.Name
			}
		}
	}
	return best
}

// member finds the member that a request is of.
func (g *group) member(id, instance string) (*member, error) {
	if instance != "" {
		switch m := g.statics[instance]; {
		case m == nil:
			return nil, ErrUnknownMember
		case m.id != id && !mutant.On(mutant.FencedInstance):
			return nil, ErrFencedInstance
		}
	}
	if m := g.members[id]; m != nil {
		return m, nil
	}
	if m := g.statics[instance]; m != nil && mutant.On(mutant.FencedInstance) {
		return m, nil
	}
	return nil, ErrUnknownMember
}

// value is the record of the group as it is, with these assignments.
func (g *group) value(assignment func(*member) []byte) metadataValue {
	v := metadataValue{
		protocolType: g.protocolType, generation: g.generation, protocol: g.protocol,
		leader: g.leader, since: g.since, members: make([]memberValue, 0, len(g.order)),
	}
	for _, m := range g.order {
		data, _ := m.metadata(g.protocol)
		v.members = append(v.members, memberValue{
			id: m.id, instance: m.instance, client: m.client, host: m.host,
			rebalance: millis(m.rebalance), session: millis(m.session),
			subscription: data, assignment: assignment(m),
		})
	}
	return v
}

// millis is a duration as records have it.
func millis(d time.Duration) int32 {
	return int32(min(max(d.Milliseconds(), 0), math.MaxInt32))
}
