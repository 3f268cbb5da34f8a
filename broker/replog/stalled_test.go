package replog

import (
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// When a proposal waited too long, what waits behind it in its group goes with
// it: a producer's later batch must not be appended without the earlier one.
func TestLateProposalTakesLaterOnesOfItsGroup(t *testing.T) {
	d, m, ballast := full(t)
	other := d.must(t, 2)
	d.work()
	ballast(true)
	d.tick()
	offer := func(id ident.GroupID, at time.Duration) {
		t.Helper()
		d.e.now = d.now.Add(at)
		if _, err := d.offer(id, 1000); err != nil {
			t.Fatal(err)
		}
	}
	offer(1, 0)
	offer(1, time.Second)
	offer(2, time.Second)
	d.e.Tick(d.now.Add(d.e.c.WaitMax))
	if a, b := d.o.group(m.name).drops, d.o.group(other.name).drops; a != 2 || b != 0 {
		t.Fatalf("%d of the late proposal's group dropped, %d of the other", a, b)
	}
	d.check(t)
}

// A proposal larger than all that may wait waits nevertheless if it is alone:
// only what waits makes the engine look for space.
func TestOneProposalMayAlwaysWait(t *testing.T) {
	d, m, ballast := full(t)
	ballast(true)
	d.tick()
	if _, err := d.offer(1, 66*kib); err != nil {
		t.Fatal(err)
	}
	ballast(false)
	d.tick()
	d.work()
	if d.o.group(m.name).drops != 0 || len(d.o.open) != 0 {
		t.Fatal("the proposal did not go on")
	}
	d.check(t)
}

// A new file of the write-ahead log leaves the reserve to the segments, which
// could not be written without it.
func TestNewFileLeavesSpaceForSegments(t *testing.T) {
	d, _, ballast := full(t)
	ballast(true)
	d.tick()
	before, _ := d.mem.Free()
	for range 12 { // into the second file, most of which is left
		k, data := d.o.data(6000, false)
		d.o.open[k] = true
		if err := d.e.Propose(1, data, token{k, false}, true); err != nil {
			t.Fatal(err)
		}
		d.work()
	}
	if after, _ := d.mem.Free(); before-after >= d.config().WAL.FileBytes {
		t.Fatalf("of %d bytes %d are left, and the reserve is %d", before, after, d.config().DiskReserve)
	}
	if len(d.o.open) != 0 {
		t.Fatal("a system's proposal was not applied")
	}
	d.check(t)
}
