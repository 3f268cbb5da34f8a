package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// planNodes is the part of a plan that is about several nodes and what goes
// wrong with and between them. It is drawn from a stream of its own, so that the
// rest of a plan stays as it is.
type planNodes struct {
	nodes          int
	requestTimeout time.Duration // of clients; 0: they wait for ever
	repair         bool          // a node that is alone is damaged in the end, and repaired
	consumers      int           // that follow partitions and wait at the end

	without     map[string]bool // features that were switched off
	faultsUntil time.Duration   // from when on nothing goes wrong; 0: only in the end
	// What the plan said before several nodes were drawn.
	wasFull    bool
	hadReserve int64
	hadLength  time.Duration
	hadFiles   [3]int64

	// Of several nodes: which have a small disk, by id, in a plan with full disks;
	// whether the write-ahead logs are small; and what leaders keep in memory for
	// followers, 0 is the default.
	smallDisks map[int]bool
	smallLogs  bool
	lagBytes   int64

	// Machines.
	machineEvery time.Duration // mean time between the faults below; 0: none
	freeze       time.Duration // mean time that a machine stands still; 0: none does
	stall        time.Duration // mean time that syncs take; 0: as always
	clock        time.Duration // how far wall clocks are set; 0: never
	together     bool          // several machines lose power at once
	flipLive     bool          // bits flip while the broker runs

	// Network.
	netDelay            time.Duration // mean
	netOrder            bool          // frames of a link arrive in order
	netLost, netTwice   int           // of 1,000 frames
	netLate             int           // of 1,000 frames
	netLateMax          time.Duration
	netEvery            time.Duration // mean time between cuts; 0: none
	netFor              time.Duration // mean time that they last
	netOneWay, netSplit bool
	netSlow, netLeaders bool // slow links; leaders are cut off
}

// String describes what is not as in a plan of one node without these faults.
func (p *planNodes) String() string {
	if p.nodes == 1 && p.consumers == 0 && p.machineEvery == 0 {
		return ""
	}
	out := fmt.Sprintf("; %d nodes, %d consumers", p.nodes, p.consumers)
	if p.machineEvery > 0 {
		out += fmt.Sprintf("; machines every %v: pause %v stall %v clock %v together %v flips %v", p.machineEvery.Round(time.Millisecond), p.freeze, p.stall, p.clock, p.together, p.flipLive)
	}
	if p.nodes > 1 {
		if p.smallLogs || p.smallDisks != nil {
			out += fmt.Sprintf("; small logs %v, small disks %v, %d bytes kept", p.smallLogs, slices.Sorted(maps.Keys(p.smallDisks)), p.lagBytes)
		}
		out += fmt.Sprintf("; net %v in order %v, lost %d twice %d late %d (%v) of 1000, cuts every %v for %v: one way %v split %v slow %v leaders %v; requests time out after %v",
			p.netDelay, p.netOrder, p.netLost, p.netTwice, p.netLate, p.netLateMax, p.netEvery.Round(time.Millisecond), p.netFor, p.netOneWay, p.netSplit, p.netSlow, p.netLeaders, p.requestTimeout)
	}
	return out
}

// drawNodes draws this part of a plan, after all of the others.
func (p *plan) drawNodes(seed uint64) {
	r := stream(seed, streamNodesPlan)
	half := func() bool { return r.IntN(2) == 0 }
	p.nodes = pick(r, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, 5)
	p.consumers = pick(r, 0, 0, 1, 3)
	p.requestTimeout = pick(r, time.Second, 3*time.Second, 10*time.Second)
	p.wasFull, p.hadReserve, p.hadLength, p.hadFiles = p.full, p.diskReserve, p.length, [3]int64{p.firstFile, p.file, p.walMax}
	p.drawMachines(r, half)
	p.drawNet(r, half)
	p.repair = r.IntN(3) == 0
	if p.nodes == 1 {
		if p.freeze == 0 && p.stall == 0 {
			p.requestTimeout = 0
		}
		return
	}
	p.length = min(p.length, time.Minute)
	p.roomy()
	p.drawSmall(r)
}

// roomy has disks that are never full, and logs of many files.
func (p *plan) roomy() {
	if p.nodes == 1 {
		return
	}
	p.full, p.diskReserve, p.smallDisks, p.lagBytes = false, 0, nil, 0
	p.smallLogs = false
	p.firstFile, p.file, p.walMax = max(p.hadFiles[0], 128<<10), max(p.hadFiles[1], 256<<10), max(p.hadFiles[2], 2<<20)
}

// drawSmall draws small logs, down to two files as the settings allow it, and
// small disks, for some nodes or all.
func (p *plan) drawSmall(r *rand.Rand) {
	small, file, files := r.IntN(2) == 0, pick(r, int64(128<<10), 256<<10), int64(pick(r, 2, 2, 3, 4, 8))
	if p.tier { // manifests are in every checkpoint
		file = 256 << 10
	}
	if small {
		p.smallLogs = true
		p.firstFile, p.file, p.walMax = 128<<10, file, files*file
	}
	keep, which := pick(r, int64(16<<10), 64<<10), 1+r.IntN(1<<p.nodes-1)
	if !p.wasFull {
		return
	}
	p.full, p.diskReserve, p.lagBytes = true, p.hadReserve, keep
	p.smallDisks = map[int]bool{}
	for i := range p.nodes {
		if which>>i&1 == 1 {
			p.smallDisks[i+1] = true
		}
	}
}

func (p *plan) drawMachines(r *rand.Rand, half func() bool) {
	every := p.length / time.Duration(1+r.IntN(8))
	if half() {
		p.freeze = pick(r, 100*time.Millisecond, time.Second, 5*time.Second)
	}
	if r.IntN(3) == 0 {
		p.stall = pick(r, 500*time.Millisecond, 2*time.Second)
	}
	if r.IntN(3) == 0 {
		p.clock = pick(r, time.Second, time.Minute, 3*time.Hour)
	}
	p.together, p.flipLive = half(), r.IntN(4) == 0
	if p.faultEvery > 0 && r.IntN(4) > 0 && (p.nodes > 1 || half()) {
		p.machineEvery = every
	} else {
		p.freeze, p.stall, p.clock, p.together, p.flipLive = 0, 0, 0, false, false
	}
}

func (p *plan) drawNet(r *rand.Rand, half func() bool) {
	p.netDelay = pick(r, 50*time.Microsecond, time.Millisecond, 10*time.Millisecond)
	p.netOrder = half()
	p.netLost, p.netTwice, p.netLate = pick(r, 0, 0, 2, 50), pick(r, 0, 0, 5, 50), pick(r, 0, 0, 5, 30)
	p.netLateMax = pick(r, 200*time.Millisecond, 2*time.Second, 8*time.Second)
	p.netEvery = p.length / time.Duration(1+r.IntN(12))
	p.netFor = pick(r, 300*time.Millisecond, 2*time.Second, 8*time.Second)
	p.netOneWay, p.netSplit, p.netSlow, p.netLeaders = half(), half(), r.IntN(3) == 0, half()
	if p.faultEvery == 0 {
		p.netLost, p.netTwice, p.netLate, p.netEvery = 0, 0, 0, 0
	}
}
