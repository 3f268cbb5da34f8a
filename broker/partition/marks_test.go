package partition

import (
	"math"
	"testing"

	"github.com/varvelog/varve/broker/replog"
)

func TestMarks(t *testing.T) {
	type step struct {
		add        bool
		epoch      int16
		first      int32
		refused    bool // of a batch that comes
		markedThen bool
	}
	for name, steps := range map[string][]step{
		"lifted by the batch itself": {{true, 1, 5, false, true}, {false, 1, 6, true, true}, {false, 1, 4, false, true}, {false, 1, 5, false, false}, {false, 1, 6, false, false}},
		"lifted by a newer epoch":    {{true, 1, 5, false, true}, {false, 2, 0, false, false}, {false, 1, 6, false, false}},
		"not by an older epoch":      {{true, 2, 5, false, true}, {false, 1, 5, false, true}, {false, 2, 6, true, true}},
		"the earliest stays":         {{true, 1, 5, false, true}, {true, 1, 9, false, true}, {false, 1, 9, true, true}, {false, 1, 5, false, false}},
		"an earlier one replaces":    {{true, 1, 9, false, true}, {true, 1, 5, false, true}, {false, 1, 9, true, true}, {false, 1, 5, false, false}},
		"earlier over the wrap":      {{true, 1, 3, false, true}, {true, 1, math.MaxInt32, false, true}, {false, 1, 3, true, true}, {false, 1, math.MaxInt32, false, false}},
		"later over the wrap":        {{true, 1, math.MaxInt32, false, true}, {true, 1, 3, false, true}, {false, 1, math.MaxInt32, false, false}},
		"a newer epoch replaces":     {{true, 1, 5, false, true}, {true, 2, 0, false, true}, {false, 2, 1, true, true}, {false, 2, 0, false, false}},
		"an older one does not":      {{true, 2, 0, false, true}, {true, 1, 5, false, true}, {false, 2, 1, true, true}},
	} {
		var m marks
		for i, s := range steps {
			q := sequence{id: 7, epoch: s.epoch, first: s.first}
			if s.add {
				m.add(q)
			} else if got := m.refuses(q); got != s.refused {
				t.Errorf("%s, step %d: refused %v", name, i, got)
			}
			if _, ok := m.byID[7]; ok != s.markedThen || len(m.order) != len(m.byID) {
				t.Errorf("%s, step %d: marked %v, order %v", name, i, ok, m.order)
			}
		}
	}
}

// A batch that was refused behind a mark must not be refused for ever because a
// later one is refused after that mark was lifted.
func TestMarkOfALaterBatchLetsEarlierOnesPass(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	h.p.Refused(spec{id: 7, seq: 1}.header(t))
	h.produce(spec{id: 7, seq: 2}).is(t, 0, false, ErrOutOfOrder)
	h.produce(spec{id: 7, seq: 1}).waits(t)
	h.p.Refused(spec{id: 7, seq: 3}.header(t))
	h.produce(spec{id: 7, seq: 2}).waits(t)
	h.produce(spec{id: 7, seq: 4}).is(t, 0, false, ErrOutOfOrder)
	h.produce(spec{id: 7, seq: 3}).waits(t)
	h.apply(3)
	if len(h.p.marks.byID) != 0 || h.p.log.End() != 4 {
		t.Fatalf("marks %v, log ends at %d", h.p.marks.byID, h.p.log.End())
	}
}

func TestMarksAreBounded(t *testing.T) {
	var m marks
	for i := range int64(marksMax + 10) {
		m.add(sequence{id: i, first: 1})
	}
	m.add(sequence{id: -1})
	if len(m.byID) != marksMax || len(m.order) != marksMax {
		t.Fatalf("%d marks, %d in order", len(m.byID), len(m.order))
	}
	if m.refuses(sequence{id: 9, first: 2}) || !m.refuses(sequence{id: 10, first: 2}) {
		t.Fatal("not the oldest was forgotten")
	}
}

func TestRefusedBeforeTheSequencer(t *testing.T) {
	h := newHarness(t)
	h.p.Refused(spec{id: 7, seq: 0}.header(t))
	h.p.Refused(spec{id: -1, seq: -1}.header(t))
	h.produce(spec{id: 7, seq: 1}).is(t, 0, false, ErrOutOfOrder)
	h.produce(spec{id: 8, seq: 1}).waits(t)
	h.produce(spec{id: 7, epoch: 1}).waits(t)
	h.apply(2)
	if len(h.p.marks.byID) != 0 {
		t.Fatal("the mark stays")
	}
}

