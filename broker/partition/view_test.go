package partition

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

type counter struct{ n atomic.Int64 }

func (c *counter) Notify() { c.n.Add(1) }

func TestWatch(t *testing.T) {
	h := newQuiet(t)
	events := map[string]func(){
		"lead":      h.lead,
		"append":    func() { h.fill(1, spec{}) },
		"log start": func() { h.deleteRecords(-1); h.apply(1) },
		"unlead":    func() { h.p.Unlead() },
		"parked":    func() { h.p.Parked(errors.New("test: damage")) },
		"closed":    func() { h.p.Close() },
	}
	for _, name := range []string{"lead", "append", "log start", "unlead", "parked", "closed"} {
		var once, gone counter
		h.p.Watch(&once)
		h.p.Watch(&once)
		h.p.Watch(&gone)
		h.p.Unwatch(&gone)
		h.p.Unwatch(&gone)
		events[name]()
		if once.n.Load() != 1 || gone.n.Load() != 0 {
			t.Fatalf("%s: told %d times, and %d times who left", name, once.n.Load(), gone.n.Load())
		}
		if len(h.p.watch) != 0 {
			t.Fatalf("%s: still registered", name)
		}
	}
	// What changes nothing for readers tells nobody.
	h = newHarness(t)
	h.fill(1, spec{})
	var quiet counter
	h.p.Watch(&quiet)
	h.produce(spec{id: 7, seq: 1, gen: 1})
	h.p.Unwatch(&quiet)
	h.apply(1)
	h.p.Watch(&quiet)
	h.produce(spec{id: 7, seq: 9, gen: 1})
	h.apply(1)
	h.p.Configure(Settings{SegmentBytes: 10, IndexIntervalBytes: 1}, 1)
	h.apply(1)
	if quiet.n.Load() != 0 {
		t.Fatal("told of nothing")
	}
}

// hammer reads all that any goroutine may read, until done.
func (h *harness) hammer(done *atomic.Bool) {
	var w counter
	var last Offsets
	for !done.Load() {
		h.p.Watch(&w)
		o, err := h.p.Offsets()
		if err != nil {
			continue
		}
		if o.LogStart < last.LogStart || o.HighWatermark < last.HighWatermark || o.LogStart > o.HighWatermark ||
			o.LogStart > o.LocalStart || o.LocalStart > o.HighWatermark {
			h.t.Errorf("%+v after %+v", o, last)
			return
		}
		last = o
		c, err := h.p.Read(o.LogStart, o.HighWatermark, 10_000, true)
		if err != nil && !errors.Is(err, ErrOffsetOutOfRange) && !errors.Is(err, ErrNotLeader) {
			h.t.Error(err)
			return
		}
		if err == nil && c.NextOffset > o.HighWatermark {
			h.t.Errorf("read to %d beyond %d", c.NextOffset, o.HighWatermark)
		}
		_, _, _, _, err = h.p.OffsetForTimestamp(1000)
		_, _, _, _, err2 := h.p.MaxTimestamp()
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrOffsetOutOfRange) {
				h.t.Errorf("lookup: %v", err)
			}
		}
		// No epoch ends behind its own last batch: term n appends the offsets
		// from 10(n-2) to 10(n-1)-1.
		for asked := ident.Epoch(2); asked < o.LeaderEpoch; asked++ {
			if e, end, err := h.p.EpochEnd(asked); err == nil && e == asked && end > ident.Offset(asked-1)*10 && end != o.LogStart {
				if s, err := h.p.Offsets(); err == nil && end > s.LogStart {
					h.t.Errorf("epoch %d ends at %d", asked, end)
				}
			}
		}
		_, _ = h.p.EpochAt(o.LogStart), h.p.Size()
		h.p.Unwatch(&w)
	}
}

func TestReadersWhileApplying(t *testing.T) {
	h := newHarness(t)
	h.segments(3000)
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() { defer wg.Done(); h.hammer(&done) }()
	}
	for round := range 60 {
		h.fill(10, spec{size: 300})
		switch round % 3 {
		case 0:
			h.site.checkpoint()
		case 1:
			h.deleteRecords(h.end() - 5)
			h.apply(-1)
		default:
			h.site.work(false)
		}
		h.p.Unlead()
		h.lead()
	}
	h.p.Close() // with readers in it
	done.Store(true)
	wg.Wait()
	if h.p.readers != 0 {
		t.Fatalf("%d readers", h.p.readers)
	}
}

// Damage on disk is told as such, by reads and by lookups, and the partition
// goes on.
func TestReadsOfDamage(t *testing.T) {
	h := newHarness(t)
	h.fill(3, spec{size: 9000})
	h.same()
	h.site.open(h.log) // nothing is in memory
	h.lead()
	f, err := h.fs.Open(testDir + "/00000000000000000000.log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 9000); err != nil {
		t.Fatal(err)
	}
	_, err = h.p.Read(0, 3, 1<<20, true)
	_, _, _, _, err2 := h.p.OffsetForTimestamp(1)
	_, _, _, _, err3 := h.p.MaxTimestamp()
	for i, err := range []error{err, err2, err3} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	h.fill(1, spec{})
	if c, err := h.p.Read(3, 4, 1<<20, true); err != nil || c.Batches != 1 {
		t.Fatalf("%+v %v", c, err)
	}
}
