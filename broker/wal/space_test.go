package wal

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// TestReserveIsKept: whatever was granted can be written without another file.
func TestReserveIsKept(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(seed))
		index, granted, refused := uint64(1), []int(nil), 0
		enqueue := func() {
			n := granted[0]
			granted = granted[1:]
			size := n // the worst case that was reserved
			if seed%2 == 0 {
				size = rng.IntN(n + 1)
			}
			if err := l.Enqueue(appendOf(1, 1, index, 1, size), nil, Cost(1, int64(n))); err != nil {
				t.Fatal(err)
			}
			index++
		}
		write := func() {
			if w := l.Next(); w != nil {
				if err := l.Done(w, w.Do(), func(any) {}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if rng.IntN(3) > 0 {
			mustWrite(t, l, appendOf(1, 1, index, 1, 30*kib+rng.IntN(20*kib)))
			index++
			mustPrepare(t, l)
		}
		for refused < 200 {
			switch n := 1 + rng.IntN([]int{100, 5000, 50000}[rng.IntN(3)]); {
			case rng.IntN(2) == 0:
				if l.Reserve(Cost(1, int64(n)), rng.IntN(4) == 0) {
					granted = append(granted, n)
				} else {
					refused++
				}
			case len(granted) > 0 && rng.IntN(8) == 0:
				l.Unreserve(Cost(1, int64(granted[0])))
				granted = granted[1:]
			case len(granted) > 0 && rng.IntN(2) == 0:
				enqueue()
			case seed%3 > 0: // else everything is granted before anything is written
				write()
			}
		}
		for len(granted) > 0 {
			enqueue()
		}
		for range index {
			write()
		}
		if l.Pending() {
			t.Fatalf("seed %d: what was granted does not fit", seed)
		}
		if l.reserved != 0 || l.queued != 0 {
			t.Fatalf("seed %d: %d reserved, %d queued when all is written", seed, l.reserved, l.queued)
		}
	}
}

func TestSystemReserve(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
	client := 0
	for l.Reserve(Block, false) {
		client++
	}
	if want := (64 - 4 - 16) / 4; client != want {
		t.Fatalf("clients got %d blocks, want %d", client, want)
	}
	system := 0
	for l.Reserve(Block, true) {
		system++
	}
	if system != 4 {
		t.Fatalf("the system got %d blocks of its reserve, want 4", system)
	}
	for range client + system {
		l.Unreserve(Block)
	}
	l.SetReserve(32 * kib)
	if l.Reserve(32*kib, false) || !l.Reserve(32*kib, true) {
		t.Fatal("a larger reserve is not kept")
	}
	l.Unreserve(32 * kib)
	l.SetReserve(0)
	again := 0
	for l.Reserve(Block, false) {
		again++
	}
	if again != client {
		t.Fatalf("clients got %d blocks with the reserve of the settings, want %d", again, client)
	}
}

// TestSystemReserveWhenFull: half of the reserve is usable in one record
// however clients' records fragmented the rest.
func TestSystemReserveWhenFull(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(seed))
		mustWrite(t, l, appendOf(1, 1, 1, 1, rng.IntN(38*kib)))
		if p := l.Prepare(); p != nil && seed%2 == 0 {
			l.PrepareDone(p, p.Do())
		}
		for refused := 0; refused < 20; {
			cost := Cost(1, rng.Int64N(20*kib))
			if !l.Reserve(cost, false) {
				refused++
			} else if rng.IntN(2) == 0 {
				l.Unreserve(cost)
			}
		}
		if l.cur.room() < 8*kib && l.next == nil {
			continue // the first write took the reserve itself, unasked
		}
		if !l.Reserve(8*kib, true) {
			t.Fatalf("seed %d: the system's reserve is not there: free %d", seed, l.free())
		}
	}
}

