package vfs_test

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/internal/vfs/vfstest"
)

func openOS(t *testing.T, root string) vfs.FS {
	t.Helper()
	fsys, err := vfs.OS(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.(io.Closer).Close() })
	return fsys
}

func TestContractOS(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		return openOS(t, filepath.Join(t.TempDir(), "new", "root"))
	})
}

// A file system in memory has other ways to fail than a disk: no fallocate on
// some, no O_DIRECT, other limits.
func TestContractOSInMemory(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "vfs")
	if err != nil {
		dir = t.TempDir() // no such file system: the contract holds anywhere
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		root, err := os.MkdirTemp(dir, "root")
		if err != nil {
			t.Fatal(err)
		}
		return openOS(t, root)
	})
}

func TestContractMem(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		return vfs.NewMem(vfs.MemOptions{})
	})
}

func TestContractMemCapacity(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		return vfs.NewMem(vfs.MemOptions{Capacity: 16 << 20})
	})
}

func TestContractFaulty(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		return vfs.NewFaulty(vfs.NewMem(vfs.MemOptions{}), nil)
	})
}

// Symbolic links that someone put into the data directory lead nowhere.
func TestOSSymlinkOutside(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	fsys := openOS(t, root)
	for link, to := range map[string]string{"file": secret, "dir": outside, "up": "../"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fsys.Open("file"); err == nil {
		t.Error("opened a file outside")
	}
	if _, err := fsys.Lock("file"); err == nil {
		t.Error("locked a file outside")
	}
	for _, dir := range []string{"dir", "up"} {
		if _, err := fsys.Create(dir + "/new"); err == nil {
			t.Errorf("created a file through %s", dir)
		}
		if _, err := fsys.List(dir); err == nil {
			t.Errorf("listed %s", dir)
		}
		if err := fsys.MkdirAll(dir + "/new"); err == nil {
			t.Errorf("made a directory through %s", dir)
		}
	}
	if err := fsys.Remove("dir/secret"); err == nil {
		t.Error("removed a file outside")
	}
	if err := fsys.Rename("dir/secret", "mine"); err == nil {
		t.Error("took a file from outside")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside holds %v, %v", entries, err)
	}
}

// A pipe in the data directory must not hang the broker.
func TestOSNotRegular(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openOS(t, root).Open("pipe"); err == nil {
		t.Error("opened a pipe")
	}
}

func TestOSRoot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(file, "below")} {
		if _, err := vfs.OS(root); err == nil {
			t.Errorf("OS(%s) succeeded", root)
		}
	}
	root := filepath.Join(dir, "data")
	first := openOS(t, root)
	l, err := first.Lock("lock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := openOS(t, root).Lock("lock"); err == nil {
		t.Error("two file systems on one directory hold the lock")
	}
}
