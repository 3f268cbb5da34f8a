package partition

import (
	"errors"
	"math"
	"testing"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
)

func TestPipelineOfFive(t *testing.T) {
	h := newHarness(t)
	var out []*outcome
	for i := range int32(5) {
		out = append(out, h.produce(spec{id: 7, seq: i * 2, n: 2}))
	}
	if len(h.log.items) != 5 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	for i, o := range out {
		o.waits(t)
		h.apply(1)
		o.is(t, ident.Offset(2*i), false, nil)
	}
	h.same()
}

func TestRetryOfApplied(t *testing.T) {
	h := newHarness(t)
	for i := range int32(6) {
		h.produce(spec{id: 7, seq: i})
		h.apply(1)
	}
	for i := int32(1); i < 6; i++ {
		h.produce(spec{id: 7, seq: i}).is(t, ident.Offset(i), true, nil)
	}
	if len(h.log.items) != 0 {
		t.Fatal("a duplicate was proposed")
	}
	sixth := h.produce(spec{id: 7, seq: 0})
	h.apply(-1)
	sixth.is(t, 0, false, ErrOutOfOrder)
	longer := h.produce(spec{id: 7, seq: 5, n: 2}) // not the same batch
	h.apply(-1)
	longer.is(t, 0, false, ErrOutOfOrder)
	if h.end() != 6 {
		t.Fatalf("log end %d", h.end())
	}
	h.same()
}

func TestRetryInFlight(t *testing.T) {
	h := newHarness(t)
	first, again, third := h.produce(spec{id: 7}), h.produce(spec{id: 7}), h.produce(spec{id: 7})
	if len(h.log.items) != 1 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	again.waits(t)
	h.apply(-1)
	first.is(t, 0, false, nil)
	again.is(t, 0, true, nil)
	third.is(t, 0, true, nil)
	if h.end() != 1 || h.p.queued != 0 || len(h.p.flight) != 0 {
		t.Fatalf("end %d, %d bytes queued, flight %v", h.end(), h.p.queued, h.p.flight)
	}
}

func TestDroppedWithRetryWaiting(t *testing.T) {
	for _, c := range []struct{ cause, want error }{
		{replog.ErrNoSpace, ErrNoSpace}, {replog.ErrBusy, ErrNoSpace}, {replog.ErrNotLeader, ErrNotLeader},
		{replog.ErrParked, ErrDamaged}, {replog.ErrFailed, replog.ErrFailed}, {replog.ErrUnknownGroup, ErrNotLeader},
	} {
		h := newHarness(t)
		first, again := h.produce(spec{id: 7}), h.produce(spec{id: 7})
		h.drop(c.cause)
		first.is(t, 0, false, c.want)
		again.is(t, 0, false, c.want)
		h.produce(spec{id: 7, seq: 1}).is(t, 0, false, ErrOutOfOrder)
		if len(h.log.items) != 0 {
			t.Fatal("a later sequence was proposed")
		}
		h.produce(spec{id: 7})
		next := h.produce(spec{id: 7, seq: 1})
		h.apply(2)
		next.is(t, 1, false, nil)
	}
}

func TestGapIsJudgedAtApply(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	gap := h.produce(spec{id: 7, seq: 2})
	gap.waits(t)
	h.apply(1)
	gap.is(t, 0, false, ErrOutOfOrder)
	filled := h.produce(spec{id: 7, seq: 1})
	gap = h.produce(spec{id: 7, seq: 2})
	h.apply(2)
	filled.is(t, 1, false, nil)
	gap.is(t, 2, false, nil)
	h.same()
}

func TestSequenceWraps(t *testing.T) {
	h := newHarness(t)
	steps := []struct {
		seq int32
		n   int
		err error
	}{
		{math.MaxInt32 - 1, 1, nil},
		{math.MaxInt32, 1, nil},
		{1, 1, ErrOutOfOrder},
		{0, 3, nil},
		{math.MaxInt32, 1, nil}, // a duplicate
		{3, 1, nil},
	}
	for _, s := range steps {
		o := h.produce(spec{id: 7, seq: s.seq, n: s.n})
		h.apply(-1)
		o.is(t, o.Base, o.Duplicate, s.err)
	}
	// A batch that spans the wrap: 2^31-2, 2^31-1, 0, 1.
	h.produce(spec{id: 8, seq: math.MaxInt32 - 1, n: 4})
	next := h.produce(spec{id: 8, seq: 2})
	h.apply(2)
	next.is(t, 10, false, nil)
	h.same()
}

