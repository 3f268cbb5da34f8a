package storage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// machine drives one log with random operations and compares it with a model.
// History is what the write-ahead log would replay.
type machine struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *vfs.Mem
	cache   *Cache
	set     Settings
	l       *Log
	m       model
	history []func(*machine) // operations since the log began
	durable int              // how many of them the checkpoint covers
	at      Position
	mark    Mark
	marked  int // operations that the mark covers
	hasMark bool
	run     *Run
	garbage []pendingGarbage
	clock   int64
	limit   *Limits
}

type pendingGarbage struct {
	g   Garbage
	ops int
}

func (x *machine) apply(op func(*machine)) {
	x.history = append(x.history, op)
	op(x)
}

func (x *machine) opAppend() {
	rng := x.rng
	times := make([]int64, 1+rng.IntN(4))
	for i := range times {
		x.clock += int64(rng.IntN(20)) - 8
		times[i] = max(x.clock, 0)
	}
	base := x.m.end + ident.Offset(rng.IntN(8)/6*rng.IntN(50))
	size := rng.IntN(400)
	if rng.IntN(20) == 0 {
		size = rng.IntN(20000)
	}
	b := makeBatch(x.t, base, ident.Epoch(rng.IntN(5)), times, size, rng)
	x.m.list = append(x.m.list, b)
	x.m.end = b.last + 1
	x.apply(func(x *machine) { b.appendTo(x.t, x.l) })
}

func (x *machine) opStart() {
	start := x.m.start + ident.Offset(x.rng.Int64N(int64(x.m.end-x.m.start)+1)/3)
	x.m.start = start
	if x.rng.IntN(2) == 0 {
		x.apply(func(x *machine) { x.l.AdvanceStart(start) })
	} else {
		x.apply(func(x *machine) { x.l.AdvanceLocalStart(start) })
	}
	x.takeGarbage()
}

func (x *machine) takeGarbage() {
	for _, g := range x.l.TakeGarbage() {
		x.garbage = append(x.garbage, pendingGarbage{g, len(x.history)})
	}
}

func (x *machine) opRun() {
	if x.run == nil {
		x.run, _ = x.l.NextRun(int64(x.rng.IntN(3) * 4096))
		if x.run != nil {
			if err := x.l.DoRun(x.run); err != nil {
				x.t.Fatal(err)
			}
		}
	}
	if x.run != nil && x.rng.IntN(2) == 0 {
		x.l.RunDone(x.run, nil)
		x.run = nil
	}
}

func (x *machine) opCheckpoint() {
	if !x.hasMark {
		x.mark, x.marked, x.hasMark = x.l.Mark(), len(x.history), true
		return
	}
	for !x.l.Reached(x.mark) {
		if x.run == nil {
			x.run, _ = x.l.NextRun(1)
			if err := x.l.DoRun(x.run); err != nil {
				x.t.Fatal(err)
			}
		}
		x.l.RunDone(x.run, nil)
		x.run = nil
	}
	x.hasMark = false
	s, err := x.l.PlanSync(x.mark)
	if err != nil {
		if x.l.stale < 0 {
			x.t.Fatal(err)
		}
		return
	}
	if x.rng.IntN(6) == 0 { // the crash comes in between
		if err := s.Write(); err != nil {
			x.t.Fatal(err)
		}
		x.crash()
		return
	}
	if s.Direct() && x.rng.IntN(2) == 0 { // one sync for all logs
		if err = s.Write(); err == nil {
			err = x.fs.SyncAll()
		}
	} else {
		err = s.Do()
	}
	x.l.SyncDone(s, err)
	if err != nil {
		x.t.Fatal(err)
	}
	pos, rest, err := DecodePosition(s.Position().Append(nil))
	if err != nil || len(rest) > 0 || pos != s.Position() {
		x.t.Fatalf("position %+v: %+v, %v", s.Position(), pos, err)
	}
	x.at, x.durable = pos, x.marked
	kept := x.garbage[:0]
	for _, g := range x.garbage {
		if g.ops > x.durable || g.g.Busy() {
			kept = append(kept, g)
		} else if err := g.g.Remove(x.fs); err != nil {
			x.t.Fatal(err)
		}
	}
	x.garbage = kept
}

func (x *machine) crash() {
	x.l.Close()
	if n := x.cache.Stats().IndexRebuilt; n != 0 {
		x.t.Fatalf("%d indexes were damaged, which no crash does", n)
	}
	how := vfs.CrashOptions{Keep: float64(x.rng.IntN(5)) / 4, Tear: x.rng.IntN(2) == 0, Reorder: x.rng.IntN(2) == 0}
	if x.rng.IntN(4) == 0 {
		x.fs = x.fs.Kill()
	} else {
		x.fs = x.fs.Crash(x.rng, how)
	}
	x.run, x.hasMark, x.garbage = nil, false, nil
	x.cache = NewCache(*x.limit)
	l, err := Open(x.fs, testDir, x.at, x.set, x.cache)
	if err != nil {
		x.t.Fatal(err)
	}
	x.l = l
	for _, op := range x.history[x.durable:] {
		op(x)
	}
	x.takeGarbage()
}

