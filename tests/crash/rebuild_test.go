package crash

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/varvelog/varve/tests/broker"
)

// TestCrashRebuild takes the indexes of closed segments away and kills the
// broker at each place where it makes them anew, with power loss. Then
// everything is read.
func TestCrashRebuild(t *testing.T) {
	tally := newTally("rebuild", rebuildPoints)
	a := ail(t)
	create(t, a.o.Port, diskTopic, diskPartitions)
	acks := a.filled(6000)
	a.p.Stop(t)
	a.o.Env = nil
	for i, point := range allowed(rebuildPoints) {
		loseIndexes(t, a.o.Dir)
		o, plan := a.o, plan{at: string(point) + ":1", power: uint64(i + 1)}
		o.Env = plan.env()
		p := broker.Launch(t, o)
		p.AwaitReady(t) // or it ends
		p.Kill(t)
		if died := line(p.Log(), "failpoint: died at "); died != string(point) {
			t.Errorf("%v: ended with %v\n%s", plan, p.State(), p.Log())
			continue
		}
		tally.hit[point]++
		tally.rounds++
	}
	a.p = broker.Start(t, a.o)
	a.judge(acks)
	a.p.Stop(t)
	tally.acked = len(acks)
	tally.judge(t, tally.rounds)
}

// loseIndexes removes the indexes of all segments but the last of each
// partition.
func loseIndexes(t *testing.T, dir string) {
	t.Helper()
	partitions, err := filepath.Glob(filepath.Join(dir, "partitions", "*"))
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, p := range partitions {
		segments, err := filepath.Glob(filepath.Join(p, "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(segments)
		for _, s := range segments[:max(len(segments)-1, 0)] {
			_ = os.Remove(s[:len(s)-len("log")] + "index") // it may be gone already
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("there is no closed segment")
	}
}
