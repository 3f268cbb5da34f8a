package vfstest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

func testBadNames(t *testing.T, fsys vfs.FS) {
	put(t, fsys, "ok", "x")
	must(t, fsys.MkdirAll("a"))
	bad := []string{
		"", "/", "/etc/passwd", "..", "../x", "a/..", "a/../../b", "a/../ok", "./ok",
		"a//b", "a/", "/a", "a/.", "a\x00b", `a\b`, `..\x`, "\xff\xfe",
		strings.Repeat("n", vfs.MaxElementBytes+1),
		strings.Repeat("a/", vfs.MaxNameBytes/2) + "b",
	}
	for _, name := range bad {
		_, err := fsys.Create(name)
		wantErr(t, fmt.Sprintf("Create(%q)", name), err, vfs.ErrBadName)
		_, err = fsys.Open(name)
		wantErr(t, fmt.Sprintf("Open(%q)", name), err, vfs.ErrBadName)
		wantErr(t, fmt.Sprintf("Rename(%q, new)", name), fsys.Rename(name, "new"), vfs.ErrBadName)
		wantErr(t, fmt.Sprintf("Rename(ok, %q)", name), fsys.Rename("ok", name), vfs.ErrBadName)
		wantErr(t, fmt.Sprintf("Remove(%q)", name), fsys.Remove(name), vfs.ErrBadName)
		wantErr(t, fmt.Sprintf("MkdirAll(%q)", name), fsys.MkdirAll(name), vfs.ErrBadName)
		wantErr(t, fmt.Sprintf("SyncDir(%q)", name), fsys.SyncDir(name), vfs.ErrBadName)
		_, err = fsys.List(name)
		wantErr(t, fmt.Sprintf("List(%q)", name), err, vfs.ErrBadName)
		_, err = fsys.Lock(name)
		wantErr(t, fmt.Sprintf("Lock(%q)", name), err, vfs.ErrBadName)
	}
	_, err := fsys.Create(".")
	wantErr(t, "Create(.)", err, vfs.ErrBadName)
	wantErr(t, "Remove(.)", fsys.Remove("."), vfs.ErrBadName)
	wantFile(t, fsys, "ok", "x")
}

func testLongNames(t *testing.T, fsys vfs.FS) {
	elem := strings.Repeat("n", vfs.MaxElementBytes)
	must(t, fsys.MkdirAll(elem))
	name := elem + "/" + strings.Repeat("m", vfs.MaxNameBytes-len(elem)-1-1)
	put(t, fsys, name, "deep")
	wantFile(t, fsys, name, "deep")
	for _, odd := range []string{"...", "..x", "x..", " ", "a b", "é", "-", "*"} {
		put(t, fsys, odd, odd)
		wantFile(t, fsys, odd, odd)
	}
}

func testCreateOpen(t *testing.T, fsys vfs.FS) {
	_, err := fsys.Open("a")
	wantErr(t, "Open of nothing", err, vfs.ErrNotExist)
	_, err = fsys.Create("dir/a")
	wantErr(t, "Create without parent", err, vfs.ErrNotExist)
	f := create(t, fsys, "a", "one")
	_, err = fsys.Create("a")
	wantErr(t, "Create twice", err, vfs.ErrExist)
	if !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), "create") {
		t.Errorf("error %q does not say operation and name", err)
	}
	wantContent(t, f, "one") // the failed Create left it alone
	g, err := fsys.Open("a")
	must(t, err)
	write(t, g, "two", 0)
	wantContent(t, f, "two") // both handles are the same file
	must(t, g.Close())
	wantContent(t, f, "two")
}

