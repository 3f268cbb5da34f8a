package replog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
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

// A group that parks while its state is on its way into a checkpoint is still
// part of the last one: the entries between the two stay in the log until a
// checkpoint has them.
func TestParkedWhileCaptured(t *testing.T) {
	d := quiet(t)
	c := d.config()
	c.FS, c.RoundBytes = d.mem, c.WAL.BytesMax/8
	d.boot(t, c)
	m1 := d.must(t, 1)
	d.must(t, 2)
	d.work()
	if _, err := d.offer(1, 3000); err != nil {
		t.Fatal(err)
	}
	d.work()
	m1.poison = []byte("poison")
	if err := d.e.Propose(1, []byte("poison that is kept"), nil, false); err != nil {
		t.Fatal(err)
	}
	d.poll() // it is on its way into the log
	d.e.Checkpoint()
	d.poll()
	if d.e.round == nil || d.e.round.logged || m1.parked != nil {
		t.Fatal("the state is not being captured")
	}
	d.work()
	for len(d.tasks) > 0 {
		d.do(0)
		d.done(0)
	}
	d.work()
	if m1.parked == nil {
		t.Fatal("not parked")
	}
	for i := range 1000 {
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
	d.e.Close()
	d.boot(t, c)
	m1 = d.must(t, 1)
	d.must(t, 2)
	d.work()
	if m1.parked != nil || m1.index < 3 {
		t.Fatalf("parked %v, applied %d", m1.parked, m1.index)
	}
	d.check(t)
}

// What a copy leaves where it is: the entries up to the applied one, which the
// last checkpoint does not have.
func TestCopyLeavesAppliedEntriesToTheLastCheckpoint(t *testing.T) {
	d := quiet(t)
	c := d.config()
	c.FS = d.mem
	d.boot(t, c)
	d.must(t, 1)
	d.work()
	for range 4 {
		if _, err := d.offer(1, 3000); err != nil {
			t.Fatal(err)
		}
		d.work()
	}
	g := d.e.groups[1]
	if len(g.where) < 4 {
		t.Fatalf("entries at %v", g.where)
	}
	before := slices.Clone(g.where)
	applied := g.applied
	g.applied = before[1].last // as if the rest was not committed
	g.copyEntries()
	for index := range applied {
		at, was := g.low(index), before[0].position
		for _, s := range before {
			if s.last > index {
				was = s.position
				break
			}
		}
		if index < g.applied && at != was {
			t.Errorf("entries above %d from position %d on, want %d", index, at, was)
		}
	}
	g.applied = applied
	d.work()
}

// While another group holds the oldest file of the write-ahead log, copies leave
// room for the checkpoint that lets it go.
func TestCopiesLeaveRoomForTheNextCheckpoint(t *testing.T) {
	f := newFollower(t, func(c *Config) { c.RoundBytes = 1 << 40 })
	f.append(1, 1, 0, 0, 0, entries(0, 1, 3, 3000))
	f.work()
	for f.e.wal.Debt() < f.e.c.WAL.BytesMax*5/8 {
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("y", 2000)), nil, false); err != nil {
			t.Fatal(err)
		}
		f.work()
		f.tick()
	}
	f.e.groups[aloneID].park(errors.New("damage")) // no checkpoint has what it applied
	if free, copies := f.e.wouldFree(); free || copies != 0 {
		t.Fatalf("a checkpoint would free a file: %v, with %d bytes of copies", free, copies)
	}
	copies, _ := f.e.copies(f.e.wal.OldestClosedEnd())
	var held int64
	for f.e.wal.Left(0) >= copies+f.e.roundCost+wal.Block {
		if !f.e.wal.Reserve(wal.Block, true) {
			t.Fatal("no room")
		}
		held += wal.Block
	}
	f.e.wal.Reserve(wal.Block, true)
	at := f.group().low(0)
	f.e.copyForward()
	if copies == 0 || f.group().low(0) != at {
		t.Fatalf("%d bytes are copied into the room of the next checkpoint", copies)
	}
	f.e.wal.Unreserve(held)
	f.e.copyForward()
	if f.group().low(0) == at {
		t.Fatal("nothing is copied with room")
	}
}
