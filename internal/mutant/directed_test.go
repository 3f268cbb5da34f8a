//go:build mutants

package mutant

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// assertion matches what a test says when it fails: the place and the message.
var assertion = regexp.MustCompile(`(?m)^ +([a-z0-9_]+_test\.go:\d+: .*)$`)

// TestDirected: each planted bug that is not the simulator's to find is found by
// its test, which passes without it. VARVE_MUTANT names the ones to plant.
func TestDirected(t *testing.T) {
	only := strings.FieldsFunc(os.Getenv("VARVE_MUTANT"), func(r rune) bool { return r == ',' })
	dir, built := t.TempDir(), map[string]string{}
	t.Logf("%-20s %-20s %-40s %8s  %s", "planted bug", "package", "test", "wall", "assertion")
	for _, d := range AllDirected() {
		if len(only) > 0 && !slices.Contains(only, string(d.Name)) {
			continue
		}
		home := "../../" + d.Package
		if built[d.Package] == "" {
			binary := filepath.Join(dir, strings.ReplaceAll(d.Package, "/", "-"))
			build := exec.Command("go", "test", "-c", "-tags", "mutants", "-o", binary, ".")
			build.Dir = home
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build the tests of %s: %v\n%s", d.Package, err, out)
			}
			built[d.Package] = binary
		}
		run := func(planted Name) (string, error) {
			cmd := exec.Command(built[d.Package], "-test.run=^"+d.Test+"$", "-test.v")
			cmd.Dir = home
			cmd.Env = append(os.Environ(), "VARVE_MUTANT="+string(planted))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := run(""); err != nil || !strings.Contains(out, "--- PASS: "+d.Test) {
			t.Fatalf("%s of %s does not pass without a planted bug: %v\n%s", d.Test, d.Package, err, out)
		}
		start := time.Now()
		out, err := run(d.Name)
		wall, said := time.Since(start).Round(10*time.Millisecond), assertion.FindStringSubmatch(out)
		if err == nil || said == nil { // a panic finds nothing
			t.Errorf("%-20s NOT FOUND by %s of %s: %v\n%s", d.Name, d.Test, d.Package, err, out)
			continue
		}
		t.Logf("%-20s %-20s %-40s %8v  %.110s", d.Name, d.Package, d.Test, wall, said[1])
	}
	t.Logf("%d planted bugs; make mutants MUTANT=<planted bug> plants one", len(AllDirected()))
}
