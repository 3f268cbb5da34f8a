package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// reopen loses power, and opens the log again.
func reopen(t *testing.T, disk *vfs.Mem, seed uint64) (*vfs.Mem, *Log, *Recovered) {
	t.Helper()
	disk = disk.Crash(nilRand(), vfs.CrashOptions{})
	l, rec := mustOpen(t, disk, smallSettings(seed))
	return disk, l, rec
}

// The file that a restart makes leaves half of a nearly full disk for segments:
// until they are written no checkpoint frees anything.
func TestRestartLeavesSpaceForSegments(t *testing.T) {
	const left = 140 * kib // more than a file of 128 KiB, and less than one and a half
	disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + left})
	l, _ := mustOpen(t, disk, smallSettings(1))
	mustWrite(t, l, appendOf(1, 1, 1, 3, 5000))
	disk, l, rec := reopen(t, disk, 2)
	if got := lastIndexes(rec)[1]; got != 3 {
		t.Fatalf("last index %d", got)
	}
	if free, err := disk.Free(); err != nil || free < left/2 {
		t.Fatalf("%d bytes of %d are left, %v", free, int64(left), err)
	}
	if !l.Reserve(Cost(1, 3000), false) {
		t.Fatalf("no room for a batch: %d bytes are free", l.free())
	}
	l.Unreserve(Cost(1, 3000))
	mustWrite(t, l, appendOf(1, 1, 4, 1, 10))
	end := l.Tail()
	mustWrite(t, l, Record{Kind: KindCheckpoint, Piece: Piece{ID: 1, Last: true, Groups: []GroupState{{Group: 1, Replica: 1, Low: end, State: []byte("state")}}}})
	mustWrite(t, l, Record{Kind: KindProof})
	for _, g := range l.Advance(end) {
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
		l.Removed(g)
	}
	if _, _, rec = reopen(t, disk, 3); len(rec.Groups) != 1 || string(rec.Groups[0].State) != "state" {
		t.Fatalf("recovered %+v", rec.Groups)
	}
}

// It has room for what every group and a checkpoint are going to write.
func TestRestartLeavesRoomForCheckpoint(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + 140*kib})
	l, _ := mustOpen(t, disk, smallSettings(1))
	mustWrite(t, l, Record{Kind: KindCheckpoint, Piece: Piece{ID: 1, Last: true, Groups: []GroupState{{Group: 1, Replica: 1, State: make([]byte, 20*kib)}}}})
	mustWrite(t, l, Record{Kind: KindProof})
	_, l, _ = reopen(t, disk, 2)
	if l.cur.head.size < 100*kib || l.cur.head.size >= 128*kib {
		t.Fatalf("a file of %d bytes", l.cur.head.size)
	}
}

// Where it leaves half as much of the disk it is of the usual size.
func TestRestartMakesWholeFile(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + 192*kib})
	l, _ := mustOpen(t, disk, smallSettings(1))
	mustWrite(t, l, appendOf(1, 1, 1, 3, 5000))
	if _, l, _ = reopen(t, disk, 2); l.cur.head.size != l.s.FileBytes {
		t.Fatalf("a file of %d bytes", l.cur.head.size)
	}
}

// What is removed as soon as the log goes on in the new file counts as free.
func TestRestartCountsDeadFilesAsFree(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + 128*kib + 140*kib})
	l, _ := mustOpen(t, disk, smallSettings(1))
	mustWrite(t, l, appendOf(1, 1, 1, 3, 5000))
	if err := l.Enqueue(appendOf(1, 1, 4, 1, 10), nil, 0); err != nil {
		t.Fatal(err)
	}
	if mustPrepare(t, l); l.next == nil {
		t.Fatal("no file was made")
	}
	disk, l, _ = reopen(t, disk, 2)
	if free, err := disk.Free(); err != nil || free < 140*kib || l.cur.head.size != l.s.FileBytes {
		t.Fatalf("a file of %d bytes, %d are free, %v", l.cur.head.size, free, err)
	}
}

// A broker that ended between the proof of a checkpoint and the removal of what it
// makes superfluous removes that when it starts again: restarts in a row would else
// fill the log with files that nobody needs.
func TestRestartRemovesWhatIsProvenSuperfluous(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, disk, smallSettings(1))
	for i := range uint64(4) {
		mustPrepare(t, l)
		mustWrite(t, l, appendOf(1, 1, i+1, 1, 50000))
	}
	low := l.Tail()
	mustWrite(t, l, Record{Kind: KindCheckpoint, Piece: Piece{ID: 1, Last: true, Groups: []GroupState{{Group: 1, Replica: 1, Low: low, State: []byte("state")}}}})
	disk2, _, rec := reopen(t, disk, 2)
	if len(rec.Garbage) != 0 {
		t.Fatalf("%d files are given up for a checkpoint that nothing proves", len(rec.Garbage))
	}
	disk = disk2
	mustRestart := func(seed uint64) (*Log, *Recovered) {
		disk = disk.Crash(nilRand(), vfs.CrashOptions{})
		return mustOpen(t, disk, smallSettings(seed))
	}
	l, _ = mustRestart(3)
	mustWrite(t, l, Record{Kind: KindProof})
	l, rec = mustRestart(4)
	if len(rec.Garbage) == 0 {
		t.Fatal("nothing is given up")
	}
	mustRemoveAll(t, l, rec.Garbage)
	if l.OldestClosedEnd() <= low {
		t.Fatalf("a file that ends at %d is left, the checkpoint needs nothing below %d", l.OldestClosedEnd(), low)
	}
	if _, rec = mustRestart(5); len(rec.Groups) != 1 || string(rec.Groups[0].State) != "state" || len(rec.Garbage) != 0 {
		t.Fatalf("recovered %+v", rec)
	}
}
