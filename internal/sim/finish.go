package sim

import (
	"fmt"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// finish ends a run: no more faults, clients get their answers, everything
// works, and what was promised is there, also after another loss of power.
func (s *run) finish() {
	s.ending = true
	for _, sv := range s.servers {
		sv.stopping = false
		sv.disk.heal()
	}
	s.log("end: no more faults")
	for _, sv := range s.servers {
		sv.thaw()
		if sv.broker != nil && (s.alone() || sv.broker.unopened() || sv.disk.rare.copied || s.rng.nodes.IntN(3) == 0) {
			sv.down(s.rng.fault.IntN(2) == 0) // a partition may not have been opened
		}
	}
	s.net.heal()
	if !s.until(recovery, s.answered) {
		if s.working() {
			s.checkAnswered()
		}
		s.fail("V1", "not every broker is ready %v after the last fault: %s", recovery, s.condition())
	}
	s.resolve()
	if !s.alone() {
		s.within(func() bool { s.resolve(); return s.decided() }, "a topic is neither created nor deleted")
	}
	s.within(s.settled, "a topic does not get its partitions")
	for _, p := range s.producers {
		s.after(0, p.turn) // whoever paused goes on
	}
	s.until(recovery, func() bool { return !s.working() || s.answered() })
	s.allUp()
	if !s.alone() {
		s.within(s.led, "not every partition has a leader")
	}
	s.works()
	s.settleGroups()
	s.quiet()
	s.settleTier()
	s.quiet()
	s.judge()
	s.log("end: power is lost once more")
	for _, sv := range s.servers {
		sv.ended()
		sv.disk.powerLoss(vfs.CrashOptions{})
		s.disconnected(sv)
	}
	for _, sv := range s.servers {
		sv.open()
	}
	s.within(func() bool { return s.working() && (s.alone() || s.led()) }, "not every broker is ready, or not every partition led,")
	s.settleGroups()
	s.quiet()
	s.settleTier()
	s.judge()
}

// quiet waits until the brokers have nothing left to do, everything written and
// everything old removed.
func (s *run) quiet() {
	for range 3 {
		s.allUp()
		for _, b := range s.brokers() {
			b.node.Checkpoint()
			b.wake()
		}
		s.within(s.idle, "a checkpoint is not done")
		s.during(200 * time.Millisecond)
		s.allUp()
		s.stats.Checkpoints = 0
		for _, b := range s.brokers() {
			s.stats.Checkpoints += int(b.node.Stats().Checkpoints)
		}
	}
}

// idle reports whether no broker has anything to do.
func (s *run) idle() bool {
	for _, b := range s.brokers() {
		if !b.idle() {
			return false
		}
	}
	return true
}

// converge waits until the nodes that are behind have applied and written
// everything.
func (s *run) converge() {
	if s.alone() {
		return
	}
	why, limit := "", s.now.Add(recovery)
	for s.now.Before(limit) {
		if why = s.behind(); why == "" {
			return
		}
		s.during(500 * time.Millisecond)
		s.quiet()
	}
	s.fail("P1", "the nodes do not come to the same state within %v: %s", recovery, why)
}

// behind tells what one node has and another has not yet, nothing if they are
// the same.
func (s *run) behind() string {
	if !s.led() { // of a topic that was made a moment ago
		return "a partition has no leader"
	}
	for _, sv := range s.servers {
		if why := s.leftover(sv); why != "" {
			return why
		}
		for _, t := range s.model.topics {
			_, there := sv.broker.node.Image().TopicByID(t.id)
			if there != (t.state == live) && (t.state == live || t.state == deleted) {
				return fmt.Sprintf("topic %s (%x) is %v, in the image of broker %d: %v", t.name, t.id[:4], t.state, sv.id, there)
			}
		}
	}
	if why := s.replicasDiffer(); why != "" {
		return why
	}
	for _, p := range s.model.parts() {
		for _, b := range s.brokers() {
			if at := b.partition(p.id); at != nil {
				if n, _ := at.OutboxDepth(); n > 0 {
					return fmt.Sprintf("%s: %d emissions are not delivered at broker %d", p.name, n, b.server.id)
				}
			}
		}
	}
	return ""
}

// judge has every checker look at everything.
func (s *run) judge() {
	s.allUp()
	s.converge()
	for _, b := range s.brokers() {
		s.checkTopics(b)
	}
	s.checkAnswered()
	for _, sv := range s.servers {
		s.checkLeftovers(sv)
	}
	s.checkOutboxes()
	s.checkReplicas()
	s.checkOffsets()
	letters := s.readLetters()
	for _, p := range s.model.parts() {
		s.readAll(p)
		s.checkOneFate(p, letters[p.id])
		s.checkGenerations(p)
		s.checkEpochs(p)
		for _, sv := range s.servers {
			s.checkLayout(p, sv)
		}
	}
}
