package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// shrink looks for a smaller plan under which a seed breaks the same invariant:
// it switches features off one by one, and keeps off what does not matter, until
// nothing more can go or the time is over. It returns what to switch off.
func shrink(r *Result, limit time.Duration) []string {
	end := time.Now().Add(limit)
	without := slices.Clone(r.Without)
	breaks := func(without []string) (Result, bool) {
		again := RunWithout(r.Seed, without, nil)
		return again, again.Violation != nil && again.Violation.Checker == r.Violation.Checker
	}
	last, ok := breaks(without)
	if !ok {
		return without // it does not even break again: something is not deterministic
	}
	for _, f := range features {
		if time.Now().After(end) {
			break
		}
		if slices.Contains(without, f.name) {
			continue
		}
		if again, ok := breaks(append(slices.Clone(without), f.name)); ok && again.Hash != last.Hash {
			without, last = append(without, f.name), again
		}
	}
	// Faults behind some moment may not matter either.
	for part := 1; part < 8 && time.Now().Before(end); part++ {
		until := fmt.Sprintf("until=%v", (last.Stats.Virtual * time.Duration(part) / 8).Round(time.Millisecond))
		if _, ok := breaks(append(slices.Clone(without), until)); ok {
			return append(without, until)
		}
	}
	return without
}

// A run that fails whatever is switched off shrinks to one without anything.
func TestShrinkSwitchesOffWhatDoesNotMatter(t *testing.T) {
	broken := Run(3, nil)
	broken.Violation = &Violation{Checker: "plan"}
	broken.Without = []string{"no such feature"}
	small := shrink(&broken, time.Minute)
	if len(small) > 2 {
		t.Errorf("a run that breaks at once is shrunk to %q", small)
	}
}
