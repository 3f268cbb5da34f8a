package sim

import (
	"time"

	"github.com/varvelog/varve/broker/metadata"
)

// partitionsMax is how many partitions a topic may grow to.
const partitionsMax = 6

// startGrowth has topics get more partitions now and then.
func (s *run) startGrowth() {
	if !s.plan.grow || s.limited() { // small disks have room for the partitions that topics are made with
		return
	}
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.rng.rare, s.plan.length/6), turn)
		topics := s.model.live()
		if len(topics) == 0 {
			return
		}
		t := topics[s.rng.rare.IntN(len(topics))]
		if t.growTo > 0 || len(t.parts) >= partitionsMax {
			return
		}
		t.growTo = len(t.parts) + 1 + s.rng.rare.IntN(partitionsMax-len(t.parts))
		s.log("topic %s is to have %d partitions", t.name, t.growTo)
		s.grow(t, time.Time{})
	}
	s.after(mean(s.rng.rare, s.plan.length/6), turn)
}

// limited reports whether a node's disk is small.
func (s *run) limited() bool {
	for _, sv := range s.servers {
		if free, err := sv.disk.mem.Free(); err != nil || free < 1<<40 {
			return true
		}
	}
	return s.plan.full
}

// grow asks for a topic's partitions until a controller has them, or the topic is
// gone. again is when it is asked for once more.
func (s *run) grow(t *topic, again time.Time) {
	if t.state != live {
		t.growTo = 0
		return
	}
	if b := s.controller(); b != nil && b.node.Ready() {
		if have, ok := b.node.Image().TopicByID(t.id); ok && len(have.Partitions) >= t.growTo {
			s.grown(t, len(have.Partitions))
			return
		}
		if !s.now.Before(again) {
			again = s.now.Add(commandTime)
			s.command(b, metadata.CreatePartitions{TopicID: t.id, Total: int32(t.growTo)}, func(r metadata.Result) {
				if r.Err != nil {
					again = s.now
				}
			})
		}
	}
	s.after(200*time.Millisecond, func() { s.grow(t, again) })
}

// grown takes down that a topic has more partitions.
func (s *run) grown(t *topic, n int) {
	for i := len(t.parts); i < n; i++ {
		t.parts = append(t.parts, newPart(t, i))
	}
	s.stats.Grown++
	s.log("topic %s has %d partitions", t.name, n)
	t.growTo = 0
}

// settled reports whether it is known of every topic how many partitions it has.
func (s *run) settled() bool {
	for _, t := range s.model.topics {
		if t.growTo > 0 {
			return false
		}
	}
	return true
}
