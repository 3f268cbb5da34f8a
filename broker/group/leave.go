package group

import (
	"errors"
	"time"

	"github.com/varvelog/varve/internal/invariant"
)

// Heartbeat handles a Heartbeat. ErrRebalanceInProgress asks the member to join
// again, and has renewed its session too.
func (s *Shard) Heartbeat(now time.Time, r HeartbeatRequest) error {
	invariant.Costly(s.verify)
	g, m, err := s.known(r.GroupID, r.MemberID, r.InstanceID)
	if err != nil {
		return err
	}
	if r.Generation != g.generation {
		return ErrIllegalGeneration
	}
	s.renew(now, g, m)
	if g.state == PreparingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}

// Leave handles a LeaveGroup. done is called once, with one error or nil per
// member, in the request's order; errs is nil if there was none. Where the group
// loses its last member it is called when that is committed.
func (s *Shard) Leave(now time.Time, r LeaveRequest, done func(errs []error, err error)) {
	invariant.Costly(s.verify)
	g, _, err := s.known(r.GroupID, "", "")
	if err != nil && !errors.Is(err, ErrUnknownMember) {
		done(nil, err)
		return
	}
	var errs []error
	left, had := 0, 0
	if g != nil {
		had = len(g.members)
	}
	for i, l := range r.Members {
		err := ErrUnknownMember
		if g != nil {
			err = s.leave(g, l)
		}
		if err == nil {
			left++
			continue
		}
		if errs == nil {
			errs = make([]error, len(r.Members))
		}
		errs[i] = err
	}
	if left == 0 {
		done(errs, nil)
		return
	}
	before := g.emptied
	if len(g.members) == had {
		s.maybeComplete(now, g) // perhaps nobody else was missing
	} else {
		s.rebalanceOrComplete(now, g, "members leave: "+cut(r.Members[0].Reason, reasonMaxBytes))
	}
	if w := g.emptied; w != nil && w != before {
		w.waiting = append(w.waiting, func(err error) {
			if err != nil {
				done(nil, err)
				return
			}
			done(errs, nil)
		})
	} else {
		done(errs, nil)
	}
	s.settle(g)
}

// leave removes one member.
func (s *Shard) leave(g *group, l LeaveMember) error {
	m := g.statics[l.InstanceID]
	if l.MemberID != "" || l.InstanceID == "" {
		if s.unpend(g, l.MemberID) {
			return nil
		}
		var err error
		if m, err = g.member(l.MemberID, l.InstanceID); err != nil {
			return err
		}
	}
	if m == nil {
		return ErrUnknownMember
	}
	s.remove(g, m)
	s.observe(Event{Kind: EventLeft, GroupID: g.id, MemberID: m.id, Generation: g.generation, Reason: l.Reason})
	return nil
}
