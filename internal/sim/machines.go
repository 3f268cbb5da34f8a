package sim

import "time"

// startMachineFaults has something happen to machines now and then that their
// brokers may not even notice.
func (s *run) startMachineFaults() {
	if s.plan.machineEvery == 0 {
		return
	}
	var turn func()
	turn = func() {
		if !s.faulty() {
			return
		}
		s.after(mean(s.rng.nodes, s.plan.machineEvery), turn)
		s.machineFault()
	}
	s.after(mean(s.rng.nodes, s.plan.machineEvery), turn)
}

func (s *run) machineFault() {
	r, p := s.rng.nodes, s.plan
	sv := s.servers[r.IntN(len(s.servers))]
	kind := r.IntN(5)
	switch {
	case kind == 0 && p.freeze > 0:
		s.stats.Pauses++
		sv.freeze(mean(r, p.freeze))
	case kind == 1 && p.stall > 0:
		d := mean(r, p.stall)
		sv.log("fault: syncs do not return for %v", d)
		s.stats.Stalls++
		sv.disk.stalled = s.now.Add(d)
	case kind == 2 && p.clock > 0:
		sv.setClock(time.Duration(r.Int64N(int64(2*p.clock))) - p.clock)
	case kind == 3 && p.together && !s.alone():
		s.blackout()
	case kind == 4 && p.flipLive && sv.broker != nil && len(sv.disk.flips) == 0:
		if sv.disk.flipInSegment() {
			s.after(mean(r, p.machineEvery), sv.mend)
		}
	}
}

// setClock sets a machine's wall clock.
func (sv *server) setClock(ahead time.Duration) {
	sv.log("fault: the wall clock is set from %v to %v ahead", sv.clock.ahead, ahead)
	sv.s.stats.ClockJumps++
	sv.clock.ahead = ahead
	sv.s.skew = max(sv.s.skew, 2*ahead.Abs())
}

// blackout has several machines, or all, lose power at one moment.
func (s *run) blackout() {
	r := s.rng.nodes
	all := r.IntN(2) == 0
	s.log("fault: power is lost in the building")
	for _, sv := range s.servers {
		if (all || r.IntN(2) == 0) && sv.broker != nil && !sv.stopping {
			sv.down(true)
		}
	}
}
