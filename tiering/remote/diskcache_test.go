package remote

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// diskOptions are for a cache in a directory of the operating system.
func diskOptions(t testing.TB, root string) DiskOptions {
	t.Helper()
	fs, err := vfs.OS(root)
	if err != nil {
		t.Fatal(err)
	}
	return DiskOptions{FS: fs, Root: root, ReserveBytes: -1}
}

func chunkID(n int) ChunkID { return ChunkID{Object: [16]byte{1, 15: byte(n)}, Offset: int64(n) << 20} }

func content(n int) []byte { return bytes.Repeat([]byte{byte(n), 7}, 1000+n) }

func has(c Cache, n int) bool {
	b := content(n)
	clear(b)
	return c.Get(chunkID(n), b) && bytes.Equal(b, content(n))
}

// TestCacheContract: what every Cache does.
func TestCacheContract(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, max int64) Cache{
		"memory": func(_ *testing.T, max int64) Cache { return NewMemoryCache(max) },
		"disk": func(t *testing.T, max int64) Cache {
			return NewDiskCache(DiskOptions{FS: vfs.NewMem(vfs.MemOptions{}), Bytes: max})
		},
		"disk with index": func(t *testing.T, max int64) Cache {
			o := diskOptions(t, t.TempDir())
			o.Bytes = max
			return NewDiskCache(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := make(t, 1<<20)
			defer c.Close()
			if c.Has(chunkID(1)) || has(c, 1) {
				t.Error("found before put")
			}
			c.Put(chunkID(1), content(1))
			c.Put(chunkID(2), content(2))
			if !c.Has(chunkID(1)) || !has(c, 1) || !has(c, 2) || has(c, 3) {
				t.Error("not found after put")
			}
			if c.Get(chunkID(1), content(3)) {
				t.Error("found with another length")
			}
			c.Put(chunkID(1), content(1))
			c.Drop(chunkID(2))
			c.Drop(chunkID(9))
			if !has(c, 1) || has(c, 2) || c.Has(chunkID(2)) {
				t.Error("wrong chunk after drop")
			}
			if s := c.Stats(); s.Chunks != 1 || s.Bytes <= 0 {
				t.Errorf("%+v", s)
			}
			big := bytes.Repeat([]byte{1}, 100_000)
			for i := range 100 {
				c.Put(chunkID(i), big)
				c.Get(chunkID(0), big) // keeps it young
				if s := c.Stats(); s.Bytes > 1<<20 {
					t.Fatalf("%d bytes", s.Bytes)
				}
			}
			if !c.Has(chunkID(0)) || c.Has(chunkID(1)) || !c.Has(chunkID(99)) {
				t.Error("not the oldest chunks were evicted")
			}
			if s := c.Stats(); s.Evictions == 0 || s.Errors != 0 {
				t.Errorf("%+v", s)
			}
			c.Put(chunkID(5), bytes.Repeat([]byte{1}, 2<<20))
			if c.Has(chunkID(5)) || !c.Has(chunkID(0)) {
				t.Error("a chunk that is larger than the cache")
			}
			c.Close()
			c.Put(chunkID(200), content(200))
			if has(c, 0) || c.Has(chunkID(200)) {
				t.Error("found after close")
			}
			c.Close()
		})
	}
}

// TestCacheSurvivesRestart: chunks and the order of their use.
func TestCacheSurvivesRestart(t *testing.T) {
	o := diskOptions(t, t.TempDir())
	o.Bytes = 10 * chunkCostMin
	now := newClock()
	o.Now = now.now
	c := NewDiskCache(o)
	for i := range 10 {
		c.Put(chunkID(i), content(i))
		now.advance(time.Second)
	}
	has(c, 0) // is the youngest now, which is noted at the end
	c.Close()

	c = NewDiskCache(o)
	defer c.Close()
	if s := c.Stats(); s.Chunks != 0 {
		t.Error("opened before its use")
	}
	for i := 10; i < 18; i++ {
		now.advance(time.Second)
		c.Put(chunkID(i), content(i))
	}
	if !has(c, 0) || !has(c, 9) || c.Has(chunkID(1)) || c.Has(chunkID(8)) {
		t.Error("the order of use was lost")
	}
	if s := c.Stats(); s.Errors != 0 || s.Chunks != 10 {
		t.Errorf("%+v", s)
	}
}