func TestPrepareSurvivesFullDisk(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + 100*kib})
	l, _ := mustOpen(t, disk, smallSettings(1))
	index := uint64(1)
	for l.Reserve(Cost(1, 3000), false) {
		if err := l.Enqueue(appendOf(1, 1, index, 1, 3000), nil, Cost(1, 3000)); err != nil {
			t.Fatal(err)
		}
		if p := l.Prepare(); p != nil {
			err := p.Do()
			if !errors.Is(err, vfs.ErrNoSpace) || l.PrepareDone(p, err) {
				t.Fatalf("prepare: %v", err)
			}
		}
		w := l.Next()
		if err := l.Done(w, w.Do(), func(any) {}); err != nil {
			t.Fatal(err)
		}
		index++
	}
	if es, err := disk.List("wal"); err != nil || len(es) != 1 {
		t.Fatalf("%d files, %v: a half-made file stays", len(es), err)
	}
	if l.Err() != nil || index < 5 {
		t.Fatalf("%v after %d records", l.Err(), index)
	}
	mustWrite(t, l, Record{Kind: KindProof}) // the system's reserve is there
}

func TestRestartOnFullDisk(t *testing.T) {
	for _, kill := range []bool{false, true} {
		disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + 128*kib + Block})
		l, _ := mustOpen(t, disk, smallSettings(1))
		mustWrite(t, l, appendOf(1, 1, 1, 3, 5000))
		if err := l.Enqueue(appendOf(1, 1, 4, 1, 10), nil, 0); err != nil {
			t.Fatal(err)
		}
		mustPrepare(t, l)
		if l.next == nil {
			t.Fatal("no spare was made")
		}
		if kill {
			disk = disk.Kill()
		} else {
			disk = disk.Crash(nilRand(), vfs.CrashOptions{})
		}
		l, rec := mustOpen(t, disk, smallSettings(2))
		if got := lastIndexes(rec)[1]; got != 3 {
			t.Fatalf("last index %d", got)
		}
		if l.cur.head.sequence != 3 || len(l.old) != 1 || len(l.spares) != 0 {
			t.Fatalf("goes on in file %d with %d old", l.cur.head.sequence, len(l.old))
		}
		mustWrite(t, l, appendOf(1, 1, 4, 1, 10))
		disk = disk.Crash(nilRand(), vfs.CrashOptions{})
		// Now no spare is left, and nothing may be lost by trying.
		before := disk.Digest()
		if _, _, err := Open(disk, smallSettings(3)); !errors.Is(err, vfs.ErrNoSpace) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("open without a spare: %v", err)
		}
		if disk.Digest() != before {
			t.Fatal("the disk was changed")
		}
	}
}

// TestSpareWithoutName: the spare's maker was killed before the name was
// durable; what is written to it must not depend on that.
func TestSpareWithoutName(t *testing.T) {
	for after := range 10 {
		disk := vfs.NewMem(vfs.MemOptions{Capacity: 64*kib + 128*kib + Block})
		pw := &power{rng: nilRand(), left: -1}
		l, _ := mustOpen(t, vfs.NewFaulty(disk, pw.inject), smallSettings(1))
		mustWrite(t, l, appendOf(1, 1, 1, 3, 5000))
		if err := l.Enqueue(appendOf(1, 1, 4, 1, 10), nil, 0); err != nil {
			t.Fatal(err)
		}
		pw.left = after
		p := l.Prepare()
		_ = p.Do() // power is lost for the process, not for the disk
		disk = disk.Kill()
		l, _, err := Open(disk, smallSettings(2))
		if errors.Is(err, vfs.ErrNoSpace) {
			continue // the spare was not usable yet
		}
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, l, appendOf(1, 1, 4, 1, 10))
		disk = disk.Crash(nilRand(), vfs.CrashOptions{})
		mustHaveBoth(t, disk)
		_, rec, err := Open(disk, smallSettings(3))
		if err != nil && !errors.Is(err, vfs.ErrNoSpace) {
			t.Fatalf("after %d operations: %v", after, err)
		}
		if err == nil && lastIndexes(rec)[1] != 4 {
			t.Fatalf("after %d operations: last index %d", after, lastIndexes(rec)[1])
		}
	}
}

// mustHaveBoth checks that both files are there.
func mustHaveBoth(t *testing.T, disk *vfs.Mem) {
	t.Helper()
	es, err := disk.List("wal")
	if err != nil || len(es) != 2 {
		t.Fatalf("%d files after the power loss, want 2: %v", len(es), err)
	}
}

