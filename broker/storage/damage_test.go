package storage

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// sealedLog writes batches of about 1 KiB in segments of about 8 and returns
// the position of the checkpoint at their end.
func sealedLog(t testing.TB, fs vfs.FS, batches int) (model, Position) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 2000}, NewCache(Limits{}))
	var m model
	for i := range batches {
		b := makeBatch(t, m.end, 3, []int64{int64(i * 10), int64(i*10 + 5)}, 450, rng)
		b.appendTo(t, l)
		m.list, m.end = append(m.list, b), b.last+1
	}
	pos := flush(t, l)
	l.Close()
	return m, pos
}

func flip(t testing.TB, fs vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBatchIsNeverServed(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	m, pos := sealedLog(t, fs, 40)
	l := open(t, fs, pos, Settings{}, NewCache(Limits{}))
	second := l.Sealed()[1]
	name := newSegment(testDir, second.Base).data
	flip(t, fs, name, 500)

	_, err := l.Read(second.Base, m.end, 1<<20, true)
	var d *DamageError
	if !errors.Is(err, ErrDamaged) || !errors.As(err, &d) || d.File != name || d.Position != 0 || d.Offset != second.Base {
		t.Fatalf("read of a damaged batch: %v", err)
	}
	if _, _, _, err := l.OffsetForTimestamp(int64(second.Base)*5, m.end); !errors.Is(err, ErrDamaged) {
		t.Fatalf("lookup in a damaged batch: %v", err)
	}
	c, err := l.Read(0, m.end, 1<<20, true)
	if err != nil || c.NextOffset != second.Base {
		t.Fatalf("read up to the damage: next %d, %v", c.NextOffset, err)
	}
	for _, b := range m.list {
		if b.base != second.Base {
			m.check(t, l, b.base, m.end, len(b.stored), true)
		}
	}
}

func TestIndexIsRebuilt(t *testing.T) {
	remove := func(t *testing.T, fs vfs.FS, name string) {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name   string
		break_ func(t *testing.T, fs vfs.FS, name string)
		active bool
	}{
		{"missing", remove, false},
		{"missing, active", remove, true},
		{"block", func(t *testing.T, fs vfs.FS, name string) { flip(t, fs, name, 50) }, false},
		{"block, active", func(t *testing.T, fs vfs.FS, name string) { flip(t, fs, name, 50) }, true},
		{"header", func(t *testing.T, fs vfs.FS, name string) { flip(t, fs, name, 18) }, false},
		{"footer", func(t *testing.T, fs vfs.FS, name string) {
			f, err := fs.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			n, _ := f.Size()
			flip(t, fs, name, n-9)
		}, false},
		{"short", func(t *testing.T, fs vfs.FS, name string) {
			f, err := fs.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(40); err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem(vfs.MemOptions{})
			m, pos := sealedLog(t, fs, 45)
			intact := open(t, fs, pos, Settings{}, NewCache(Limits{}))
			info := intact.Sealed()[2]
			if c.active {
				info = intact.Active()
			}
			c.break_(t, fs, newSegment(testDir, info.Base).idx)
			l := open(t, fs, pos, Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 2000}, NewCache(Limits{}))
			if l.Sealed()[2] != intact.Sealed()[2] || l.Active() != intact.Active() {
				t.Fatalf("segments %v, want %v", l.Sealed(), intact.Sealed())
			}
			for _, b := range m.list {
				m.check(t, l, b.base, m.end, 3000, true)
				m.checkTimes(t, l, m.end, b.maxTime)
			}
			b := makeBatch(t, m.end, 4, []int64{1}, 10, rand.New(rand.NewPCG(1, 2)))
			b.appendTo(t, l)
			m.list, m.end = append(m.list, b), b.last+1
			again := open(t, fs, flush(t, l), Settings{}, NewCache(Limits{}))
			for _, b := range m.list {
				m.check(t, again, b.base, m.end, 3000, true)
			}
		})
	}
}

