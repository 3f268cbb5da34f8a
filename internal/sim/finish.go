package sim

import (
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// recovery is how long everything may take to work again after the last fault.
const recovery = 30 * time.Second

// finish ends a run: no more faults, clients get their answers, everything
// works, and what was promised is there, also after another loss of power.
func (s *run) finish() {
	s.ending, s.stopping = true, false
	s.disk.cut, s.disk.cutSync, s.disk.failSync, s.disk.flips = 0, false, 0, nil
	s.log("end: no more faults")
	if s.broker != nil {
		s.down(s.rng.fault.IntN(2) == 0) // a partition may not have been opened
	}
	if !s.until(recovery, func() bool { return s.broker != nil && s.broker.node.Ready() && s.broker.asked == 0 }) {
		s.fail("V1", "the broker is not ready %v after the last fault, or does not answer", recovery)
	}
	s.resolve()
	for _, p := range s.producers {
		s.after(0, p.turn) // whoever paused goes on
	}
	s.until(recovery, func() bool { return s.broker == nil || s.broker.asked == 0 })
	if s.broker == nil {
		s.fail("V1", "the broker fails without a fault")
	}
	s.works()
	s.quiet()
	s.settleTier()
	s.quiet()
	s.judge()
	s.log("end: power is lost once more")
	s.ended()
	s.disk.powerLoss(vfs.CrashOptions{})
	s.disconnected()
	s.open()
	if !s.until(recovery, func() bool { return s.broker != nil && s.broker.node.Ready() }) {
		s.fail("V1", "the broker is not ready %v after a loss of power", recovery)
	}
	s.quiet()
	s.settleTier()
	s.judge()
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
				s.fail("V1", "producer %d still waits for batch %d to %s, sent %d times, %v after the last fault; broker %+v; disk: %s",
					p.id, b.id, b.part.name, b.sent, recovery, s.broker.node.Stats(), s.disk.usage())
			}
		}
	}
	for _, p := range s.model.parts() {
		if !s.probe(p, recovery) {
			s.fail("V1", "%s takes no batch %v after the last fault; broker %+v; disk: %s", p.name, recovery, s.broker.node.Stats(), s.disk.usage())
		}
	}
}

// quiet waits until the broker has nothing left to do, everything written and
// everything old removed.
func (s *run) quiet() {
	for range 3 {
		s.broker.node.Checkpoint()
		s.broker.wake()
		if !s.until(recovery, func() bool { return s.broker.idle() }) {
			s.fail("V1", "a checkpoint takes more than %v; broker %+v; disk: %s", recovery, s.broker.node.Stats(), s.disk.usage())
		}
		s.during(200 * time.Millisecond)
		s.stats.Checkpoints = int(s.broker.node.Stats().Checkpoints)
	}
}

// judge has every checker look at everything.
func (s *run) judge() {
	if s.broker == nil {
		s.fail("V1", "the broker failed without a fault")
	}
	s.checkTopics()
	s.checkAnswered()
	s.checkLeftovers()
	s.checkOutboxes()
	letters := s.readLetters()
	for _, p := range s.model.parts() {
		s.readAll(p)
		s.checkOneFate(p, letters[p.id])
		s.checkGenerations(p)
		s.checkLayout(p)
	}
}
