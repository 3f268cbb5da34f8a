package sim

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// proof is where an invariant of the design is proven: in the checker's file
// check_<id>.go, if checker is set, and by tests elsewhere, each a directory and a
// name. Without either, why says why nothing proves it.
type proof struct {
	id      string
	checker bool
	tests   []string
	why     string
}

// proofs lists every invariant of section 7 of the design. docs/TESTING.md has
// the same table.
var proofs = []proof{
	{id: "L1", checker: true}, {id: "L2", checker: true}, {id: "L3", checker: true}, {id: "L4", checker: true}, {id: "L5", checker: true},
	{id: "L6", checker: true}, {id: "L7", checker: true}, {id: "L8", checker: true}, {id: "L9", checker: true}, {id: "L10", checker: true},
	{id: "T1", why: "transactions"}, {id: "T2", why: "transactions"}, {id: "T3", why: "transactions"}, {id: "T4", why: "transactions"}, {id: "T5", why: "transactions"},
	{id: "C1", checker: true}, {id: "C2", checker: true}, {id: "C3", checker: true}, {id: "C4", checker: true},
	{id: "S1", checker: true, tests: []string{"tiering/offload TestS1TamperedObjectsAreNotCommitted"}},
	{id: "S2", tests: []string{"tiering/offload TestS2LostResponse", "tiering/offload TestS2UnknownOutcomeIsNoSuccess", "tiering/offload TestS1S2S3RandomFaults", "broker/partition TestLostCommitIsAnError"}},
	{id: "S3", checker: true}, {id: "S4", checker: true},
	{id: "S5", checker: true, tests: []string{"tiering/remote TestReadAgreesWithScan"}},
	{id: "W1", checker: true, tests: []string{"broker/partition TestNoChainIdenticalBytes"}},
	{id: "W2", checker: true, tests: []string{"wasm/meter TestChargeIsDeterministic", "wasm TestZoo"}},
	{id: "W3", checker: true},
	{id: "W4", tests: []string{"wasm TestZoo", "wasm TestRefusedModules", "wasm TestCollectorIsNotBlocked"}},
	{id: "W5", tests: []string{"wasm TestNothingIsLeftBetweenCalls", "wasm TestNothingIsLeftAfterTraps"}},
	{id: "W6", checker: true}, {id: "W7", checker: true},
	{id: "R1", tests: []string{"tests/hostile TestHostile", "tiering/remote TestMemoryIsBounded"}},
	{id: "R2", checker: true}, {id: "R3", checker: true}, {id: "R4", checker: true}, {id: "V1", checker: true},
	{id: "A1", why: "access control"},
	{id: "A2", tests: []string{"tiering/objstore TestFileStaysInside", "tiering/manifest TestKeyRoundTrip"}},
}

// Every invariant has a checker in a file of its own, or tests elsewhere that
// exist, or it is said that nothing proves it; and the page says the same.
func TestEveryInvariantIsProven(t *testing.T) {
	page, err := os.ReadFile("../../docs/TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range proofs {
		row := regexp.MustCompile(`(?m)^\| ` + p.id + ` \|.*$`).FindString(string(page))
		if row == "" {
			t.Errorf("%s: docs/TESTING.md has no row for it", p.id)
		}
		file := "check_" + strings.ToLower(p.id) + ".go"
		if b, err := os.ReadFile(file); (err == nil) != p.checker {
			t.Errorf("%s: the table says that %s exists: %v; %v", p.id, file, p.checker, err)
		} else if p.checker && (!strings.Contains(string(b), ": "+p.id) || !strings.Contains(row, file)) {
			t.Errorf("%s: %s does not say what it checks, or docs/TESTING.md does not name it", p.id, file)
		}
		for _, test := range p.tests {
			dir, name, _ := strings.Cut(test, " ")
			if !exists(t, "../../"+dir, name) || !strings.Contains(row, name) {
				t.Errorf("%s: there is no %s in %s, or docs/TESTING.md does not name it", p.id, name, dir)
			}
		}
		if !p.checker && len(p.tests) == 0 && !strings.Contains(row, "nothing") {
			t.Errorf("%s: nothing proves it, and docs/TESTING.md does not say so", p.id)
		}
		if !p.checker && len(p.tests) == 0 && p.why == "" {
			t.Errorf("%s: nothing proves it, and nothing says why", p.id)
		}
	}
}

// exists reports whether a directory has a test of that name.
func exists(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f os.DirEntry) bool {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			return false
		}
		b, err := os.ReadFile(dir + "/" + f.Name())
		return err == nil && strings.Contains(string(b), "\nfunc "+name+"(t *testing.T) {")
	})
}

// checkerOf finds the invariant that a violation is said to be of.
var checkerOf = regexp.MustCompile(`\.fail\("([A-Za-z0-9]+)"`)

// Nothing fails by an invariant that is not in the table, or that the package's
// page does not explain.
func TestEveryCheckerIsKnown(t *testing.T) {
	known := map[string]bool{"M1": true, "P1": true, "self": true, "repair": true, "net": true, "plan": true}
	for _, p := range proofs {
		known[p.id] = p.checker
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range checkerOf.FindAllStringSubmatch(string(b), -1) {
			if !known[m[1]] || m[1] != "plan" && !strings.Contains(string(doc), "\n//\t"+m[1]) {
				t.Errorf("%s: %s is no invariant of the table, or doc.go does not explain it", f.Name(), m[1])
			}
		}
	}
}
