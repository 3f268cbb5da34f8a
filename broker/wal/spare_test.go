package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// agedDisk returns the disk of a log that went through several files, so that
// spare ones full of old writes wait to be used again. The log itself holds
// nothing but a checkpoint without groups.
func agedDisk(t testing.TB) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem(vfs.MemOptions{DirectAlignment: Block})
	l, _ := mustOpen(t, disk, smallSettings(77))
	fillFiles(t, l, 5)
	mustCheckpoint(t, l, 1)
	if len(l.spares) < 3 {
		t.Fatalf("%d spare files", len(l.spares))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk.Crash(nilRand(), vfs.CrashOptions{})
}

// fillFiles writes of a group that is gone in the end until n more files are
// full.
func fillFiles(t testing.TB, l *Log, n int) {
	t.Helper()
	for full := len(l.old) + n; len(l.old) < full; {
		mustPrepare(t, l)
		mustWrite(t, l, appendOf(9, 1, 200, 2, 10000))
	}
	mustWrite(t, l, Record{Group: 9, Replica: 1, Kind: KindGone})
}

// mustCheckpoint makes a checkpoint without groups and frees what it frees.
func mustCheckpoint(t testing.TB, l *Log, id uint64) {
	t.Helper()
	mustPrepare(t, l)
	low := l.Tail()
	mustWrite(t, l, checkpointOf(id))
	mustWrite(t, l, Record{Kind: KindProof})
	mustRemoveAll(t, l, l.Advance(low))
}

func mustRemoveAll(t testing.TB, l *Log, garbage []Garbage) {
	t.Helper()
	for _, g := range garbage {
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
		l.Removed(g)
	}
}

// A log that runs steadily makes no more files; one that is used less gives
// them back; and what is counted is what there is.
func TestSpares(t *testing.T) {
	disk, created := vfs.NewMem(vfs.MemOptions{}), 0
	fs := vfs.NewFaulty(disk, func(op vfs.Op) error {
		if op.Kind == vfs.OpCreate {
			created++
		}
		return nil
	})
	l, _ := mustOpen(t, fs, smallSettings(1))
	id, after := uint64(0), 0
	round := func(files int) {
		fillFiles(t, l, files)
		id++
		mustCheckpoint(t, l, id)
		if used := usedBytes(t, disk); used != l.allocated || used > l.s.BytesMax {
			t.Fatalf("%d bytes used, %d counted, %d allowed", used, l.allocated, l.s.BytesMax)
		}
	}
	for i := range 10 {
		round(4)
		if i == 1 {
			after = created
		}
	}
	if created != after || l.Spares() < 3 {
		t.Fatalf("%d files were created, %d later; %d are spare", after, created-after, l.Spares())
	}
	full := usedBytes(t, disk)
	for range 6 {
		round(0)
	}
	if now := usedBytes(t, disk); now > full/2 || l.Spares() > 1 {
		t.Fatalf("a log that shrank keeps %d of %d bytes, %d files spare", now, full, l.Spares())
	}
}

// What a checkpoint took beyond the limit is not kept.
func TestOverdrawnFileIsNotKept(t *testing.T) {
	disk, set := vfs.NewMem(vfs.MemOptions{}), smallSettings(1)
	set.FirstFileBytes = set.FileBytes
	l, _ := mustOpen(t, disk, set)
	l.Overdraw(1)
	for l.allocated <= l.s.BytesMax {
		fillFiles(t, l, 1)
	}
	l.Overdraw(0)
	mustCheckpoint(t, l, 1)
	if used := usedBytes(t, disk); used > l.s.BytesMax || used != l.allocated || l.Spares() == 0 {
		t.Fatalf("%d bytes used, %d counted, %d allowed", used, l.allocated, l.s.BytesMax)
	}
}

func TestDropSpares(t *testing.T) {
	disk := agedDisk(t)
	l, _ := mustOpen(t, disk, smallSettings(1))
	if l.Spares() < 2 || !l.MayGrow() {
		t.Fatalf("%d spare files", l.Spares())
	}
	mustRemoveAll(t, l, l.DropSpares())
	if used := usedBytes(t, disk); l.Spares() != 0 || used != l.allocated {
		t.Fatalf("%d spare files, %d bytes used, %d counted", l.Spares(), used, l.allocated)
	}
	mustWrite(t, l, Record{Kind: KindProof})
}

