package vfstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

func testClosed(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "A")
	must(t, f.Close())
	buf := make([]byte, 1)
	_, err := f.ReadAt(buf, 0)
	wantErr(t, "ReadAt", err, vfs.ErrClosed)
	_, err = f.WriteAt(buf, 0)
	wantErr(t, "WriteAt", err, vfs.ErrClosed)
	_, err = f.Size()
	wantErr(t, "Size", err, vfs.ErrClosed)
	wantErr(t, "Sync", f.Sync(), vfs.ErrClosed)
	wantErr(t, "Truncate", f.Truncate(0), vfs.ErrClosed)
	wantErr(t, "Preallocate", f.Preallocate(10), vfs.ErrClosed)
	wantErr(t, "Close", f.Close(), vfs.ErrClosed)
	wantFile(t, fsys, "a", "A")
}

func testReadAt(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "0123456789")
	tests := []struct {
		len  int
		off  int64
		want string
		err  error
	}{
		{4, 0, "0123", nil},
		{4, 6, "6789", nil},
		{10, 0, "0123456789", nil},
		{11, 0, "0123456789", io.EOF},
		{4, 8, "89", io.EOF},
		{4, 10, "", io.EOF},
		{4, 1 << 40, "", io.EOF},
		{0, 3, "", nil},
	}
	for _, tt := range tests {
		buf := bytes.Repeat([]byte{'#'}, tt.len)
		n, err := f.ReadAt(buf, tt.off)
		// EOF is bare, as io.ReaderAt's users compare it.
		if string(buf[:n]) != tt.want || err != tt.err {
			t.Errorf("ReadAt(%d, %d) = %q, %v, want %q, %v", tt.len, tt.off, buf[:n], err, tt.want, tt.err)
		}
	}
}

func testWriteAt(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "hello")
	write(t, f, "J", 0)
	wantContent(t, f, "Jello")
	write(t, f, "", 100) // an empty write changes nothing
	wantContent(t, f, "Jello")
	write(t, f, "x", 10000) // a hole reads as zero
	wantContent(t, f, "Jello"+strings.Repeat("\x00", 9995)+"x")
	write(t, f, strings.Repeat("y", 5000), 4000) // over page borders
	wantContent(t, f, "Jello"+strings.Repeat("\x00", 3995)+strings.Repeat("y", 5000)+strings.Repeat("\x00", 1000)+"x")
	must(t, f.Sync())
	// Some file systems hold a file of 4 EiB with a hole; a refusal changes nothing.
	_, werr := f.WriteAt([]byte("x"), 1<<62)
	size, err := f.Size()
	must(t, err)
	if werr != nil && size != 10001 || werr == nil && size != 1<<62+1 {
		t.Errorf("size %d after a write at 4 EiB that returned %v", size, werr)
	}
}

func testWriteAtKeepsNothing(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "")
	buf := bytes.Repeat([]byte{'a'}, 8192)
	_, err := f.WriteAt(buf, 0)
	must(t, err)
	clear(buf)
	wantContent(t, f, strings.Repeat("a", 8192))
	got := make([]byte, 8192)
	_, err = f.ReadAt(got, 0)
	must(t, err)
	clear(got)
	wantContent(t, f, strings.Repeat("a", 8192))
}

func testTruncate(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", strings.Repeat("a", 10000))
	must(t, f.Truncate(5000))
	wantContent(t, f, strings.Repeat("a", 5000))
	must(t, f.Truncate(9000)) // what was cut off does not come back
	wantContent(t, f, strings.Repeat("a", 5000)+strings.Repeat("\x00", 4000))
	must(t, f.Sync())
	must(t, f.Truncate(8192))
	write(t, f, "b", 8999)
	wantContent(t, f, strings.Repeat("a", 5000)+strings.Repeat("\x00", 3999)+"b")
	must(t, f.Truncate(0))
	wantContent(t, f, "")
	must(t, f.Truncate(0))
	must(t, f.Truncate(3))
	wantContent(t, f, "\x00\x00\x00")
}

func testPreallocate(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "abc")
	must(t, f.Preallocate(0))
	wantContent(t, f, "abc")
	must(t, f.Preallocate(2)) // never shortens
	wantContent(t, f, "abc")
	must(t, f.Preallocate(1<<20))
	wantContent(t, f, "abc"+strings.Repeat("\x00", 1<<20-3))
	write(t, f, "x", 1<<20-1)
	must(t, f.Preallocate(1<<20)) // never overwrites
	wantContent(t, f, "abc"+strings.Repeat("\x00", 1<<20-4)+"x")
	must(t, f.Sync())
	must(t, f.Truncate(4))
	wantContent(t, f, "abc\x00")
	must(t, f.Truncate(1<<20))
	must(t, f.Preallocate(1<<20)) // fills holes, keeps content
	wantContent(t, f, "abc"+strings.Repeat("\x00", 1<<20-3))

	must(t, f.Truncate(4))
	if err := f.Preallocate(1 << 62); err == nil {
		t.Error("4 EiB were allocated")
	}
	wantContent(t, f, "abc\x00")
}

