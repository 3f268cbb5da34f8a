package vfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	return f
}

func writeAt(t testing.TB, f File, data []byte, off int64) {
	t.Helper()
	_, err := f.WriteAt(data, off)
	must(t, err)
}

// durableFile makes a file whose name and content are durable.
func durableFile(t testing.TB, fsys FS, name string, data []byte) File {
	t.Helper()
	f := create(t, fsys, name)
	writeAt(t, f, data, 0)
	must(t, f.Sync())
	must(t, fsys.SyncDir("."))
	return f
}

func readBack(t testing.TB, fsys FS, name string) []byte {
	t.Helper()
	data, err := ReadFile(fsys, name, 1<<20)
	must(t, err)
	return data
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestMemDead(t *testing.T) {
	for name, end := range map[string]func(*Mem) *Mem{
		"crash": func(m *Mem) *Mem { return m.Crash(seeded(1), CrashOptions{Keep: 1}) },
		"kill":  (*Mem).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMem(MemOptions{Capacity: 1 << 20})
			f := durableFile(t, m, "a", []byte("A"))
			lock, err := m.Lock("lock")
			must(t, err)
			next := end(m)
			buf := make([]byte, 1)
			ops := map[string]error{}
			_, ops["Create"] = m.Create("b")
			_, ops["Open"] = m.Open("a")
			_, ops["List"] = m.List(".")
			_, ops["Free"] = m.Free()
			_, ops["Lock"] = m.Lock("lock")
			ops["Rename"], ops["Remove"] = m.Rename("a", "b"), m.Remove("a")
			ops["MkdirAll"], ops["SyncDir"] = m.MkdirAll("d"), m.SyncDir(".")
			_, ops["ReadAt"] = f.ReadAt(buf, 0)
			_, ops["WriteAt"] = f.WriteAt([]byte("Z"), 0)
			_, ops["Size"] = f.Size()
			ops["Sync"], ops["Truncate"] = f.Sync(), f.Truncate(0)
			ops["Preallocate"], ops["Close"] = f.Preallocate(10), f.Close()
			ops["lock Close"] = lock.Close()
			for op, err := range ops {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("%s on a dead Mem: %v", op, err)
				}
			}
			if got := readBack(t, next, "a"); string(got) != "A" {
				t.Errorf("next holds %q", got)
			}
			if _, err := next.Lock("lock"); err != nil {
				t.Errorf("the lock outlived its process: %v", err)
			}
			if m.Digest() != NewMem(MemOptions{}).Digest() {
				t.Error("a dead Mem still has content")
			}
			if again := end(m); again.Digest() != m.Digest() {
				t.Error("a dead Mem left something")
			}
		})
	}
}

// What a killed process wrote is there, but a power loss may still take it.
func TestMemKill(t *testing.T) {
	m := NewMem(MemOptions{Capacity: 8 * pageSize})
	f := durableFile(t, m, "a", []byte("old"))
	writeAt(t, f, []byte("new"), 0)
	writeAt(t, create(t, m, "b"), []byte("b"), 0)
	gone := create(t, m, "gone")
	writeAt(t, gone, fill('x', 3*pageSize), 0)
	must(t, m.Remove("gone"))
	m = m.Kill()
	if got := readBack(t, m, "a"); string(got) != "new" {
		t.Errorf("after Kill: %q", got)
	}
	if free, _ := m.Free(); free != 6*pageSize {
		t.Errorf("free after Kill: %d pages, want 6", free/pageSize)
	}
	must(t, m.MkdirAll("d")) // makes names in "." durable
	m = m.Crash(seeded(1), CrashOptions{})
	if got := readBack(t, m, "a"); string(got) != "old" {
		t.Errorf("after Kill and Crash: %q", got)
	}
	if got := readBack(t, m, "b"); len(got) != 0 {
		t.Errorf("b was never synced and holds %q", got)
	}
}