func testKindOfName(t *testing.T, fsys vfs.FS) {
	put(t, fsys, "file", "x")
	must(t, fsys.MkdirAll("dir"))
	_, err := fsys.Open("dir")
	wantErr(t, "Open of a directory", err, vfs.ErrIsDir)
	_, err = fsys.Create("dir")
	wantErr(t, "Create of a directory", err, vfs.ErrExist)
	_, err = fsys.Lock("dir")
	wantErr(t, "Lock of a directory", err, vfs.ErrIsDir)
	_, err = fsys.Open("file/x")
	wantErr(t, "Open below a file", err, vfs.ErrNotDir)
	_, err = fsys.Create("file/x")
	wantErr(t, "Create below a file", err, vfs.ErrNotDir)
	_, err = fsys.List("file")
	wantErr(t, "List of a file", err, vfs.ErrNotDir)
	wantErr(t, "SyncDir of a file", fsys.SyncDir("file"), vfs.ErrNotDir)
	wantErr(t, "MkdirAll of a file", fsys.MkdirAll("file"), vfs.ErrNotDir)
	wantErr(t, "MkdirAll below a file", fsys.MkdirAll("file/x"), vfs.ErrNotDir)
	wantFile(t, fsys, "file", "x")
}

func testRename(t *testing.T, fsys vfs.FS) {
	must(t, fsys.MkdirAll("d1"))
	must(t, fsys.MkdirAll("d2"))
	f := create(t, fsys, "d1/a", "A")
	must(t, fsys.Rename("d1/a", "d2/b"))
	_, err := fsys.Open("d1/a")
	wantErr(t, "Open of the old name", err, vfs.ErrNotExist)
	wantFile(t, fsys, "d2/b", "A")
	write(t, f, "Z", 0) // the handle follows the file
	wantFile(t, fsys, "d2/b", "Z")

	old := create(t, fsys, "d2/c", "C")
	must(t, fsys.Rename("d2/b", "d2/c"))
	wantFile(t, fsys, "d2/c", "Z")
	wantContent(t, old, "C") // the replaced file stays readable
	must(t, fsys.Rename("d2/c", "d2/c"))
	wantFile(t, fsys, "d2/c", "Z")
}

func testRenameErrors(t *testing.T, fsys vfs.FS) {
	put(t, fsys, "a", "A")
	must(t, fsys.MkdirAll("dir/sub"))
	wantErr(t, "no source", fsys.Rename("none", "b"), vfs.ErrNotExist)
	wantErr(t, "no source, same name", fsys.Rename("none", "none"), vfs.ErrNotExist)
	wantErr(t, "no target directory", fsys.Rename("a", "none/b"), vfs.ErrNotExist)
	wantErr(t, "directory as source", fsys.Rename("dir", "b"), vfs.ErrIsDir)
	wantErr(t, "directory as target", fsys.Rename("a", "dir"), vfs.ErrIsDir)
	wantErr(t, "empty directory as target", fsys.Rename("a", "dir/sub"), vfs.ErrIsDir)
	wantErr(t, "below a file", fsys.Rename("a", "a/b"), vfs.ErrNotDir)
	wantFile(t, fsys, "a", "A")
}

func testRemove(t *testing.T, fsys vfs.FS) {
	wantErr(t, "Remove of nothing", fsys.Remove("a"), vfs.ErrNotExist)
	must(t, fsys.MkdirAll("d"))
	put(t, fsys, "d/a", "A")
	wantErr(t, "Remove of a full directory", fsys.Remove("d"), vfs.ErrNotEmpty)
	must(t, fsys.Remove("d/a"))
	wantErr(t, "Remove twice", fsys.Remove("d/a"), vfs.ErrNotExist)
	must(t, fsys.Remove("d"))
	_, err := fsys.List("d")
	wantErr(t, "List of a removed directory", err, vfs.ErrNotExist)
}

func testRemoveOpenFile(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "old")
	must(t, fsys.Remove("a"))
	write(t, f, "OLD", 0)
	put(t, fsys, "a", "new")
	wantContent(t, f, "OLD")
	must(t, f.Sync())
	must(t, f.Close())
	wantFile(t, fsys, "a", "new")
}

