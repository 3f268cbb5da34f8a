//go:build mutants

package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/mutant"
)

// mutantSeeds is how many seeds may be tried to find a planted bug, from 0 on,
// in order.
const mutantSeeds = 400

// verdict of one planted bug, as the process that hunted it reports it.
type hunted struct {
	Name    mutant.Name
	Found   bool
	Checker string
	Text    string
	Seed    uint64
	Seeds   int            // that were run
	Others  map[string]int // violations of what was not expected to find it, which do not count
	Virtual time.Duration  // in them
	Wall    time.Duration
}

// plant switches a bug on, with what its seeds are run with, and returns what
// switches all of that off.
func plant(name mutant.Name) (off func()) {
	mutant.Plant(name)
	bias, deaf = expected[name].in.bias, true
	return func() {
		mutant.Plant("")
		bias, deaf = nil, false
	}
}

// hunt runs seeds until one breaks an invariant that the bug is expected to break.
func hunt(name mutant.Name) hunted {
	h, start := hunted{Name: name, Others: map[string]int{}}, time.Now()
	defer plant(name)()
	e := expected[name]
	for seed := uint64(0); seed < 20*mutantSeeds && h.Seeds < mutantSeeds && !h.Found; seed++ {
		if !e.in.fits(seed, draw(seed)) {
			continue
		}
		r := Run(seed, nil)
		h.Seeds++
		h.Virtual += r.Stats.Virtual
		switch v := r.Violation; {
		case v == nil:
		case !e.counts(v):
			h.Others[v.Checker]++
			h.Text = v.Text // if nothing better comes
		case !failsAnyway(name, seed):
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

// bugs returns the bugs to plant: those that VARVE_MUTANT names, separated by
// commas, or all.
func bugs(t *testing.T) []mutant.Name {
	text := os.Getenv(huntName)
	if text == "" {
		return mutant.All()
	}
	var names []mutant.Name
	for _, n := range strings.Split(text, ",") {
		switch name := mutant.Name(n); {
		case slices.Contains(mutant.All(), name):
			names = append(names, name)
		case !slices.ContainsFunc(mutant.AllDirected(), func(d mutant.Directed) bool { return d.Name == name }):
			t.Errorf("there is no planted bug %q", name)
		}
	}
	return names
}

// TestMutants plants each bug, several at a time in processes of their own, and
// fails unless a seed breaks an invariant that the bug is known to break. With
// VARVE_MUTANT and VARVE_SIM_SEED it runs that one seed, and shows its trace.
func TestMutants(t *testing.T) {
	mutant.Plant("")
	names := bugs(t)
	if seed, ok := number(t, "VARVE_SIM_SEED"); ok && len(names) == 1 {
		defer plant(names[0])()
		if v := Run(seed, os.Stdout).Violation; v == nil || !expected[names[0]].counts(v) {
			t.Fatalf("%s at seed %d: %v, expected was %v", names[0], seed, v, expected[names[0]].by)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	todo := make(chan int)
	var done sync.WaitGroup
	for range max(runtime.NumCPU(), 1) {
		done.Go(func() {
			for i := range todo {
				show(t, huntApart(t, self, fmt.Sprintf("%s/%d", dir, i), names[i]))
			}
		})
	}
	start := time.Now()
	t.Logf("%-24s %-10s %-7s %5s %5s %9s %8s", "planted bug", "plans", "checker", "seed", "seeds", "virtual", "wall")
	for i := range names {
		todo <- i
	}
	close(todo)
	done.Wait()
	t.Logf("%d planted bugs in %v; make mutants MUTANT=<planted bug> SEED=<seed> shows what happened", len(names), time.Since(start).Round(time.Second))
}

// show shows a verdict.
func show(t *testing.T, h hunted) {
	e := expected[h.Name]
	virtual, wall := h.Virtual.Round(time.Second), h.Wall.Round(10*time.Millisecond)
	others := ""
	if len(h.Others) > 0 {
		others = " (others first: " + strings.TrimPrefix(fmt.Sprint(h.Others), "map") + ")"
	}
	if !h.Found {
		t.Errorf("%-24s %-10s NOT FOUND by %v in %d seeds, %v virtual, %v%s %.200s; make mutants MUTANT=%s hunts it alone", h.Name, e.in.name, e.by, h.Seeds, virtual, wall, others, h.Text, h.Name)
		return
	}
	t.Logf("%-24s %-10s %-7s %5d %5d %9v %8v  %.90s%s", h.Name, e.in.name, h.Checker, h.Seed, h.Seeds, virtual, wall, strings.ReplaceAll(h.Text, "\n", " "), others)
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

// Each bug that the simulator must find is expected to break something, and only
// such bugs are.
func TestEveryMutantIsExpected(t *testing.T) {
	for _, name := range mutant.All() {
		if len(expected[name].by) == 0 {
			t.Errorf("%s: nothing says what it breaks", name)
		}
	}
	if len(expected) != len(mutant.All()) {
		t.Errorf("%d bugs are expected to break something, and there are %d", len(expected), len(mutant.All()))
	}
}