// Where little is free a file is given back at once.
func TestNoSpareOnFullDisk(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{Capacity: 1200 * kib})
	l, _ := mustOpen(t, disk, smallSettings(1))
	fillFiles(t, l, 4)
	mustCheckpoint(t, l, 1)
	if used := usedBytes(t, disk); l.Spares() != 0 || used != l.allocated || used > 300*kib {
		t.Fatalf("%d spare files, %d bytes used, %d counted", l.Spares(), used, l.allocated)
	}
}

// A spare file is made a file of the log on a disk with no room for another.
func TestSpareOnFullDisk(t *testing.T) {
	disk := agedDisk(t)
	full := vfs.NewFaulty(disk, func(op vfs.Op) error {
		if op.Kind == vfs.OpCreate {
			return vfs.ErrNoSpace
		}
		return nil
	})
	for i := range uint64(2) {
		l, _ := mustOpen(t, full, smallSettings(i+1))
		mustWrite(t, l, appendOf(1, 1, i+1, 1, 50*kib))
		mustPrepare(t, l)
		l.Close()
	}
	l, rec := mustOpen(t, disk, smallSettings(3))
	wantLast(t, "", rec, 2, 2)
	l.Close()
}

// No spare file of another size, no half-made one, and not more than the limit
// allows survive a start.
func TestOddSpares(t *testing.T) {
	disk := agedDisk(t)
	for i, size := range []int64{0, 4096, 64 * kib, 129 * kib} {
		f, err := disk.Create("wal/" + spareName(uint64(1000+i)))
		if err == nil {
			err = errors.Join(f.Preallocate(size), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := smallSettings(1)
	s.BytesMax = 5 * s.FileBytes
	l, _ := mustOpen(t, disk, s)
	if used := usedBytes(t, disk); used != l.allocated || used > s.BytesMax {
		t.Fatalf("%d bytes used, %d counted, %d allowed", used, l.allocated, s.BytesMax)
	}
	if l.sequence <= 1003 {
		t.Fatalf("sequence %d was used before", l.sequence)
	}
}

// TestSpareCrashes cuts the power at every operation of a log that uses its
// files again: leaving the log, becoming a spare, being made the next file, the
// first writes over old ones, recovery. What was released is there.
func TestSpareCrashes(t *testing.T) {
	hows := []vfs.CrashOptions{{}, {Keep: 1}, {Keep: 0.5}, {Keep: 0.5, Tear: true, Reorder: true}, {Keep: 0.9, Tear: true, Reorder: true}}
	for cut := 0; ; cut++ {
		finished := false
		for i, how := range hows {
			name := fmt.Sprintf("power lost after %d, %+v", cut, how)
			rng := rand.New(rand.NewPCG(uint64(cut), uint64(i)))
			disk := agedDisk(t)
			pw := &power{rng: rng, left: cut}
			released := useSpares(t, vfs.NewFaulty(disk, pw.inject))
			finished = !pw.off
			disk = disk.Crash(rng, how)
			for life := range uint64(2) {
				l, rec, err := Open(disk, smallSettings(100+life))
				if err != nil {
					t.Fatalf("%s: life %d: %v", name, life, err)
				}
				last := lastIndexes(rec)[1]
				if last < released || last > released+1 {
					t.Fatalf("%s: life %d: last index %d, released %d", name, life, last, released)
				}
				released = last + 1
				mustWrite(t, l, appendOf(1, 1, released, 1, 3000))
				disk = disk.Crash(rng, how)
			}
		}
		if finished {
			return
		}
	}
}

// TestKilledWhileFileLeaves: the process is killed between the renames of old
// files and their sync, and the power is lost at each operation of the next one,
// which uses them.
func TestKilledWhileFileLeaves(t *testing.T) {
	for cut := 0; ; cut++ {
		disk := vfs.NewMem(vfs.MemOptions{})
		l, _ := mustOpen(t, disk, smallSettings(1))
		fillFiles(t, l, 3)
		low := l.Tail()
		mustWrite(t, l, checkpointOf(1))
		mustWrite(t, l, Record{Kind: KindProof})
		for _, g := range l.Advance(low) {
			if err := g.leave(); err != nil { // all of Remove but the sync
				t.Fatal(err)
			}
		}
		disk = disk.Kill()
		pw := &power{rng: nilRand(), left: cut}
		l, _, err := Open(vfs.NewFaulty(disk, pw.inject), smallSettings(2))
		if err == nil && l.Spares() == 0 {
			t.Fatal("no file is spare")
		}
		disk = disk.Crash(nilRand(), vfs.CrashOptions{})
		if l, _, err := Open(disk, smallSettings(3)); err != nil {
			t.Fatalf("power lost after %d: %v", cut, err)
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if !pw.off {
			return
		}
	}
}

// useSpares runs a log until the power is off or several files were used again,
// and returns the last index that was released.
func useSpares(t *testing.T, fs vfs.FS) uint64 {
	t.Helper()
	l, _, err := Open(fs, smallSettings(5))
	if err != nil {
		return 0
	}
	released, checkpoints, again := uint64(0), uint64(1), 0
	write := func(records ...Record) bool {
		for _, r := range records {
			if err := l.Enqueue(r, nil, 0); err != nil {
				t.Fatal(err)
			}
		}
		if p := l.Prepare(); p != nil {
			if p.spare != "" {
				again++
			}
			if l.PrepareDone(p, p.Do()); l.next == nil {
				return false
			}
		}
		w := l.Next()
		return l.Done(w, w.Do(), func(any) {}) == nil
	}
	for again < 5 {
		if !write(appendOf(1, 1, released+1, 1, 60*kib)) {
			return released
		}
		released++
		if released%3 > 0 {
			continue
		}
		checkpoints++
		low := l.Tail()
		state := GroupState{Group: 1, Replica: 1, Low: low, State: []byte{byte(released)}}
		if !write(checkpointOf(checkpoints, state)) || !write(appendOf(1, 1, released+1, 1, 10)) {
			return released
		}
		released++
		for _, g := range l.Advance(low) {
			if g.Remove() != nil {
				return released
			}
			l.Removed(g)
		}
	}
	return released
}

// reusedDisk returns a disk whose current file is one that was used before, with
// n writes of group 1 in it and old ones behind them, and where those end.
func reusedDisk(t *testing.T, n int) (disk *vfs.Mem, name string, end int64) {
	t.Helper()
	disk = agedDisk(t)
	l, _ := mustOpen(t, disk, smallSettings(5))
	for i := range n {
		mustWrite(t, l, appendOf(1, 1, uint64(i)+1, 1, 5000))
	}
	name, end = "wal/"+fileName(l.cur.head.sequence), l.cur.off
	l.Close()
	if old, err := oldHeads(disk, name, end); err != nil || old < 3 {
		t.Fatalf("%d old writes behind the new ones, %v", old, err)
	}
	return disk, name, end
}

// oldHeads counts intact headers of writes behind a place.
func oldHeads(disk *vfs.Mem, name string, from int64) (n int, err error) {
	data, err := vfs.ReadFile(disk, name, 1<<20)
	for off := from; off < int64(len(data)); off += Block {
		if intactHead(data[off:]) {
			n++
		}
	}
	return n, err
}

// Old writes behind the new ones are neither read, nor a torn tail, nor proof.
func TestOldWritesIgnored(t *testing.T) {
	disk, name, end := reusedDisk(t, 4)
	l, rec := mustOpen(t, disk.Kill(), smallSettings(6))
	if wantLast(t, "", rec, 4, 4); rec.DroppedTail || len(rec.Groups) != 1 {
		t.Fatalf("dropped %v, %d groups", rec.DroppedTail, len(rec.Groups))
	}
	l.Close()
	// Even one that says it stands there, and that everything was durable.
	disk, name, end = reusedDisk(t, 4)
	data, err := vfs.ReadFile(disk, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	head, err := decodeFileHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{end, end + 2*Block} {
		change(t, disk, name, off, Block, func(b []byte) {
			forgeOld(b, head.generation+1, head.base+off, head.base+head.size)
		})
	}
	l, rec = mustOpen(t, disk.Kill(), smallSettings(6))
	if wantLast(t, "", rec, 4, 4); rec.DroppedTail {
		t.Fatal("an old write was taken for a torn one")
	}
	l.Close()
}

// forgeOld makes a block a valid write of another generation, at any position.
func forgeOld(b []byte, generation uint64, position, durable int64) {
	rec := appendOf(1, 9, 5, 1, 100)
	clear(b)
	rec.encode(b[:writeHeader], generation, position+writeHeader)
	h := writeHead{generation: generation, position: position, previous: position, durable: durable, length: uint32(rec.size()), count: 1}
	h.encode(b)
}

// Where a write over an old one was torn, the old bytes show: it is dropped as
// a whole, whichever part is the old one, and is no corruption.
func TestTornOverOld(t *testing.T) {
	for _, n := range []int{1, 4} {
		for cut := range 16 { // sectors of the last write, two blocks
			disk, name, end := reusedDisk(t, n)
			_, _, before := reusedDisk(t, n-1)
			old, err := vfs.ReadFile(agedFile(t, name), name, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			change(t, disk, name, before, end-before, func(b []byte) {
				copy(b[cut*512:(cut+1)*512], old[before+int64(cut*512):])
			})
			l, rec := mustOpen(t, disk, smallSettings(6))
			least := uint64(n - 1)
			if cut*512 >= 5300 { // padding
				least = uint64(n)
			}
			wantLast(t, fmt.Sprintf("%d writes, sector %d", n, cut), rec, least, least)
			l.Close()
		}
	}
}

// agedFile returns an aged disk on which the spare file that comes next has the
// name that it gets.
func agedFile(t *testing.T, name string) *vfs.Mem {
	t.Helper()
	disk := agedDisk(t)
	es, err := disk.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, e := range es {
		if strings.HasSuffix(e.Name, spareSuffix) {
			last = e.Name
		}
	}
	if err := disk.Rename("wal/"+last, name); err != nil {
		t.Fatal(err)
	}
	return disk
}

// The header of a file that was made ready and not written rots: what stands in
// it is of an earlier use, so nothing is lost. With one write it is corruption.
func TestOldWritesBehindBadHeader(t *testing.T) {
	for _, written := range []bool{false, true} {
		disk, _, _ := reusedDisk(t, 1)
		l, _ := mustOpen(t, disk, smallSettings(6))
		mustWrite(t, l, appendOf(1, 1, 2, 1, 90*kib))
		mustPrepare(t, l)
		next := "wal/" + fileName(l.next.head.sequence)
		if written {
			mustWrite(t, l, appendOf(1, 1, 3, 1, 60*kib))
		}
		l.Close()
		if old, err := oldHeads(disk, next, Block); err != nil || old < 2 {
			t.Fatalf("%d old writes, %v", old, err)
		}
		flip(t, disk, next, 30)
		if written {
			wantCorrupt(t, disk, smallSettings(7), next, 0)
			continue
		}
		l, rec := mustOpen(t, disk, smallSettings(7))
		wantLast(t, "", rec, 2, 2)
		l.Close()
	}
}

// Damage in a log of files that were used before shows as it does in new ones.
func TestSpareRandomDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	refused := 0
	for range 150 {
		disk, name, end := reusedDisk(t, 6)
		flip(t, disk, name, rng.Int64N(end))
		before := disk.Digest()
		l, rec, err := Open(disk, smallSettings(6))
		if err != nil {
			if refused++; !errors.Is(err, ErrCorrupt) || disk.Digest() != before {
				t.Fatalf("open: %v", err)
			}
			continue
		}
		l.Close()
		if n := lastIndexes(rec)[1]; n < 5 {
			t.Fatalf("%d of 6 writes", n)
		}
	}
	if refused < 50 {
		t.Errorf("only %d of 150 were refused", refused)
	}
}

// An old record that stands at its place in a new write, by its own position
// too, is not a part of it.
func TestOldRecordInPlace(t *testing.T) {
	disk := agedDisk(t)
	l, _ := mustOpen(t, disk, smallSettings(5))
	mustWrite(t, l, appendOf(1, 1, 1, 1, 100))
	recs := []Record{appendOf(1, 1, 2, 1, 1000), appendOf(1, 1, 3, 1, 1000)}
	at := mustWrite(t, l, recs...)
	place := at + writeHeader + recs[0].size()
	name, off := "wal/"+fileName(l.cur.head.sequence), place-l.cur.head.base
	change(t, disk, name, off, recs[1].size(), func(b []byte) {
		recs[1].encode(b[:0], l.cur.head.generation-1, place)
	})
	l.Close()
	l, rec := mustOpen(t, disk.Kill(), smallSettings(6))
	if wantLast(t, "", rec, 1, 1); !rec.DroppedTail {
		t.Fatal("the write was not torn")
	}
	l.Close()
}