// A retry that is refused while the batch itself is applied or in flight must
// not stop the producer: it need not come a third time.
func TestRefusedRetryLeavesNoMark(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	h.p.Refused(spec{id: 7}.header(t)) // applied
	inFlight := h.produce(spec{id: 7, seq: 1})
	h.p.Refused(spec{id: 7, seq: 1}.header(t))
	next := h.produce(spec{id: 7, seq: 2})
	h.apply(2)
	inFlight.is(t, 1, false, nil)
	next.is(t, 2, false, nil)
	h.p.Refused(spec{id: 7, epoch: -1, seq: 9}.header(t)) // fenced
	h.produce(spec{id: 7, seq: 3}).waits(t)
}

// What was in flight may be dropped after something later was refused.
func TestMarkMovesToTheEarliest(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	a, b := h.produce(spec{id: 7, seq: 1}), h.produce(spec{id: 7, seq: 2})
	h.log.fail = replog.ErrBusy
	h.produce(spec{id: 7, seq: 3}).is(t, 0, false, ErrNoSpace)
	h.log.fail = nil
	h.drop(replog.ErrNoSpace)
	h.drop(replog.ErrNoSpace)
	a.is(t, 0, false, ErrNoSpace)
	b.is(t, 0, false, ErrNoSpace)
	h.produce(spec{id: 7, seq: 3}).is(t, 0, false, ErrOutOfOrder)
	for i := int32(1); i < 4; i++ {
		h.produce(spec{id: 7, seq: i}).waits(t)
	}
	h.apply(3)
	if h.end() != 4 {
		t.Fatalf("log end %d", h.end())
	}
}

// A retry that is refused after its batch was appended must not hold up the
// producer for ever once it is forgotten, when nobody can tell any more that the
// batch was appended.
func TestForgottenProducerLeavesNoMark(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.produce(spec{id: 8})
	h.apply(2)
	h.p.Refused(spec{id: 7}.header(t))
	h.p.Refused(spec{id: 8, seq: 1}.header(t)) // which was not appended
	u := Upkeep{ProducerExpiryMs: 500}
	u.Retention.Ms, u.Retention.Bytes, u.Retention.SegmentMs, u.Retention.ActiveSinceMs = -1, -1, -1, -1
	h.p.Maintain(1501, u)
	h.apply(1)
	next := h.produce(spec{id: 7, seq: 1})
	h.produce(spec{id: 8, seq: 2}).is(t, 0, false, ErrOutOfOrder)
	h.apply(1)
	next.is(t, 2, false, nil)
}

// A batch is dropped when the next one is in flight already, and both come again:
// the retry of the second stands behind that of the first, and does not share the
// refusal of its original, which an ordinary client would take for the end.
func TestRetriesInOrderOutliveTheirDoomedOriginals(t *testing.T) {
	for name, end := range map[string]func(h *harness){
		"refused when applied": func(h *harness) { h.apply(1) },
		"dropped":              func(h *harness) { h.drop(replog.ErrNoSpace) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.produce(spec{id: 7})
			h.apply(1)
			first, second := h.produce(spec{id: 7, seq: 1}), h.produce(spec{id: 7, seq: 2})
			h.drop(replog.ErrNoSpace)
			first.is(t, 0, false, ErrNoSpace)
			first, again := h.produce(spec{id: 7, seq: 1}), h.produce(spec{id: 7, seq: 2})
			third := h.produce(spec{id: 7, seq: 3})
			end(h) // of the original of the second
			if second.answers != 1 || second.Err == nil {
				t.Fatalf("%d answers, %v", second.answers, second.Err)
			}
			fourth := h.produce(spec{id: 7, seq: 4})
			h.apply(-1)
			first.is(t, 1, false, nil)
			again.is(t, 2, false, nil)
			third.is(t, 3, false, nil)
			fourth.is(t, 4, false, nil)
			h.same()
		})
	}
}

// A batch that was refused and then appended, as through another leader, leaves a
// mark; the next refusal of its producer replaces it.
func TestStaleMarkGivesWay(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	h.p.Refused(spec{id: 7, seq: 1}.header(t))
	if err := h.entry(NewEntry(spec{id: 7, seq: 1}.build(t), 1000, 0, nil), nil); err != nil {
		t.Fatal(err)
	}
	h.p.Refused(spec{id: 7, seq: 2}.header(t))
	h.produce(spec{id: 7, seq: 3}).is(t, 0, false, ErrOutOfOrder)
	a, b := h.produce(spec{id: 7, seq: 2}), h.produce(spec{id: 7, seq: 3})
	h.apply(2)
	a.is(t, 2, false, nil)
	b.is(t, 3, false, nil)
}
