package sim

import (
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// leaveBehind cuts a node from all others until it lacks more than they keep for
// it, has it come back on slow links, so that it copies another one's state for a
// while, and then something happens to the leader that it copies from.
func (n *network) leaveBehind(id ident.NodeID) {
	s := n.s
	r := s.rng.rare
	s.stats.Lags++
	d := 500*time.Millisecond + mean(r, 2*time.Second)
	n.split(1<<(id-1), false, d)
	slow := pick(r, 30*time.Millisecond, 150*time.Millisecond)
	turn := n.turn
	for _, sv := range s.servers {
		if sv.id == id {
			continue
		}
		n.link(sv.id, id).slow += slow
		s.after(d+3*time.Second, func() {
			if turn == n.turn {
				n.link(sv.id, id).slow -= slow
			}
		})
	}
	s.after(d, func() { n.whileCopying(id, turn, 200) })
}

// whileCopying waits until a node copies another one's state. Then it is cut off
// again for a while, so that a newer state is there when it comes back, or a leader
// loses power.
func (n *network) whileCopying(id ident.NodeID, turn, left int) {
	s := n.s
	r := s.rng.rare
	if turn != n.turn || left == 0 || !s.faulty() {
		return
	}
	b := s.servers[id-1].broker
	if b == nil || !b.copying() {
		s.after(20*time.Millisecond, func() { n.whileCopying(id, turn, left-1) })
		return
	}
	if r.IntN(2) == 0 {
		n.split(1<<(id-1), false, 100*time.Millisecond+mean(r, 2*time.Second))
		return
	}
	if parts := s.model.parts(); len(parts) > 0 {
		if l := s.newest(parts[r.IntN(len(parts))].id); l != nil && l.server.id != id && !l.server.stopping {
			l.server.log("fault: power is lost while another node copies")
			l.server.down(true)
		}
	}
}

// copying reports whether a broker fetches another one's state.
func (b *broker) copying() bool {
	l := b.node.Stats()
	return l.AdoptionsBegun > l.Adoptions+l.AdoptionsAbandoned
}
