package vfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// directFile makes a durable direct file of whole pages.
func directFile(t *testing.T, m *Mem, name string, b byte, pages int) File {
	t.Helper()
	f, err := m.CreateDirect(name)
	must(t, err)
	writeDirect(t, f, b, pages, 0)
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	return f
}

func writeDirect(t *testing.T, f File, b byte, pages int, off int64) {
	t.Helper()
	p := AlignedBuffer(pages * pageSize)
	copy(p, fill(b, len(p)))
	_, err := f.WriteAt(p, off)
	must(t, err)
}

// A direct write is in the cache of the drive until a sync: each page of it
// survives or not. Where a recycled file loses one, its earlier use shows.
func TestCrashDirectWrite(t *testing.T) {
	recycled := func(m *Mem) {
		f := directFile(t, m, "old", 'a', 2)
		must(t, m.Rename("old", "a"))
		must(t, m.SyncDir("."))
		writeDirect(t, f, 'b', 2, 0)
	}
	wantOutcomes(t, outcomes(t, CrashOptions{Keep: 0.5, Reorder: true}, recycled, letters), "a", "b", "ab", "ba")
	wantOutcomes(t, outcomes(t, CrashOptions{}, recycled, letters), "a")
	synced := func(sync func(m *Mem, f File) error) func(m *Mem) {
		return func(m *Mem) {
			recycled(m)
			f, err := m.OpenDirect("a")
			must(t, err)
			must(t, sync(m, f))
		}
	}
	wantOutcomes(t, outcomes(t, CrashOptions{}, synced(func(_ *Mem, f File) error { return f.Sync() }), letters), "b")
	wantOutcomes(t, outcomes(t, CrashOptions{}, synced(func(m *Mem, _ File) error { return m.SyncAll() }), letters), "b")
}

// After SyncAll a crash that keeps nothing changes nothing.
func TestCrashKeepsSyncedAll(t *testing.T) {
	for seed := range uint64(100) {
		m := NewMem(MemOptions{})
		randomDisk(t, m, seeded(seed))
		must(t, m.SyncAll())
		before := m.Digest()
		if after := m.Crash(seeded(seed), CrashOptions{}).Digest(); after != before {
			t.Fatalf("seed %d: digest %x, after the crash %x", seed, before, after)
		}
	}
}

// A SyncAll that failed has lost what was unsynced in every file, and one that
// succeeds later does not bring it back, but saves what was written in between.
func TestLostSyncAll(t *testing.T) {
	fail := true
	m := NewMem(MemOptions{})
	fsys := NewFaulty(m, func(op Op) error {
		if op.Kind == OpSyncAll && fail {
			return &LostSync{Err: errInjected}
		}
		return nil
	})
	must(t, fsys.MkdirAll("d"))
	for _, name := range []string{"a", "d/b"} {
		durableFile(t, m, name, fill('s', pageSize))
	}
	must(t, m.SyncDir("d"))
	for _, name := range []string{"a", "d/b"} {
		f, err := fsys.Open(name)
		must(t, err)
		writeAt(t, f, fill('l', pageSize), 0)
	}
	if err := fsys.SyncAll(); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	f, err := fsys.Open("a")
	must(t, err)
	writeAt(t, f, fill('n', pageSize), pageSize)
	fail = false
	must(t, fsys.SyncAll())
	m = m.Crash(seeded(1), CrashOptions{Keep: 1})
	for name, want := range map[string]string{"a": "sn", "d/b": "s"} {
		if got := string(slices.Compact(readBack(t, m, name))); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
}

// Faults of direct files stay aligned: the inner file does what it is told.
func TestFaultyDirect(t *testing.T) {
	var fault error
	m := NewMem(MemOptions{DirectAlignment: 1024})
	fsys := NewFaulty(m, func(op Op) error {
		if op.Kind == OpRead || op.Kind == OpWrite {
			return fault
		}
		return nil
	})
	f, err := fsys.CreateDirect("a")
	must(t, err)
	if f.Alignment() != 1024 {
		t.Fatalf("alignment %d", f.Alignment())
	}
	writeDirect(t, f, 'a', 1, 0)
	p := AlignedBuffer(pageSize)
	copy(p, fill('b', pageSize))
	for _, tt := range []struct{ ask, want int }{{1023, 0}, {2047, 1024}, {pageSize, pageSize}} {
		fault = &Partial{N: tt.ask, Err: errInjected}
		if n, err := f.WriteAt(p, 0); n != tt.want || !errors.Is(err, errInjected) {
			t.Errorf("a write cut at %d did %d, %v", tt.ask, n, err)
		}
		if n, err := f.ReadAt(AlignedBuffer(pageSize), 0); n != tt.want || !errors.Is(err, errInjected) {
			t.Errorf("a read cut at %d did %d, %v", tt.ask, n, err)
		}
	}
	fault = &Corrupt{Bit: 7}
	if _, err := f.WriteAt(p, 0); err != nil {
		t.Error(err)
	}
	if got := readBack(t, m, "a"); bytes.Equal(got, p) || !bytes.Equal(got[1:], p[1:]) {
		t.Error("no bit was flipped")
	}
}

func TestMemDirectAlignment(t *testing.T) {
	for given, want := range map[int]int{0: sectorSize, 1: 1, 512: 512, 4096: 4096, 8192: sectorSize, 513: sectorSize, -1: sectorSize} {
		m := NewMem(MemOptions{DirectAlignment: given})
		for range 3 { // it is the same after a crash
			f, err := m.CreateDirect("a")
			must(t, err)
			if got := f.Alignment(); got != want {
				t.Errorf("alignment %d with option %d, want %d", got, given, want)
			}
			m = m.Crash(rand.New(rand.NewPCG(1, 1)), CrashOptions{})
		}
	}
}

// Writing whole pages of zeros takes space of the disk, and none of ours.
func TestMemZeros(t *testing.T) {
	m := NewMem(MemOptions{Capacity: 64 << 20})
	f := directFile(t, m, "a", 0, 16<<20/pageSize)
	for _, s := range f.(*memFile).n.slots {
		if s.page != &zeroPage {
			t.Fatal("a page of zeros was stored")
		}
	}
	if free, err := m.Free(); err != nil || free != 48<<20 {
		t.Errorf("%d bytes free, %v", free, err)
	}
	writeDirect(t, f, 'x', 1, pageSize)
	g, err := m.Open("a")
	must(t, err)
	writeAt(t, g, []byte("y"), 0) // into a shared page
	if !equalZero(&zeroPage) {
		t.Fatal("the shared page was changed")
	}
	got := make([]byte, 3*pageSize)
	if _, err := g.ReadAt(got, 0); err != nil || got[0] != 'y' || got[pageSize] != 'x' || got[2*pageSize] != 0 {
		t.Errorf("wrong content, error %v", err)
	}
}
