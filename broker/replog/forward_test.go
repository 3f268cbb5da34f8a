package replog

import (
	"testing"
)

// A parked group, and one that was recovered and never started, hold entries
// that nobody applies. They must not keep the write-ahead log of the others
// from being freed (G5), and must lose nothing.
func TestIdleEntriesAreCopiedForward(t *testing.T) {
	d := quiet(t)
	c := d.config()
	c.FS, c.RoundBytes = d.mem, c.WAL.BytesMax/8
	d.boot(t, c)
	m1 := d.must(t, 1)
	d.must(t, 2)
	d.must(t, 3)
	d.work()
	// Group 1 parks at its first entry and keeps it; group 3 has entries above
	// its checkpoint and is not started again.
	m1.poison = []byte("poison")
	if err := d.e.Propose(1, []byte("poison that is kept"), nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := d.offer(3, 3000); err != nil {
		t.Fatal(err)
	}
	d.work()
	d.e.Close()
	d.boot(t, c)
	m1 = d.must(t, 1)
	m1.poison = []byte("poison")
	d.must(t, 2)
	d.work()
	if m1.parked == nil {
		t.Fatal("not parked")
	}
	for i := range 2000 {
		if _, err := d.offer(2, 2000); err != nil {
			t.Fatalf("proposal %d: %v", i, err)
		}
		d.work()
		d.tick()
		d.work()
		if s := d.e.Stats(); s.Waiting > 0 {
			t.Fatalf("proposal %d waits for space: %+v", i, s)
		}
	}
	if w := d.e.waiting[3]; w == nil || len(w.Entries) == 0 {
		t.Fatal("the group that was not started lost its entries")
	}
	d.e.Close()
	d.boot(t, c)
	m1, m3 := d.must(t, 1), d.must(t, 3)
	d.must(t, 2)
	d.work()
	if m1.parked != nil || m1.index == 0 || m3.index == 0 {
		t.Fatalf("parked %v, applied %d and %d", m1.parked, m1.index, m3.index)
	}
	d.check(t)
}