func (x *machine) check(n int) {
	if x.l.End() != x.m.end || x.l.LocalStart() != x.m.start {
		x.t.Fatalf("log [%d, %d), want [%d, %d)", x.l.LocalStart(), x.l.End(), x.m.start, x.m.end)
	}
	for range n {
		from := x.m.start + ident.Offset(x.rng.Int64N(int64(x.m.end-x.m.start)+1))
		until := x.m.end
		if k := len(x.m.list); k > 0 && x.rng.IntN(2) == 0 {
			until = x.m.list[x.rng.IntN(k)].base
		}
		x.m.check(x.t, x.l, from, until, x.rng.IntN(30000), x.rng.IntN(2) == 0)
		x.m.checkTimes(x.t, x.l, until, x.clock-int64(x.rng.IntN(3000)))
	}
	x.m.check(x.t, x.l, x.m.start-1, x.m.end, 1000, true)
	x.m.check(x.t, x.l, x.m.end+1, x.m.end, 1000, true)
}

func (x *machine) step() {
	switch n := x.rng.IntN(100); {
	case n < 55:
		x.opAppend()
	case n < 58:
		x.m.end += ident.Offset(x.rng.IntN(30))
		end := x.m.end
		x.apply(func(x *machine) { x.l.SetEnd(end) })
	case n < 61:
		x.apply(func(x *machine) { x.l.Roll() })
	case n < 63:
		x.opStart()
	case n < 80:
		x.opRun()
	case n < 90:
		x.opCheckpoint()
	case n < 92:
		x.l.EvictIdle()
	case n < 94:
		x.crash()
	default:
		x.check(1)
	}
}

func TestLogEqualsModel(t *testing.T) {
	seeds := 400
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 7))
			limits := Limits{
				TailBytes: int64(rng.IntN(60000) + 1), OpenFiles: 1 + rng.IntN(3),
				IndexBytes: int64(1 + rng.IntN(2000)),
			}
			x := &machine{
				t: t, rng: rng, limit: &limits, clock: 100000,
				fs: vfs.NewMem(vfs.MemOptions{DirectAlignment: []int{1, 512, 4096}[seed%3]}),
				set: Settings{
					SegmentBytes: int64(2000 + rng.IntN(60000)), RunBytes: 4096 * int64(1+rng.IntN(8)),
					IndexIntervalBytes: int64(1 + rng.IntN(3000)),
				},
			}
			x.cache = NewCache(limits)
			x.at = EmptyPosition(ident.Offset(rng.IntN(2) * 1000))
			x.m.start, x.m.end = x.at.LogStart, x.at.LogEnd
			x.l = open(t, x.fs, x.at, x.set, x.cache)
			for range 150 + rng.IntN(250) {
				x.step()
			}
			x.crash()
			x.check(20)
			x.crash() // which counts rebuilt indexes once more
			layout := fmt.Sprint(x.l.Sealed(), x.l.Active())
			x.sameLayout(layout)
			x.l.Close()
			if n := x.cache.Stats(); n.TailBytes != 0 || n.OpenFiles != 0 {
				t.Fatalf("closed log holds %+v", n)
			}
		})
	}
}

// sameLayout replays the whole history on a new disk and compares segments and
// indexes.
func (x *machine) sameLayout(want string) {
	fresh := &machine{t: x.t, fs: vfs.NewMem(vfs.MemOptions{}), cache: NewCache(Limits{})}
	origin := EmptyPosition(x.origin())
	fresh.l = open(x.t, fresh.fs, origin, x.set, fresh.cache)
	for _, op := range x.history {
		op(fresh)
	}
	if got := fmt.Sprint(fresh.l.Sealed(), fresh.l.Active()); got != want {
		x.t.Fatalf("another replica has %s, want %s", got, want)
	}
	flush(x.t, x.l)
	for i, g := range x.l.segs {
		var entries []indexEntry
		if g.indexBytes > 0 {
			f, err := x.fs.Open(g.idx)
			if err != nil {
				x.t.Fatal(err)
			}
			b := make([]byte, g.indexBytes)
			if _, err := f.ReadAt(b, 0); err != nil {
				x.t.Fatal(err)
			}
			if entries, _, err = parseIndex(b, g.base); err != nil {
				x.t.Fatal(err)
			}
			f.Close()
		}
		if want := fresh.l.segs[i].pending; !slices.Equal(entries, want) {
			x.t.Fatalf("index %s has %v, another replica %v", g.idx, entries, want)
		}
	}
}

func (x *machine) origin() ident.Offset {
	if len(x.m.list) > 0 && x.m.list[0].base >= 1000 {
		return 1000
	}
	return 0
}
