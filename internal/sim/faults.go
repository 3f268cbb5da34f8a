package sim

import "time"

// startFaults has something go wrong now and then.
func (s *run) startFaults() {
	if s.plan.faultEvery == 0 {
		return
	}
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.rng.fault, s.plan.faultEvery), turn)
		s.fault()
	}
	s.after(mean(s.rng.fault, s.plan.faultEvery), turn)
}

// fault lets one thing go wrong.
func (s *run) fault() {
	r := s.rng.fault
	if len(s.disk.flips) > 0 && r.IntN(2) == 0 {
		s.mend()
		return
	}
	if s.broker == nil || s.stopping {
		return
	}
	kind := r.IntN(8)
	switch {
	case kind < 2:
		s.log("fault: power is lost")
		s.down(true)
	case kind == 2 && s.plan.kill:
		s.down(false)
	case kind <= 4 && s.plan.cut:
		if r.IntN(2) == 0 {
			s.disk.cutSync = true
		} else {
			s.disk.cut = 1 + r.IntN(pick(r, 4, 20, 200))
		}
	case kind == 5 && s.plan.syncError:
		s.disk.failSync, s.disk.failUnder = 1+r.IntN(4), pick(r, "wal", "partitions", "")
	case kind == 6 && s.plan.clean:
		s.stop()
	case kind == 7 && s.plan.full:
		s.squeeze()
	}
}

// mend puts bits right again, and starts the broker again if a partition could
// not be opened for them.
func (s *run) mend() {
	s.disk.flips = nil
	s.log("disk: reads right again")
	if s.broker == nil {
		return
	}
	for _, p := range s.model.parts() {
		if r := s.broker.node.Replica(p.id); r != nil && r.Err != nil {
			s.down(false)
			return
		}
	}
}

// squeeze leaves little space on the disk, but always enough for what the
// topics keep and for the write-ahead log.
func (s *run) squeeze() {
	if !s.plan.full {
		return
	}
	var files, segments int64
	for _, e := range s.disk.list("wal") {
		files += e.Size
	}
	for _, e := range s.disk.list("partitions") {
		for _, f := range s.disk.list("partitions/" + e.Name) {
			segments += f.Size
		}
	}
	parts := int64(3 * s.plan.topics)
	if s.plan.tier { // what waits for the store may be more than what topics keep here
		segments = min(segments, parts*2*16<<10)
	}
	files += segments
	need := s.plan.walMax + s.plan.file + s.plan.diskReserve + parts*(16+2*16+3*8)<<10
	s.disk.ballast(max(need-files, 0))
	free, _ := s.disk.mem.Free()
	s.log("disk: %d bytes left, %d used", free, files)
}

// stop stops the broker in order: no new load, a checkpoint, and the end. Then
// a loss of power must not matter, and a segment may be damaged.
func (s *run) stop() {
	br := s.broker
	s.stopping = true
	s.log("broker: stops")
	br.node.Checkpoint()
	br.wake()
	var wait func()
	left := 200
	wait = func() {
		if left--; left == 0 {
			s.stopping = false
			return
		}
		if !br.idle() || br.asked > 0 {
			br.later(50*time.Millisecond, wait)
			return
		}
		s.stats.Clean++
		br.node.Close()
		s.down(s.rng.fault.IntN(2) == 0)
		if s.plan.flipSegment && !s.ending {
			s.disk.flipInSegment()
		}
	}
	br.later(50*time.Millisecond, wait)
}
