package sim

import (
	"math/rand/v2"
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/internal/ident"
)

// A coordinator whose broker is behind in the cluster's metadata must not take
// offsets of topics that it does not know yet for those of deleted ones. That
// takes several things at a time, which hardly ever come together by chance.

// startLag has that happen now and then, in clusters whose network fails.
func (w *groupWorld) startLag() {
	s := w.s
	if s.alone() || s.plan.netEvery == 0 || s.plan.without["lag"] || s.plan.without["admin"] {
		return
	}
	r := stream(s.seed, streamGroup+2)
	every := s.plan.length / time.Duration(1+r.IntN(6))
	var turn func()
	turn = func() {
		if !s.faulty() {
			return
		}
		s.after(mean(r, every), turn)
		w.lag(r)
	}
	s.after(mean(r, every), turn)
}

// lag cuts a broker that could coordinate a group from what the controller says,
// while a topic is made anew, and ends the group's coordinator some time later.
func (w *groupWorld) lag(r *rand.Rand) {
	s := w.s
	g := w.groups[r.IntN(len(w.groups))]
	topics := s.model.live()
	c := s.operable()
	if c == nil || len(topics) == 0 {
		return
	}
	topic, ok := c.node.Image().Topic(coordinator.Topic)
	if !ok {
		return
	}
	id := ident.Partition{Topic: topic.ID, Index: coordinator.PartitionFor(g.id, int32(len(topic.Partitions)))}
	d := s.newest(id)
	if d == nil || d == c {
		return
	}
	var next []*broker
	for _, b := range s.brokers() {
		if b != c && b != d && b.node.Replica(id) != nil {
			next = append(next, b)
		}
	}
	if len(next) == 0 {
		return
	}
	b := next[r.IntN(len(next))]
	t := topics[r.IntN(len(topics))]
	lasts, ends := 5*time.Second+mean(r, 5*time.Second), time.Second+mean(r, 2*time.Second)
	s.log("group %s: node %d does not hear the controller %d for %v; its coordinator %d ends after %v", g.id, b.server.id, c.server.id, lasts, d.server.id, ends)
	s.net.cut(c.server.id, b.server.id, lasts)
	s.deleteTopic(c, t)
	s.after(ends, func() {
		if s.faulty() && d.lives() && !d.server.stopping {
			d.server.down(!s.plan.kill)
		}
	})
}
