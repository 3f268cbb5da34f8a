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