func TestEpochs(t *testing.T) {
	h := newHarness(t)
	any := h.produce(spec{id: 7, epoch: 3, seq: 41}) // unknown: anywhere
	h.apply(1)
	any.is(t, 0, false, nil)
	bump := h.produce(spec{id: 7, epoch: 4, seq: 42})
	h.apply(1)
	bump.is(t, 0, false, ErrOutOfOrder)
	bump = h.produce(spec{id: 7, epoch: 4})
	h.produce(spec{id: 7, epoch: 3, seq: 42}).is(t, 0, false, ErrFenced) // by what is in flight
	h.apply(1)
	bump.is(t, 1, false, nil)
	h.produce(spec{id: 7, epoch: 3, seq: 41}).is(t, 0, false, ErrFenced) // though it was appended
	if len(h.log.items) != 0 {
		t.Fatal("a fenced batch was proposed")
	}
	// An old epoch in flight when the new one is applied before it.
	h.p.producers.byID[9] = &producer{epoch: 1}
	old := h.produce(spec{id: 9, epoch: 1})
	young := h.produce(spec{id: 9, epoch: 2})
	h.log.items[0], h.log.items[1] = h.log.items[1], h.log.items[0]
	h.apply(2)
	young.is(t, 2, false, nil)
	old.is(t, 0, false, ErrFenced)
	if h.p.queued != 0 || len(h.p.flight) != 0 {
		t.Fatal("something is left in flight")
	}
}

func TestQueueBound(t *testing.T) {
	h := newHarness(t)
	huge := h.produce(spec{id: 7, size: 100 << 10}) // larger than the queue, alone
	huge.waits(t)
	h.produce(spec{id: 8}).is(t, 0, false, ErrQueueFull)
	h.produce(spec{id: -1, seq: -1}).is(t, 0, false, ErrQueueFull)
	h.apply(1)
	huge.is(t, 0, false, nil)
	h.produce(spec{id: 8, seq: 1}).is(t, 0, false, ErrOutOfOrder) // the mark
	a, b := h.produce(spec{id: 8, size: 30 << 10}), h.produce(spec{id: 8, seq: 1, size: 30 << 10})
	h.produce(spec{id: 8, seq: 2, size: 30 << 10}).is(t, 0, false, ErrQueueFull)
	h.apply(2)
	a.is(t, 1, false, nil)
	b.is(t, 2, false, nil)
	c := h.produce(spec{id: 8, seq: 2})
	h.apply(1)
	c.is(t, 3, false, nil)
	h.same()
}

func TestRefusedAtPropose(t *testing.T) {
	h := newHarness(t)
	h.log.fail = replog.ErrBusy
	h.produce(spec{id: 7}).is(t, 0, false, ErrNoSpace)
	h.log.fail = nil
	h.produce(spec{id: 7, seq: 1}).is(t, 0, false, ErrOutOfOrder)
	h.produce(spec{id: -1, seq: -1}).waits(t)
	h.produce(spec{id: 7}).waits(t)
	h.apply(2)
	if h.p.queued != 0 {
		t.Fatalf("%d bytes queued", h.p.queued)
	}
}

