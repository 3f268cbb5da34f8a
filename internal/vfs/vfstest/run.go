package vfstest

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// Run tests that the file systems open returns keep the contract of vfs.FS.
// Each call of open must return an empty one with room for 16 MiB, and release
// it with t.Cleanup if it holds anything.
func Run(t *testing.T, open func(t *testing.T) vfs.FS) {
	t.Helper()
	tests := []struct {
		name string
		test func(t *testing.T, fsys vfs.FS)
	}{
		{"BadNames", testBadNames},
		{"LongNames", testLongNames},
		{"CreateOpen", testCreateOpen},
		{"KindOfName", testKindOfName},
		{"Rename", testRename},
		{"RenameErrors", testRenameErrors},
		{"Remove", testRemove},
		{"RemoveOpenFile", testRemoveOpenFile},
		{"MkdirAll", testMkdirAll},
		{"List", testList},
		{"SyncDir", testSyncDir},
		{"Free", testFree},
		{"Lock", testLock},
		{"Closed", testClosed},
		{"ReadAt", testReadAt},
		{"WriteAt", testWriteAt},
		{"WriteAtKeepsNothing", testWriteAtKeepsNothing},
		{"Truncate", testTruncate},
		{"Preallocate", testPreallocate},
		{"Negative", testNegative},
		{"RandomOps", testRandomOps},
		{"ConcurrentFile", testConcurrentFile},
		{"ConcurrentNames", testConcurrentNames},
		{"AlignedBuffer", testAlignedBuffer},
		{"Alignment", testAlignment},
		{"DirectNames", testDirectNames},
		{"Misaligned", testMisaligned},
		{"DirectEOF", testDirectEOF},
		{"DirectRandomOps", testDirectRandomOps},
		{"DirectClosed", testDirectClosed},
		{"SyncAll", testSyncAll},
		{"ReadFile", testReadFile},
		{"WriteFileAtomic", testWriteFileAtomic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a file with content and leaves it open until the test ends.
func create(t *testing.T, fsys vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	write(t, f, content, 0)
	return f
}

func write(t *testing.T, f vfs.File, content string, off int64) {
	t.Helper()
	n, err := f.WriteAt([]byte(content), off)
	if n != len(content) || err != nil {
		t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(content), off, n, err)
	}
}

// put makes a file with content and closes it.
func put(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	must(t, create(t, fsys, name, content).Close())
}

func wantFile(t *testing.T, fsys vfs.FS, name, want string) {
	t.Helper()
	got, err := vfs.ReadFile(fsys, name, 1<<20)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", name, got, want)
	}
}

func wantContent(t *testing.T, f vfs.File, want string) {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	if size != int64(len(want)) {
		t.Fatalf("size %d, want %d", size, len(want))
	}
	got := make([]byte, len(want))
	if n, err := f.ReadAt(got, 0); n != len(got) || err != nil {
		t.Fatalf("ReadAt = %d, %v", n, err)
	}
	if string(got) != want {
		t.Errorf("content differs: got %.40q, want %.40q", got, want)
	}
}
