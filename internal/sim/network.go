package sim

import (
	"bytes"
	"hash/crc32"
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// network carries frames between the nodes. What is on its way when a link is
// cut is lost; what is late arrives at whatever life the receiver is in then.
type network struct {
	s     *run
	links map[[2]ident.NodeID]*link // from, to
	turn  int                       // counts when all was healed
}

// link is one direction between two nodes.
type link struct {
	cuts int           // that hold it
	slow time.Duration // added mean delay
	last time.Time     // when the newest frame arrives
}

func newNetwork(s *run) *network {
	n := &network{s: s, links: map[[2]ident.NodeID]*link{}}
	for _, a := range s.servers {
		for _, b := range s.servers {
			n.links[[2]ident.NodeID{a.id, b.id}] = &link{}
		}
	}
	return n
}

func (n *network) link(from, to ident.NodeID) *link { return n.links[[2]ident.NodeID{from, to}] }

// send takes a frame from a node. The receiver owns it.
func (n *network) send(from, to ident.NodeID, frame []byte) {
	s := n.s
	l := n.link(from, to)
	if l == nil || from == to {
		s.fail("net", "broker %d sends a frame to node %d", from, to)
	}
	s.stats.Frames++
	s.stats.FrameBytes += int64(len(frame))
	r, p := s.rng.net, s.plan
	if l.cuts > 0 || s.faulty() && r.IntN(1000) < p.netLost {
		s.stats.FramesLost++
		return
	}
	n.carry(l, from, to, frame)
	if s.faulty() && r.IntN(1000) < p.netTwice {
		s.stats.FramesTwice++
		n.carry(l, from, to, bytes.Clone(frame))
	}
}

// carry has a frame arrive after a while.
func (n *network) carry(l *link, from, to ident.NodeID, frame []byte) {
	s := n.s
	r, p := s.rng.net, s.plan
	at := s.now.Add(mean(r, p.netDelay+l.slow))
	late := s.faulty() && r.IntN(1000) < p.netLate
	switch {
	case late:
		s.stats.FramesLate++
		at = at.Add(time.Duration(r.Int64N(int64(p.netLateMax))))
	case p.netOrder:
		if at.Before(l.last) {
			at = l.last
		}
		l.last = at
	}
	sum, turn := crc32.Checksum(frame, castagnoli), n.turn
	s.after(at.Sub(s.now), func() {
		if l.cuts > 0 || turn != n.turn && late {
			s.stats.FramesLost++
			return
		}
		if crc32.Checksum(frame, castagnoli) != sum {
			s.fail("net", "a frame of broker %d to broker %d was changed after it was sent", from, to)
		}
		sv := s.servers[to-1]
		sv.perform(func() {
			if b := sv.broker; b != nil && !sv.disk.lost {
				b.receive(from, frame)
			}
		})
	})
}

// cut cuts a link for some time.
func (n *network) cut(from, to ident.NodeID, d time.Duration) {
	l, turn := n.link(from, to), n.turn
	l.cuts++
	n.s.after(d, func() {
		if turn == n.turn {
			l.cuts--
		}
	})
}

// heal mends all links for good.
func (n *network) heal() {
	n.turn++
	for _, l := range n.links { // order: all of them
		l.cuts, l.slow = 0, 0
	}
}

// startNetFaults has links cut now and then.
func (s *run) startNetFaults() {
	if s.alone() || s.plan.netEvery == 0 {
		return
	}
	var turn func()
	turn = func() {
		if !s.faulty() {
			return
		}
		s.after(mean(s.rng.net, s.plan.netEvery), turn)
		s.net.fault()
	}
	s.after(mean(s.rng.net, s.plan.netEvery), turn)
}

// fault cuts some links, or makes one slow, for some time.
func (n *network) fault() {
	s, p := n.s, n.s.plan
	r := s.rng.net
	d := mean(r, p.netFor)
	a := s.servers[r.IntN(len(s.servers))].id
	b := s.servers[(int(a)+r.IntN(len(s.servers)-1))%len(s.servers)].id
	kind := r.IntN(6)
	switch {
	case kind == 0 && p.netOneWay:
		s.stats.OneWayCuts++
		s.log("net: node %d does not reach node %d for %v", a, b, d)
		n.cut(a, b, d)
	case kind == 1 && p.netSlow:
		l, turn := n.link(a, b), n.turn
		slow := pick(r, 50*time.Millisecond, 500*time.Millisecond)
		s.log("net: frames of node %d to node %d take %v more for %v", a, b, slow, d)
		l.slow += slow
		s.after(d, func() {
			if turn == n.turn {
				l.slow -= slow
			}
		})
	case kind == 2 && p.netSplit:
		n.split(r.Uint64(), false, d)
	case kind == 3 && p.netLeaders:
		n.isolateLeader(r.IntN(4) == 0, d)
	case kind == 4 && p.netOneWay:
		n.split(1<<(a-1), true, d) // it hears and is not heard
	default:
		s.log("net: nodes %d and %d do not reach each other for %v", a, b, d)
		n.cut(a, b, d)
		n.cut(b, a, d)
	}
}

// split cuts the nodes of a set from the others.
func (n *network) split(set uint64, oneWay bool, d time.Duration) {
	in := func(sv *server) bool { return set>>(sv.id-1)&1 == 1 }
	if oneWay {
		n.s.stats.OneWayCuts++
	}
	var inside []ident.NodeID
	for _, a := range n.s.servers {
		if !in(a) {
			continue
		}
		inside = append(inside, a.id)
		for _, b := range n.s.servers {
			if !in(b) {
				n.cut(a.id, b.id, d)
				if !oneWay {
					n.cut(b.id, a.id, d)
				}
			}
		}
	}
	n.s.log("net: nodes %d are cut from the others for %v, one way %v", inside, d, oneWay)
}

// isolateLeader cuts off the leader of some partition, perhaps in one direction.
func (n *network) isolateLeader(oneWay bool, d time.Duration) {
	parts := n.s.model.parts()
	if len(parts) == 0 {
		return
	}
	if b := n.s.newest(parts[n.s.rng.net.IntN(len(parts))].id); b != nil {
		n.split(1<<(b.server.id-1), oneWay, d)
	}
}
