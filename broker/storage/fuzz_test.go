package storage

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// FuzzSegments damages the files of a log and opens it. Each mutation is five
// bytes: what, which file, where (2), and a value. Whatever was done, the log is
// refused, or each read of it fails with a reason or serves batches that were
// written, in their order (L8). They are those that were asked for, and none is
// left out, as long as no segment lost both its data and its index (S4). As long
// as only indexes are damaged, everything is served, and lookups by time are
// right (L9).
func FuzzSegments(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1})
	f.Add([]byte{0, 2, 3, 1, 255, 1, 1, 0, 2, 0})
	f.Add([]byte{2, 1, 0, 0, 0})
	f.Add([]byte{3, 1, 0, 40, 7, 3, 3, 0, 8, 255})
	f.Add([]byte{4, 0, 0, 17, 1})
	f.Add([]byte{2, 3, 0, 0, 0, 1, 0, 9, 0, 0}) // TestMissingSegmentBehindDamagedIndex
	disk := vfs.NewMem(vfs.MemOptions{})
	m, pos := sealedLog(f, disk, 30)
	files := filesOf(f, disk)
	f.Fuzz(func(t *testing.T, mutations []byte) {
		fs := vfs.NewMem(vfs.MemOptions{})
		clone(t, fs, files)
		var hit [64]bool // by file
		for n := 0; len(mutations) >= 5 && n < 16; n++ {
			i := int(mutations[1]) % len(files)
			hit[i] = damage(t, fs, files[i].name, mutations) || hit[i]
			mutations = mutations[5:]
		}
		onlyIndexes, both := true, false
		for i := 0; i < len(files); i += 2 { // index, data
			onlyIndexes = onlyIndexes && !hit[i+1]
			both = both || hit[i] && hit[i+1]
		}
		l, err := Open(fs, testDir, pos, Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 2000}, NewCache(Limits{}))
		if err != nil {
			if onlyIndexes {
				t.Fatal(err)
			}
			return
		}
		defer l.Close()
		l.SetEpochs(func(ident.Offset) ident.Epoch { return 3 })
		for i, b := range m.list {
			c, err := l.Read(b.base, m.end, 3000, true)
			if err == nil {
				served(t, &m, i, content(c), both)
			} else if onlyIndexes {
				t.Fatalf("read at %d: %v", b.base, err)
			}
			if onlyIndexes {
				m.checkTimes(t, l, m.end, b.maxTime)
			} else if _, _, _, err := l.OffsetForTimestamp(b.maxTime, m.end); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, vfs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	})
}

// served checks that what was read are batches of the model from the i-th on,
// without one left out unless gaps may be.
func served(t *testing.T, m *model, i int, got []byte, gaps bool) {
	t.Helper()
	for b, err := range record.Batches(got) {
		if err != nil {
			t.Fatal(err)
		}
		same := func() bool {
			return bytes.Equal(b, m.list[i].stored)
		}
		for gaps && i < len(m.list) && !same() {
			i++
		}
		if i >= len(m.list) || !same() {
			t.Fatalf("batch %d of the log is served as other bytes", i)
		}
		i++
	}
}

// TestMissingSegmentBehindDamagedIndex: a segment whose data is missing was taken
// for a hole, if the index of the segment before was damaged.
func TestMissingSegmentBehindDamagedIndex(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	_, pos := sealedLog(t, fs, 30)
	first, second := newSegment(testDir, 0), newSegment(testDir, 16)
	replaceFile(t, fs, first.idx, readAll(t, fs, first.idx)[:9])
	if err := fs.Remove(second.data); err != nil {
		t.Fatal(err)
	}
	var d *DamageError
	if _, err := Open(fs, testDir, pos, Settings{}, NewCache(Limits{})); !errors.As(err, &d) || d.File != second.data {
		t.Fatalf("opened with %v", err)
	}
}

// fileOf is a file with its content.
type fileOf struct {
	name string
	b    []byte
}

func filesOf(t testing.TB, fs vfs.FS) []fileOf {
	t.Helper()
	entries, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	var out []fileOf
	for _, e := range entries {
		name := testDir + "/" + e.Name
		out = append(out, fileOf{name, readAll(t, fs, name)})
	}
	return out
}

func readAll(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

func clone(t testing.TB, fs vfs.FS, files []fileOf) {
	t.Helper()
	if err := fs.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		replaceFile(t, fs, file.name, file.b)
	}
}

func replaceFile(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Open(name)
	if errors.Is(err, vfs.ErrNotExist) {
		f, err = fs.Create(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

// damage performs one mutation and reports whether there was something to do it
// to.
func damage(t *testing.T, fs vfs.FS, name string, m []byte) bool {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		return false // removed before
	}
	f.Close()
	b := readAll(t, fs, name)
	at := (int(m[2]) | int(m[3])<<8) % max(len(b), 1)
	switch m[0] % 6 {
	case 0:
		if len(b) > 0 {
			b[at] ^= m[4]
		}
	case 1:
		b = b[:at]
	case 2:
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		return true
	case 3: // zeros from there on, as of a write that never came
		clear(b[at:])
	case 4: // some bytes twice, and what follows moved
		n := min(int(m[4]), len(b)-at)
		b = append(b[:at+n:at+n], b[at:]...)
	case 5: // longer
		b = append(b, bytes.Repeat([]byte{m[4]}, 1+at%200)...)
	}
	replaceFile(t, fs, name, b)
	return true
}
