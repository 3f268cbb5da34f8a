package storage

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// hookFS calls read before each ReadAt of a data file.
type hookFS struct {
	vfs.FS
	read func(name string)
}

func (h *hookFS) Open(name string) (vfs.File, error) {
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &hookFile{f, h, name}, nil
}

func (h *hookFS) Create(name string) (vfs.File, error) {
	f, err := h.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &hookFile{f, h, name}, nil
}

type hookFile struct {
	vfs.File
	h    *hookFS
	name string
}

func (f *hookFile) ReadAt(b []byte, off int64) (int, error) {
	if f.h.read != nil && strings.HasSuffix(f.name, dataSuffix) {
		f.h.read(f.name)
	}
	return f.File.ReadAt(b, off)
}

func seamLog(t *testing.T) (*Log, *hookFS, []testBatch) {
	fs := &hookFS{FS: vfs.NewMem(vfs.MemOptions{})}
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 1000, IndexIntervalBytes: 100}, NewCache(Limits{}))
	rng := rand.New(rand.NewPCG(1, 1))
	var list []testBatch
	for i := range 12 {
		b := makeBatch(t, ident.Offset(i), 1, []int64{int64(1000 + i)}, 300, rng)
		b.appendTo(t, l)
		list = append(list, b)
	}
	flush(t, l)
	l.EvictIdle()
	if n := len(l.Sealed()); n < 3 {
		t.Fatalf("%d sealed", n)
	}
	return l, fs, list
}

// L1, S4: what leaves the disk for the tier while a read goes on is not skipped.
func TestReadDoesNotSkipWhatIsEvicted(t *testing.T) {
	l, fs, list := seamLog(t)
	sealed := l.Sealed()
	fs.read = func(name string) {
		if strings.Contains(name, "/00000000000000000000.") { // the first segment is being read
			fs.read = nil
			l.AdvanceLocalStart(sealed[1].End) // the first two are in the tier
		}
	}
	c, err := l.Read(0, l.End(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	m := model{end: l.End(), list: list}
	m.checkNext(t, c, 0, l.End())
}

// A lookup by time beside which the local start moves does not say that the
// offset is out of range.
func TestLookupWhileLocalStartMoves(t *testing.T) {
	l, fs, _ := seamLog(t)
	sealed := l.Sealed()
	fs.read = func(name string) {
		fs.read = nil
		l.AdvanceLocalStart(sealed[1].End)
	}
	_, at, found, err := l.OffsetForTimestamp(1003, l.End())
	t.Logf("at %d found %t err %v; sealed %v", at, found, err, sealed)
	if errors.Is(err, ErrBelowStart) {
		t.Error("ErrBelowStart, which clients are told as OFFSET_OUT_OF_RANGE")
	}
}

// A hole of more than 2^32 offsets behind a closed segment.
func TestHugeHole(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	set := Settings{SegmentBytes: 1000, IndexIntervalBytes: 100}
	l := open(t, fs, EmptyPosition(0), set, NewCache(Limits{}))
	rng := rand.New(rand.NewPCG(1, 1))
	b := makeBatch(t, 0, 1, []int64{5}, 300, rng)
	b.appendTo(t, l)
	l.Roll()
	l.SetEnd(1<<32 + 100)
	b = makeBatch(t, 1<<32+100, 1, []int64{6}, 300, rng)
	b.appendTo(t, l)
	t.Logf("%+v", l.Sealed())
	at := flush(t, l)
	for _, s := range l.Sealed() {
		f, err := l.OpenSealed(s.Base)
		if err != nil {
			t.Errorf("upload of %+v: %v", s, err)
			continue
		}
		f.Close()
	}
	l.Close()
	if _, err := Open(fs, testDir, at, set, NewCache(Limits{})); err != nil {
		t.Error(err)
	}
	start, _ := PlanRetention(1<<40, RetentionSettings{Ms: 1, Bytes: -1, SegmentMs: -1, ActiveSinceMs: -1, UpTo: 1 << 40}, l.Sealed(), l.Active(), 0)
	if start < 1<<32 {
		t.Errorf("retention stops at %d", start)
	}
}