func testNegative(t *testing.T, fsys vfs.FS) {
	f := create(t, fsys, "a", "A")
	_, err := f.ReadAt(make([]byte, 1), -1)
	wantErr(t, "ReadAt", err, vfs.ErrInvalid)
	_, err = f.WriteAt([]byte("x"), -1)
	wantErr(t, "WriteAt", err, vfs.ErrInvalid)
	wantErr(t, "Truncate", f.Truncate(-1), vfs.ErrInvalid)
	wantErr(t, "Preallocate", f.Preallocate(-1), vfs.ErrInvalid)
	wantContent(t, f, "A")
}

// testRandomOps compares a file with a byte slice over random operations.
func testRandomOps(t *testing.T, fsys vfs.FS) {
	const limit = 40000
	rng := rand.New(rand.NewPCG(1, 2))
	f := create(t, fsys, "a", "")
	var want []byte
	grow := func(size int) {
		if size > len(want) {
			want = append(want, make([]byte, size-len(want))...)
		}
	}
	for i := range 400 {
		switch rng.IntN(10) {
		case 0:
			size := rng.IntN(limit)
			must(t, f.Truncate(int64(size)))
			grow(size)
			want = want[:size]
		case 1:
			size := rng.IntN(limit)
			must(t, f.Preallocate(int64(size)))
			grow(size)
		case 2:
			must(t, f.Sync())
		default:
			off, n := rng.IntN(limit), rng.IntN(9000)
			if rng.IntN(3) == 0 {
				off, n = off/4096*4096, 4096
			}
			data := bytes.Repeat([]byte{byte(i + 1)}, n)
			write(t, f, string(data), int64(off))
			if n > 0 {
				grow(off + n)
				copy(want[off:], data)
			}
		}
		wantContent(t, f, string(want))
	}
}

// testConcurrentFile: writers of different ranges and readers do not disturb
// each other, through one handle and through several.
func testConcurrentFile(t *testing.T, fsys vfs.FS) {
	const workers, rounds, block = 4, 30, 3000 // not a multiple of pages
	f := create(t, fsys, "a", strings.Repeat("\x00", workers*block))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			g, err := fsys.Open("a")
			if err != nil {
				t.Error(err)
				return
			}
			defer g.Close()
			off := int64(w * block)
			got := make([]byte, block)
			for r := range rounds {
				data := bytes.Repeat([]byte{byte(w*rounds + r)}, block)
				h := f
				if r%2 == 0 {
					h = g
				}
				if _, err := h.WriteAt(data, off); err != nil {
					t.Error(err)
				}
				if r%5 == 0 {
					if err := f.Sync(); err != nil {
						t.Error(err)
					}
				}
				if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, data) {
					t.Errorf("worker %d does not read what it wrote (error %v)", w, err)
				}
				if _, err := f.Size(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func testReadFile(t *testing.T, fsys vfs.FS) {
	put(t, fsys, "a", "0123456789")
	put(t, fsys, "empty", "")
	for _, limit := range []int64{10, 11, 1 << 60} {
		got, err := vfs.ReadFile(fsys, "a", limit)
		if string(got) != "0123456789" || err != nil {
			t.Errorf("ReadFile with limit %d = %q, %v", limit, got, err)
		}
	}
	for _, limit := range []int64{9, 0, -1} {
		_, err := vfs.ReadFile(fsys, "a", limit)
		wantErr(t, "too large", err, vfs.ErrTooLarge)
	}
	if got, err := vfs.ReadFile(fsys, "empty", 0); len(got) != 0 || err != nil {
		t.Errorf("ReadFile of nothing = %q, %v", got, err)
	}
	_, err := vfs.ReadFile(fsys, "none", 10)
	wantErr(t, "no file", err, vfs.ErrNotExist)
}

func testWriteFileAtomic(t *testing.T, fsys vfs.FS) {
	must(t, fsys.MkdirAll("d"))
	must(t, vfs.WriteFileAtomic(fsys, "d/a", []byte("one, long")))
	wantFile(t, fsys, "d/a", "one, long")
	put(t, fsys, "d/a.tmp", "left by a crash, longer than what comes")
	must(t, vfs.WriteFileAtomic(fsys, "d/a", []byte("two")))
	wantFile(t, fsys, "d/a", "two")
	must(t, vfs.WriteFileAtomic(fsys, "d/a", nil))
	wantFile(t, fsys, "d/a", "")
	entries, err := fsys.List("d")
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("files left: %v", entries)
	}
	err = vfs.WriteFileAtomic(fsys, "none/a", nil)
	if !errors.Is(err, vfs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}
