package storage

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

func TestEmptyLogHasNoFiles(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l := open(t, fs, EmptyPosition(7), Settings{}, NewCache(Limits{}))
	l.SetEnd(9)
	l.AdvanceStart(8)
	if l.Roll() {
		t.Fatal("an empty segment was closed")
	}
	s, err := l.PlanSync(l.Mark())
	if err != nil || !s.Idle() {
		t.Fatalf("plan %+v, %v", s, err)
	}
	l.SyncDone(s, s.Do())
	if entries, err := fs.List("."); err == nil && len(entries) > 0 {
		t.Fatalf("an empty log left %v", entries)
	}
	l = open(t, fs, l.Durable(), Settings{}, NewCache(Limits{}))
	m := model{start: 8, end: 9}
	for from := ident.Offset(6); from < 12; from++ {
		m.check(t, l, from, 100, 100, true)
	}
	m.checkTimes(t, l, 9, 0)
}

func TestReadBorders(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	a := makeBatch(t, 10, 1, []int64{1, 2, 3}, 100, rng)
	b := makeBatch(t, 20, 2, []int64{4}, 100, rng) // behind a hole
	c := makeBatch(t, 21, 2, []int64{5, 6}, 100, rng)
	m := model{start: 0, end: 30, list: []testBatch{a, b, c}} // ends with a hole
	na, nb := len(a.stored), len(b.stored)
	cases := []struct {
		name        string
		from, until ident.Offset
		maxBytes    int
		minOne      bool
		batches     int
		next        ident.Offset
	}{
		{"hole before the first", 0, 30, na, true, 1, 13},
		{"first", 10, 30, na, false, 1, 13},
		{"inside a batch", 12, 30, na, false, 1, 13},
		{"hole between", 15, 30, nb, false, 1, 21},
		{"one byte short", 10, 30, na - 1, false, 0, 10},
		{"larger than the maximum", 10, 30, na - 1, true, 1, 13},
		{"one byte short of two", 10, 30, na + nb - 1, true, 1, 13},
		{"two", 10, 30, na + nb, true, 2, 21},
		{"all", 10, 30, 1 << 20, true, 3, 30},
		{"up to a batch", 10, 21, 1 << 20, true, 2, 21},
		{"up to a hole", 10, 18, 1 << 20, true, 1, 18},
		{"up to the middle of a batch", 20, 22, 1 << 20, true, 1, 22},
		{"nothing below until", 20, 20, 1 << 20, true, 0, 20},
		{"until below", 20, 10, 1 << 20, true, 0, 20},
		{"hole at the end", 23, 30, 1 << 20, true, 0, 30},
		{"end", 30, 30, 1 << 20, true, 0, 30},
		{"until above the end", 21, math.MaxInt64, math.MaxInt, true, 1, 30},
		{"negative maximum", 20, 30, -5, true, 1, 21},
	}
	for _, where := range []string{"tail", "file"} {
		fs := vfs.NewMem(vfs.MemOptions{})
		l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: int64(na + nb)}, NewCache(Limits{}))
		for _, x := range m.list {
			x.appendTo(t, l)
		}
		l.SetEnd(30)
		if where == "file" {
			l = open(t, fs, flush(t, l), Settings{}, NewCache(Limits{}))
		}
		for _, tc := range cases {
			t.Run(where+", "+tc.name, func(t *testing.T) {
				got, err := l.Read(tc.from, tc.until, tc.maxBytes, tc.minOne)
				if err != nil || got.Batches != tc.batches || got.NextOffset != tc.next {
					t.Fatalf("%d batches, next %d, %v; want %d, %d", got.Batches, got.NextOffset, err, tc.batches, tc.next)
				}
				m.check(t, l, tc.from, tc.until, tc.maxBytes, tc.minOne)
			})
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, vfs.NewMem(vfs.MemOptions{}), EmptyPosition(5), Settings{}, NewCache(Limits{}))
	b := makeBatch(t, 5, 1, []int64{1, 2}, 10, rand.New(rand.NewPCG(1, 1)))
	cases := []struct {
		name       string
		base, last ident.Offset
		payload    []byte
	}{
		{"below the end", 4, 5, b.payload},
		{"last below base", 6, 5, b.payload},
		{"cut", 5, 6, b.payload[:len(b.payload)-1]},
		{"no header", 5, 6, b.payload[:20]},
		{"empty", 5, 6, nil},
		{"too many offsets", 5, 5 + 1<<33, b.payload},
	}
	for _, c := range cases {
		if err := l.Append(c.base, c.last, 1, 2, c.payload); !errors.Is(err, ErrAppend) || l.End() != 5 || l.Size() != 0 {
			t.Errorf("%s: %v, end %d", c.name, err, l.End())
		}
	}
}

// Relative offsets are u32 in the index: a hole larger than that closes a
// segment, even an empty one.
func TestRollBeforeOffsetOverflow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := vfs.NewMem(vfs.MemOptions{})
	l := open(t, fs, EmptyPosition(0), Settings{}, NewCache(Limits{}))
	var m model
	for _, base := range []ident.Offset{0, math.MaxUint32, math.MaxUint32 + 1, 1 << 40, 1 << 50} {
		if base == 1<<50 {
			l.Roll()
		}
		b := makeBatch(t, base, 1, []int64{int64(base)}, 50, rng)
		b.appendTo(t, l)
		m.list, m.end = append(m.list, b), b.last+1
	}
	want := []SegmentInfo{
		{Base: 0, End: math.MaxUint32 + 1}, {Base: math.MaxUint32 + 1, End: 1 << 40},
		{Base: 1 << 40, End: 1<<40 + 1}, {Base: 1<<40 + 1, End: 1 << 50},
	}
	check := func(l *Log) {
		t.Helper()
		got := l.Sealed()
		for i, w := range want {
			if len(got) != len(want) || got[i].Base != w.Base || got[i].End != w.End {
				t.Fatalf("segments %+v, want %+v", got, want)
			}
		}
		for _, b := range m.list {
			m.check(t, l, b.base, m.end, 1<<20, true)
			m.check(t, l, b.last+1, m.end, 1<<20, true)
			m.checkTimes(t, l, m.end, b.maxTime)
		}
	}
	check(l)
	pos := flush(t, l)
	check(l)
	l.EvictIdle()
	check(l)
	check(open(t, fs, pos, Settings{}, NewCache(Limits{})))
}

