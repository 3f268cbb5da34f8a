//go:build mutants

package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// mutantSeeds is how many seeds may be tried to find a planted bug, from 0 on,
// in order.
const mutantSeeds = 400

// profile says which seeds count for a planted bug: those whose plan has what the
// bug is about. The others are not run. bias, if it is not nil, changes their
// plans so that it happens more often.
type profile struct {
	name string
	fits func(seed uint64, p *plan) bool
	bias func(*plan)
}

var (
	anyPlan    = profile{name: "any", fits: func(uint64, *plan) bool { return true }}
	chainPlans = profile{name: "chains", fits: func(_ uint64, p *plan) bool { return p.chains }}
	tierPlans  = profile{name: "cold tier", fits: func(_ uint64, p *plan) bool { return p.tier }}
	fullPlans  = profile{name: "full disk", fits: func(_ uint64, p *plan) bool { return p.full }}
	nodePlans  = profile{name: "nodes", fits: func(_ uint64, p *plan) bool { return p.nodes > 1 }}
	// Three machines that lose power often, all together as well, with slow syncs,
	// so that what is not synced is lost.
	powerPlans = profile{name: "power", fits: func(_ uint64, p *plan) bool { return p.nodes > 1 }, bias: losePower}
	// One machine on which the broker ends often, in every way, without what takes
	// the time of a run.
	chainCrashes = profile{name: "crashes", fits: func(_ uint64, p *plan) bool { return p.chains && p.nodes == 1 }, bias: crashOften}
	groupCrashes = profile{name: "crashes", fits: func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 && p.nodes == 1 }, bias: crashOften}
	groupNodes   = profile{name: "groups", fits: func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 && p.nodes > 1 }}
	groupPlans   = profile{name: "groups", fits: func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 }}
)

// profiles are those of bugs that not every plan can show.
var profiles = map[mutant.Name]profile{
	mutant.RetentionNeedsSpace: fullPlans,
	mutant.EvictUncopied:       tierPlans, mutant.CommitOutOfOrder: tierPlans, mutant.CommitFailedUpload: tierPlans,
	mutant.DiscardWithoutGrace: tierPlans, mutant.DiscardNamed: tierPlans, mutant.DiscardUnknown: tierPlans,
	mutant.DropKeepsLogStart: tierPlans, mutant.ForgetUndeleted: tierPlans,
	mutant.BlocksTrusted: tierPlans, mutant.ColdBelowStart: tierPlans,
	mutant.RefusedLetter: chainPlans, mutant.GenerationBack: chainPlans, mutant.LettersTwice: chainCrashes, mutant.TrimUndelivered: chainCrashes,
	mutant.SnapshotBeforeDurable: powerPlans, mutant.AckBeforeSync: powerPlans,
	mutant.FencedCommit: groupPlans, mutant.FencedInstance: groupPlans, mutant.AssignedEarly: groupCrashes, mutant.JoinWithoutEnd: groupPlans,
	mutant.GroupsNotReplayed: groupPlans, mutant.OldTopicOffsets: groupCrashes, mutant.CommitBeforeAppend: groupCrashes,
	mutant.UnknownTopicGone: groupNodes, mutant.OffsetRewound: groupPlans, mutant.TrimBeforeSnapshot: groupCrashes,
}

// crashOften is the bias of chainCrashes and groupCrashes.
func crashOften(p *plan) {
	p.length = min(p.length, 20*time.Second)
	p.faultEvery, p.kill, p.cut, p.tier, p.syncError = p.length/40, true, true, false, true
	if len(p.crash) == 0 {
		p.crash = []vfs.CrashOptions{{}}
	}
}

// losePower is the bias of powerPlans.
func losePower(p *plan) {
	if p.nodes == 1 {
		return
	}
	p.nodes, p.chains, p.tier = 3, false, false
	p.length = min(p.length, 20*time.Second)
	p.doDelay, p.burst = 10*time.Millisecond, 20*time.Millisecond
	p.faultEvery, p.crash, p.cut, p.flipWAL, p.flipSegment = p.length/20, []vfs.CrashOptions{{}}, true, false, false
	p.machineEvery, p.together, p.freeze, p.stall, p.clock, p.flipLive = p.length/40, true, 0, 0, 0, false
}

