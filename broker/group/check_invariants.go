package group

import "fmt"

// verify checks what holds between any two calls. It runs in tests, and in builds
// with the tag "invariants" at the start of each call that changes something.
func (s *Shard) verify() error {
	if s.stopped != nil {
		return nil
	}
	var bytes int64
	pending := 0
	if len(s.all) != len(s.groups) {
		return fmt.Errorf("%d groups in order, %d by id", len(s.all), len(s.groups))
	}
	for i, g := range s.all {
		if s.groups[g.id] != g || g.index != i {
			return fmt.Errorf("group %q is out of place", g.id)
		}
		if g.spare() {
			return fmt.Errorf("group %q is spare", g.id)
		}
		if err := g.verify(); err != nil {
			return fmt.Errorf("group %q: %w", g.id, err)
		}
		pending += len(g.pending)
		bytes += groupCost + int64(len(g.id)+len(g.saved))
		for id := range g.pending { // order: a sum
			bytes += pendingCost + int64(len(id))
		}
		for _, m := range g.order {
			bytes += m.cost()
		}
		for _, t := range g.topics { // order: a sum, or any one that is spare
			bytes += topicCost + int64(len(t.name))
			for p, e := range t.parts { // order: a sum, or any one that is spare
				if !e.committed && e.flight == 0 || e.flight < 0 {
					return fmt.Errorf("entry %s-%d is spare", t.name, p)
				}
				bytes += entryCost + int64(len(e.value.metadata))
			}
			if len(t.parts) == 0 {
				return fmt.Errorf("topic %s is spare", t.name)
			}
		}
		if at := g.nextDue(); !at.IsZero() && (g.place < 0 || g.wake.After(at)) {
			return fmt.Errorf("group %q is due at %v, and wakes at %v (place %d)", g.id, at, g.wake, g.place)
		}
	}
	if pending != s.pending {
		return fmt.Errorf("%d ids are out, not %d", pending, s.pending)
	}
	if bytes != s.bytes {
		return fmt.Errorf("%d bytes are held, not %d", bytes, s.bytes)
	}
	for i, g := range s.timers {
		if g.place != i || s.groups[g.id] != g {
			return fmt.Errorf("timer of group %q is out of place", g.id)
		}
	}
	return nil
}

func (g *group) verify() error {
	joining, owed, statics := 0, 0, 0
	var bytes int64
	offered := map[string]int{}
	for _, m := range g.order {
		if g.members[m.id] != m {
			return fmt.Errorf("member %q is out of place", m.id)
		}
		if _, ok := g.pending[m.id]; ok {
			return fmt.Errorf("member %q is pending", m.id)
		}
		if m.instance != "" {
			statics++
			if g.statics[m.instance] != m {
				return fmt.Errorf("instance %q is out of place", m.instance)
			}
		}
		if m.join != nil {
			joining++
		}
		if m.owesSync {
			owed++
		}
		if m.sync != nil && g.state != CompletingRebalance {
			return fmt.Errorf("member %q waits for an assignment in %v", m.id, g.state)
		}
		bytes += m.protocolsBytes
		seen := map[string]bool{}
		for _, p := range m.protocols {
			if !seen[p.Name] {
				seen[p.Name] = true
				offered[p.Name]++
			}
		}
	}
	switch {
	case len(g.order) != len(g.members) || statics != len(g.statics):
		return fmt.Errorf("%d members in order, %d by id; %d static, %d by instance", len(g.order), len(g.members), statics, len(g.statics))
	case joining != g.joining || owed != g.owed || bytes != g.bytes || len(offered) != len(g.offered):
		return fmt.Errorf("counts %d %d %d %v, not %d %d %d %v", joining, owed, bytes, offered, g.joining, g.owed, g.bytes, g.offered)
	case (len(g.members) > 0) != (g.state != Empty):
		return fmt.Errorf("%d members in %v", len(g.members), g.state)
	case len(g.members) > 0 && (g.members[g.leader] == nil || g.protocolType == ""):
		return fmt.Errorf("leader %q is no member of %q", g.leader, g.protocolType)
	case (g.state == PreparingRebalance) != !g.joinAt.IsZero():
		return fmt.Errorf("joins end at %v in %v", g.joinAt, g.state)
	case owed > 0 && g.syncAt.IsZero(), g.state == PreparingRebalance && owed > 0:
		return fmt.Errorf("%d owe a sync in %v", owed, g.state)
	case g.writes < 0 || g.flight < g.writes:
		return fmt.Errorf("%d writes of %d in flight", g.writes, g.flight)
	}
	if len(g.members) == 0 {
		return nil
	}
	for name, n := range offered { // order: any one will do
		if g.offered[name] != n {
			return fmt.Errorf("%s is offered by %d, not %d", name, n, g.offered[name])
		}
	}
	if common := g.elect(); common == "" {
		return fmt.Errorf("no protocol in common: %v", offered)
	} else if g.state != PreparingRebalance && offered[g.protocol] != len(g.members) {
		return fmt.Errorf("protocol %q is not offered by all: %v", g.protocol, offered)
	}
	return nil
}
