package wal

import (
	"fmt"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

func benchSettings() Settings {
	s := DefaultSettings()
	s.Directory, s.Entropy = testDirectory, smallSettings(1).Entropy
	s.BytesMax = 8 << 30
	return s
}

func benchFS(b *testing.B) vfs.FS {
	b.Helper()
	fs, err := vfs.OS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return fs
}

// advanceAll frees every file behind the current one.
func advanceAll(b *testing.B, l *Log) {
	b.Helper()
	for _, g := range l.Advance(l.Tail()) {
		if err := g.Remove(); err != nil {
			b.Fatal(err)
		}
		l.Removed(g)
	}
}

func BenchmarkGroupCommit(b *testing.B) {
	for _, records := range []int{1, 16, 128} {
		for _, size := range []int{1 * kib, 16 * kib, 64 * kib} {
			b.Run(fmt.Sprintf("%dx%dKiB", records, size/kib), func(b *testing.B) {
				l, _ := mustOpen(b, benchFS(b), benchSettings())
				defer l.Close()
				rec := appendOf(1, 1, 1, 1, size)
				b.SetBytes(int64(records * size))
				b.ReportAllocs()
				for b.Loop() {
					for range records {
						if err := l.Enqueue(rec, nil, 0); err != nil {
							b.Fatal(err)
						}
					}
					for l.Pending() {
						w := l.Next()
						if w == nil {
							b.StopTimer()
							mustPrepare(b, l)
							advanceAll(b, l)
							b.StartTimer()
							continue
						}
						if err := l.Done(w, w.Do(), func(any) {}); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// BenchmarkEncode is a group commit without the disk.
func BenchmarkEncode(b *testing.B) {
	rec := appendOf(1, 1, 1, 1, 16*kib)
	var buf []byte
	b.SetBytes(rec.size())
	b.ReportAllocs()
	for b.Loop() {
		buf = rec.encode(buf[:0], 1, 4096)
	}
}

func BenchmarkRecover(b *testing.B) {
	fs := benchFS(b)
	l, _ := mustOpen(b, fs, benchSettings())
	const total, size = 64 << 20, 16 * kib
	for index := uint64(1); index < total/size; {
		for range 32 {
			if err := l.Enqueue(appendOf(1, 1, index, 1, size), nil, 0); err != nil {
				b.Fatal(err)
			}
			index++
		}
		for l.Pending() {
			mustPrepare(b, l)
			w := l.Next()
			if err := l.Done(w, w.Do(), func(any) {}); err != nil {
				b.Fatal(err)
			}
		}
	}
	l.Close()
	b.SetBytes(total)
	b.ReportAllocs()
	for b.Loop() {
		l, rec, err := Open(fs, benchSettings())
		if err != nil || len(rec.Groups) != 1 {
			b.Fatal(err)
		}
		b.StopTimer()
		l.Close()
		b.StartTimer()
	}
}
