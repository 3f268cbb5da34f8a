package partition

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// script is a chain in Go: the first word of a record's value says what becomes
// of it. It takes down what it ran.
type script struct {
	runs []string // generation and value of the first record
}

func (s *script) Run(in ChainInput) ChainOutput {
	var out ChainOutput
	b := record.NewBuilder(record.DefaultParams(record.None, in.Header.BaseTimestamp))
	kept := 0
	err := record.ForEach(in.Batch, 0, func(r *record.Record) error {
		if r.OffsetDelta == 0 {
			s.runs = append(s.runs, fmt.Sprintf("%d:%s", in.Generation, r.Value))
		}
		switch string(r.Value[:4]) {
		case "drop":
		case "dead":
			out.Emissions = append(out.Emissions, slices.Clone(r.Value))
		case "fail":
			out.Err = record.ErrInvalidRecord
		default:
			kept++
			return b.Append(r)
		}
		return nil
	})
	switch {
	case err != nil:
		out.Err = err
	case out.Err != nil:
		out.Emissions = nil
	case kept == int(in.Header.Count):
		out.Batch = in.Batch
	case kept > 0:
		out.Batch, out.Err = b.Finish(-1)
	}
	return out
}

// scriptBatch makes a batch with these values.
func scriptBatch(t testing.TB, c spec, values ...string) ([]byte, record.Header) {
	t.Helper()
	params := record.DefaultParams(record.None, 1000)
	params.ProducerID, params.ProducerEpoch, params.BaseSequence = c.id, c.epoch, c.seq
	b := record.NewBuilder(params)
	for i, v := range values {
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	h, err := record.ParseHeader(batch)
	if err != nil {
		t.Fatal(err)
	}
	return batch, h
}

// chained sends a batch of a topic with a chain.
func (h *harness) chained(c spec, values ...string) *outcome {
	h.t.Helper()
	o := &outcome{}
	batch, header := scriptBatch(h.t, c, values...)
	o.Append = &Append{Batch: batch, Time: 1000, Generation: c.gen, Header: header, Done: func(*Append) { o.answers++ }}
	h.p.Produce(o.Append)
	return o
}

// newChainedHarness leads a partition with a chain of generation 1.
func newChainedHarness(t testing.TB) (*harness, *script) {
	h, s := newHarness(t), &script{}
	h.p.SetChain(1, s)
	return h, s
}

// all runs and applies until nothing is left to do.
func (h *harness) all() {
	h.t.Helper()
	for len(h.jobs.list) > 0 || len(h.log.items) > 0 {
		h.jobs.step(-1)
		h.apply(len(h.log.items))
	}
}

// idle checks that everything that was admitted is given back.
func (h *harness) idle() {
	h.t.Helper()
	c := &h.p.chains
	if h.p.queued != 0 || c.emits != 0 || c.busy || c.running != nil || len(c.line) != 0 || len(h.p.flight) != 0 {
		h.t.Fatalf("%d bytes queued, %d of emissions, busy %v, %d in line, %d producers in flight", h.p.queued, c.emits, c.busy, len(c.line), len(h.p.flight))
	}
}

func TestSlowChainKeepsOrder(t *testing.T) {
	h, s := newChainedHarness(t)
	var os []*outcome
	for i := range 4 {
		os = append(os, h.chained(spec{id: -1}, fmt.Sprintf("keep%d", i), "drop"))
	}
	if len(h.jobs.list) != 1 {
		t.Fatalf("%d batches run at once", len(h.jobs.list))
	}
	h.jobs.step(1)
	h.apply(1)
	os[0].is(t, 0, false, nil)
	os[1].waits(t)
	h.all()
	for i, o := range os {
		o.is(t, ident.Offset(2*i), false, nil)
	}
	if want := []string{"1:keep0", "1:keep1", "1:keep2", "1:keep3"}; !slices.Equal(s.runs, want) {
		t.Fatalf("ran %v", s.runs)
	}
	h.idle()
	h.same()
}

// A pipeline of five in which one is rejected: those behind it do not run, and
// are taken when the rejected sequence comes again.
func TestChainRejectsInPipeline(t *testing.T) {
	for k := range 5 {
		h, s := newChainedHarness(t)
		var os []*outcome
		for i := range 5 {
			v := "keep"
			if i == k {
				v = "fail"
			}
			os = append(os, h.chained(spec{id: 4, seq: int32(i)}, v))
		}
		h.all()
		for i, o := range os {
			switch {
			case i < k:
				o.is(t, ident.Offset(i), false, nil)
			case i == k:
				o.is(t, -1, false, record.ErrInvalidRecord)
			default:
				o.is(t, -1, false, ErrOutOfOrder)
			}
		}
		if len(s.runs) != k+1 {
			t.Fatalf("batch %d rejected: %v ran", k, s.runs)
		}
		h.chained(spec{id: 4, seq: int32(k + 1)}, "keep").is(t, -1, false, ErrOutOfOrder)
		for i := k; i < 5; i++ {
			o := h.chained(spec{id: 4, seq: int32(i)}, "keep")
			h.all()
			o.is(t, ident.Offset(i), false, nil)
		}
		h.idle()
		h.same()
	}
}

// A later batch that finds the queue full leaves a mark, and that does not hold
// up what was admitted before it.
func TestMarkDoesNotHoldUpEarlierInLine(t *testing.T) {
	h, _ := newChainedHarness(t)
	h.p.c.QueueBytesMax = 250
	os := []*outcome{h.chained(spec{id: 4}, "keep"), h.chained(spec{id: 4, seq: 1}, "keep"), h.chained(spec{id: 4, seq: 2}, "keep"), h.chained(spec{id: 4, seq: 3}, "keep")}
	os[3].is(t, -1, false, ErrQueueFull)
	os[2].waits(t)
	h.all()
	for i, o := range os[:3] {
		o.is(t, ident.Offset(i), false, nil)
	}
	h.idle()
}

// The retry of a refused batch must not stand behind its own successors, which
// were admitted before it was refused and wait behind another producer's batch.
func TestRetryIsNotPassedByWhatStandsInLine(t *testing.T) {
	h, _ := newChainedHarness(t)
	first, other, second := h.chained(spec{id: 4}, "fail"), h.chained(spec{id: 5}, "keep"), h.chained(spec{id: 4, seq: 1}, "keep")
	h.jobs.step(1)
	first.is(t, -1, false, record.ErrInvalidRecord)
	again := h.chained(spec{id: 4}, "keep")
	second.is(t, -1, false, ErrOutOfOrder)
	secondAgain := h.chained(spec{id: 4, seq: 1}, "keep")
	h.all()
	other.is(t, 0, false, nil)
	again.is(t, 1, false, nil)
	secondAgain.is(t, 2, false, nil)
	h.idle()
	h.same()
}

// A batch that runs while the one before it is dropped by the log must not be
// proposed, whether that one came again by then or not.
func TestRunningBatchDoesNotPassADroppedOne(t *testing.T) {
	for _, retried := range []bool{false, true} {
		h, _ := newChainedHarness(t)
		first, second := h.chained(spec{id: 4}, "keep"), h.chained(spec{id: 4, seq: 1}, "keep")
		h.jobs.step(1)
		h.drop(replog.ErrNoSpace)
		first.is(t, -1, false, ErrNoSpace)
		var again, secondAgain *outcome
		if retried {
			again, secondAgain = h.chained(spec{id: 4}, "keep"), h.chained(spec{id: 4, seq: 1}, "keep")
		}
		h.jobs.step(1)
		second.is(t, -1, false, ErrOutOfOrder)
		if !retried {
			again = h.chained(spec{id: 4}, "keep")
			secondAgain = h.chained(spec{id: 4, seq: 1}, "keep")
		}
		h.all()
		again.is(t, 0, false, nil)
		secondAgain.is(t, 1, false, nil)
		h.idle()
		h.same()
	}
}

// A batch of a new epoch lifts the old one's mark; what stands in line of the
// old epoch must not use that.
func TestNewEpochTurnsAwayTheOldOnesLine(t *testing.T) {
	h, _ := newChainedHarness(t)
	h.chained(spec{id: 4}, "fail")
	h.chained(spec{id: 5}, "keep")
	second := h.chained(spec{id: 4, seq: 1}, "keep")
	h.jobs.step(1)
	fresh := h.chained(spec{id: 4, epoch: 1}, "keep")
	second.is(t, -1, false, ErrOutOfOrder)
	h.all()
	fresh.is(t, 1, false, nil)
	h.idle()
}

// Duplicates of a batch in line, running, proposed and applied get its offset,
// and each is answered once.
func TestDuplicatesWherever(t *testing.T) {
	h, s := newChainedHarness(t)
	h.chained(spec{id: 9}, "keep") // runs, so that the next stands in line
	c := spec{id: 4}
	o := h.chained(c, "drop", "drop")
	inLine := h.chained(c, "drop", "drop")
	h.jobs.step(1)
	running := h.chained(c, "drop", "drop")
	h.jobs.step(1)
	proposed := h.chained(c, "drop", "drop")
	for _, x := range []*outcome{o, inLine, running, proposed} {
		x.waits(t)
	}
	h.all()
	o.is(t, 1, false, nil)
	for _, x := range []*outcome{inLine, running, proposed, h.chained(c, "drop", "drop")} {
		x.is(t, 1, true, nil)
	}
	if len(s.runs) != 2 || h.end() != 3 {
		t.Fatalf("ran %v, end %d", s.runs, h.end())
	}
	h.idle()
	h.same()
	h.crash(nil, h.log) // by the checkpoint
	h.term++
	h.p.Lead(h.term)
	h.p.SetChain(1, s)
	h.chained(c, "drop", "drop").is(t, 1, true, nil)
	if h.end() != 3 {
		t.Fatalf("end %d after a restart", h.end())
	}
}

// W6, W7: each batch passes one generation, the log's never falls, and whatever was
// prepared with an older one is taken.
func TestGenerationsInLine(t *testing.T) {
	h, s := newChainedHarness(t)
	a, b := h.chained(spec{id: -1, gen: 1}, "keepa"), h.chained(spec{id: -1, gen: 1}, "keepb")
	h.p.WantChain(2)
	h.chained(spec{id: -1, gen: 1}, "keep").is(t, -1, false, ErrChainLoading)
	h.chained(spec{id: -1, gen: 2}, "keep").is(t, -1, false, ErrChainLoading)
	h.p.SetChain(2, s)
	h.chained(spec{id: -1, gen: 3}, "keep").is(t, -1, false, ErrChainLoading) // ahead of this replica
	c := h.chained(spec{id: -1, gen: 1}, "keepc")
	h.jobs.step(1)       // a, with 1; b runs with 2
	h.p.SetChain(1, nil) // too late
	h.p.SetChain(3, nil) // detached; b runs
	d := h.produce(spec{id: -1, gen: 3})
	h.p.SetChain(4, s)
	h.p.SetChain(5, nil)
	e := h.produce(spec{id: -1, gen: 1})
	h.all()
	for i, o := range []*outcome{a, b, c, d, e} {
		o.is(t, ident.Offset(i), false, nil)
	}
	if want := []string{"1:keepa", "2:keepb"}; !slices.Equal(s.runs, want) {
		t.Fatalf("ran %v", s.runs)
	}
	if h.p.generation != 5 {
		t.Fatalf("the log's generation is %d", h.p.generation)
	}
	h.p.SetChain(6, s)
	f := h.produce(spec{id: -1, size: 4, gen: 5}) // prepared before it was attached
	h.all()
	f.is(t, 5, false, nil)
	if len(s.runs) != 3 || s.runs[2][:2] != "6:" {
		t.Fatalf("ran %v", s.runs)
	}
	h.idle()
	h.same()
}

// Whatever ends the leadership answers each batch once, and nothing that ran
// meanwhile is proposed.
func TestEndOfLeadershipWhileAChainRuns(t *testing.T) {
	for name, c := range map[string]struct {
		end func(*harness)
		err error
	}{
		"unlead": {func(h *harness) { h.p.Unlead() }, ErrNotLeader},
		"park":   {func(h *harness) { h.p.Parked(errors.New("damage")) }, ErrDamaged},
		"close":  {func(h *harness) { h.p.Close() }, ErrNotLeader},
	} {
		h, s := newChainedHarness(t)
		running, inLine, behind := h.chained(spec{id: 4}, "dead"), h.chained(spec{id: 5}, "keep"), h.chained(spec{id: 4, seq: 1}, "keep")
		dup := h.chained(spec{id: 4}, "dead")
		c.end(h)
		inLine.is(t, -1, false, c.err)
		behind.is(t, -1, false, c.err)
		running.waits(t)
		h.jobs.step(-1)
		running.is(t, -1, false, c.err)
		dup.is(t, -1, false, c.err)
		if len(h.log.items) != 0 || len(s.runs) != 1 {
			t.Fatalf("%s: %d proposed, ran %v", name, len(h.log.items), s.runs)
		}
		h.idle()
	}
}

// What stood in line when the leadership ended leaves marks, as everything else
// that is refused: the next batch of its producer must not be taken before it.
func TestUnleadLeavesMarksForItsLine(t *testing.T) {
	h, _ := newChainedHarness(t)
	h.chained(spec{id: 5}, "keep")
	h.chained(spec{id: 4}, "keep").waits(t)
	h.p.Unlead()
	h.jobs.step(-1)
	h.lead()
	h.chained(spec{id: 4, seq: 1}, "keep").is(t, -1, false, ErrOutOfOrder)
	o := h.chained(spec{id: 4}, "keep")
	h.all()
	o.is(t, 0, false, nil)
}

// A full outbox refuses emissions, not batches without them, and takes them
// again once it is trimmed.
func TestOutboxBackpressure(t *testing.T) {
	h, _ := newChainedHarness(t)
	big := "dead" + string(make([]byte, 2*outboxTestMax))
	o := h.chained(spec{id: 4}, big) // any size into an empty one
	next := h.chained(spec{id: 4, seq: 1}, "dead")
	keep := h.chained(spec{id: 5}, "keep")
	h.jobs.step(-1)
	next.is(t, -1, false, ErrOutboxFull)
	h.apply(-1)
	o.is(t, 0, false, nil)
	keep.is(t, 1, false, nil)
	count, bytes := h.p.OutboxDepth()
	if want := int64(len(big)) + outboxItemBytes; count != 1 || bytes != want {
		t.Fatalf("%d emissions, %d bytes, want %d", count, bytes, want)
	}
	h.p.Trim(1, 1000)
	h.p.Trim(1, 1000)
	if len(h.log.items) != 1 {
		t.Fatalf("%d trims in flight", len(h.log.items))
	}
	h.all()
	if count, bytes := h.p.OutboxDepth(); count != 0 || bytes != 0 {
		t.Fatalf("%d emissions, %d bytes are left", count, bytes)
	}
	next = h.chained(spec{id: 4, seq: 1}, "dead")
	h.all()
	next.is(t, 2, false, nil)
	if out := h.p.Outbox(9); len(out) != 1 || out[0].Position != 1 || out[0].Base != 2 {
		t.Fatalf("outbox %v", out)
	}
	h.idle()
	h.same()
}

// Emissions that are proposed and then dropped, or refused at apply, cost no
// room.
func TestEmissionBudgetIsGivenBack(t *testing.T) {
	h, _ := newChainedHarness(t)
	a := h.chained(spec{id: 4}, "dead1", "dead2")
	h.jobs.step(-1)
	if h.p.chains.emits == 0 {
		t.Fatal("nothing is counted")
	}
	h.drop(replog.ErrNotLeader)
	a.is(t, -1, false, ErrNotLeader)
	h.idle()
	h.log.fail = replog.ErrBusy
	b := h.chained(spec{id: 4}, "dead1")
	h.jobs.step(-1)
	b.is(t, -1, false, ErrNoSpace)
	h.idle()
	h.log.fail = nil
	c := h.chained(spec{id: 6, seq: 0}, "dead1")
	h.all()
	d := h.chained(spec{id: 6, seq: 9}, "dead1") // a gap
	h.all()
	c.is(t, 0, false, nil)
	d.is(t, -1, false, ErrOutOfOrder)
	if count, _ := h.p.OutboxDepth(); count != 1 || h.end() != 1 {
		t.Fatalf("%d emissions, end %d", count, h.end())
	}
	h.idle()
	h.same()
}

// The outbox must not hold the entry that its emissions came with.
func TestOutboxOwnsItsBytes(t *testing.T) {
	h, _ := newChainedHarness(t)
	h.chained(spec{id: -1}, "keep", "dead")
	h.jobs.step(-1)
	data := h.log.items[0].data
	h.all()
	clear(data)
	if e := h.p.Outbox(1)[0]; string(e.Data) != "dead" {
		t.Fatalf("%q", e.Data)
	}
}

// Hostile entries park the group or fail alike on both replicas, and change
// nothing.
func TestHostileChainEntries(t *testing.T) {
	h, _ := newChainedHarness(t)
	h.chained(spec{id: 4}, "keep", "dead")
	h.all()
	batch, header := scriptBatch(t, spec{id: 4, seq: 2}, "keep", "keep")
	in := ChainInput{Batch: batch, Header: header, Time: 5, Generation: 1}
	cut := header
	cut.LastOffsetDelta = 0
	negative := header
	negative.LastOffsetDelta = -1
	deliver := func(first, last byte, b []byte) []byte {
		head := make([]byte, emittedHeader)
		head[20], head[28] = first, last
		return entry.Build(entry.Emitted, 5, head, b)
	}
	hostile := map[string][]byte{
		"stored beyond the span": newChained(ChainInput{Batch: batch, Header: cut}, ChainOutput{Batch: batch}),
		"negative span":          newChained(ChainInput{Batch: batch, Header: negative}, ChainOutput{}),
		"stored is no batch":     newChained(in, ChainOutput{Batch: []byte("no batch")}),
		"stored with a tail":     newChained(in, ChainOutput{Batch: append(slices.Clone(batch), 0)}),
		"chained without header": entry.Build(entry.Chained, 5, nil, batch),
		"first behind last":      deliver(2, 1, batch),
		"delivered is no batch":  deliver(1, 1, []byte("x")),
		"delivered with a tail":  deliver(1, 1, append(slices.Clone(batch), 0)),
		"trim with payload":      entry.Build(entry.OutboxTrim, 5, make([]byte, 8), []byte{1}),
		"short trim":             entry.Build(entry.OutboxTrim, 5, make([]byte, 7), nil),
		"short forget":           entry.Build(entry.ForgetOrigin, 5, make([]byte, forgetHeader-1), nil),
	}
	good := newChained(in, ChainOutput{Batch: batch, Emissions: [][]byte{[]byte("one"), nil}})
	d, err := entry.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Payload { // every length
		hostile[fmt.Sprintf("payload cut to %d", i)] = entry.Build(entry.Chained, 5, d.Header, d.Payload[:i])
	}
	for name, e := range hostile {
		before := h.p.encodeRest()
		end := h.end()
		if err := h.entry(e, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
		if h.end() != end || string(h.p.encodeRest()) != string(before) {
			t.Fatalf("%s changes something", name)
		}
	}
	if err := h.entry(good, nil); err != nil {
		t.Fatal(err)
	}
	h.same()
}
