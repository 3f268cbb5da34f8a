package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// A current file without room wastes nothing when the next one takes over, so
// a record of half a file is not refused for ever.
func TestFullFileWastesNothing(t *testing.T) {
	s := smallSettings(1)
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), s)
	for index := uint64(1); l.cur.room() > 0; index++ {
		mustWrite(t, l, appendOf(1, 1, index, 1, int(min(l.cur.room(), 4*Block))-writeHeader-recordHeader-appendHeader-entryHeader))
	}
	if l.next == nil {
		mustPrepare(t, l)
	}
	cost := align(l.next.room() - s.ReserveBytes - Block + 1)
	if !l.Reserve(cost, false) {
		t.Fatalf("%d bytes refused, %d are free", cost, l.free())
	}
}

// A group commit allocates nothing for each record.
func TestCommitAllocations(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
	rec := appendOf(1, 1, 1, 2, 20)
	commit := func() {
		for range 64 {
			if err := l.Enqueue(rec, l, 0); err != nil {
				t.Fatal(err)
			}
		}
		w := l.Next()
		w.encode()
		if err := l.Done(w, nil, func(any) {}); err != nil {
			t.Fatal(err)
		}
		l.cur.off = fileHeaderBytes // the file never ends
	}
	if n := testing.AllocsPerRun(100, commit); n > 1 {
		t.Errorf("%v allocations for a commit of 64 records, want 1", n)
	}
}
