package invariant

import (
	"slices"
	"testing"
)

func TestGauge(t *testing.T) {
	g := NewGauge("things of a test")
	g.Add(3)
	g.Add(-2)
	left := Outstanding()
	if Enabled != slices.Contains(left, "things of a test: 1 are not given back") {
		t.Errorf("%q with Enabled = %v", left, Enabled)
	}
	g.Add(-1)
	if left := Outstanding(); len(left) != 0 {
		t.Errorf("%q", left)
	}
	if v := violation(t, func() { g.Add(-1) }); (v != nil) != Enabled {
		t.Errorf("given back twice: %v", v)
	}
	g.Add(1)
}
