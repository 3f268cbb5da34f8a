package group

import (
	"fmt"
	"time"

	"github.com/varvelog/varve/internal/invariant"
)

// Join handles a JoinGroup. done is called once, when the generation begins or
// with the error, perhaps before Join returns.
func (s *Shard) Join(now time.Time, r JoinRequest, done func(JoinResponse, error)) {
	invariant.Costly(s.verify)
	if r.RebalanceTimeout <= 0 {
		r.RebalanceTimeout = r.SessionTimeout
	}
	if err := s.checkJoin(&r); err != nil {
		done(JoinResponse{MemberID: r.MemberID}, err)
		return
	}
	g := s.groups[r.GroupID]
	switch {
	case g == nil && r.MemberID != "":
		done(JoinResponse{MemberID: r.MemberID}, ErrUnknownMember)
		return
	case g == nil && s.full(groupCost+int64(len(r.GroupID))):
		done(JoinResponse{}, fmt.Errorf("make group %q: %w", r.GroupID, ErrOverloaded))
		return
	}
	g = s.group(r.GroupID)
	s.join(now, g, &r, done)
	s.settle(g)
}

// checkJoin checks what can be checked without the group.
func (s *Shard) checkJoin(r *JoinRequest) error {
	if err := s.serving(); err != nil {
		return err
	}
	if r.GroupID == "" || len(r.GroupID) > GroupIDMaxBytes {
		return ErrInvalidGroup
	}
	if len(r.InstanceID) > InstanceIDMaxBytes || len(r.ProtocolType) > nameMaxBytes || len(r.Protocols) > protocolsMax {
		return fmt.Errorf("join group: %w", ErrInvalidRequest)
	}
	if r.SessionTimeout < s.c.MinSessionTimeout || r.SessionTimeout > s.c.MaxSessionTimeout {
		return fmt.Errorf("join group: %v: %w", r.SessionTimeout, ErrSessionTimeout)
	}
	for _, p := range r.Protocols {
		if len(p.Name) > nameMaxBytes {
			return fmt.Errorf("join group: name of a protocol: %w", ErrInvalidRequest)
		}
		if p.Name == "" {
			return ErrInconsistentProtocol
		}
	}
	return nil
}

func (s *Shard) join(now time.Time, g *group, r *JoinRequest, done func(JoinResponse, error)) {
	m := g.members[r.MemberID]
	counted := m
	if r.MemberID == "" && r.InstanceID != "" {
		counted = g.statics[r.InstanceID] // it takes the place that it has
	}
	if !s.accepts(g, counted) {
		s.unpend(g, r.MemberID)
		if m != nil {
			s.remove(g, m)
			s.maybeComplete(now, g)
		}
		done(JoinResponse{}, ErrGroupMaxSize)
		return
	}
	if !g.supports(r.ProtocolType, r.Protocols) {
		done(JoinResponse{MemberID: r.MemberID}, ErrInconsistentProtocol)
		return
	}
	if r.MemberID == "" {
		s.joinNew(now, g, r, done)
		return
	}
	if _, ok := g.pending[r.MemberID]; ok && r.InstanceID == "" {
		s.joinFirst(now, g, r.MemberID, r, done)
		return
	}
	m, err := g.member(r.MemberID, r.InstanceID)
	if err == nil {
		err = s.fits(g, m, r)
	}
	if err != nil {
		done(JoinResponse{MemberID: r.MemberID}, err)
		return
	}
	s.rejoin(now, g, m, r, done)
}

// accepts says that the group's size allows the join of a member, nil for one
// that is not in the group. During the join phase those count who have joined
// already, so that a group that is too large loses its last.
func (s *Shard) accepts(g *group, m *member) bool {
	switch {
	case s.c.MaxSize <= 0 || g.state == Empty:
		return true
	case g.state == PreparingRebalance:
		return m != nil && m.join != nil || g.joining < s.c.MaxSize
	}
	return m != nil || len(g.members) < s.c.MaxSize
}

// fits checks the bounds for what the join brings; m is the member that it
// replaces or nil.
func (s *Shard) fits(g *group, m *member, r *JoinRequest) error {
	var bytes, had int64
	for _, p := range r.Protocols {
		bytes += int64(len(p.Name) + len(p.Metadata))
	}
	cost := bytes
	if m == nil {
		cost += memberCost
	} else {
		had = m.protocolsBytes
	}
	if bytes > had && g.bytes-had+bytes > s.c.GroupBytesMax {
		return fmt.Errorf("join group %q: %d bytes of metadata: %w", g.id, g.bytes-had+bytes, ErrGroupTooLarge)
	}
	if s.full(cost - had) {
		return fmt.Errorf("join group %q: %w", g.id, ErrOverloaded)
	}
	return nil
}

// joinNew handles the join of a member without an id.
func (s *Shard) joinNew(now time.Time, g *group, r *JoinRequest, done func(JoinResponse, error)) {
	id := s.memberID(cut(r.ClientID, clientMaxBytes), r.InstanceID)
	switch old := g.statics[r.InstanceID]; {
	case r.InstanceID != "" && old != nil:
		if err := s.fits(g, old, r); err != nil {
			done(JoinResponse{}, err)
			return
		}
		s.replace(now, g, old, id, r, done)
	case r.InstanceID == "" && r.RequireMemberID:
		if s.pending >= s.c.PendingJoinsMax || s.full(pendingCost+int64(len(id))) {
			done(JoinResponse{}, fmt.Errorf("join group %q: %w", g.id, ErrOverloaded))
			return
		}
		s.pend(g, id, now.Add(r.SessionTimeout))
		done(JoinResponse{MemberID: id}, ErrMemberIDRequired)
	default:
		s.joinFirst(now, g, id, r, done)
	}
}

// joinFirst takes a new member in.
func (s *Shard) joinFirst(now time.Time, g *group, id string, r *JoinRequest, done func(JoinResponse, error)) {
	if err := s.fits(g, nil, r); err != nil {
		done(JoinResponse{MemberID: r.MemberID}, err)
		return
	}
	m := &member{
		id: id, instance: r.InstanceID, client: cut(r.ClientID, clientMaxBytes), host: cut(r.ClientHost, clientMaxBytes),
		session: r.SessionTimeout, rebalance: r.RebalanceTimeout, fresh: true,
	}
	m.protocols, m.protocolsBytes = copyProtocols(r.Protocols)
	g.came = true
	s.add(g, m, r.ProtocolType)
	g.awaitJoin(m, done)
	s.renew(now, g, m)
	s.rebalanceOrComplete(now, g, "member "+id+" joins: "+cut(r.Reason, reasonMaxBytes))
}

// rejoin handles the join of a member of the group.
func (s *Shard) rejoin(now time.Time, g *group, m *member, r *JoinRequest, done func(JoinResponse, error)) {
	s.renew(now, g, m)
	same := m.offers(r.Protocols)
	if same && (g.state == CompletingRebalance || g.state == Stable && m.id != g.leader) {
		// It knows this generation, or missed to hear of it. A leader that joins
		// a stable group again wants a new assignment.
		done(g.joined(m), nil)
		return
	}
	protocols, bytes := m.protocols, m.protocolsBytes
	if !same {
		protocols, bytes = copyProtocols(r.Protocols)
	}
	s.change(g, m, protocols, bytes, r.SessionTimeout, r.RebalanceTimeout)
	g.awaitJoin(m, done)
	s.rebalanceOrComplete(now, g, "member "+m.id+" joins again: "+cut(r.Reason, reasonMaxBytes))
}
