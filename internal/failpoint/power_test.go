//go:build failpoints

package failpoint

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// seeds is how many losses each test draws.
const seeds = 60

func content(t *testing.T, dir, name string) (string, bool) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b), true
}

// both checks that of two outcomes each came.
func both(t *testing.T, what string, first, second int) {
	t.Helper()
	if first == 0 || second == 0 {
		t.Errorf("%s: survived %d times, was lost %d times", what, second, first)
	}
}

// Unsynced bytes may be lost in each sector, synced ones never.
func TestUnsyncedWritesAreLost(t *testing.T) {
	const size = 3 * sector
	lost, kept, mixed := 0, 0, 0
	for seed := range uint64(seeds) {
		d, dir := open(t)
		f, err := d.Create("f")
		must(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte("a"), size), 0)
		must(t, err, f.Sync(), d.SyncDir("."))
		_, err = f.WriteAt(bytes.Repeat([]byte("b"), size+100), 0)
		must(t, err, d.powerLoss(seed), f.Close())
		got, ok := content(t, dir, "f")
		if !ok || len(got) < size || len(got) > size+100 {
			t.Fatalf("seed %d: %d bytes, %v", seed, len(got), ok)
		}
		news := 0
		for at := 0; at < size; at += sector {
			switch got[at : at+sector] {
			case string(bytes.Repeat([]byte("a"), sector)):
			case string(bytes.Repeat([]byte("b"), sector)):
				news++
			default:
				t.Fatalf("seed %d: sector at %d is a mixture", seed, at)
			}
		}
		switch news {
		case 0:
			lost++
		case size / sector:
			kept++
		default:
			mixed++
		}
	}
	both(t, "a write", lost, kept)
	if mixed == 0 {
		t.Error("a write was never lost in part")
	}
}

// What a sync of the file, of the directory, or of everything covered stays.
func TestSyncedSurvives(t *testing.T) {
	for seed := range uint64(seeds) {
		d, dir := open(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		must(t, d.MkdirAll("wal"))
		f, err := d.CreateDirect("wal/f")
		must(t, err, f.Preallocate(4*sector))
		want := bytes.Repeat([]byte("x"), 100)
		g, err := d.Create("wal/g")
		must(t, err)
		_, err = g.WriteAt(want, 0)
		must(t, err)
		if rng.IntN(2) == 0 {
			must(t, d.SyncAll())
		} else {
			must(t, f.Sync(), g.Sync(), d.SyncDir("wal"))
		}
		must(t, d.Rename("wal/f", "wal/h"))
		must(t, d.Remove("wal/g"))
		must(t, g.Close())
		must(t, d.SyncDir("wal"))
		// The handle follows the name, and the sync covers it.
		must(t, f.Truncate(2*sector), f.Sync())
		must(t, d.powerLoss(seed), f.Close())
		if got, ok := content(t, dir, "wal/h"); !ok || len(got) != 2*sector {
			t.Fatalf("seed %d: the renamed file: %v, %d bytes", seed, ok, len(got))
		}
		for _, gone := range []string{"wal/f", "wal/g"} {
			if _, ok := content(t, dir, gone); ok {
				t.Fatalf("seed %d: %s is back", seed, gone)
			}
		}
	}
}

// A failed sync loses what it did not cover, even if a later one succeeds.
func TestFailedSyncLoses(t *testing.T) {
	for seed := range uint64(seeds) {
		d, dir := open(t)
		must(t, d.MkdirAll("partitions/p.1"))
		f, err := d.Create("partitions/p.1/f.log")
		must(t, err, f.Sync(), d.SyncDir("partitions/p.1"))
		_, err = f.WriteAt([]byte("x"), 0)
		must(t, err, d.trouble.obey("fail sync segment"))
		if f.Sync() == nil {
			t.Fatal("the sync succeeds")
		}
		must(t, d.trouble.obey(""), f.Sync(), d.powerLoss(seed), f.Close())
		if got, ok := content(t, dir, "partitions/p.1/f.log"); !ok || got != "" {
			t.Fatalf("seed %d: %q, %v", seed, got, ok)
		}
	}
}

// Names that no directory sync covered may be as before, with their content.
func TestUnsyncedNamesAreLost(t *testing.T) {
	var created, removed, renamed, replaced [2]int
	for seed := range uint64(seeds) {
		d, dir := open(t)
		make := func(name, text string) {
			f, err := d.Create(name)
			must(t, err)
			_, err = f.WriteAt([]byte(text), 0)
			must(t, err, f.Sync(), f.Close())
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			must(t, d.MkdirAll(name))
		}
		make("b/f", "b")
		make("c/f", "c")
		make("d/f", "d")
		make("d/g", "under it")
		must(t, d.SyncDir("b"), d.SyncDir("c"), d.SyncDir("d"))
		make("a/f", "a")
		must(t, d.Remove("b/f"), d.Rename("c/f", "c/g"), d.Rename("d/f", "d/g"))
		must(t, d.powerLoss(seed))
		count := func(n *[2]int, kept bool, ok bool) {
			t.Helper()
			if !ok {
				t.Fatalf("seed %d: neither before nor after", seed)
			}
			if kept {
				n[1]++
			} else {
				n[0]++
			}
		}
		got, ok := content(t, dir, "a/f")
		count(&created, ok, !ok || got == "a")
		got, ok = content(t, dir, "b/f")
		count(&removed, !ok, !ok || got == "b")
		old, ok := content(t, dir, "c/f")
		moved, there := content(t, dir, "c/g")
		count(&renamed, there, ok != there && old+moved == "c")
		old, ok = content(t, dir, "d/f")
		moved, there = content(t, dir, "d/g")
		count(&replaced, !ok, there && (ok && old == "d" && moved == "under it" || !ok && moved == "d"))
	}
	both(t, "create", created[0], created[1])
	both(t, "remove", removed[0], removed[1])
	both(t, "rename", renamed[0], renamed[1])
	both(t, "rename over a file", replaced[0], replaced[1])
}

// A directory that was removed comes back before what was in it.
func TestRemovedDirectoryComesBack(t *testing.T) {
	back := 0
	for seed := range uint64(seeds) {
		d, dir := open(t)
		must(t, d.MkdirAll("partitions/p.1"))
		f, err := d.Create("partitions/p.1/f.log")
		must(t, err)
		_, err = f.WriteAt([]byte("x"), 0)
		must(t, err, f.Sync(), f.Close(), d.SyncDir("partitions/p.1"))
		must(t, d.Remove("partitions/p.1/f.log"), d.Remove("partitions/p.1"))
		must(t, d.powerLoss(seed))
		got, ok := content(t, dir, "partitions/p.1/f.log")
		if ok && got != "x" {
			t.Fatalf("seed %d: %q", seed, got)
		}
		if ok {
			back++
		}
	}
	if back == 0 || back == seeds {
		t.Errorf("it came back %d of %d times", back, seeds)
	}
}