// TestBytesMax fills the log to its limit and empties it by a checkpoint.
func TestBytesMax(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, disk, smallSettings(1))
	index, id := uint64(1), uint64(0)
	for round := range 5 {
		for l.Reserve(Cost(1, 3000), false) {
			if err := l.Enqueue(appendOf(1, 1, index, 1, 3000), nil, Cost(1, 3000)); err != nil {
				t.Fatal(err)
			}
			index++
			w := l.Next()
			if err := l.Done(w, w.Do(), func(any) {}); err != nil {
				t.Fatal(err)
			}
			mustPrepare(t, l)
			if used := usedBytes(t, disk); used != l.allocated || used > l.s.BytesMax {
				t.Fatalf("%d bytes used, %d counted, %d allowed", used, l.allocated, l.s.BytesMax)
			}
		}
		if l.allocated+l.s.FileBytes <= l.s.BytesMax {
			t.Fatalf("round %d: refused at %d bytes of %d", round, l.allocated, l.s.BytesMax)
		}
		if l.Prepare() != nil {
			t.Fatal("a file beyond the limit")
		}
		debt := l.Debt()
		low := l.Tail()
		id++
		for _, r := range []Record{checkpointOf(id, GroupState{Group: 1, Replica: 1, Low: low, State: []byte{1}}), {Kind: KindProof}} {
			if !l.Reserve(Block, true) {
				t.Fatal("a checkpoint does not fit")
			}
			if err := l.Enqueue(r, nil, Block); err != nil {
				t.Fatal(err)
			}
			w := l.Next()
			if err := l.Done(w, w.Do(), func(any) {}); err != nil {
				t.Fatal(err)
			}
		}
		garbage := l.Advance(low)
		for _, g := range garbage {
			if err := g.Remove(); err != nil {
				t.Fatal(err)
			}
			l.Removed(g)
		}
		if len(garbage) < 5 || l.Debt() >= debt/8 || l.Low() != low {
			t.Fatalf("%d files freed, debt %d was %d", len(garbage), l.Debt(), debt)
		}
		mustPrepare(t, l)
		if !l.Reserve(Cost(1, 3000), false) {
			t.Fatal("no room after the checkpoint")
		}
		l.Unreserve(Cost(1, 3000))
	}
}

func usedBytes(t *testing.T, disk *vfs.Mem) int64 {
	t.Helper()
	es, err := disk.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, e := range es {
		n += e.Size
	}
	return n
}

// TestRestartsDoNotGrow: a broker that restarts again and again without ever
// reaching a checkpoint does not fill the disk.
func TestRestartsDoNotGrow(t *testing.T) {
	for _, empty := range []bool{true, false} {
		disk := vfs.NewMem(vfs.MemOptions{})
		var after []int64
		for i := range 30 {
			l, _ := mustOpen(t, disk, smallSettings(uint64(i)))
			if i == 0 && !empty {
				for k := range uint64(20) {
					mustPrepare(t, l)
					mustWrite(t, l, appendOf(1, 1, k+1, 1, 7000))
				}
			}
			if used := usedBytes(t, disk); used != l.allocated {
				t.Fatalf("%d bytes used, %d counted", used, l.allocated)
			}
			after = append(after, usedBytes(t, disk))
			disk = disk.Kill()
		}
		if after[29] > after[3] {
			t.Fatalf("empty %v: grows from restart to restart: %v", empty, after)
		}
	}
}

// A checkpoint that does not fit may take one file beyond the limit, and no more.
func TestOverdraw(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
	fill := func() {
		t.Helper()
		for files := 0; files < 20; {
			if l.Reserve(Block, true) {
				l.Unreserve(Block)
				mustWrite(t, l, goldenRecords()["proof"])
				continue
			}
			p := l.Prepare()
			if p == nil {
				return
			}
			l.PrepareDone(p, p.Do())
			files++
		}
		t.Fatal("the log has no limit")
	}
	fill()
	full := l.allocated
	l.Overdraw(1)
	fill()
	if l.allocated != full+l.s.FileBytes || full > l.s.BytesMax {
		t.Fatalf("%d bytes, %d before, at most %d", l.allocated, full, l.s.BytesMax)
	}
	l.Overdraw(0)
	if l.Prepare() != nil {
		t.Fatal("another file")
	}
}
