package wal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// interrupted is a disk as a killed process leaves it: its last write stands in
// the page cache and was not synced. With first it is the first write of the
// second file. It holds a checkpoint that needs nothing before it. With aged all
// of its files were used before.
func interrupted(t *testing.T, first, aged bool) *vfs.Mem {
	t.Helper()
	disk, s := vfs.NewMem(vfs.MemOptions{}), smallSettings(1)
	if aged {
		disk, s = agedDisk(t), smallSettings(11)
	}
	fail := false
	fs := vfs.NewFaulty(disk, func(op vfs.Op) error {
		if fail && op.Kind == vfs.OpSync {
			return errPower
		}
		return nil
	})
	l, _ := mustOpen(t, fs, s)
	for i := range uint64(3) {
		mustWrite(t, l, appendOf(1, 1, i+1, 1, 6000))
	}
	last, was := appendOf(1, 1, 4, 1, 100), l.cur.head.sequence
	if first {
		last = appendOf(1, 1, 4, 1, int(l.cur.room()))
	}
	low := l.Tail()
	for _, r := range []Record{last, checkpointOf(1, GroupState{Group: 1, Replica: 1, Low: low})} {
		if err := l.Enqueue(r, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	mustPrepare(t, l)
	fail = true
	w := l.Next()
	if w.Records() != 2 || first != (w.seg.head.sequence == was+1) {
		t.Fatalf("%d records in file %d", w.Records(), w.seg.head.sequence)
	}
	if err := w.Do(); !errors.Is(err, errPower) {
		t.Fatal(err)
	}
	return disk.Kill()
}

// TestRecoveryInterrupted kills the first recovery of such a disk after each of
// its operations, and cuts the power in the second one after each of its own.
// The last write was never acknowledged until a recovery has ended.
func TestRecoveryInterrupted(t *testing.T) {
	for _, c := range []struct{ first, aged bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		for kill := 0; ; kill++ {
			done, finished := false, false
			step := 2
			if c.aged {
				step = 9
			}
			for cut := kill % step; ; cut += step {
				name := fmt.Sprintf("%+v, killed after %d, power lost after %d", c, kill, cut)
				disk := interrupted(t, c.first, c.aged)
				pw := &power{rng: nilRand(), left: kill}
				_, _, err := Open(vfs.NewFaulty(disk, pw.inject), smallSettings(2))
				done, finished = err == nil, !pw.off
				if !done && !pw.off {
					t.Fatalf("%s: %v", name, err)
				}
				disk = disk.Kill()
				pw = &power{rng: nilRand(), left: cut}
				l, rec, err := Open(vfs.NewFaulty(disk, pw.inject), smallSettings(3))
				if !pw.off {
					if err != nil {
						t.Fatalf("%s: second recovery: %v", name, err)
					}
					wantLast(t, name, rec, 4, 4)
					pw.left = -1
					mustWrite(t, l, appendOf(1, 1, 5, 1, 10))
					disk = disk.Crash(nilRand(), vfs.CrashOptions{})
					_, rec = mustOpenNamed(t, name, disk)
					wantLast(t, name, rec, 5, 5)
					break
				}
				disk = disk.Crash(nilRand(), vfs.CrashOptions{})
				l, rec = mustOpenNamed(t, name, disk)
				least := uint64(3)
				if done {
					least = 4
				}
				next := wantLast(t, name, rec, least, 4) + 1
				mustWrite(t, l, appendOf(1, 1, next, 1, 10))
				_, rec = mustOpenNamed(t, name, disk.Crash(nilRand(), vfs.CrashOptions{}))
				wantLast(t, name, rec, next, next)
			}
			if finished {
				break
			}
		}
	}
}

func mustOpenNamed(t *testing.T, name string, disk *vfs.Mem) (*Log, *Recovered) {
	t.Helper()
	l, rec, err := Open(disk, smallSettings(4))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l, rec
}

func wantLast(t *testing.T, name string, rec *Recovered, low, high uint64) uint64 {
	t.Helper()
	got := lastIndexes(rec)[1]
	if got < low || got > high {
		t.Fatalf("%s: last index %d, want %d to %d", name, got, low, high)
	}
	return got
}

// TestKilledBeforeSyncThenCheckpoint: a group's oldest needed entry lies in a
// write of which only the copy survives, and what lies before it is gone.
func TestKilledBeforeSyncThenCheckpoint(t *testing.T) {
	disk := interrupted(t, true, false)
	l, rec := mustOpen(t, disk, smallSettings(2))
	g := rec.Groups[0]
	low := g.Positions[len(g.Positions)-1]
	mustWrite(t, l, checkpointOf(2, GroupState{Group: 1, Replica: 1, Low: low, State: []byte{3}}))
	mustWrite(t, l, Record{Kind: KindProof})
	garbage := l.Advance(low)
	if len(garbage) == 0 {
		t.Fatal("nothing was freed")
	}
	for _, f := range garbage {
		if err := f.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	disk = disk.Crash(nilRand(), vfs.CrashOptions{})
	_, rec = mustOpen(t, disk, smallSettings(3))
	wantLast(t, "", rec, 4, 4)
}

// TestCheckpointLists is what a complete checkpoint says of groups.
func TestCheckpointLists(t *testing.T) {
	listed := GroupState{Group: 1, Replica: 1, State: []byte{1}}
	gone := Record{Group: 1, Replica: 1, Kind: KindGone}
	piece := func(id uint64, n uint32, last bool, gs ...GroupState) Record {
		return Record{Kind: KindCheckpoint, Piece: Piece{ID: id, Number: n, Last: last, Groups: gs}}
	}
	second := appendOf(1, 1, 1, 1, 1)
	second.Replica = 2
	for _, c := range []struct {
		name    string
		records []Record
		want    []ident.GroupID
		state   bool
		seen    uint64
	}{
		{"none", []Record{appendOf(1, 1, 1, 1, 1)}, []ident.GroupID{1}, false, 0},
		{"gone", []Record{appendOf(1, 1, 1, 1, 1), gone}, nil, false, 0},
		{"listed", []Record{checkpointOf(1, listed)}, []ident.GroupID{1}, true, 1},
		{"gone before it", []Record{appendOf(1, 1, 1, 1, 1), gone, checkpointOf(1, listed)}, []ident.GroupID{1}, true, 1},
		{"gone within", []Record{piece(1, 0, false, listed), gone, piece(1, 1, true)}, nil, false, 1},
		{"gone behind it", []Record{checkpointOf(1, listed), gone}, nil, false, 1},
		{"not listed", []Record{appendOf(1, 1, 1, 1, 1), checkpointOf(1)}, nil, false, 1},
		{"not listed, later records", []Record{checkpointOf(1), appendOf(1, 1, 1, 1, 1)}, []ident.GroupID{1}, false, 1},
		{"not listed, records within", []Record{piece(1, 0, false), appendOf(1, 1, 1, 1, 1), piece(1, 1, true)}, []ident.GroupID{1}, false, 1},
		{"never finished", []Record{appendOf(1, 1, 1, 1, 1), piece(7, 0, false, listed)}, []ident.GroupID{1}, false, 7},
		{"a piece is missing", []Record{piece(7, 0, false), piece(7, 2, true, listed)}, nil, false, 7},
		{"pieces of two", []Record{piece(7, 0, false), piece(8, 1, true, listed)}, nil, false, 8},
		{"begun again", []Record{piece(7, 0, false), piece(8, 0, false), piece(8, 1, true, listed)}, []ident.GroupID{1}, true, 8},
		{"higher replica", []Record{second, checkpointOf(1, listed)}, []ident.GroupID{1}, false, 1},
		{"lower replica", []Record{second, appendOf(1, 9, 1, 1, 1)}, []ident.GroupID{1}, false, 0},
	} {
		for _, together := range []bool{true, false} {
			disk := vfs.NewMem(vfs.MemOptions{})
			l, _ := mustOpen(t, disk, smallSettings(1))
			if together {
				mustWrite(t, l, c.records...)
			} else {
				for _, r := range c.records {
					mustWrite(t, l, r)
				}
			}
			_, rec := mustOpen(t, disk.Kill(), smallSettings(2))
			var got []ident.GroupID
			for _, g := range rec.Groups {
				got = append(got, g.ID)
				if (g.State != nil) != c.state || g.Term == 9 {
					t.Errorf("%s, together %v: state %v, term %d", c.name, together, g.State, g.Term)
				}
			}
			destroyed := slices.ContainsFunc(c.records, func(r Record) bool { return r.Kind == KindGone })
			if want := destroyed && len(c.want) == 0; want != slices.Equal(rec.Gone, []Replica{{Group: 1, ID: 1}}) {
				t.Errorf("%s, together %v: gone %v", c.name, together, rec.Gone)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) || rec.Checkpoint != c.seen {
				t.Errorf("%s, together %v: groups %v, checkpoint %d", c.name, together, got, rec.Checkpoint)
			}
		}
	}
}

// TestTornFirstWrite: a log was started and stopped before anything was written;
// its first write, or the copy that the next start made of one that was killed
// before its sync, is torn. Nothing was lost.
func TestTornFirstWrite(t *testing.T) {
	for _, copied := range []bool{true, false} {
		disk := vfs.NewMem(vfs.MemOptions{})
		for seed := range uint64(2) {
			l, _ := mustOpen(t, disk, smallSettings(seed))
			l.Close()
			disk = disk.Kill()
		}
		tear := false
		fs := vfs.NewFaulty(disk, func(op vfs.Op) error {
			switch {
			case tear && op.Kind == vfs.OpWrite && op.Off == fileHeaderBytes:
				return &vfs.Partial{N: Block, Err: errPower}
			case op.Kind == vfs.OpSync && op.N > 50:
				return errPower
			}
			return nil
		})
		tear = !copied
		l, _ := mustOpen(t, fs, smallSettings(3))
		if err := l.Enqueue(appendOf(1, 1, 1, 1, 3*Block), nil, 0); err != nil {
			t.Fatal(err)
		}
		for range 50 { // from here on no sync succeeds
			if _, err := fs.Free(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Next().Do(); !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		if copied {
			// The copy is torn, and the write that it is one of is lost.
			again := disk.Kill()
			pw := &power{rng: nilRand(), left: -1}
			_, _, err := Open(vfs.NewFaulty(again, func(op vfs.Op) error {
				if op.Kind == vfs.OpWrite && op.Off == fileHeaderBytes {
					pw.off = true
					return &vfs.Partial{N: Block, Err: errPower}
				}
				return pw.inject(op)
			}), smallSettings(4))
			if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			disk = again.Kill()
			lose(t, disk, "wal/"+fileName(3))
		} else {
			disk = disk.Kill()
		}
		l, rec := mustOpen(t, disk, smallSettings(5))
		if wantLast(t, "", rec, 0, 0); !rec.DroppedTail {
			t.Errorf("copied %v: no tail was dropped", copied)
		}
		mustWrite(t, l, appendOf(1, 1, 1, 1, 10))
		_, rec = mustOpen(t, disk.Crash(nilRand(), vfs.CrashOptions{}), smallSettings(6))
		wantLast(t, "", rec, 1, 1)
	}
}

// lose takes back the first write of a file, as if it had never been synced.
func lose(t *testing.T, disk *vfs.Mem, name string) {
	t.Helper()
	change(t, disk, name, fileHeaderBytes, 4*Block, func(b []byte) { clear(b) })
}