func TestLookupByTimeIgnoresWhatIsBelowTheStart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := model{}
	l := open(t, vfs.NewMem(vfs.MemOptions{}), EmptyPosition(0), Settings{SegmentBytes: 600, IndexIntervalBytes: 1}, NewCache(Limits{}))
	for _, times := range [][]int64{{9, 1, 2}, {3, 9}, {2, 1}, {8, 9, 9}, {5}, {0, 7}} {
		b := makeBatch(t, m.end, 1, times, 20, rng)
		b.appendTo(t, l)
		m.list, m.end = append(m.list, b), b.last+1
	}
	for start := range m.end + 1 {
		l.AdvanceStart(start)
		m.start = start
		for pass := range 2 {
			for _, b := range m.list {
				until := b.last + 1
				for ts := int64(-1); ts < 11; ts++ {
					m.checkTimes(t, l, until, ts)
				}
			}
			if pass == 0 {
				flush(t, l)
				l.EvictIdle()
			}
		}
	}
}

func TestTailBudget(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	cache := NewCache(Limits{TailBytes: 10000})
	fs := vfs.NewMem(vfs.MemOptions{})
	l := open(t, fs, EmptyPosition(0), Settings{}, cache)
	for i := range ident.Offset(50) {
		b := makeBatch(t, i, 1, []int64{1}, 900, rng)
		b.appendTo(t, l)
	}
	if over := cache.TailOver(); over < 35000 {
		t.Fatalf("over by %d although nothing is written", over)
	}
	flush(t, l)
	if over := cache.TailOver(); over > 0 {
		t.Fatalf("over by %d after all is written", over)
	}
	if cache.Stats().TailBytes < 8000 {
		t.Fatalf("only %d bytes left", cache.Stats().TailBytes)
	}
	l.EvictIdle()
	if n := cache.Stats().TailBytes; n != 0 {
		t.Fatalf("%d bytes left", n)
	}
}

// What lies behind the position is cut or removed, what lies before it is
// garbage, and files of others stay.
func TestOpenCleansUp(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	rng := rand.New(rand.NewPCG(1, 1))
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 10000}, NewCache(Limits{}))
	var at Position
	for i := range ident.Offset(20) {
		b := makeBatch(t, i, 1, []int64{1}, 4500, rng)
		b.appendTo(t, l)
		if pos := flush(t, l); i == 12 {
			at = pos
		}
	}
	if f, err := fs.Create(testDir + "/snapshot"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	at.LogStart, at.FirstBase = 5, 4
	l = open(t, fs, at, Settings{}, NewCache(Limits{}))
	var bases []ident.Offset
	for _, g := range l.TakeGarbage() {
		bases = append(bases, g.Base)
		if err := g.Remove(fs); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(bases, []ident.Offset{0, 2}) {
		t.Fatalf("garbage %v", bases)
	}
	entries, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
		if e.Name == "00000000000000000012.log" && e.Size > roundUp(at.ActiveBytes) {
			t.Errorf("active segment has %d bytes, position says %d", e.Size, at.ActiveBytes)
		}
		if e.Name == "00000000000000000012.index" && e.Size != at.ActiveIndexBytes {
			t.Errorf("index has %d bytes, position says %d", e.Size, at.ActiveIndexBytes)
		}
	}
	var want []string
	for _, base := range []string{"04", "06", "08", "10", "12"} {
		want = append(want, "000000000000000000"+base+".index", "000000000000000000"+base+".log")
	}
	if want = append(want, "snapshot"); !slices.Equal(names, want) {
		t.Fatalf("files %v, want %v", names, want)
	}
}

// A segment that a batch or a roll closes below the log start is garbage at once,
// as it is in a log that is opened again, or that another replica copied.
func TestClosedBelowTheStart(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, roll := range []bool{false, true} {
		l := open(t, vfs.NewMem(vfs.MemOptions{}), EmptyPosition(0), Settings{SegmentBytes: 1000}, NewCache(Limits{}))
		for i := range ident.Offset(2) {
			b := makeBatch(t, i, 1, []int64{5}, 300, rng)
			b.appendTo(t, l)
		}
		l.AdvanceStart(2)
		if got := l.TakeGarbage(); len(got) != 0 || l.FirstBase() != 0 {
			t.Fatalf("garbage %v: the segment is open", got)
		}
		if roll {
			l.Roll()
		} else {
			b := makeBatch(t, 2, 1, []int64{5}, 800, rng)
			b.appendTo(t, l)
		}
		if got := l.TakeGarbage(); len(got) != 1 || got[0].Base != 0 || l.FirstBase() != 2 {
			t.Fatalf("rolled %v: garbage %v, the first segment begins at %d", roll, got, l.FirstBase())
		}
		pos := flush(t, l)
		if pos.FirstBase != 2 || pos.ActiveBase != 2 {
			t.Fatalf("rolled %v: position %+v", roll, pos)
		}
	}
}
