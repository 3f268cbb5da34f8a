package crash

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/leak"
	"github.com/varvelog/varve/tests/broker"
)

// tally is what a siege has done.
type tally struct {
	name        string
	points      []failpoint.Name // where it should die
	hit         map[failpoint.Name]int
	passed      map[failpoint.Name]int64
	rounds      int
	killed      int // at random times
	late        int // places that were not reached in time
	powerLosses int
	acked       int
	violations  int
}

// tallies are of all sieges of this process.
var tallies []*tally

func newTally(name string, points []failpoint.Name) *tally {
	a := &tally{name: name, points: points, hit: map[failpoint.Name]int{}, passed: map[failpoint.Name]int64{}}
	tallies = append(tallies, a)
	return a
}

// missing returns the places at which the broker never died.
func (a *tally) missing() []failpoint.Name {
	var out []failpoint.Name
	for _, p := range a.points {
		if a.hit[p] == 0 {
			out = append(out, p)
		}
	}
	return out
}

// judge fails a long test that has not been everywhere.
func (a *tally) judge(t *testing.T, rounds int) {
	t.Helper()
	a.rounds = rounds
	missing := a.missing()
	if len(missing) > 0 && rounds >= roundsForAll && onlyPoint() == "" {
		t.Errorf("%d rounds, never at %v", rounds, missing)
	}
	t.Log(a)
}

func (a *tally) String() string {
	at := 0
	for _, n := range a.hit { // order: a sum
		at += n
	}
	return fmt.Sprintf("%s: %d rounds: %d random, %d at %d of %d places, %d too late, %d with power loss; %d records acknowledged, %d violations",
		a.name, a.rounds, a.killed, at, len(a.points)-len(a.missing()), len(a.points), a.late, a.powerLosses, a.acked, a.violations)
}

// summary is about all sieges.
func summary() string {
	var b strings.Builder
	sum := &tally{name: "all", hit: map[failpoint.Name]int{}, passed: map[failpoint.Name]int64{}}
	known := map[failpoint.Name]bool{}
	for _, a := range tallies {
		fmt.Fprintln(&b, a)
		sum.rounds, sum.killed, sum.late = sum.rounds+a.rounds, sum.killed+a.killed, sum.late+a.late
		sum.powerLosses, sum.acked, sum.violations = sum.powerLosses+a.powerLosses, sum.acked+a.acked, sum.violations+a.violations
		for _, p := range a.points {
			if !known[p] {
				known[p] = true
				sum.points = append(sum.points, p)
			}
		}
		for p, n := range a.hit { // order: sums
			sum.hit[p] += n
		}
		for p, n := range a.passed { // order: sums
			sum.passed[p] += n
		}
	}
	fmt.Fprintln(&b, sum)
	fmt.Fprintln(&b, "never at:", sum.missing())
	var others []failpoint.Name
	for p := range sum.passed { // order: sorted below
		if !known[p] {
			others = append(others, p)
		}
	}
	slices.Sort(others)
	fmt.Fprintln(&b, "passed, and in no list:", others)
	return b.String()
}

func TestMain(m *testing.M) { leak.Main(m, leak.Teardown(finish)) }

// finish tells what was done and removes the broker.
func finish() {
	if len(tallies) > 0 && testing.Verbose() {
		fmt.Print(summary())
	}
	if build.dir != "" {
		_ = os.RemoveAll(build.dir) // it only takes space
	}
}

// build is the tagged broker, which is made once.
var build struct {
	sync.Once
	dir, bin string
	err      error
}

// taggedBroker returns a broker that can die on purpose. Under the race detector
// the broker runs under it too.
func taggedBroker(t *testing.T) string {
	t.Helper()
	build.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "varve-crash"); build.err == nil {
			build.bin, build.err = broker.Build(build.dir, slices.Concat([]string{"-tags", "failpoints"}, raceFlag)...)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.bin
}