func TestNotServing(t *testing.T) {
	h := newQuiet(t)
	check := func(want error) {
		t.Helper()
		h.produce(spec{id: 7}).is(t, 0, false, want)
		_, err := h.p.Offsets()
		_, err2 := h.p.Read(0, 1, 1, true)
		_, _, err3 := h.p.EpochEnd(0)
		_, _, _, _, err4 := h.p.OffsetForTimestamp(0)
		_, _, _, _, err5 := h.p.MaxTimestamp()
		var err6 error
		h.p.DeleteRecords(&StartRequest{Offset: -1, Done: func(_ ident.Offset, err error) { err6 = err }}, 0)
		for i, err := range []error{err, err2, err3, err4, err5, err6} {
			if !errors.Is(err, want) {
				t.Fatalf("call %d: %v, want %v", i, err, want)
			}
		}
		h.p.Configure(Settings{SegmentBytes: 99, IndexIntervalBytes: 9}, 0)
		h.p.Maintain(1<<40, Upkeep{})
		if len(h.log.items) != 0 {
			t.Fatal("a replica that does not serve proposed something")
		}
	}
	check(ErrNotLeader)
	h.lead()
	h.apply(-1) // the settings
	h.produce(spec{id: 7})
	h.apply(1)
	h.p.Unlead()
	h.p.Configure(h.p.settings, 0)
	check(ErrNotLeader)
	h.p.Parked(errors.New("test: damage"))
	check(ErrDamaged)
	h = newHarness(t)
	h.p.Close()
	check(ErrNotLeader)
}

func TestLeadershipLost(t *testing.T) {
	h := newHarness(t)
	a, again, b := h.produce(spec{id: 7}), h.produce(spec{id: 7}), h.produce(spec{id: 7, seq: 1})
	plain := h.produce(spec{id: -1, seq: -1})
	h.p.Unlead()
	h.drop(replog.ErrNotLeader)
	h.drop(replog.ErrNotLeader)
	for _, o := range []*outcome{a, again, b} {
		o.is(t, 0, false, ErrNotLeader)
	}
	h.apply(1) // committed after all
	plain.is(t, 0, false, nil)
	if h.p.queued != 0 || len(h.p.flight) != 0 {
		t.Fatal("something is left in flight")
	}
	// Another leader appends the batches; then this one leads again. What was
	// dropped meanwhile must not stop the producer.
	for i := range int32(3) {
		if err := h.entry(NewEntry(spec{id: 7, seq: i}.build(t), 0, 0, nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	h.lead()
	next := h.produce(spec{id: 7, seq: 3})
	h.apply(1)
	next.is(t, 4, false, nil)
	h.same()
}

// W7: a batch of an older generation than the log's is refused, wherever it comes from.
func TestChainGeneration(t *testing.T) {
	h := newHarness(t)
	a, b, c := h.produce(spec{id: -1, gen: 5}), h.produce(spec{id: -1, gen: 4}), h.produce(spec{id: -1, gen: 5})
	h.apply(3)
	a.is(t, 0, false, nil)
	b.is(t, 0, false, ErrStaleChain)
	c.is(t, 1, false, nil)
	h.same()
	h.open(h.log) // it is in the checkpoint
	h.lead()
	d := h.produce(spec{id: -1, gen: 4})
	h.apply(1)
	d.is(t, 0, false, ErrStaleChain)
}

// What a replica refused before it led must not be passed once it leads.
func TestRefusedBeforeItLed(t *testing.T) {
	h := newQuiet(t)
	h.produce(spec{id: 7}).is(t, 0, false, ErrNotLeader)
	h.lead()
	h.produce(spec{id: 7, seq: 1}).is(t, 0, false, ErrOutOfOrder)
	h.produce(spec{id: 7}).waits(t)
	h.produce(spec{id: 7, seq: 1}).waits(t)
	h.apply(2)
	h.same()
}

// A producer sends its first batches; the first is lost on the way, and a later
// one is not. It must not be taken for the beginning of a producer that is not
// known here: the first would then be refused for ever.
func TestLaterBatchIsNotTheFirst(t *testing.T) {
	h := newHarness(t)
	h.lead()
	first := h.produce(spec{id: 7, seq: 0})
	second := h.produce(spec{id: 7, seq: 1})
	h.drop(replog.ErrNoSpace) // the first only
	h.apply(1)
	if !errors.Is(first.Err, ErrNoSpace) || !errors.Is(second.Err, ErrOutOfOrder) {
		t.Fatalf("first %v, second %v", first.Err, second.Err)
	}
	if again := h.produce(spec{id: 7, seq: 0}); again.answers != 0 {
		t.Fatal("the first is not proposed again", again.Err)
	}
	h.apply(1)
	if h.end() != 1 {
		t.Fatalf("log end %d", h.end())
	}
	h.same()
}
