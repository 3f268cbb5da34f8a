package sim

import (
	"os"
	"strings"
	"testing"
)

// kinds are what VARVE_SIM_PLANS can ask for, so that a run of many seeds is about
// one thing. Seeds whose plans have less are left out, not replaced.
var kinds = map[string]func(seed uint64, p *plan) bool{
	"full":   func(_ uint64, p *plan) bool { return p.full },
	"one":    func(_ uint64, p *plan) bool { return p.nodes == 1 },
	"nodes":  func(_ uint64, p *plan) bool { return p.nodes > 1 },
	"chains": func(_ uint64, p *plan) bool { return p.chains },
	"tier":   func(_ uint64, p *plan) bool { return p.tier },
	// A repair loses something in the middle of the load; with "tier" and so on,
	// something of that.
	"losses":        func(seed uint64, p *plan) bool { return drawMidway(seed, p).losses.any },
	"losses-tier":   func(seed uint64, p *plan) bool { return p.tier && drawMidway(seed, p).losses.tier },
	"losses-chains": func(seed uint64, p *plan) bool { return p.chains && drawMidway(seed, p).losses.chains },
	"losses-groups": func(seed uint64, p *plan) bool {
		return drawGroups(seed, p).groups > 0 && drawMidway(seed, p).losses.groups
	},
}

// chosen reports whether the plan of a seed is one that VARVE_SIM_PLANS asks for:
// the names of kinds, all of which it must be.
func chosen(seed uint64) bool {
	for _, name := range strings.FieldsFunc(os.Getenv("VARVE_SIM_PLANS"), func(r rune) bool { return r == ',' }) {
		is := kinds[name]
		if is == nil || !is(seed, draw(seed)) {
			return false
		}
	}
	return true
}

func TestPlansAreChosen(t *testing.T) {
	for name := range kinds {
		t.Setenv("VARVE_SIM_PLANS", name)
		n := 0
		for seed := range uint64(300) {
			if chosen(seed) {
				n++
			}
		}
		if n < 5 || n > 295 {
			t.Errorf("%d of 300 plans are of the kind %q", n, name)
		}
	}
	t.Setenv("VARVE_SIM_PLANS", "one,nodes")
	if chosen(1) {
		t.Error("a plan of two kinds that exclude each other")
	}
}
