package meter

import (
	"flag"
	"testing"
)

var programs = flag.Int("programs", 60, "random programs of the differential tests")

// Without bulk instructions the charge is the instructions executed and at most
// FoldMax more for each region, and a region has at least one instruction that
// was executed.
func TestRandomPrograms(t *testing.T) {
	r := newRuntime(t)
	var charged, executed int64
	traps := map[string]int{}
	for seed := range uint64(*programs) {
		module := generate(seed, false)
		for _, args := range [][2]uint64{{0, 0}, {1, 7}, {0xfffffff0, 0x12345}} {
			c, e, trap := same(t, r, module, testOptions(), "run", args[0], args[1])
			if trap == "" && c > e*(FoldMax+1)+FoldMax {
				t.Fatalf("seed %d: charged %d for %d instructions", seed, c, e)
			}
			traps[trap]++
			if trap == "" {
				charged, executed = charged+c, executed+e
			}
		}
	}
	ratio := float64(charged) / float64(executed)
	t.Logf("charged %.3f times the %d instructions executed; ends %v", ratio, executed, traps)
	if ratio > 1.2 || traps[""] < *programs || executed < int64(*programs)*100 {
		t.Error("the programs or the charges are not what this test is about")
	}
}

func TestRandomBulkPrograms(t *testing.T) {
	r := newRuntime(t)
	traps := map[string]int{}
	for seed := range uint64(*programs) {
		module := generate(seed+1<<32, true)
		for _, args := range [][2]uint64{{0, 0}, {0xfffffff0, 0x12345}} {
			_, _, trap := same(t, r, module, testOptions(), "run", args[0], args[1])
			traps[trap]++
		}
	}
	t.Logf("ends %v", traps)
	if traps[""] == 0 || len(traps) < 3 {
		t.Error("the programs are not what this test is about")
	}
}

// Equal runs charge equal fuel, whatever the slice.
func TestChargeIsDeterministic(t *testing.T) {
	r := newRuntime(t)
	for seed := range uint64(40) {
		module := generate(seed, true)
		var first fuelled
		for i, slice := range []int64{1, 100, 65536} {
			o := testOptions()
			o.Slice = slice
			out, _ := rewrite(t, module, o)
			got := callMetered(instantiate(t, r, out), 1<<40, "run", 3, 4)
			if i == 0 {
				first = got
			} else if got.charged != first.charged || trapText(got.err) != trapText(first.err) {
				t.Fatalf("seed %d: slice %d charged %d, first %d", seed, slice, got.charged, first.charged)
			}
		}
		// Exactly enough fuel is enough.
		if first.err != nil {
			continue
		}
		out, _ := rewrite(t, module, testOptions())
		if got := callMetered(instantiate(t, r, out), first.charged, "run", 3, 4); got.err != nil {
			t.Fatalf("seed %d: %v with exactly enough fuel", seed, got.err)
		}
	}
}