// TestCacheOfReaderSurvivesRestart: a second broker life reads without a store.
func TestCacheOfReaderSurvivesRestart(t *testing.T) {
	tr := newTier(t, 1, 5, segfiletest.Shape{Batches: 300}, segfiletest.Shape{Batches: 100})
	root := t.TempDir()
	w := newWire(tr.store)
	for life := range 3 {
		r := New(w, cluster, Options{ChunkBytes: 8192, Cache: NewDiskCache(diskOptions(t, root))})
		tr.wantAll(t, r, 3000)
		r.settle()
		s := r.Stats()
		r.Close()
		if life == 0 {
			if s.NotKept > 0 {
				t.Errorf("%d chunks are not kept", s.NotKept)
			}
			w.set(down)
			continue
		}
		if s.Misses != 0 || s.CacheHits == 0 || s.Cache.Errors != 0 {
			t.Errorf("life %d: %+v", life, s)
		}
	}
}

func TestCacheExpires(t *testing.T) {
	now := newClock()
	mem := vfs.NewMem(vfs.MemOptions{})
	c := NewDiskCache(DiskOptions{FS: mem, MaxAge: time.Hour, Now: now.now})
	defer c.Close()
	c.Expire()
	for i := range 10 {
		c.Put(chunkID(i), content(i))
	}
	now.advance(50 * time.Minute)
	has(c, 3)
	c.Expire()
	if s := c.Stats(); s.Chunks != 10 {
		t.Errorf("%d chunks before their age", s.Chunks)
	}
	now.advance(20 * time.Minute)
	c.Expire()
	if s := c.Stats(); s.Chunks != 1 || !has(c, 3) {
		t.Errorf("%d chunks", s.Chunks)
	}
	files, err := mem.List("cache/chunks")
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// chunkFiles returns the files of a cache's chunks.
func chunkFiles(t *testing.T, root string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "cache", "chunks", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

func change(t *testing.T, file string, fn func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, fn(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedCache: whatever happens to the files of the cache, all reads are
// right (L8), and what is damaged comes from the store again.
func TestDamagedCache(t *testing.T) {
	tr := newTier(t, 1, 5, segfiletest.Shape{Batches: 300}, segfiletest.Shape{Batches: 100})
	rng := rand.New(rand.NewPCG(1, 1))
	index := func(t *testing.T, root string) []string {
		files, err := filepath.Glob(filepath.Join(root, "cache", "index", "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		return files
	}
	for name, c := range map[string]struct {
		harm     func(t *testing.T, root string)
		refetch  bool
		noErrors bool
		errors   bool
	}{
		"bit flips in chunks": {harm: func(t *testing.T, root string) {
			for _, f := range chunkFiles(t, root) {
				change(t, f, func(b []byte) []byte { b[rng.IntN(len(b))] ^= 1 << rng.IntN(8); return b })
			}
		}, refetch: true, errors: true},
		"truncated chunks": {harm: func(t *testing.T, root string) {
			for _, f := range chunkFiles(t, root) {
				change(t, f, func(b []byte) []byte { return b[:rng.IntN(len(b))] })
			}
		}, refetch: true},
		"zeroed chunks": {harm: func(t *testing.T, root string) {
			for _, f := range chunkFiles(t, root) {
				change(t, f, func(b []byte) []byte { clear(b); return b })
			}
		}, refetch: true, errors: true},
		"exchanged chunks": {harm: func(t *testing.T, root string) {
			files := chunkFiles(t, root)
			first, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				change(t, f, func([]byte) []byte { return first })
			}
		}, refetch: true},
		"removed chunks": {harm: func(t *testing.T, root string) {
			for _, f := range chunkFiles(t, root) {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		}, refetch: true, noErrors: true},
		"strange files": {harm: func(t *testing.T, root string) {
			for _, name := range []string{"x", "y.chunk", strings.Repeat("0", 32) + "-" + strings.Repeat("f", 16) + ".chunk"} {
				if err := os.WriteFile(filepath.Join(root, "cache", "chunks", name), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, noErrors: true},
		"no index": {harm: func(t *testing.T, root string) {
			if err := os.RemoveAll(filepath.Join(root, "cache", "index")); err != nil {
				t.Fatal(err)
			}
		}, noErrors: true},
		"garbage for an index": {harm: func(t *testing.T, root string) {
			for _, f := range index(t, root) {
				change(t, f, func(b []byte) []byte {
					for i := range b {
						b[i] = byte(rng.UintN(256))
					}
					return b
				})
			}
		}},
		"empty index files": {harm: func(t *testing.T, root string) {
			for _, f := range index(t, root) {
				change(t, f, func([]byte) []byte { return nil })
			}
		}},
		"no manifest of the index": {harm: func(t *testing.T, root string) {
			if err := os.Remove(filepath.Join(root, "cache", "index", "MANIFEST")); err != nil {
				t.Fatal(err)
			}
		}},
		"a file for an index": {harm: func(t *testing.T, root string) {
			if err := os.RemoveAll(filepath.Join(root, "cache", "index")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "cache", "index"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			w := newWire(tr.store)
			life := func() Stats {
				r := New(w, cluster, Options{ChunkBytes: 8192, Cache: NewDiskCache(diskOptions(t, root))})
				defer r.Close()
				tr.wantAll(t, r, 3000)
				r.settle()
				return r.Stats()
			}
			life()
			c.harm(t, root)
			if !c.refetch {
				w.set(down)
			}
			s := life()
			if c.refetch != (s.Misses > 0) || (c.noErrors && s.Cache.Errors > 0) || (c.errors && s.Cache.Errors == 0) {
				t.Errorf("%+v", s)
			}
			w.set(down)
			if s := life(); s.Misses > 0 { // it mended itself
				t.Errorf("afterwards: %+v", s)
			}
		})
	}
}

// TestFlipInChunkFile: L2, L8. Every kind of byte of a chunk's file, among them
// those of a batch that its own checksum leaves out.
func TestFlipInChunkFile(t *testing.T) {
	tr := newTier(t, 2, 5, segfiletest.Shape{Batches: 60})
	root := t.TempDir()
	life := func() Stats {
		r := New(tr.store, cluster, Options{Cache: NewDiskCache(diskOptions(t, root))})
		defer r.Close()
		tr.wantAll(t, r, 3000)
		r.settle()
		return r.Stats()
	}
	life()
	in := chunkHeaderBytes + manifest.DataOffset + tr.batches[30].Position
	for _, at := range []int64{0, 8, 12, 20, 39, 41, 44, chunkHeaderBytes, in, in + 7, in + 8, in + 12, in + 15, in + 17, in + 70} {
		change(t, chunkFiles(t, root)[0], func(b []byte) []byte { b[at] ^= 1; return b })
		if s := life(); s.Misses != 1 || s.Damaged != 0 {
			t.Errorf("byte %d: %+v", at, s)
		}
		if s := life(); s.Misses != 0 || s.CacheHits != 1 {
			t.Errorf("byte %d, afterwards: %+v", at, s)
		}
	}
}

// TestIndexBitFlips: single bits of the index do no harm either.
func TestIndexBitFlips(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 9))
		root := t.TempDir()
		o := diskOptions(t, root)
		c := NewDiskCache(o)
		for i := range 20 {
			c.Put(chunkID(i), content(i))
		}
		c.Close()
		files, err := filepath.Glob(filepath.Join(root, "cache", "index", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			change(t, f, func(b []byte) []byte {
				if len(b) > 0 {
					b[rng.IntN(min(len(b), 4096))] ^= 1 << rng.IntN(8)
				}
				return b
			})
		}
		c = NewDiskCache(o)
		for i := range 20 {
			if !has(c, i) {
				t.Errorf("seed %d: chunk %d is gone", seed, i)
			}
		}
		c.Put(chunkID(30), content(30))
		c.Close()
	}
}

// TestDiskFails: no failure of any operation of the disk fails a read.
func TestDiskFails(t *testing.T) {
	tr := newTier(t, 1, 5, segfiletest.Shape{Batches: 200})
	broken := errors.New("broken")
	for kind := vfs.OpCreate; kind <= vfs.OpClose; kind++ {
		for _, rate := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v, one in %d", kind, rate), func(t *testing.T) {
				n := 0
				fs := vfs.NewFaulty(vfs.NewMem(vfs.MemOptions{}), func(op vfs.Op) error {
					if op.Kind != kind {
						return nil
					}
					if n++; n%rate > 0 {
						return nil
					}
					if kind == vfs.OpRead || kind == vfs.OpWrite {
						return []error{broken, &vfs.Corrupt{Bit: int64(n * 7919)}, &vfs.Partial{N: n % 50, Err: broken}}[n/rate%3]
					}
					return broken
				})
				r := newReader(t, tr.store, Options{ChunkBytes: 4096, Cache: NewDiskCache(DiskOptions{FS: fs, Bytes: 300_000})})
				for range 3 {
					tr.wantAll(t, r, 3000)
					r.settle()
					r.table.shrink(0)
					r.Expire()
				}
			})
		}
	}
}

// TestCacheCrash: whatever a crash leaves of the files, it is not believed.
func TestCacheCrash(t *testing.T) {
	for seed := range uint64(20) {
		mem := vfs.NewMem(vfs.MemOptions{})
		c := NewDiskCache(DiskOptions{FS: mem})
		for i := range 20 {
			c.Put(chunkID(i), content(i))
		}
		after := mem.Crash(rand.New(rand.NewPCG(seed, 1)), vfs.CrashOptions{Keep: float64(seed%4) / 3})
		c = NewDiskCache(DiskOptions{FS: after})
		for i := range 20 {
			b := content(i)
			if c.Get(chunkID(i), b) && !bytes.Equal(b, content(i)) {
				t.Fatalf("seed %d: chunk %d is wrong", seed, i)
			}
			c.Put(chunkID(i), content(i))
			if !has(c, i) {
				t.Fatalf("seed %d: chunk %d is gone", seed, i)
			}
		}
		c.Close()
	}
}

// TestCacheRemovedWhileOpen: somebody cleans up.
func TestCacheRemovedWhileOpen(t *testing.T) {
	root := t.TempDir()
	c := NewDiskCache(diskOptions(t, root))
	defer c.Close()
	c.Put(chunkID(1), content(1))
	if err := os.RemoveAll(filepath.Join(root, "cache", "chunks")); err != nil {
		t.Fatal(err)
	}
	if has(c, 1) {
		t.Error("found")
	}
	c.Put(chunkID(2), content(2))
	c.Put(chunkID(3), content(3))
	if !has(c, 3) {
		t.Error("it does not recover")
	}
}

// TestIndexIsUsedOnce: a second cache of the same directory does without.
func TestIndexIsUsedOnce(t *testing.T) {
	root := t.TempDir()
	a, b := NewDiskCache(diskOptions(t, root)), NewDiskCache(diskOptions(t, root))
	defer a.Close()
	defer b.Close()
	a.Put(chunkID(1), content(1))
	b.Put(chunkID(2), content(2))
	if !has(a, 1) || !has(b, 1) || !has(b, 2) {
		t.Error("not found")
	}
}
