package sim

import "time"

// startFaults has something go wrong now and then.
func (s *run) startFaults() {
	if s.plan.faultEvery == 0 {
		return
	}
	var turn func()
	turn = func() {
		if !s.faulty() {
			return
		}
		s.after(mean(s.rng.fault, s.plan.faultEvery), turn)
		s.fault()
	}
	s.after(mean(s.rng.fault, s.plan.faultEvery), turn)
}

// fault lets one thing go wrong.
func (s *run) fault() {
	sv := s.victim()
	r := s.rng.fault
	if len(sv.disk.flips) > 0 && r.IntN(2) == 0 {
		sv.mend()
		return
	}
	if sv.broker == nil || sv.stopping {
		return
	}
	kind := r.IntN(8)
	switch {
	case kind < 2:
		sv.log("fault: power is lost")
		sv.down(true)
	case kind == 2 && s.plan.kill:
		sv.down(false)
	case kind <= 4 && s.plan.cut:
		if r.IntN(2) == 0 {
			sv.disk.cutSync = true
		} else {
			sv.disk.cut = 1 + r.IntN(pick(r, 4, 20, 200))
		}
	case kind == 5 && s.plan.syncError:
		sv.disk.failSync, sv.disk.failUnder = 1+r.IntN(4), pick(r, "wal", "partitions", "")
	case kind == 6 && s.plan.clean:
		sv.stop()
	case kind == 7 && s.plan.full:
		sv.squeeze()
	}
}

// mend puts bits right again, and starts the broker again if a partition could
// not be opened for them.
func (sv *server) mend() {
	sv.disk.unflip()
	sv.log("disk: reads right again")
	if sv.broker != nil && (sv.disk.rare.copied || sv.broker.unopened()) {
		sv.down(false)
	}
}

// unopened reports whether there is a partition that the broker could not open.
func (b *broker) unopened() bool {
	for _, p := range b.s.model.parts() {
		if r := b.node.Replica(p.id); r != nil && r.Err != nil {
			return true
		}
	}
	return false
}

// victim is the machine that the next fault is for.
func (s *run) victim() *server {
	if s.alone() {
		return s.servers[0]
	}
	return s.servers[s.rng.nodes.IntN(len(s.servers))]
}

// small reports whether the machine's disk gets full.
func (sv *server) small() bool {
	return sv.s.plan.full && (sv.s.alone() || sv.s.plan.smallDisks[int(sv.id)])
}

// squeeze leaves little space on the disk, but always enough for what the
// topics keep and for the write-ahead log. A replica that lags needs room for
// what it copies beside what it has.
func (sv *server) squeeze() {
	s := sv.s
	if !sv.small() {
		return
	}
	var files, segments int64
	for _, e := range sv.disk.list("wal") {
		files += e.Size
	}
	for _, e := range sv.disk.list("partitions") {
		for _, f := range sv.disk.list("partitions/" + e.Name) {
			segments += f.Size
		}
	}
	parts := int64(3 * s.plan.topics)
	if s.plan.tier { // what waits for the store may be more than what topics keep here
		segments = min(segments, parts*2*16<<10)
	}
	files += segments
	each := int64(16+2*16+3*8) << 10
	if !s.alone() {
		each = 2*each + s.plan.lagBytes
	}
	need := s.plan.walMax + s.plan.file + s.plan.diskReserve + parts*each
	sv.disk.ballast(max(need-files, 0))
	free, _ := sv.disk.mem.Free()
	sv.log("disk: %d bytes left, %d used", free, files)
}

// stop stops the broker in order: no new load, a checkpoint, and the end. Then
// a loss of power must not matter, and a segment may be damaged.
func (sv *server) stop() {
	s, br := sv.s, sv.broker
	sv.stopping = true
	sv.log("broker: stops")
	br.touch()
	br.node.Checkpoint()
	br.wake()
	var wait func()
	left := 200
	wait = func() {
		if left--; left == 0 || !sv.stopping { // it takes too long, or there are to be no more faults
			sv.stopping = false
			return
		}
		if !br.idle() || br.asked > 0 {
			br.later(50*time.Millisecond, wait)
			return
		}
		s.stats.Clean++
		br.node.Close()
		sv.down(s.rng.fault.IntN(2) == 0)
		if s.plan.flipSegment && !s.ending {
			sv.disk.flipInSegment()
		}
	}
	br.later(50*time.Millisecond, wait)
}
