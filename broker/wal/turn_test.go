package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// A record that the rest of the current file cannot hold, and behind which the next
// one has too little room for what is kept, has room when the log has moved on to
// that one and made another. Nothing else would make it, if nothing else is
// written.
func TestTurn(t *testing.T) {
	mem := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, mem, smallSettings(1))
	mustWrite(t, l, appendOf(1, 1, 1, 1, 50*kib)) // 8 KiB are left
	mustPrepare(t, l)
	l.SetReserve(104 * kib)
	cost := Cost(1, 20*kib)
	if l.Reserve(cost, false) || !l.Held(cost) {
		t.Fatal("the record is not held back")
	}
	if l.Turn(l.cur.room()) {
		t.Fatal("the rest of the file is given up for a record that it can hold")
	}
	if !l.Reserve(Block, true) || l.Turn(cost) {
		t.Fatal("the rest of the file is given up although something else was granted room in it")
	}
	l.Unreserve(Block)
	end := l.cur.end()
	if !l.Turn(cost) || l.Turn(cost) {
		t.Fatal("the log does not move on, or does so twice")
	}
	w := l.Next()
	if err := l.Done(w, w.Do(), func(any) {}); err != nil || l.Tail() <= end || l.OldestClosedEnd() != end {
		t.Fatalf("%v; the log is at %d, its old file ends at %d of %d", err, l.Tail(), l.OldestClosedEnd(), end)
	}
	if l.Reserve(cost, false) {
		t.Fatal("what is kept is given away")
	}
	mustPrepare(t, l)
	if !l.Reserve(cost, false) {
		t.Fatal("there is no room with another file")
	}
	if err := l.Enqueue(appendOf(1, 1, 2, 1, 20*kib), nil, cost); err != nil {
		t.Fatal(err)
	}
	w = l.Next()
	if err := l.Done(w, w.Do(), func(any) {}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l, rec := mustOpen(t, mem, smallSettings(2))
	defer l.Close()
	if len(rec.Groups) != 1 || len(rec.Groups[0].Entries) != 2 {
		t.Fatalf("recovered %+v", rec.Groups)
	}
}

// A file that is not there yet, and is not made of an old one, will take space.
func TestLacks(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
	if l.Lacks() != l.s.FileBytes {
		t.Fatalf("a log of one file lacks %d bytes", l.Lacks())
	}
	mustWrite(t, l, appendOf(1, 1, 1, 1, 40*kib))
	p := l.Prepare()
	if l.Lacks() != 0 {
		t.Fatal("a file that is being made is lacking")
	}
	l.PrepareDone(p, p.Do())
	if l.Lacks() != 0 {
		t.Fatal("a file that is there is lacking")
	}
}
