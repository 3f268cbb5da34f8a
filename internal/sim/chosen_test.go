package sim

import (
	"os"
	"strings"
	"testing"
)

// kinds are what VARVE_SIM_PLANS can ask for, so that a run of many seeds is about
// one thing. Seeds whose plans have less are left out, not replaced.
var kinds = map[string]func(p *plan) bool{
	"full":   func(p *plan) bool { return p.full },
	"one":    func(p *plan) bool { return p.nodes == 1 },
	"nodes":  func(p *plan) bool { return p.nodes > 1 },
	"chains": func(p *plan) bool { return p.chains },
	"tier":   func(p *plan) bool { return p.tier },
}

// chosen reports whether the plan of a seed is one that VARVE_SIM_PLANS asks for:
// the names of kinds, all of which it must be.
func chosen(seed uint64) bool {
	for _, name := range strings.FieldsFunc(os.Getenv("VARVE_SIM_PLANS"), func(r rune) bool { return r == ',' }) {
		is := kinds[name]
		if is == nil || !is(draw(seed)) {
			return false
		}
	}
	return true
}

func TestPlansAreChosen(t *testing.T) {
	for name := range kinds {
		t.Setenv("VARVE_SIM_PLANS", name)
		n := 0
		for seed := range uint64(100) {
			if chosen(seed) {
				n++
			}
		}
		if n < 5 || n > 95 {
			t.Errorf("%d of 100 plans are of the kind %q", n, name)
		}
	}
	t.Setenv("VARVE_SIM_PLANS", "one,nodes")
	if chosen(1) {
		t.Error("a plan of two kinds that exclude each other")
	}
}
