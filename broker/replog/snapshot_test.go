package replog

import (
	"testing"

	"github.com/varvelog/varve/broker/wal"
)

// TestStaleTailBehindSnapshot: entries that stood behind the place of a snapshot
// before it was taken over are of an older term, and no part of the log.
func TestStaleTailBehindSnapshot(t *testing.T) {
	for _, c := range []struct {
		name  string
		terms []uint64 // of the entries from 7 on
		last  uint64
	}{
		{"nothing behind it", []uint64{2, 2}, 8},
		{"older entries behind it", []uint64{2, 2, 2, 2}, 8},
		{"newer ones in their place", []uint64{2, 2, 3, 4}, 10},
		{"newer ones in the place of some", []uint64{2, 2, 3, 2}, 9},
	} {
		g := &group{store: &store{}, applied: 8, appliedT: 3}
		g.store.reset(8, 3)
		rec := &wal.Group{}
		for i, term := range c.terms {
			rec.Entries = append(rec.Entries, wal.Entry{Index: 7 + uint64(i), Term: term, Data: []byte("x")})
			rec.Positions = append(rec.Positions, int64(i)*wal.Block)
		}
		if err := g.restoreEntries(rec); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if last, _ := g.store.LastIndex(); last != c.last || g.store.bytes != int64(c.last-8) {
			t.Errorf("%s: the log ends at %d with %d bytes, want %d", c.name, last, g.store.bytes, c.last)
		}
	}
}

// TestDeletionsOfAStateAreKept: what a machine has destroyed when it takes a state
// over is said in the log until a checkpoint with that state is durable. One that
// was begun before has the state before it, of which the groups are still part.
func TestDeletionsOfAStateAreKept(t *testing.T) {
	d := quiet(t)
	d.boot(t, d.big())
	d.must(t, 1)
	d.must(t, 2)
	d.work()
	d.e.Checkpoint()
	d.work()
	g, at := d.e.groups[1], d.e.wal.Tail()
	g.stored = &storing{index: g.applied, at: at} // as when a state was taken over now
	d.e.Destroy(2)
	delete(d.want, 2)
	d.work()
	if low := g.carry().Low; low != at || d.e.wal.Tail() == at {
		t.Fatalf("the log is needed from %d on, and ends at %d; the deletion is at %d", low, d.e.wal.Tail(), at)
	}
	g.checkpointed(g.applied)
	if low := g.carry().Low; low != d.e.wal.Tail() {
		t.Fatalf("the log is needed from %d on, and ends at %d, behind the checkpoint", low, d.e.wal.Tail())
	}
	d.check(t)
}