func testMkdirAll(t *testing.T, fsys vfs.FS) {
	must(t, fsys.MkdirAll("."))
	must(t, fsys.MkdirAll("a/b/c"))
	must(t, fsys.MkdirAll("a/b"))
	must(t, fsys.MkdirAll("a/b/c/d"))
	put(t, fsys, "a/b/c/d/f", "x")
	must(t, fsys.MkdirAll("a/b/c/d"))
	wantFile(t, fsys, "a/b/c/d/f", "x")
}

func testList(t *testing.T, fsys vfs.FS) {
	_, err := fsys.List("none")
	wantErr(t, "List of nothing", err, vfs.ErrNotExist)
	got, err := fsys.List(".")
	must(t, err)
	if len(got) != 0 {
		t.Errorf("an empty directory lists %v", got)
	}
	must(t, fsys.MkdirAll("d/z"))
	for _, name := range []string{"d/b", "d/a-1", "d/a", "d/C", "d/10", "d/9"} {
		put(t, fsys, name, name)
	}
	want := []vfs.Entry{
		{Name: "10", Size: 4}, {Name: "9", Size: 3}, {Name: "C", Size: 3},
		{Name: "a", Size: 3}, {Name: "a-1", Size: 5}, {Name: "b", Size: 3},
		{Name: "z", Dir: true},
	}
	got, err = fsys.List("d")
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("List = %v, want %v", got, want)
	}
	got, err = fsys.List(".")
	must(t, err)
	if !slices.Equal(got, []vfs.Entry{{Name: "d", Dir: true}}) {
		t.Errorf("List(.) = %v", got)
	}
}

func testSyncDir(t *testing.T, fsys vfs.FS) {
	must(t, fsys.SyncDir("."))
	wantErr(t, "SyncDir of nothing", fsys.SyncDir("none"), vfs.ErrNotExist)
	must(t, fsys.MkdirAll("d/e"))
	put(t, fsys, "d/e/f", "x")
	must(t, fsys.SyncDir("d/e"))
	wantFile(t, fsys, "d/e/f", "x")
}

func testFree(t *testing.T, fsys vfs.FS) {
	free, err := fsys.Free()
	must(t, err)
	if free < 16<<20 {
		t.Errorf("Free = %d, want at least the 16 MiB the contract asks for", free)
	}
}

func testLock(t *testing.T, fsys vfs.FS) {
	l, err := fsys.Lock("lock")
	must(t, err)
	_, err = fsys.Lock("lock")
	wantErr(t, "Lock twice", err, vfs.ErrLocked)
	other, err := fsys.Lock("other")
	must(t, err)
	must(t, other.Close())
	must(t, l.Close())
	wantErr(t, "Close of a lock twice", l.Close(), vfs.ErrClosed)
	l, err = fsys.Lock("lock") // the file exists now
	must(t, err)
	_, err = fsys.Lock("lock")
	wantErr(t, "Lock twice, again", err, vfs.ErrLocked)
	must(t, l.Close())
	_, err = fsys.Lock("none/lock")
	wantErr(t, "Lock without parent", err, vfs.ErrNotExist)
}

// testConcurrentNames: of many who create one name, one wins, and renames never
// leave the name without a file.
func testConcurrentNames(t *testing.T, fsys vfs.FS) {
	const workers = 8
	put(t, fsys, "target", "start")
	var wg sync.WaitGroup
	won := make([]bool, workers)
	for w := range workers {
		wg.Go(func() {
			if f, err := fsys.Create("one"); err == nil {
				won[w] = true
				f.Close()
			}
			for i := range 20 {
				name := fmt.Sprintf("tmp-%d-%d", w, i)
				f, err := fsys.Create(name)
				if err != nil {
					t.Errorf("create %s: %v", name, err)
					return
				}
				f.Close()
				if err := fsys.Rename(name, "target"); err != nil {
					t.Errorf("rename %s: %v", name, err)
				}
				if g, err := fsys.Open("target"); err != nil {
					t.Errorf("open target: %v", err)
				} else {
					g.Close()
				}
				if _, err := fsys.List("."); err != nil {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	wg.Wait()
	winners := 0
	for _, w := range won {
		if w {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d workers created the same file", winners)
	}
}