func TestMemSpace(t *testing.T) {
	m := NewMem(MemOptions{Capacity: 4*pageSize + 100})
	wantFree := func(pages int64) {
		t.Helper()
		if free, err := m.Free(); err != nil || free != pages*pageSize {
			t.Fatalf("free %d, %v, want %d pages", free, err, pages)
		}
	}
	wantFree(4)
	a := create(t, m, "a")
	wantFree(4)
	writeAt(t, a, []byte("x"), 3*pageSize) // the hole before takes nothing
	wantFree(3)
	writeAt(t, a, []byte("y"), 3*pageSize+5)
	wantFree(3)
	must(t, a.Preallocate(2*pageSize))
	wantFree(1)
	if err := a.Preallocate(6 * pageSize); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Preallocate beyond the capacity: %v", err)
	}
	if size, _ := a.Size(); size != 3*pageSize+6 {
		t.Fatalf("size %d after a failed Preallocate", size)
	}
	wantFree(1)
	n, err := a.WriteAt(fill('z', 3*pageSize), 4*pageSize)
	if n != pageSize || !errors.Is(err, ErrNoSpace) {
		t.Fatalf("WriteAt into one free page = %d, %v", n, err)
	}
	wantFree(0)
	writeAt(t, a, fill('o', 2*pageSize), 0) // preallocated: cannot fail
	if _, err := a.WriteAt([]byte("x"), 2*pageSize); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("a hole was filled on a full disk: %v", err)
	}
	must(t, a.Truncate(pageSize+1))
	wantFree(2)
	b, err := m.Open("a")
	must(t, err)
	must(t, m.Remove("a"))
	wantFree(2) // open
	must(t, a.Close())
	wantFree(2) // still open
	writeAt(t, b, []byte("x"), 2*pageSize)
	wantFree(1)
	must(t, b.Close())
	wantFree(4)

	durableFile(t, m, "c", fill('c', 2*pageSize))
	d := create(t, m, "d")
	writeAt(t, d, fill('d', pageSize), 0)
	wantFree(1)
	must(t, m.Rename("d", "c")) // frees what it replaces
	must(t, d.Close())
	wantFree(1) // durableFile's handle holds it
	m = m.Crash(seeded(1), CrashOptions{})
	wantFree(2) // c is back, d lost
	m = m.Crash(seeded(1), CrashOptions{Keep: 1})
	wantFree(2)
}

// A crash that brings back what was removed may overfill the disk.
func TestMemOverfull(t *testing.T) {
	m := NewMem(MemOptions{Capacity: 2 * pageSize})
	must(t, m.MkdirAll("d"))
	must(t, durableFile(t, m, "a", fill('a', 2*pageSize)).Close())
	must(t, m.Remove("a"))
	b := create(t, m, "d/b")
	writeAt(t, b, fill('b', 2*pageSize), 0)
	must(t, b.Sync())
	must(t, m.SyncDir("d"))
	m = m.Crash(seeded(1), CrashOptions{})
	if free, err := m.Free(); free != 0 || err != nil {
		t.Fatalf("Free = %d, %v", free, err)
	}
	if _, err := create(t, m, "c").WriteAt([]byte("c"), 0); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("write on an overfull disk: %v", err)
	}
	must(t, m.Remove("a"))
	must(t, m.Remove("d/b"))
	if free, _ := m.Free(); free != 2*pageSize {
		t.Fatalf("free %d after removing everything", free)
	}
}

func TestMemTooLarge(t *testing.T) {
	f := create(t, NewMem(MemOptions{}), "a")
	_, err := f.WriteAt([]byte("xy"), maxMemFile-1)
	for what, err := range map[string]error{
		"write": err, "truncate": f.Truncate(maxMemFile + 1), "preallocate": f.Preallocate(1 << 60),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, f.Truncate(maxMemFile)) // sparse: costs nothing
	if n, err := f.ReadAt(make([]byte, 10), maxMemFile-10); n != 10 || err != nil {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
}

func TestDigest(t *testing.T) {
	disk := func(build func(m *Mem)) uint64 {
		m := NewMem(MemOptions{})
		build(m)
		return m.Digest()
	}
	put := func(m *Mem, name, data string) {
		f := create(t, m, name)
		writeAt(t, f, []byte(data), 0)
		must(t, f.Close())
	}
	base := disk(func(m *Mem) { put(m, "a", "x"); put(m, "b", "y") })
	if base != disk(func(m *Mem) { put(m, "b", "y"); put(m, "a", "x") }) {
		t.Error("the order of creation shows")
	}
	different := map[string]func(m *Mem){
		"content":   func(m *Mem) { put(m, "a", "x"); put(m, "b", "z") },
		"name":      func(m *Mem) { put(m, "a", "x"); put(m, "c", "y") },
		"swapped":   func(m *Mem) { put(m, "a", "y"); put(m, "b", "x") },
		"size":      func(m *Mem) { put(m, "a", "x"); put(m, "b", "y\x00") },
		"directory": func(m *Mem) { put(m, "a", "x"); put(m, "b", "y"); must(t, m.MkdirAll("c")) },
		"nested":    func(m *Mem) { put(m, "a", "x"); must(t, m.MkdirAll("d")); put(m, "d/b", "y") },
	}
	for what, build := range different {
		if disk(build) == base {
			t.Errorf("%s does not show", what)
		}
	}
	hole := disk(func(m *Mem) { must(t, create(t, m, "a").Truncate(2*pageSize)) })
	zeros := disk(func(m *Mem) { writeAt(t, create(t, m, "a"), make([]byte, 2*pageSize), 0) })
	alloc := disk(func(m *Mem) { must(t, create(t, m, "a").Preallocate(2*pageSize)) })
	if hole != zeros || hole != alloc {
		t.Error("how zeros are stored shows")
	}
}