func profileOf(name mutant.Name) profile {
	if p, ok := profiles[name]; ok {
		return p
	}
	return anyPlan
}

// verdict of one planted bug, as the process that hunted it reports it.
type hunted struct {
	Name    mutant.Name
	Found   bool
	Checker string
	Text    string
	Seed    uint64
	Seeds   int           // that were run
	Virtual time.Duration // in them
	Wall    time.Duration
}

// hunt runs seeds until one breaks an invariant.
func hunt(name mutant.Name) hunted {
	mutant.Plant(name)
	defer mutant.Plant("")
	h, start := hunted{Name: name}, time.Now()
	fits := profileOf(name).fits
	bias = profileOf(name).bias
	defer func() { bias = nil }()
	for seed := uint64(0); seed < 20*mutantSeeds && h.Seeds < mutantSeeds && !h.Found; seed++ {
		if !fits(seed, draw(seed)) {
			continue
		}
		r := Run(seed, nil)
		h.Seeds++
		h.Virtual += r.Stats.Virtual
		if v := r.Violation; v != nil && !failsAnyway(name, seed) {
			h.Found, h.Checker, h.Text, h.Seed = true, v.Checker, v.Text, seed
		}
	}
	h.Wall = time.Since(start)
	return h
}

// failsAnyway reports whether a seed breaks an invariant without the planted bug:
// then it proves nothing about that.
func failsAnyway(name mutant.Name, seed uint64) bool {
	mutant.Plant("")
	defer mutant.Plant(name)
	return Run(seed, nil).Violation != nil
}

// The environment of a process that hunts: what, and where its verdict goes.
const (
	huntName = "VARVE_MUTANT"
	huntFile = "VARVE_MUTANT_FILE"
)

// TestHunt is what a process of TestMutants runs: the switch of planted bugs is
// the process's.
func TestHunt(t *testing.T) {
	name, file := os.Getenv(huntName), os.Getenv(huntFile)
	if file == "" {
		return
	}
	b, err := json.Marshal(hunt(mutant.Name(name)))
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestMutants plants each bug, several at a time in processes of their own, and
// fails if no seed finds it. VARVE_MUTANTS names the ones to plant.
func TestMutants(t *testing.T) {
	names := mutant.All()
	if text := os.Getenv("VARVE_MUTANTS"); text != "" {
		names = nil
		for _, n := range strings.Split(text, ",") {
			names = append(names, mutant.Name(n))
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	todo := make(chan int)
	var done sync.WaitGroup
	for range max(runtime.NumCPU(), 1) {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range todo {
				show(t, huntApart(t, self, fmt.Sprintf("%s/%d", dir, i), names[i]))
			}
		}()
	}
	start := time.Now()
	t.Logf("%-24s %-9s %-7s %5s %5s %9s %8s", "planted bug", "plans", "checker", "seed", "seeds", "virtual", "wall")
	for i := range names {
		todo <- i
	}
	close(todo)
	done.Wait()
	t.Logf("%d planted bugs in %v", len(names), time.Since(start).Round(time.Second))
}

// show shows a verdict.
func show(t *testing.T, h hunted) {
	virtual, wall := h.Virtual.Round(time.Second), h.Wall.Round(10*time.Millisecond)
	if !h.Found {
		t.Errorf("%-24s %-9s NOT FOUND by %d seeds, %v virtual, in %v", h.Name, profileOf(h.Name).name, h.Seeds, virtual, wall)
		return
	}
	t.Logf("%-24s %-9s %-7s %5d %5d %9v %8v  %.90s", h.Name, profileOf(h.Name).name, h.Checker, h.Seed, h.Seeds, virtual, wall, strings.ReplaceAll(h.Text, "\n", " "))
}

// huntApart hunts one bug in a process of its own.
func huntApart(t *testing.T, self, file string, name mutant.Name) hunted {
	h := hunted{Name: name}
	cmd := exec.Command(self, "-test.run=^TestHunt$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), huntName+"="+string(name), huntFile+"="+file, "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		var b []byte
		if b, err = os.ReadFile(file); err == nil {
			err = json.Unmarshal(b, &h)
		}
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	return h
}
