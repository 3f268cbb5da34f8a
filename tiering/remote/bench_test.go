package remote

import (
	"context"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// benchShape makes about 16 MiB.
var benchShape = segfiletest.Shape{Batches: 800, Records: 8, ValueSize: 9 << 10, NoHoles: true}

// BenchmarkCachedRead reads 1 MiB that is in memory.
func BenchmarkCachedRead(b *testing.B) {
	tr := newTierOf(b, segfile.BlockBytes, 1, 0, benchShape)
	r := newReader(b, tr.store, Options{})
	if _, err := tr.scan(b.Context(), r, 1<<20); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(1 << 20)
	for b.Loop() {
		if c, err := r.Read(context.Background(), partition, tr.list, tr.list.Start(), tr.end(), 1<<20, true); err != nil || c.Bytes < 1<<19 {
			b.Fatal(c.Bytes, err)
		}
	}
}

// BenchmarkDiskRead reads 1 MiB of a chunk that is on disk only.
func BenchmarkDiskRead(b *testing.B) {
	tr := newTierOf(b, segfile.BlockBytes, 1, 0, benchShape)
	root := b.TempDir()
	r := newReader(b, tr.store, Options{Cache: NewDiskCache(diskOptions(b, root))})
	if _, err := tr.scan(b.Context(), r, 1<<20); err != nil {
		b.Fatal(err)
	}
	r.settle()
	b.ReportAllocs()
	b.SetBytes(1 << 20)
	for b.Loop() {
		r.settle()
		r.table.shrink(0)
		if _, err := r.Read(context.Background(), partition, tr.list, tr.list.Start(), tr.end(), 1<<20, true); err != nil {
			b.Fatal(err)
		}
	}
	if s := r.Stats(); s.CacheHits < int64(b.N) {
		b.Errorf("%d reads from disk, want %d", s.CacheHits, b.N)
	}
}

// BenchmarkScan reads everything in order, from a store in memory and through
// the cache's disk in memory.
func BenchmarkScan(b *testing.B) {
	for name, cache := range map[string]func() Cache{
		"no cache": func() Cache { return nil },
		"disk":     func() Cache { return NewDiskCache(DiskOptions{FS: vfs.NewMem(vfs.MemOptions{})}) },
	} {
		b.Run(name, func(b *testing.B) {
			tr := newTierOf(b, segfile.BlockBytes, 1, 0, benchShape, benchShape)
			b.ReportAllocs()
			b.SetBytes(tr.list.DataBytes())
			for b.Loop() {
				r := New(tr.store, cluster, Options{Cache: cache()})
				for at := tr.list.Start(); at < tr.end(); {
					c, err := r.Read(context.Background(), partition, tr.list, at, tr.end(), 1<<20, true)
					if err != nil {
						b.Fatal(err)
					}
					at = c.NextOffset
				}
				r.Close()
			}
		})
	}
}
