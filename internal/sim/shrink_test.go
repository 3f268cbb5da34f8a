package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// shrink looks for a smaller plan under which a seed breaks the same invariant:
// it switches features off one by one, and keeps off what does not matter, until
// nothing more can go or the time is over. It returns the run of that plan, or r
// if it does not break again: then something is not deterministic.
func shrink(r *Result, limit time.Duration) Result {
	end := time.Now().Add(limit)
	breaks := func(without []string) (Result, bool) {
		again := RunWithout(r.Seed, without, nil)
		return again, again.Violation != nil && again.Violation.Checker == r.Violation.Checker
	}
	small, ok := breaks(slices.Clone(r.Without))
	if !ok {
		return *r
	}
	for _, f := range features {
		if time.Now().After(end) {
			break
		}
		if slices.Contains(small.Without, f.name) {
			continue
		}
		if again, ok := breaks(append(slices.Clone(small.Without), f.name)); ok && again.Hash != small.Hash {
			small = again
		}
	}
	// Faults behind some moment may not matter either.
	for part := 1; part < 8 && time.Now().Before(end); part++ {
		until := fmt.Sprintf("until=%v", (small.Stats.Virtual * time.Duration(part) / 8).Round(time.Millisecond))
		if again, ok := breaks(append(slices.Clone(small.Without), until)); ok {
			return again
		}
	}
	return small
}

// A run that fails whatever is switched off shrinks to one without anything.
func TestShrinkSwitchesOffWhatDoesNotMatter(t *testing.T) {
	broken := Run(3, nil)
	broken.Violation = &Violation{Checker: "plan"}
	broken.Without = []string{"no such feature"}
	small := shrink(&broken, time.Minute)
	if len(small.Without) > 2 {
		t.Errorf("a run that breaks at once is shrunk to %q", small.Without)
	}
}
