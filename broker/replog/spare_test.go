package replog

import (
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// spared returns an engine with files of the write-ahead log that wait to be used
// again, and its disk.
func spared(t *testing.T) (*follower, *vfs.Mem) {
	t.Helper()
	mem := vfs.NewMem(vfs.MemOptions{Capacity: 16 << 20})
	f := newFollower(t, func(c *Config) { c.FS, c.DiskReserve = mem, 1<<20 })
	for range 400 {
		if f.e.wal.Spares() > 0 {
			return f, mem
		}
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("y", 10_000)), nil, false); err != nil {
			t.Fatal(err)
		}
		f.work()
		f.tick()
	}
	t.Fatal("no file is used again")
	return nil, nil
}

// leave takes space until so many bytes are free.
func leave(t *testing.T, mem *vfs.Mem, free int64) {
	t.Helper()
	have, err := mem.Free()
	if err != nil {
		t.Fatal(err)
	}
	f, err := mem.Create("ballast")
	if err == nil {
		err = f.Preallocate(have - free)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Files that only wait to be used again are given up when the disk is full.
func TestFullDiskTakesSpareFiles(t *testing.T) {
	f, mem := spared(t)
	leave(t, mem, 600<<10) // less than the reserve
	before, _ := mem.Free()
	f.tick()
	if after, _ := mem.Free(); f.e.wal.Spares() != 0 || after <= before {
		t.Fatalf("%d files wait to be used again; %d bytes were free, %d are", f.e.wal.Spares(), before, after)
	}
}
