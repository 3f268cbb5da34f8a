package sim

import (
	"fmt"
	"time"
)

// generation is what was told of one generation of a group.
type generation struct {
	assignment int
	owners     map[place]*proc
	told       time.Time // for the first time
}

// checkOwners: C1. Members of a generation are told one leader's assignment, so
// that a partition has one owner.
func (p *proc) checkOwners(id int, list []place) {
	g, s := p.slot.g, p.w.s
	if p.stale {
		return // the answer left a coordinator of an earlier incarnation
	}
	t := g.owners[p.generation]
	if t == nil {
		t = &generation{assignment: id, owners: map[place]*proc{}, told: s.now}
		g.owners[p.generation] = t
		g.newest = max(g.newest, p.generation)
	}
	if id == 0 && len(list) == 0 {
		return // it came after the leader had assigned, with nothing
	}
	if t.assignment == 0 {
		t.assignment = id
	}
	if t.assignment != id {
		s.fail("C1", "group %s, generation %d: member %d is told assignment %d, another member %d", g.id, p.generation, p.slot.n, id, t.assignment)
	}
	for _, at := range list {
		if o := t.owners[at]; o != nil && o != p && o.memberID != p.memberID && o.slot != p.slot {
			s.fail("C1", "group %s, generation %d: %s-%d has two owners, members %d and %d", g.id, p.generation, at.name, at.index, o.slot.n, p.slot.n)
		}
		t.owners[at] = p
	}
}

// mustRefuse: C1. A commit of a process that was told of an earlier generation
// than another one was, or that has a successor which serves, does not count. It
// returns why, nothing if it may be accepted.
func (g *simGroup) mustRefuse(p *proc, told int) string {
	switch {
	case p == nil || g.simple || p.stale:
		return ""
	case told < g.newest:
		return fmt.Sprintf("generation %d was told before", g.newest)
	case p.zombie() && p.slot.instance != "" && !p.slot.proc.stale && !p.slot.proc.synced.IsZero():
		return "its instance has another member"
	}
	return ""
}