func TestOpenRefusesMissingData(t *testing.T) {
	cut := func(g *segment, size int64) func(t *testing.T, fs vfs.FS) {
		return func(t *testing.T, fs vfs.FS) {
			f, err := fs.Open(g.data)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
		}
	}
	drop := func(names ...string) func(t *testing.T, fs vfs.FS) {
		return func(t *testing.T, fs vfs.FS) {
			for _, n := range names {
				if err := fs.Remove(n); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	probe := vfs.NewMem(vfs.MemOptions{})
	_, pos := sealedLog(t, probe, 40)
	l := open(t, probe, pos, Settings{}, NewCache(Limits{}))
	segs := l.segs
	cases := map[string]func(t *testing.T, fs vfs.FS){
		"sealed segment is short":      cut(segs[1], 3000),
		"active segment is short":      cut(l.active(), l.active().bytes-1),
		"first segment is missing":     drop(segs[0].data, segs[0].idx),
		"segment within is missing":    drop(segs[2].data, segs[2].idx),
		"active segment is missing":    drop(l.active().data),
		"index gone, segment is short": func(t *testing.T, fs vfs.FS) { cut(segs[1], 3000)(t, fs); drop(segs[1].idx)(t, fs) },
		"index gone, segment damaged":  func(t *testing.T, fs vfs.FS) { flip(t, fs, segs[1].data, 600); drop(segs[1].idx)(t, fs) },
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem(vfs.MemOptions{})
			_, pos := sealedLog(t, fs, 40)
			damage(t, fs)
			_, err := Open(fs, testDir, pos, Settings{}, NewCache(Limits{}))
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), testDir) {
				t.Fatalf("open: %v", err)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{Capacity: 256 << 10})
	ballast, err := fs.Create("ballast")
	if err != nil {
		t.Fatal(err)
	}
	if err := ballast.Preallocate(200 << 10); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 32 << 10, RunBytes: 8 << 10}, NewCache(Limits{TailBytes: 1}))
	var m model
	for range 100 {
		b := makeBatch(t, m.end, 1, []int64{int64(m.end)}, 1000, rng)
		b.appendTo(t, l)
		m.list, m.end = append(m.list, b), b.last+1
	}
	failed := 0
	for r, ok := l.NextRun(0); ok; r, ok = l.NextRun(0) {
		err := l.DoRun(r)
		for ; err != nil && failed%2 == 0; failed++ { // the same run again
			err = l.DoRun(r)
		}
		l.RunDone(r, err)
		if err == nil {
			continue
		}
		if !errors.Is(err, vfs.ErrNoSpace) {
			t.Fatal(err)
		}
		if _, err := l.PlanSync(l.Mark()); !errors.Is(err, ErrUnwritten) {
			t.Fatalf("plan sync: %v", err)
		}
		for _, b := range m.list {
			m.check(t, l, b.base, m.end, 5000, true)
		}
		if failed++; failed > 3 {
			if err := ballast.Truncate(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if failed < 3 {
		t.Fatalf("the disk was full %d times", failed)
	}
	again := open(t, fs, flush(t, l), Settings{}, NewCache(Limits{}))
	for _, b := range m.list {
		m.check(t, again, b.base, m.end, 5000, true)
	}
}

// A full disk must not keep retention from freeing space: what is unwritten of
// removed segments is given up, and old marks become stale.
func TestGarbageNeedsNoSpace(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{Capacity: 64 << 10})
	rng := rand.New(rand.NewPCG(4, 4))
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 1 << 20, RunBytes: 8 << 10}, NewCache(Limits{}))
	for i := range ident.Offset(100) {
		b := makeBatch(t, i, 1, []int64{5}, 1000, rng)
		b.appendTo(t, l)
	}
	var full *Run
	for r, ok := l.NextRun(0); ok && full == nil; r, ok = l.NextRun(0) {
		if err := l.DoRun(r); err != nil {
			full = r
			break
		}
		l.RunDone(r, nil)
	}
	old := l.Mark()
	l.Roll()
	l.AdvanceStart(100)
	if l.Unwritten() != 0 || l.Size() != 0 {
		t.Fatalf("%d bytes unwritten of %d", l.Unwritten(), l.Size())
	}
	garbage := l.TakeGarbage()
	if len(garbage) != 1 || garbage[0].Base != 0 || !garbage[0].Busy() {
		t.Fatalf("garbage %v while a run is in flight", garbage)
	}
	l.RunDone(full, vfs.ErrNoSpace)
	if garbage[0].Busy() || len(l.TakeGarbage()) != 0 {
		t.Fatal("garbage is busy, or was taken twice, after the run")
	}
	if _, err := l.PlanSync(old); !errors.Is(err, ErrStaleMark) {
		t.Fatalf("plan sync of an old mark: %v", err)
	}
	pos := flush(t, l)
	if err := garbage[0].Remove(fs); err != nil {
		t.Fatal(err)
	}
	b := makeBatch(t, 100, 1, []int64{5}, 40000, rng)
	b.appendTo(t, l)
	pos = flush(t, l)
	again := open(t, fs, pos, Settings{}, NewCache(Limits{}))
	m := model{start: 100, end: 101, list: []testBatch{b}}
	m.check(t, again, 100, 101, 1, true)
	m.check(t, again, 99, 101, 1, true)
}

