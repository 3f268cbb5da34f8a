package node

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// exists reports whether a replica's directory does.
func exists(t *testing.T, fs vfs.FS, dir string) bool {
	t.Helper()
	_, err := fs.List(dir)
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// withDirectories opens a node that is idle, and makes directories.
func withDirectories(t *testing.T, dirs ...string) (*Node, *vfs.Mem, time.Time) {
	t.Helper()
	mem, now := vfs.NewMem(vfs.MemOptions{}), time.UnixMilli(1_000_000)
	n, _, err := Open(testConfig(mem), now)
	if err != nil {
		t.Fatal(err)
	}
	drive(t, n, now)
	for _, dir := range dirs {
		if err := mem.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	return n, mem, now
}

// A directory that nothing names any more goes although nothing else happens to
// the cluster metadata.
func TestUnusedDirectoryGoesAtOnce(t *testing.T) {
	n, mem, now := withDirectories(t, "partitions/a-0.16.1")
	defer n.Close()
	n.meta.unused("partitions/a-0.16.1")
	drive(t, n, now)
	if exists(t, mem, "partitions/a-0.16.1") {
		t.Fatal("it is there")
	}
}

// Directories that come while others are removed are removed too, and what could
// not be is tried again.
func TestDirectoriesThatComeWhileOthersAreRemoved(t *testing.T) {
	n, mem, now := withDirectories(t, "partitions/a-0.16", "partitions/a-0.16.1", "partitions/a-0.16.2")
	defer n.Close()
	if err := mem.MkdirAll("partitions/a-0.16.1/full"); err != nil { // cannot go yet
		t.Fatal(err)
	}
	n.meta.unused("partitions/a-0.16", "partitions/a-0.16.1")
	tasks := n.Poll(now)
	if len(tasks) != 1 {
		t.Fatalf("%d tasks", len(tasks))
	}
	n.meta.unused("partitions/a-0.16.2")
	if more := n.Poll(now); len(more) != 0 {
		t.Fatalf("%d tasks while one is performed", len(more))
	}
	if err := mem.MkdirAll("partitions/a-0.16.1/full/er"); err != nil {
		t.Fatal(err)
	}
	_ = tasks[0].Do()
	n.Done(now, tasks[0])
	drive(t, n, now)
	for _, dir := range []string{"partitions/a-0.16.1/full/er", "partitions/a-0.16.1/full"} {
		if err := mem.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	n.Tick(now)
	drive(t, n, now)
	for _, dir := range []string{"partitions/a-0.16", "partitions/a-0.16.1", "partitions/a-0.16.2"} {
		if exists(t, mem, dir) {
			t.Errorf("%s is there", dir)
		}
	}
}

// What a listing makes of names, and what it leaves alone.
func TestDirectoriesOfReplicas(t *testing.T) {
	_, mem, _ := withDirectories(t, "partitions/a-0.16", "partitions/a-0.16.12", "partitions/a-0.16.3", "partitions/a-0.161", "partitions/b-1.17.2",
		"partitions/other", "partitions/a-0.x", "partitions/a-0.16.1.1", "partitions/a-0.16.0", "partitions/c-0.18.deleted")
	for _, mark := range []string{"a-0.16.3", "a-0.16.4", "b-1.17"} {
		f, err := mem.Create(partitionsDir + "/" + mark + deletedSuffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := listDirectories(mem)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.replicas(); len(got) != 3 || got[0] != "partitions/a-0.16" || got[1] != "partitions/a-0.161" || got[2] != "partitions/b-1.17" {
		t.Fatalf("replicas %v", got)
	}
	if got := d["partitions/a-0.16"]; len(got) != 4 || got[0].marked || !got[1].marked || !got[2].marked || got[3].path != "partitions/a-0.16.12" {
		t.Errorf("directories %+v", got)
	}
	if d.highest("partitions/a-0.16") != 12 || d.highest("partitions/none.1") != 0 {
		t.Errorf("highest %d and %d", d.highest("partitions/a-0.16"), d.highest("partitions/none.1"))
	}
	if got := d.others("partitions/a-0.16", 12); len(got) != 3 || got[0] != "partitions/a-0.16" {
		t.Errorf("others %v", got)
	}
	if !d.marked("partitions/b-1.17") || d.marked("partitions/a-0.161") {
		t.Error("marks of others")
	}
}
