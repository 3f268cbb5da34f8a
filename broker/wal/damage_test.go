package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// written is a write on the disk that damage is done to.
type written struct {
	file   string
	off    int64
	extent int64
	groups []ident.GroupID
}

// writtenDisk returns a disk with two files of writes: the first file holds
// writes 0 to first-1, the second the rest.
func writtenDisk(t testing.TB) (disk *vfs.Mem, writes []written, first int) {
	t.Helper()
	disk = vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, disk, smallSettings(1))
	index := uint64(1)
	for first == 0 || len(writes) < first+4 {
		mustPrepare(t, l)
		at := mustWrite(t, l, appendOf(1, 3, index, 1, 5000), appendOf(2, 4, index, 2, 3000))
		index += 2
		name := l.s.Dir + "/" + fileName(l.cur.head.sequence)
		if first == 0 && name != "wal/"+fileName(1) {
			first = len(writes)
		}
		writes = append(writes, written{file: name, off: at - l.cur.head.base, extent: l.Tail() - at, groups: []ident.GroupID{1, 2}})
		index--
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, writes, first
}

// change rewrites a part of a file durably.
func change(t testing.TB, disk *vfs.Mem, name string, off, n int64, edit func([]byte)) {
	t.Helper()
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	edit(b)
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(t testing.TB, disk *vfs.Mem, name string, off int64) {
	change(t, disk, name, off, 1, func(b []byte) { b[0] ^= 1 << (off % 8) })
}

// wantCorrupt opens the log, which must refuse, say where, and change nothing.
func wantCorrupt(t *testing.T, disk *vfs.Mem, s Settings, file string, off int64) *Damage {
	t.Helper()
	before := disk.Digest()
	_, _, err := Open(disk, s)
	var d *Damage
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &d) {
		t.Fatalf("open: %v, want damage", err)
	}
	if !strings.HasSuffix(d.File, file) || d.File == "" {
		t.Fatalf("damage in %q, want %q: %v", d.File, file, d)
	}
	if off >= -1 && d.Offset != off {
		t.Fatalf("damage at %d, want %d: %v", d.Offset, off, d)
	}
	if disk.Digest() != before {
		t.Fatal("the disk was changed")
	}
	return d
}

// wantPrefix opens the log, which must hold exactly the first n writes.
func wantPrefix(t *testing.T, disk *vfs.Mem, s Settings, n int) *Recovered {
	t.Helper()
	l, rec, err := Open(disk, s)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	l.Close()
	got := lastIndexes(rec)
	want := map[ident.GroupID]uint64{1: uint64(n), 2: uint64(n) + 1}
	if got[1] != want[1] || got[2] != want[2] {
		t.Fatalf("last indexes %v, want %v", got, want)
	}
	return rec
}

func TestWriteDamage(t *testing.T) {
	const body = writeHeader + recordHeader + appendHeader + entryHeader
	places := map[string]func(w written) []int64{
		"write header": func(w written) []int64 {
			var out []int64
			for i := range int64(writeHeader) {
				out = append(out, w.off+i)
			}
			return out
		},
		"record header": func(w written) []int64 {
			var out []int64
			for i := range int64(recordHeader) {
				out = append(out, w.off+writeHeader+i)
			}
			return out
		},
		"body":        func(w written) []int64 { return []int64{w.off + body, w.off + body + 4999, w.off + 4096, w.off + 8192} },
		"body header": func(w written) []int64 { return []int64{w.off + writeHeader + recordHeader + 24, w.off + body - 4} },
	}
	_, writes, first := writtenDisk(t)
	for name, at := range places {
		t.Run(name, func(t *testing.T) {
			for k, w := range writes {
				for _, off := range at(w) {
					disk, _, _ := writtenDisk(t)
					flip(t, disk, w.file, off)
					switch {
					case k == len(writes)-1:
						rec := wantPrefix(t, disk, smallSettings(2), k)
						if headIntact := off >= w.off+writeHeader; rec.DroppedTail != headIntact {
							t.Fatalf("flip at %d: dropped tail %v", off-w.off, rec.DroppedTail)
						}
					default:
						d := wantCorrupt(t, disk, smallSettings(2), w.file, w.off)
						if name == "body" && !slices.Contains(d.Groups, 1) {
							t.Fatalf("groups %v do not name group 1", d.Groups)
						}
					}
				}
			}
		})
	}
	t.Run("zeroed block", func(t *testing.T) {
		for k, w := range writes {
			for off := w.off; off < w.off+w.extent; off += Block {
				disk, _, _ := writtenDisk(t)
				change(t, disk, w.file, off, Block, func(b []byte) { clear(b) })
				if k == len(writes)-1 {
					wantPrefix(t, disk, smallSettings(2), k)
				} else {
					wantCorrupt(t, disk, smallSettings(2), w.file, w.off)
				}
			}
		}
	})
	t.Run("padding", func(t *testing.T) {
		for _, w := range writes {
			disk, _, _ := writtenDisk(t)
			flip(t, disk, w.file, w.off+w.extent-1)
			wantPrefix(t, disk, smallSettings(2), len(writes))
		}
	})
	if first == 0 || first+4 != len(writes) {
		t.Fatalf("%d writes, the second file begins at %d", len(writes), first)
	}
}

