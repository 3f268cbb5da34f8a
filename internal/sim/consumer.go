package sim

import (
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// consumer follows one partition as a client does that knows of leader epochs
// (KIP-320): it reads on from where it is, waits at the end until there is more,
// and turns away from leaders that are older than one that it has seen.
type consumer struct {
	s     *run
	id    int
	part  *part
	next  ident.Offset
	epoch ident.Epoch // highest seen
	at    *server

	wait *wait // nil: it does not wait
}

// wait is a long poll at the end of a partition. It implements
// partition.Watcher.
type wait struct {
	b    *broker
	p    *partition.Partition
	told bool
}

// Notify implements partition.Watcher.
func (w *wait) Notify() { w.told = true }

func (s *run) startConsumers() {
	for i := range s.plan.consumers {
		c := &consumer{s: s, id: i}
		s.consumers = append(s.consumers, c)
		s.after(mean(s.rng.consumer, 100*time.Millisecond), c.turn)
	}
}

// wakeConsumers lets those go on that were told that there is more.
func (s *run) wakeConsumers() {
	for _, c := range s.consumers {
		if c.wait != nil && c.wait.told {
			c.wait = nil
			s.after(mean(s.rng.consumer, 300*time.Microsecond), c.turn)
		}
	}
}

// turn reads on.
func (c *consumer) turn() {
	s := c.s
	r := s.rng.consumer
	if s.ending {
		return
	}
	if c.part == nil || c.part.topic.state != live || r.IntN(200) == 0 {
		c.move()
	}
	again := func(d time.Duration) { s.after(mean(r, d), c.turn) }
	if c.part == nil || !c.connect() {
		again(200 * time.Millisecond)
		return
	}
	b := c.at.broker
	at, o, ok := b.serves(c.part.id)
	if !ok || o.LeaderEpoch < c.epoch || !b.node.Ready() {
		c.at = nil
		again(50 * time.Millisecond)
		return
	}
	b.touch()
	c.epoch = o.LeaderEpoch
	s.sawBorders(c.part, o.LeaderEpoch, o.LogStart, o.HighWatermark)
	c.next = max(c.next, o.LogStart)
	if c.next < o.HighWatermark {
		next, ok := s.read(c.part, b, at, c.next, o, 1+r.IntN(50_000))
		if !ok {
			again(200 * time.Millisecond)
			return
		}
		c.next = next
		again(2 * time.Millisecond)
		return
	}
	c.poll(b, at)
}

// poll waits until something happens to the partition, or for some time.
func (c *consumer) poll(b *broker, at *partition.Partition) {
	s := c.s
	s.stats.Waits++
	w := &wait{b: b, p: at}
	at.Watch(w)
	c.wait = w
	s.after(500*time.Millisecond+mean(s.rng.consumer, time.Second), func() {
		if c.wait != w {
			return
		}
		c.wait = nil
		at.Unwatch(w)
		s.checkWatchers(at)
		if _, o, ok := b.serves(c.part.id); ok && b.lives() && !b.server.frozen && b.partition(c.part.id) == at && o.LeaderEpoch == c.epoch && o.HighWatermark > c.next && !w.told {
			s.fail("V1", "consumer %d waits at the end of %s, offset %d; the high watermark is %d, and nobody told it", c.id, c.part.name, c.next, o.HighWatermark)
		}
		c.turn()
	})
}

// move chooses another partition.
func (c *consumer) move() {
	if c.wait = nil; len(c.s.model.parts()) == 0 {
		c.part = nil
		return
	}
	parts := c.s.model.parts()
	c.part, c.next, c.epoch, c.at = parts[c.s.rng.consumer.IntN(len(parts))], 0, 0, nil
}

// connect finds a broker that says that it leads the partition.
func (c *consumer) connect() bool {
	if c.at != nil && c.at.broker != nil && !c.at.frozen {
		return true
	}
	c.at = nil
	if b := c.s.route(c.part.id); b != nil {
		c.at = b.server
	}
	return c.at != nil
}
