//go:build mutants

package mutant

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestDirected: each planted bug that is not the simulator's to find is found by
// its test, which passes without it.
func TestDirected(t *testing.T) {
	for _, d := range AllDirected() {
		run := func(planted Name) ([]byte, error) {
			cmd := exec.Command("go", "test", "-tags", "mutants", "-count=1", "-run", "^"+d.Test+"$", "./../../"+d.Package)
			cmd.Env = append(os.Environ(), "VARVE_MUTANT="+string(planted))
			return cmd.CombinedOutput()
		}
		if out, err := run(""); err != nil {
			t.Fatalf("%s fails without a planted bug: %s", d.Test, out)
		}
		start := time.Now()
		if _, err := run(d.Name); err == nil {
			t.Errorf("%-20s not found by %s of %s", d.Name, d.Test, d.Package)
			continue
		}
		t.Logf("%-20s found by %s of %s, %v", d.Name, d.Test, d.Package, time.Since(start).Round(10*time.Millisecond))
	}
}