// A sync that finds no space for the index is planned again later, also if more
// was appended and a segment was closed meanwhile.
func TestSyncMeetsFullDisk(t *testing.T) {
	mem := vfs.NewMem(vfs.MemOptions{})
	full := false
	fs := vfs.NewFaulty(mem, func(op vfs.Op) error {
		if full && op.Kind == vfs.OpWrite && strings.HasSuffix(op.Name, indexSuffix) {
			return &vfs.Partial{N: 50, Err: vfs.ErrNoSpace}
		}
		return nil
	})
	rng := rand.New(rand.NewPCG(8, 8))
	l := open(t, fs, EmptyPosition(0), Settings{SegmentBytes: 9000, IndexIntervalBytes: 1}, NewCache(Limits{}))
	var m model
	for i := range 60 {
		b := makeBatch(t, m.end, 1, []int64{int64(i)}, 700, rng)
		b.appendTo(t, l)
		m.list, m.end = append(m.list, b), b.last+1
		for r, ok := l.NextRun(0); ok; r, ok = l.NextRun(0) {
			l.RunDone(r, l.DoRun(r))
		}
		before := l.Durable()
		s, err := l.PlanSync(l.Mark())
		if err != nil {
			t.Fatal(err)
		}
		full = i%5 != 4
		err = s.Do()
		l.SyncDone(s, err)
		if full != errors.Is(err, vfs.ErrNoSpace) || full != (l.Durable() == before) {
			t.Fatalf("full %v: %v, durable %+v", full, err, l.Durable())
		}
		m.check(t, l, 0, m.end, 1<<20, true)
	}
	cache := NewCache(Limits{})
	again := open(t, mem.Crash(rng, vfs.CrashOptions{}), l.Durable(), Settings{}, cache)
	for _, b := range m.list {
		m.check(t, again, b.base, m.end, 1<<20, true)
	}
	if n := cache.Stats().IndexRebuilt; n != 0 {
		t.Fatalf("%d indexes were damaged", n)
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	boom := errors.New("boom")
	mem := vfs.NewMem(vfs.MemOptions{})
	fail := false
	fs := vfs.NewFaulty(mem, func(op vfs.Op) error {
		if fail && op.Kind == vfs.OpSync {
			return boom
		}
		return nil
	})
	l := open(t, fs, EmptyPosition(0), Settings{}, NewCache(Limits{}))
	b := makeBatch(t, 0, 1, []int64{5}, 100, rand.New(rand.NewPCG(1, 1)))
	b.appendTo(t, l)
	r, _ := l.NextRun(0)
	l.RunDone(r, l.DoRun(r))
	s, err := l.PlanSync(l.Mark())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.PlanSync(l.Mark()); !errors.Is(err, ErrBusy) {
		t.Fatalf("second plan: %v", err)
	}
	fail = true
	err = s.Do()
	l.SyncDone(s, err)
	fail = false
	if _, again := l.PlanSync(l.Mark()); !errors.Is(err, ErrSyncFailed) || !errors.Is(err, boom) || !errors.Is(again, ErrSyncFailed) {
		t.Fatalf("sync: %v, then %v", err, again)
	}
	if l.Durable() != EmptyPosition(0) {
		t.Fatalf("durable %+v", l.Durable())
	}
}
