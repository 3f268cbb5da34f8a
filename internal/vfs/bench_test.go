package vfs

import (
	"fmt"
	"testing"
)

func benchmarkWriteSync(b *testing.B, f File, size int) {
	data := fill('x', size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(data, off); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		off = (off + int64(size)) % (1 << 23)
	}
}

func BenchmarkMemWriteSync(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			f := create(b, NewMem(MemOptions{}), "a")
			must(b, f.Preallocate(1<<24))
			benchmarkWriteSync(b, f, size)
		})
	}
}

func BenchmarkMemRead4KiB(b *testing.B) {
	f := create(b, NewMem(MemOptions{}), "a")
	writeAt(b, f, fill('x', 1<<20), 0)
	buf := make([]byte, 4<<10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.ReadAt(buf, 8<<10); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemCrash crashes a disk of 10 files of 8 MiB with 64 KiB unsynced in
// each.
func BenchmarkMemCrash(b *testing.B) {
	m := NewMem(MemOptions{})
	for _, name := range "abcdefghij" {
		f := create(b, m, string(name))
		writeAt(b, f, fill('x', 8<<20), 0)
		must(b, f.Sync())
	}
	must(b, m.SyncDir("."))
	rng, data := seeded(1), fill('y', 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		for _, name := range "abcdefghij" {
			f, err := m.Open(string(name))
			must(b, err)
			writeAt(b, f, data, 1<<20)
		}
		m = m.Crash(rng, harsh)
	}
}

func BenchmarkOSWriteSync4KiB(b *testing.B) {
	fsys, err := OS(b.TempDir())
	must(b, err)
	f := create(b, fsys, "a")
	defer f.Close()
	must(b, f.Preallocate(1<<24))
	benchmarkWriteSync(b, f, 4<<10)
}
