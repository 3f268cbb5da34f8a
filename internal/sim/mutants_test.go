//go:build mutants

package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/mutant"
)

// mutantSeeds is how many seeds may be tried to find a planted bug, from 0 on,
// in order.
const mutantSeeds = 400

// profile says which seeds count for a planted bug: those whose plan has what the
// bug is about. The others are not run.
type profile struct {
	name string
	fits func(seed uint64, p *plan) bool
}

var (
	anyPlan    = profile{"any", func(uint64, *plan) bool { return true }}
	chainPlans = profile{"chains", func(_ uint64, p *plan) bool { return p.chains }}
	tierPlans  = profile{"cold tier", func(_ uint64, p *plan) bool { return p.tier }}
	fullPlans  = profile{"full disk", func(_ uint64, p *plan) bool { return p.full }}
	nodePlans  = profile{"nodes", func(_ uint64, p *plan) bool { return p.nodes > 1 }}
	groupPlans = profile{"groups", func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 }}
)

// profiles are those of bugs that not every plan can show.
var profiles = map[mutant.Name]profile{
	mutant.RetentionNeedsSpace: fullPlans,
	mutant.EvictUncopied:       tierPlans, mutant.CommitOutOfOrder: tierPlans, mutant.CommitFailedUpload: tierPlans,
	mutant.DiscardWithoutGrace: tierPlans, mutant.DiscardNamed: tierPlans, mutant.DiscardUnknown: tierPlans,
	mutant.DropKeepsLogStart: tierPlans, mutant.ForgetUndeleted: tierPlans,
	mutant.RefusedLetter: chainPlans, mutant.GenerationBack: chainPlans, mutant.LettersTwice: chainPlans, mutant.TrimUndelivered: chainPlans,
	mutant.StaleTailKept: nodePlans, mutant.SnapshotBeforeDurable: nodePlans, mutant.VoteForgotten: nodePlans, mutant.AckBeforeSync: nodePlans,
	mutant.FencedCommit: groupPlans, mutant.FencedInstance: groupPlans, mutant.AssignedEarly: groupPlans, mutant.JoinWithoutEnd: groupPlans,
	mutant.GroupsNotReplayed: groupPlans, mutant.OldTopicOffsets: groupPlans, mutant.CommitBeforeAppend: groupPlans,
	mutant.OffsetRewound: groupPlans, mutant.TrimBeforeSnapshot: groupPlans,
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
	for seed := uint64(0); seed < 20*mutantSeeds && h.Seeds < mutantSeeds && !h.Found; seed++ {
		if !fits(seed, draw(seed)) {
			continue
		}
		r := Run(seed, nil)
		h.Seeds++
		h.Virtual += r.Stats.Virtual
		if v := r.Violation; v != nil {
			h.Found, h.Checker, h.Text, h.Seed = true, v.Checker, v.Text, seed
		}
	}
	h.Wall = time.Since(start)
	return h
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
	results := make([]hunted, len(names))
	todo := make(chan int)
	var done sync.WaitGroup
	for range max(runtime.NumCPU(), 1) {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range todo {
				results[i] = huntApart(t, self, fmt.Sprintf("%s/%d", dir, i), names[i])
			}
		}()
	}
	start := time.Now()
	for i := range names {
		todo <- i
	}
	close(todo)
	done.Wait()
	sort.SliceStable(results, func(i, j int) bool { return results[i].Wall > results[j].Wall })
	t.Logf("%-26s %-10s %-7s %6s %6s %12s %10s", "planted bug", "plans", "checker", "seed", "seeds", "virtual", "wall")
	for _, h := range results {
		if !h.Found {
			t.Errorf("%-26s %-10s NOT FOUND by %d seeds, %v virtual, in %v", h.Name, profileOf(h.Name).name, h.Seeds, h.Virtual.Round(time.Second), h.Wall.Round(time.Millisecond))
			continue
		}
		t.Logf("%-26s %-10s %-7s %6d %6d %12v %10v  %.100s", h.Name, profileOf(h.Name).name, h.Checker, h.Seed, h.Seeds,
			h.Virtual.Round(time.Second), h.Wall.Round(time.Millisecond), strings.ReplaceAll(h.Text, "\n", " "))
	}
	t.Logf("%d planted bugs in %v", len(results), time.Since(start).Round(time.Second))
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
