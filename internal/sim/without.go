package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// feature is something in a plan that a run can do without.
type feature struct {
	name string
	off  func(*plan)
}

// features lists what can be switched off, what takes most away first. Names
// with "=" are a value that is set.
var features = []feature{
	{"later", func(p *plan) {
		p.alone()
		p.consumers, p.repair = 0, false
		p.quietMachines()
		p.quietRare()
	}},
	{"nodes", (*plan).alone},
	{"small", (*plan).roomy},
	{"nodes=3", func(p *plan) { p.nodes = min(p.nodes, 3) }},
	{"nodes=2", func(p *plan) { p.nodes = min(p.nodes, 2) }},
	{"faults", func(p *plan) {
		p.faultEvery, p.storeFails, p.syncError, p.cut, p.flipWAL = 0, 0, false, false, false
		p.quietMachines()
		p.quietNet()
		p.quietRareFaults()
	}},
	{"rare", (*plan).quietRare},
	{"length=1/2", func(p *plan) { p.length /= 2 }},
	{"length=1/4", func(p *plan) { p.length /= 4 }},
	{"producers=1", func(p *plan) { p.producers = 1 }},
	{"topics=1", func(p *plan) { p.topics = 1 }},
	{"tier", func(p *plan) { p.tier = false }},
	{"chains", func(p *plan) { p.chains = false }},
	{"consumers", func(p *plan) { p.consumers = 0 }},
	{"repair", func(p *plan) { p.repair = false }},
	{"losses", func(*plan) {}},
	{"vanish", func(*plan) {}},
	{"midway", func(*plan) {}},
	{"groups", func(*plan) {}},
	{"lag", func(*plan) {}},
	{"net", (*plan).quietNet},
	{"netcuts", func(p *plan) { p.netEvery = 0 }},
	{"netlost", func(p *plan) { p.netLost = 0 }},
	{"nettwice", func(p *plan) { p.netTwice = 0 }},
	{"netlate", func(p *plan) { p.netLate, p.netOrder = 0, true }},
	{"machines", (*plan).quietMachines},
	{"pause", func(p *plan) { p.freeze = 0 }},
	{"stall", func(p *plan) { p.stall = 0 }},
	{"clock", func(p *plan) { p.clock = 0 }},
	{"together", func(p *plan) { p.together = false }},
	{"flips", func(p *plan) { p.flipWAL, p.flipSegment, p.flipLive = false, false, false }},
	{"rarefaults", (*plan).quietRareFaults},
	{"slowcommits", func(p *plan) { p.slowCommit = 0 }},
	{"cutwrites", func(p *plan) { p.cutWrite = false }},
	{"anyflips", func(p *plan) { p.flipAny = false }},
	{"syncdir", func(p *plan) { p.syncDir = false }},
	{"expiry", func(p *plan) { p.expiry = 0 }},
	{"zombies", func(p *plan) { p.zombies = false }},
	{"keep=1MiB", func(p *plan) { p.keepBytes, p.lag = 0, false }},
	{"behind", func(p *plan) { p.lag = false }},
	{"grow", func(p *plan) { p.grow = false }},
	{"storefails", func(p *plan) { p.storeFails = 0 }},
	{"sync", func(p *plan) { p.syncError = false }},
	{"cut", func(p *plan) { p.cut = false }},
	{"kill", func(p *plan) { p.kill = false }},
	{"clean", func(p *plan) { p.clean = false }},
	{"tear", func(p *plan) { p.crash = p.crash[:min(len(p.crash), 1)] }},
	{"keep", func(p *plan) { p.crash = []vfs.CrashOptions{{Keep: 1}} }},
	{"disconnect", func(p *plan) { p.disconnect = false }},
	{"stutter", func(p *plan) { p.stutter = false }},
	{"idempotence", func(p *plan) { p.idem = 0 }},
	{"admin", func(*plan) {}},
}

// without switches features off. "until=5s" is a time after which nothing goes
// wrong any more.
func (p *plan) switchOff(names []string) error {
	p.without = map[string]bool{}
	for _, name := range names {
		p.without[name] = true
		if text, ok := strings.CutPrefix(name, "until="); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				return fmt.Errorf("a run without %s: %w", name, err)
			}
			p.faultsUntil = d
			continue
		}
		known := false
		for _, f := range features {
			if f.name == name {
				known = true
				f.off(p)
			}
		}
		if !known {
			return fmt.Errorf("a run without %s: there is no such feature", name)
		}
	}
	return nil
}

// alone leaves one node.
func (p *plan) alone() {
	p.nodes = 1
	if p.freeze == 0 && p.stall == 0 {
		p.requestTimeout = 0
	}
	p.full, p.diskReserve = p.wasFull, p.hadReserve
	p.length = p.hadLength
	p.firstFile, p.file, p.walMax = p.hadFiles[0], p.hadFiles[1], p.hadFiles[2]
}

func (p *plan) quietMachines() {
	p.machineEvery, p.freeze, p.stall, p.clock, p.together, p.flipLive = 0, 0, 0, 0, false, false
	if p.nodes == 1 {
		p.requestTimeout = 0
	}
}

func (p *plan) quietNet() {
	p.netLost, p.netTwice, p.netLate, p.netEvery, p.netOrder = 0, 0, 0, 0, true
}

// faulty reports whether anything may go wrong now.
func (s *run) faulty() bool {
	return !s.ending && (s.plan.faultsUntil == 0 || s.now.Sub(begin) < s.plan.faultsUntil)
}
