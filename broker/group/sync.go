package group

import (
	"time"

	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/mutant"
)

// Sync handles a SyncGroup. done is called once: when the generation's
// assignment is committed or with the error, perhaps before Sync returns.
func (s *Shard) Sync(now time.Time, r SyncRequest, done func(SyncResponse, error)) {
	invariant.Costly(s.verify)
	g, m, err := s.known(r.GroupID, r.MemberID, r.InstanceID)
	switch {
	case err != nil:
	case r.Generation != g.generation:
		err = ErrIllegalGeneration
	case r.ProtocolType != "" && r.ProtocolType != g.protocolType, r.Protocol != "" && r.Protocol != g.protocol:
		err = ErrInconsistentProtocol
	case g.state == PreparingRebalance:
		err = ErrRebalanceInProgress
	}
	if err != nil {
		done(SyncResponse{}, err)
		return
	}
	g.settleSync(m)
	s.renew(now, g, m)
	if g.state == Stable {
		done(g.synced(m), nil)
		return
	}
	// A second request of the same member: nobody waits for the first one's
	// answer.
	m.answerSync(SyncResponse{}, ErrRebalanceInProgress)
	m.sync = done
	if m.id == g.leader && !g.assigning {
		s.assignAll(now, g, r.Assignments)
	}
}

// known finds the member that a request is of.
func (s *Shard) known(groupID, memberID, instanceID string) (*group, *member, error) {
	if err := s.serving(); err != nil {
		return nil, nil, err
	}
	if groupID == "" {
		return nil, nil, ErrInvalidGroup
	}
	g := s.groups[groupID]
	if g == nil {
		return nil, nil, ErrUnknownMember
	}
	m, err := g.member(memberID, instanceID)
	return g, m, err
}

// synced is what a member of a stable group is told.
func (g *group) synced(m *member) SyncResponse {
	return SyncResponse{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// assignAll stores the leader's assignment. It becomes that of the generation
// when it is committed, if the generation still waits for it; another one of the
// same generation is never stored.
func (s *Shard) assignAll(now time.Time, g *group, assignments []Assignment) {
	all := make(map[string][]byte, min(len(assignments), len(g.members)))
	var bytes int64
	for _, a := range assignments {
		if g.members[a.MemberID] != nil {
			bytes += int64(len(a.Data) - len(all[a.MemberID]))
			all[a.MemberID] = a.Data
		}
	}
	own := make([]byte, 0, bytes)
	for _, m := range g.order {
		own = append(own, all[m.id]...)
		all[m.id] = own[len(own)-len(all[m.id]) : len(own) : len(own)]
	}
	g.assigning = true
	generation := g.generation
	finish := func(now time.Time, err error) {
		if g.state == CompletingRebalance && g.generation == generation {
			s.assigned(now, g, all, err)
		}
	}
	v := g.value(func(m *member) []byte { return all[m.id] })
	if mutant.On(mutant.AssignedEarly) {
		finish(now, nil)
	}
	if err := s.save(now, g, v, finish); err != nil {
		finish(now, err)
	}
}

// assigned ends a rebalance, or starts it again if the assignment was not
// stored.
func (s *Shard) assigned(now time.Time, g *group, all map[string][]byte, err error) {
	g.assigning = false
	if err != nil {
		for _, m := range g.order {
			if m.sync != nil {
				s.renew(now, g, m)
				m.answerSync(SyncResponse{}, err)
			}
		}
		s.rebalance(now, g, "the assignment was not stored")
		return
	}
	g.enter(now, Stable)
	for _, m := range g.order {
		s.assign(m, all[m.id])
	}
	s.observe(Event{Kind: EventStable, GroupID: g.id, Generation: g.generation, Count: len(g.members)})
	for _, m := range g.order {
		if m.sync != nil {
			s.renew(now, g, m)
			m.answerSync(g.synced(m), nil)
		}
	}
}
