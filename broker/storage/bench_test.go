package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

func BenchmarkAppend16KiB(b *testing.B) {
	batch := makeBatch(b, 0, 1, []int64{1}, 16<<10, rand.New(rand.NewPCG(1, 1)))
	l := open(b, vfs.NewMem(vfs.MemOptions{}), EmptyPosition(0), Settings{}, NewCache(Limits{TailBytes: 16 << 20}))
	size := int64(len(batch.payload))
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := l.Append(ident.Offset(i), ident.Offset(i), 1, 1, batch.payload); err != nil {
			b.Fatal(err)
		}
		if r, ok := l.NextRun(1 << 20); ok {
			// The bytes count as written: the disk is not what is measured.
			r.made = true
			l.RunDone(r, nil)
		}
	}
}

func benchLog(b *testing.B, fs vfs.FS, segmentBytes int64, batches, size int) (*Log, *Cache) {
	batch := makeBatch(b, 0, 1, []int64{1}, size, rand.New(rand.NewPCG(1, 1)))
	cache := NewCache(Limits{})
	l := open(b, fs, EmptyPosition(0), Settings{SegmentBytes: segmentBytes}, cache)
	for i := range ident.Offset(batches) {
		if err := l.Append(i, i, 1, 1, batch.payload); err != nil {
			b.Fatal(err)
		}
	}
	flush(b, l)
	return l, cache
}

func benchRead(b *testing.B, l *Log) {
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		c, err := l.Read(3, l.End(), 1<<20, true)
		if err != nil || c.Bytes < 1<<19 {
			b.Fatal(c.Bytes, err)
		}
	}
}

func osFS(b *testing.B) vfs.FS {
	fs, err := vfs.OS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return fs
}

func BenchmarkReadTail1MiB(b *testing.B) {
	l, _ := benchLog(b, osFS(b), 0, 200, 16<<10)
	benchRead(b, l)
}

func BenchmarkReadDisk1MiB(b *testing.B) {
	l, _ := benchLog(b, osFS(b), 0, 200, 16<<10)
	l.EvictIdle()
	benchRead(b, l)
}

func BenchmarkOpen(b *testing.B) {
	for _, segments := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("segments=%d", segments), func(b *testing.B) {
			fs := osFS(b)
			l, _ := benchLog(b, fs, 4096, 4*segments, 1000)
			at := l.Durable()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(fs, testDir, at, Settings{}, NewCache(Limits{})); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