func TestFileHeaderDamage(t *testing.T) {
	_, writes, _ := writtenDisk(t)
	for _, w := range []written{writes[0], writes[len(writes)-1]} {
		for off := range int64(80) {
			disk, _, _ := writtenDisk(t)
			flip(t, disk, w.file, off)
			wantCorrupt(t, disk, smallSettings(2), w.file, 0)
		}
		disk, _, _ := writtenDisk(t)
		flip(t, disk, w.file, 80) // unused: nothing to lose
		wantPrefix(t, disk, smallSettings(2), len(writes))
	}
}

func TestFileDamage(t *testing.T) {
	one, two, three := "wal/"+fileName(1), "wal/"+fileName(2), "wal/"+fileName(3)
	truncate := func(name string, size int64) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, disk *vfs.Mem) {
			f, err := disk.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Truncate(size), f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	const kept = -2 // the log opens
	for _, c := range []struct {
		name   string
		damage func(*testing.T, *vfs.Mem)
		file   string
		off    int64
		keep   func(writes, first int) int
	}{
		{"old file emptied", truncate(one, 0), two, -1, nil},
		{"old file cut behind its header", truncate(one, Block), two, -1, nil},
		{"old file cut by a byte", truncate(one, 64*kib-1), one, 0, nil},
		{"newest file cut by a byte", truncate(two, 128*kib-1), two, 0, nil},
		{"newest file emptied", truncate(two, 0), "", kept, func(_, first int) int { return first }},
		{"old file removed", func(t *testing.T, d *vfs.Mem) { mustRemove(t, d, one) }, two, -1, nil},
		{"newest file removed", func(t *testing.T, d *vfs.Mem) { mustRemove(t, d, two) }, "", kept, func(_, first int) int { return first }},
		{"newest file renamed", func(t *testing.T, d *vfs.Mem) {
			if err := d.Rename(two, three); err != nil {
				t.Fatal(err)
			}
		}, three, 0, nil},
		{"files swapped", func(t *testing.T, d *vfs.Mem) {
			for _, r := range [][2]string{{one, three}, {two, one}, {three, two}} {
				if err := d.Rename(r[0], r[1]); err != nil {
					t.Fatal(err)
				}
			}
		}, one, 0, nil},
		{"file copied", func(t *testing.T, d *vfs.Mem) {
			data, err := vfs.ReadFile(d, one, 1<<20)
			if err == nil {
				err = vfs.WriteFileAtomic(d, three, data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, three, 0, nil},
		{"other file beside", func(t *testing.T, d *vfs.Mem) {
			if err := vfs.WriteFileAtomic(d, "wal/readme.txt", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}, "", kept, func(writes, _ int) int { return writes }},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk, writes, first := writtenDisk(t)
			c.damage(t, disk)
			if c.off == kept {
				wantPrefix(t, disk, smallSettings(2), c.keep(len(writes), first))
				return
			}
			wantCorrupt(t, disk, smallSettings(2), c.file, c.off)
		})
	}
	t.Run("another directory", func(t *testing.T) {
		disk, _, _ := writtenDisk(t)
		s := smallSettings(2)
		s.Directory[3]++
		wantCorrupt(t, disk, s, one, 0)
	})
}

func mustRemove(t testing.TB, disk *vfs.Mem, name string) {
	t.Helper()
	if err := disk.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// TestDamageAfterRestart: what a recovery wrote again is as good a proof.
func TestDamageAfterRestart(t *testing.T) {
	disk, writes, _ := writtenDisk(t)
	for seed := range uint64(3) {
		wantPrefix(t, disk, smallSettings(seed+5), len(writes))
	}
	last := writes[len(writes)-1]
	flip(t, disk, last.file, last.off+100) // its copies count
	wantPrefix(t, disk, smallSettings(9), len(writes))
	before := writes[len(writes)-2]
	flip(t, disk, before.file, before.off+100)
	wantCorrupt(t, disk, smallSettings(9), before.file, before.off)
}

func TestCheckpointRot(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, disk, smallSettings(1))
	index := uint64(1)
	for len(l.old) < 2 {
		mustPrepare(t, l)
		mustWrite(t, l, appendOf(1, 1, index, 1, 9000))
		index++
	}
	low := l.Tail()
	at := mustWrite(t, l, checkpointOf(1, GroupState{Group: 1, Replica: 1, Low: low, State: []byte("state")}))
	off, name := at-l.cur.head.base, "wal/"+fileName(l.cur.head.sequence)
	mustWrite(t, l, Record{Kind: KindProof})
	for _, g := range l.Advance(low) {
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
		l.Removed(g)
	}
	l.Close()
	disk = disk.Kill()
	flip(t, disk, name, off+writeHeader+recordHeader+1)
	d := wantCorrupt(t, disk, smallSettings(2), name, off)
	if len(d.Groups) != 1 || d.Groups[0] != 0 {
		t.Fatalf("groups %v", d.Groups)
	}
}

// TestForgedWrite: a client's bytes look like a write that proves everything,
// and the write that carries them is torn.
func TestForgedWrite(t *testing.T) {
	for _, own := range []bool{false, true} {
		disk := vfs.NewMem(vfs.MemOptions{})
		l, _ := mustOpen(t, disk, smallSettings(1))
		mustWrite(t, l, appendOf(1, 1, 1, 1, 10))
		position := l.Tail() + Block
		forged := writeHead{generation: l.cur.head.generation, position: position, previous: position, durable: position, length: 48, count: 1}
		if !own { // which is never known outside
			forged.generation++
		}
		rec := appendOf(1, 1, 2, 1, 2*Block)
		skip := Block - writeHeader - recordHeader - appendHeader - entryHeader
		forged.encode(rec.Append.Entries[0].Data[skip:])
		at := mustWrite(t, l, rec)
		name := "wal/" + fileName(l.cur.head.sequence)
		off := at - l.cur.head.base
		l.Close()
		flip(t, disk, name, off+5)
		if own { // the forgery is where it should be
			wantCorrupt(t, disk, smallSettings(2), name, off)
			continue
		}
		l, rec2 := mustOpen(t, disk, smallSettings(2))
		if got := lastIndexes(rec2)[1]; got != 1 || rec2.DroppedTail {
			t.Fatalf("last index %d, dropped %v", got, rec2.DroppedTail)
		}
		l.Close()
	}
}

// TestUndecodable: a record with a good CRC and a bad body is corruption even
// as the newest one.
func TestUndecodable(t *testing.T) {
	disk, writes, _ := writtenDisk(t)
	w := writes[len(writes)-1]
	change(t, disk, w.file, w.off, w.extent, func(b []byte) {
		rec := b[writeHeader:]
		n := recordHeader + int(binary.LittleEndian.Uint32(rec[4:]))
		rec[40] = 77
		binary.LittleEndian.PutUint32(rec, crc32.Checksum(rec[4:n], castagnoli))
	})
	d := wantCorrupt(t, disk, smallSettings(2), strings.TrimPrefix(w.file, "wal/"), w.off+writeHeader)
	if len(d.Groups) != 1 || d.Groups[0] != 1 {
		t.Fatalf("groups %v", d.Groups)
	}
}

// TestRandomDamage damages a random bit anywhere: the log never shows anything
// but a prefix, never less than all without the newest write unless it refuses.
func TestRandomDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 400 {
		disk, writes, _ := writtenDisk(t)
		w := writes[rng.IntN(len(writes))]
		flip(t, disk, w.file, rng.Int64N(w.off+w.extent))
		before := disk.Digest()
		l, rec, err := Open(disk, smallSettings(2))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || disk.Digest() != before {
				t.Fatalf("open: %v", err)
			}
			continue
		}
		l.Close()
		if n := lastIndexes(rec)[1]; n < uint64(len(writes))-1 {
			t.Fatalf("%d of %d writes", n, len(writes))
		}
	}
}
