//go:build mutants

package sim

import (
	"testing"
	"time"

	"github.com/varvelog/varve/internal/mutant"
)

// mutantSeeds is how many seeds may be tried to find a planted bug.
const mutantSeeds = 400

// TestMutants plants each bug and fails if no seed finds it.
func TestMutants(t *testing.T) {
	defer mutant.Plant("")
	for _, name := range mutant.All() {
		t.Run(string(name), func(t *testing.T) {
			mutant.Plant(name)
			start := time.Now()
			for seed := range uint64(mutantSeeds) {
				if r := Run(seed, nil); r.Violation != nil {
					t.Logf("seed %d, %v: %.200s", seed, time.Since(start).Round(time.Millisecond), r.Violation.Error())
					return
				}
			}
			t.Errorf("not found by %d seeds in %v", mutantSeeds, time.Since(start).Round(time.Millisecond))
		})
	}
}
