package sim

import (
	"fmt"
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// recovery is how long everything may take to work again after the last fault.
const recovery = 30 * time.Second

// within: V1. It runs until done says so, and fails with what is not so if that
// takes longer than recovery.
func (s *run) within(done func() bool, what string) {
	if !s.until(recovery, done) {
		s.fail("V1", "%s %v after the last fault: %s", what, recovery, s.condition())
	}
}

// working reports whether every broker runs and is ready.
func (s *run) working() bool {
	for _, sv := range s.servers {
		if sv.broker == nil || !sv.broker.node.Ready() {
			return false
		}
	}
	return true
}

// led: V1. It reports whether every partition has a leader that serves.
func (s *run) led() bool {
	b := s.ready()
	if b == nil {
		return false
	}
	for t := range b.node.Image().Topics() {
		for i := range t.Partitions {
			if s.newest(ident.Partition{Topic: t.ID, Index: int32(i)}) == nil {
				return false
			}
		}
	}
	return true
}

// answered reports whether every broker runs, is ready, and answered everything.
func (s *run) answered() bool {
	for _, b := range s.brokers() {
		if b.asked > 0 {
			return false
		}
	}
	return s.working()
}

// allUp: V1. Without a fault no broker fails.
func (s *run) allUp() {
	for _, sv := range s.servers {
		if sv.broker == nil {
			s.fail("V1", "broker %d fails without a fault", sv.id)
		}
	}
}

// works: V1. Every client gets its answers, and every partition takes a batch.
func (s *run) works() {
	if !s.until(recovery, func() bool {
		for _, p := range s.producers {
			if !p.finished() {
				return false
			}
		}
		return true
	}) {
		for _, p := range s.producers {
			if !p.finished() {
				b := p.open[0]
				s.stillFull(b.part)
				s.fail("V1", "producer %d still waits for batch %d to %s, sent %d times, %v after the last fault; %s",
					p.id, b.id, b.part.name, b.sent, recovery, s.condition())
			}
		}
	}
	for _, p := range s.model.parts() {
		if !s.probe(p, recovery) {
			s.stillFull(p)
			s.fail("V1", "%s takes no batch %v after the last fault; %s", p.name, recovery, s.condition())
		}
	}
}

// condition describes the brokers for a message.
func (s *run) condition() string {
	out := ""
	for _, sv := range s.servers {
		if sv.broker == nil {
			out += fmt.Sprintf("node %d is down; ", sv.id)
			continue
		}
		out += fmt.Sprintf("node %d: ready %v, asked %d, %+v; disk: %s; ", sv.id, sv.broker.node.Ready(), sv.broker.asked, sv.broker.node.Stats(), sv.disk.usage())
	}
	return out
}
