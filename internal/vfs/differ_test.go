package vfs_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// kindOf names the sentinel an error matches.
func kindOf(err error) string {
	if err == nil {
		return "ok"
	}
	for _, s := range []error{
		vfs.ErrBadName, vfs.ErrClosed, vfs.ErrExist, vfs.ErrIsDir, vfs.ErrLocked,
		vfs.ErrNoSpace, vfs.ErrNotDir, vfs.ErrNotEmpty, vfs.ErrNotExist,
	} {
		if errors.Is(err, s) {
			return s.Error()
		}
	}
	return "unknown: " + err.Error()
}

// nameOp does one operation on names and tells how it went.
func nameOp(fsys vfs.FS, kind int, a, b string) string {
	var err error
	var more string
	switch kind {
	case 0, 1:
		var f vfs.File
		if f, err = fsys.Create(a); err == nil {
			_, werr := f.WriteAt([]byte(a), 0)
			err = errors.Join(werr, f.Close())
		}
	case 2:
		var data []byte
		data, err = vfs.ReadFile(fsys, a, 1000)
		more = string(data)
	case 3, 4:
		err = fsys.Rename(a, b)
	case 5:
		err = fsys.Remove(a)
	case 6:
		err = fsys.MkdirAll(a)
	case 7:
		err = fsys.SyncDir(a)
	case 8:
		err = vfs.WriteFileAtomic(fsys, a, []byte(b))
	default:
		var entries []vfs.Entry
		entries, err = fsys.List(a)
		more = fmt.Sprint(entries)
	}
	return kindOf(err) + " " + more
}

// Mem answers every operation on names as a real file system does.
func TestMemIsLikeOS(t *testing.T) {
	names := []string{"a", "b", "d", "d/a", "d/b", "d/d", "d/d/a", "e", "e/a", "e/d", "a/x", "d/a/x/y"}
	kinds := []string{"create", "create", "read", "rename", "rename", "remove", "mkdir", "syncdir", "atomic", "list"}
	reached := map[string]bool{}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		disk, mem := openOS(t, filepath.Join(t.TempDir(), "x")), vfs.NewMem(vfs.MemOptions{})
		for i := range 150 {
			kind := rng.IntN(len(kinds))
			a, b := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
			want, got := nameOp(disk, kind, a, b), nameOp(mem, kind, a, b)
			if got != want {
				t.Fatalf("seed %d, step %d: %s %s %s: Mem says %q, OS says %q", seed, i, kinds[kind], a, b, got, want)
			}
			reached[kinds[kind]+" "+want] = true
		}
	}
	for _, want := range []string{"rename " + vfs.ErrIsDir.Error() + " ", "remove " + vfs.ErrNotEmpty.Error() + " ", "mkdir ok "} {
		if !reached[want] {
			t.Errorf("%q was never reached", want)
		}
	}
}

// Whatever the name, nothing appears outside the root, and Mem and OS agree.
func FuzzName(f *testing.F) {
	for _, name := range []string{"a", "../x", "/x", "", ".", "a/../../b", "a//b", "..", "d/..", "\x00", `..\x`, "...", "a/b/c"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		parent := t.TempDir()
		outer := openOS(t, parent)
		disk, mem := openOS(t, filepath.Join(parent, "root")), vfs.NewMem(vfs.MemOptions{})
		for kind := range 10 {
			want, got := nameOp(disk, kind, name, name), nameOp(mem, kind, name, name)
			if got != want {
				t.Fatalf("operation %d on %q: Mem says %q, OS says %q", kind, name, got, want)
			}
		}
		entries, err := outer.List(".")
		if err != nil || !slices.Equal(entries, []vfs.Entry{{Name: "root", Dir: true}}) {
			t.Fatalf("outside the root after %q: %v, %v", name, entries, err)
		}
	})
}
