package remote

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// TestFullDisk: a cache that cannot write fails no read, says so once, and works
// again when there is space.
func TestFullDisk(t *testing.T) {
	tr := newTier(t, 1, 5, segfiletest.Shape{Batches: 300})
	for _, space := range []int64{0, 100, 10_000, 60_000} {
		var mu sync.Mutex
		full := vfs.NoSpaceFrom(space)
		fs := vfs.NewFaulty(vfs.NewMem(vfs.MemOptions{}), func(op vfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if full == nil {
				return nil
			}
			return full(op)
		})
		var log bytes.Buffer
		now := newClock()
		cache := NewDiskCache(DiskOptions{FS: fs, Now: now.now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		r := newReader(t, tr.store, Options{ChunkBytes: 8192, Cache: cache, Now: now.now})
		tr.wantAll(t, r, 3000)
		r.settle()
		if s := cache.Stats(); s.Errors == 0 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%d errors, log %q", s.Errors, log.String())
		}
		mu.Lock()
		full = nil
		mu.Unlock()
		r.table.shrink(0)
		now.advance(2 * pauseAfterFull)
		tr.wantAll(t, r, 3000)
		r.settle()
		r.table.shrink(0)
		before := r.Stats().Misses
		tr.wantAll(t, r, 3000)
		if s := r.Stats(); s.Misses != before {
			t.Errorf("%d downloads of what was cached", s.Misses-before)
		}
	}
}

// closing calls a function before a file is closed.
type closing struct {
	vfs.FS
	before func(name string)
}

func (c closing) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	return closingFile{f, name, c.before}, err
}

type closingFile struct {
	vfs.File
	name   string
	before func(name string)
}

func (f closingFile) Close() error {
	f.before(f.name)
	return f.File.Close()
}

// TestFullDiskIsToldOnce: a write that began before the disk was full, and ends
// well after others failed, does not count as a disk that works again.
func TestFullDiskIsToldOnce(t *testing.T) {
	full := false
	fs := vfs.NewFaulty(vfs.NewMem(vfs.MemOptions{}), func(op vfs.Op) error {
		if full && op.Kind == vfs.OpWrite {
			return vfs.ErrNoSpace
		}
		return nil
	})
	var log bytes.Buffer
	now := newClock()
	var cache Cache
	cache = NewDiskCache(DiskOptions{
		FS: closing{fs, func(name string) {
			if strings.HasSuffix(name, chunkName(chunkID(1))) {
				full = true
				cache.Put(chunkID(2), content(2))
			}
		}},
		ReserveBytes: -1, Now: now.now, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	defer cache.Close()
	told := func() int { return strings.Count(log.String(), "\n") }

	cache.Put(chunkID(1), content(1))
	now.advance(2 * pauseAfterFull)
	cache.Put(chunkID(3), content(3))
	if s := cache.Stats(); s.Errors != 2 || told() != 1 {
		t.Errorf("%d errors, log %q", s.Errors, log.String())
	}
	full = false
	now.advance(2 * pauseAfterFull)
	cache.Put(chunkID(4), content(4))
	full = true
	cache.Put(chunkID(5), content(5))
	if told() != 2 {
		t.Errorf("log %q", log.String())
	}
}

// TestReserve: the cache gives way where the disk runs short.
func TestReserve(t *testing.T) {
	mem := vfs.NewMem(vfs.MemOptions{Capacity: 1 << 20})
	c := NewDiskCache(DiskOptions{FS: mem, ReserveBytes: 512 << 10})
	defer c.Close()
	big := bytes.Repeat([]byte{1}, 100_000)
	for i := range 20 {
		c.Put(chunkID(i), big)
		if free, err := mem.Free(); err != nil || free < 400<<10 {
			t.Fatalf("%d bytes are free, %v", free, err)
		}
	}
	if s := c.Stats(); s.Chunks == 0 {
		t.Error("nothing is kept")
	}
	hog, err := mem.Create("hog")
	if err == nil {
		err = hog.Preallocate(500 << 10)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		c.Put(chunkID(i), big)
	}
	if s := c.Stats(); s.Chunks != 0 {
		t.Errorf("%d chunks on a disk that is needed elsewhere", s.Chunks)
	}
}
