package vfstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// aligned returns memory for direct I/O that holds n times b.
func aligned(b byte, n int) []byte {
	p := vfs.AlignedBuffer(n)
	for i := range p {
		p[i] = b
	}
	return p
}

func createDirect(t *testing.T, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.CreateDirect(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func testAlignedBuffer(t *testing.T, _ vfs.FS) {
	for _, n := range []int{0, 1, 512, 4095, 4096, 4097, 1 << 20} {
		b := vfs.AlignedBuffer(n)
		if len(b) != n || cap(b) != n || len(bytes.Trim(b, "\x00")) != 0 {
			t.Errorf("AlignedBuffer(%d): length %d, capacity %d", n, len(b), cap(b))
		}
	}
}

// Every file tells an alignment that callers can work with, buffered ones none.
func testAlignment(t *testing.T, fsys vfs.FS) {
	if a := create(t, fsys, "buffered", "x").Alignment(); a != 1 {
		t.Errorf("a buffered file has alignment %d", a)
	}
	made := createDirect(t, fsys, "a")
	opened, err := fsys.OpenDirect("a")
	must(t, err)
	a := made.Alignment()
	if a < 1 || a > vfs.MaxAlignment || a&(a-1) != 0 || opened.Alignment() != a {
		t.Errorf("alignments %d and %d", a, opened.Alignment())
	}
	must(t, opened.Close())
	if opened.Alignment() != a {
		t.Errorf("the alignment changed to %d", opened.Alignment())
	}
}

func testDirectNames(t *testing.T, fsys vfs.FS) {
	must(t, fsys.MkdirAll("dir"))
	put(t, fsys, "a", "kept")
	_, err := fsys.CreateDirect("a")
	wantErr(t, "CreateDirect of a name that is taken", err, vfs.ErrExist)
	wantFile(t, fsys, "a", "kept")
	_, err = fsys.OpenDirect("none")
	wantErr(t, "OpenDirect of nothing", err, vfs.ErrNotExist)
	_, err = fsys.OpenDirect("dir")
	wantErr(t, "OpenDirect of a directory", err, vfs.ErrIsDir)
	for _, name := range []string{"", "..", "../a", "/a"} {
		_, err = fsys.CreateDirect(name)
		wantErr(t, "CreateDirect", err, vfs.ErrBadName)
		_, err = fsys.OpenDirect(name)
		wantErr(t, "OpenDirect", err, vfs.ErrBadName)
	}
}

// What is not aligned is refused and does nothing.
func testMisaligned(t *testing.T, fsys vfs.FS) {
	f := createDirect(t, fsys, "a")
	_, err := f.WriteAt(aligned('a', vfs.MaxAlignment), 0)
	must(t, err)
	if f.Alignment() == 1 {
		write(t, f, "b", 3) // buffered: anything goes
		return
	}
	n, odd := f.Alignment(), aligned('b', 3*vfs.MaxAlignment)
	for _, c := range []struct {
		what string
		p    []byte
		off  int64
	}{
		{"offset", odd[:n], 1},
		{"half an offset", odd[:n], int64(n / 2)},
		{"length", odd[:n-1], 0},
		{"half a length", odd[:n/2], 0},
		{"address", odd[1 : n+1], 0},
		{"half an address", odd[n/2 : n/2+n], 0},
	} {
		wn, err := f.WriteAt(c.p, c.off)
		wantErr(t, "WriteAt with a bad "+c.what, err, vfs.ErrMisaligned)
		wantErr(t, "WriteAt with a bad "+c.what, err, vfs.ErrInvalid)
		rn, err := f.ReadAt(c.p, c.off)
		wantErr(t, "ReadAt with a bad "+c.what, err, vfs.ErrMisaligned)
		if wn != 0 || rn != 0 {
			t.Errorf("bad %s: wrote %d bytes, read %d", c.what, wn, rn)
		}
	}
	_, err = f.WriteAt(odd[:n], -int64(n))
	wantErr(t, "WriteAt at a negative offset", err, vfs.ErrInvalid)
	for _, size := range []int64{1, 5000} { // lengths need no alignment
		must(t, f.Truncate(size))
		must(t, f.Preallocate(size+1))
	}
	must(t, f.Truncate(0))
	_, err = f.WriteAt(nil, 0)
	must(t, err)
	wantFile(t, fsys, "a", "")
}

// The end of a file may lie anywhere; a read over it is short and ends in EOF.
func testDirectEOF(t *testing.T, fsys vfs.FS) {
	put(t, fsys, "a", string(aligned('a', 2*vfs.MaxAlignment+100)))
	f, err := fsys.OpenDirect("a")
	must(t, err)
	defer f.Close()
	const page = vfs.MaxAlignment
	for _, tt := range []struct {
		off, len, want int
		err            error
	}{
		{0, page, page, nil},
		{0, 2 * page, 2 * page, nil},
		{page, 2 * page, page + 100, io.EOF},
		{2 * page, page, 100, io.EOF},
		{3 * page, page, 0, io.EOF},
		{1 << 40, page, 0, io.EOF},
		{0, 0, 0, nil},
	} {
		p := vfs.AlignedBuffer(tt.len)
		n, err := f.ReadAt(p, int64(tt.off))
		if n != tt.want || err != tt.err || !bytes.Equal(p[:n], aligned('a', n)) {
			t.Errorf("ReadAt(%d, %d) = %d, %v, want %d, %v", tt.len, tt.off, n, err, tt.want, tt.err)
		}
	}
}

// testDirectRandomOps compares a direct file with a byte slice, and looks at it
// through a buffered handle as well.
func testDirectRandomOps(t *testing.T, fsys vfs.FS) {
	const page, pages = vfs.MaxAlignment, 12
	rng := rand.New(rand.NewPCG(3, 4))
	f := createDirect(t, fsys, "a")
	buffered, err := fsys.Open("a")
	must(t, err)
	defer buffered.Close()
	var want []byte
	grow := func(size int) {
		if size > len(want) {
			want = append(want, make([]byte, size-len(want))...)
		}
	}
	for i := range 200 {
		switch rng.IntN(8) {
		case 0:
			size := rng.IntN(pages * page)
			must(t, f.Truncate(int64(size)))
			grow(size)
			want = want[:size]
		case 1:
			size := rng.IntN(pages * page)
			must(t, f.Preallocate(int64(size)))
			grow(size)
		case 2:
			must(t, f.Sync())
		default:
			off, n := rng.IntN(pages)*page, (1+rng.IntN(3))*page
			data := aligned(byte(i%3), n) // zeros among them
			wn, err := f.WriteAt(data, int64(off))
			if wn != n || err != nil {
				t.Fatalf("WriteAt = %d, %v", wn, err)
			}
			grow(off + n)
			copy(want[off:], data)
			clear(data) // what was written is not borrowed
		}
		wantContent(t, buffered, string(want))
		p := vfs.AlignedBuffer((pages + 4) * page)
		if n, err := f.ReadAt(p, 0); err != io.EOF || !bytes.Equal(p[:n], want) {
			t.Fatalf("step %d: a direct read gives %d bytes, %v, want %d", i, n, err, len(want))
		}
	}
}

func testDirectClosed(t *testing.T, fsys vfs.FS) {
	f := createDirect(t, fsys, "a")
	must(t, f.Close())
	_, err := f.ReadAt(aligned(0, vfs.MaxAlignment), 0)
	wantErr(t, "ReadAt", err, vfs.ErrClosed)
	_, err = f.WriteAt(aligned(0, vfs.MaxAlignment), 0)
	wantErr(t, "WriteAt", err, vfs.ErrClosed)
	wantErr(t, "Close", f.Close(), vfs.ErrClosed)
}

// SyncAll is there or says that it is not, the same every time.
func testSyncAll(t *testing.T, fsys vfs.FS) {
	must(t, fsys.MkdirAll("d"))
	put(t, fsys, "d/a", "A")
	first := fsys.SyncAll()
	if first != nil && !errors.Is(first, vfs.ErrUnsupported) {
		t.Fatalf("SyncAll: %v", first)
	}
	must(t, fsys.Rename("d/a", "b"))
	if err := fsys.SyncAll(); (err == nil) != (first == nil) {
		t.Errorf("SyncAll: first %v, then %v", first, err)
	}
	wantFile(t, fsys, "b", "A")
	entries, err := fsys.List(".")
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("SyncAll left %v", entries)
	}
}
