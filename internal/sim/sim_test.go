package sim

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// number reads a number from the environment.
func number(t *testing.T, name string) (uint64, bool) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, text, err)
	}
	return n, true
}

// report describes a run that broke an invariant.
func report(r *Result) string {
	return fmt.Sprintf("seed %d breaks %v\nplan: %s\n%s\nreplay it with VARVE_SIM_SEED=%d",
		r.Seed, r.Violation, r.Plan, strings.Join(r.Last, "\n"), r.Seed)
}

func (s *Stats) add(o Stats) {
	s.Virtual += o.Virtual
	s.Ops += o.Ops
	for i, p := range s.counts() {
		*p += *o.counts()[i]
	}
}

func (s *Stats) counts() []*int {
	return []*int{
		&s.Acked, &s.Refused, &s.Reads, &s.Batches, &s.PowerLosses, &s.Kills, &s.Cuts, &s.Clean, &s.SyncErrors,
		&s.Flips, &s.Refusals, &s.Full, &s.Opens, &s.Checkpoints, &s.TopicsDeleted, &s.RecordsDeleted, &s.Letters,
		&s.Uploads, &s.Discards, &s.ColdReads, &s.Objects, &s.Orphans, &s.ObjectsDeleted,
	}
}

// TestSeeds runs VARVE_SIM_SEEDS seeds, or the one that VARVE_SIM_SEED names
// with its whole trace.
func TestSeeds(t *testing.T) {
	if seed, ok := number(t, "VARVE_SIM_SEED"); ok {
		r := Run(seed, os.Stdout)
		t.Logf("hash %x, %+v", r.Hash, r.Stats)
		if r.Violation != nil {
			t.Fatal(report(&r))
		}
		return
	}
	seeds := uint64(100)
	if n, ok := number(t, "VARVE_SIM_SEEDS"); ok {
		seeds = n
	}
	first, _ := number(t, "VARVE_SIM_FIRST")
	before := runtime.NumGoroutine()
	var total Stats
	failed := 0
	for seed := first; seed < first+seeds; seed++ {
		r := Run(seed, nil)
		total.add(r.Stats)
		if r.Violation != nil {
			if failed++; failed <= 5 {
				t.Error(report(&r))
			} else {
				t.Errorf("seed %d breaks %v", r.Seed, r.Violation)
			}
		}
	}
	if after := runtime.NumGoroutine(); after > before { // R2
		t.Errorf("%d goroutines more than before", after-before)
	}
	t.Logf("%d seeds, %d failed: %+v", seeds, failed, total)
}

// Seeds that found something once, with what it was.
var found = map[uint64]string{
	20758: "a flipped length in a batch's header made a reader step over the rest of the log",
	30693: "files of the write-ahead log took the space that deletion needs on a full disk",
	12940: "restarts in a row used up what the write-ahead log kept for a checkpoint",
}

func TestSeedsThatFoundSomething(t *testing.T) {
	for seed, what := range found {
		if r := Run(seed, nil); r.Violation != nil {
			t.Errorf("%s: %s", what, report(&r))
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a, b := Run(seed, nil), Run(seed, io.Discard)
		if a.Hash != b.Hash {
			t.Errorf("seed %d: trace hashes %x and %x", seed, a.Hash, b.Hash)
		}
	}
}
