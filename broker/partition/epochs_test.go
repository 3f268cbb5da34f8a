package partition

import (
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

func TestEpochsNoteAndTrim(t *testing.T) {
	var e epochs
	for _, s := range []epochStart{{2, 0}, {2, 5}, {4, 10}, {3, 12}, {4, 12}, {7, 20}} {
		e = e.note(s.epoch, s.start)
	}
	want := epochs{{2, 0}, {4, 10}, {7, 20}}
	equal := func(got, want epochs) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
	equal(e, want)
	equal(e.trim(0), want)
	equal(e.trim(3), epochs{{2, 3}, {4, 10}, {7, 20}})
	equal(e.trim(10), epochs{{4, 10}, {7, 20}})
	equal(e.trim(11), epochs{{4, 11}, {7, 20}})
	equal(e.trim(99), epochs{{7, 99}}) // the newest stays
	equal(e, want)                     // none of this changed it
	equal(epochs(nil).trim(5), nil)
	a, b := e.note(8, 30), e.note(9, 40) // no shared array
	equal(a, epochs{{2, 0}, {4, 10}, {7, 20}, {8, 30}})
	equal(b, epochs{{2, 0}, {4, 10}, {7, 20}, {9, 40}})
	equal(e.trim(30).note(8, 30), epochs{{8, 30}}) // nothing is left of 7
	equal(e.trim(29).note(8, 30), epochs{{7, 29}, {8, 30}})
	old, _, err := decodeEpochs(epochs{{2, 5}, {4, 5}, {7, 9}}.appendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	equal(old, epochs{{4, 5}, {7, 9}})
}

// TestEmptiedLogIsUploaded: a log that was emptied under one epoch and goes on in
// the next had two epochs with one beginning, for which no object could be built.
func TestEmptiedLogIsUploaded(t *testing.T) {
	h := newTiered(t)
	h.p.Configure(Settings{SegmentBytes: 4000, IndexIntervalBytes: 100}, 1)
	h.apply(-1)
	h.fill(2, spec{size: 100}) // which stay in the segment that goes on
	h.deleteRecords(-1)
	h.apply(-1)
	h.lead()
	h.fill(40, spec{size: 100})
	h.same()
	h.work(true)
	u, ok := h.p.NextUpload(2000, tieredUpkeep().Tier)
	if !ok {
		t.Fatal("nothing to upload")
	}
	last := EpochStart{Epoch: -1, Start: -1}
	for _, e := range u.Epochs {
		if e.Epoch <= last.Epoch || e.Start <= last.Start {
			t.Fatalf("epochs %v", u.Epochs)
		}
		last = e
	}
}

// What OffsetForLeaderEpoch answers is what Kafka's leader answers, whose cache
// has the current epoch from the moment that it leads.
func TestEpochEnd(t *testing.T) {
	full := epochs{{2, 3}, {4, 10}, {7, 20}}
	for _, c := range []struct {
		e              epochs
		asked, current ident.Epoch
		epoch          ident.Epoch
		end            ident.Offset
	}{
		{full, 7, 7, 7, 30},
		{full, 4, 7, 4, 20},
		{full, 2, 7, 2, 10},
		{full, 3, 7, 2, 10}, // the one before
		{full, 6, 7, 4, 20},
		{full, 0, 7, 0, 3}, // before all: ends where they begin
		{full, 8, 7, -1, -1},
		{full, -1, 7, -1, -1},
		{full, 9, 9, 9, 30}, // leads, has appended nothing
		{full, 8, 9, 7, 30},
		{full, 7, 9, 7, 30},
		{nil, 3, 3, 3, 30},
		{nil, 2, 3, 2, 30}, // an empty log of an older epoch is no truncation
		{nil, 4, 3, -1, -1},
	} {
		epoch, end := c.e.end(c.asked, c.current, 30)
		if epoch != c.epoch || end != c.end {
			t.Errorf("%v at %d, asked for %d: %d ends at %d, want %d at %d", c.e, c.current, c.asked, epoch, end, c.epoch, c.end)
		}
	}
	for o, want := range map[ident.Offset]ident.Epoch{0: -1, 2: -1, 3: 2, 9: 2, 10: 4, 19: 4, 20: 7, 99: 7} {
		if got := full.at(o); got != want {
			t.Errorf("at %d: %d, want %d", o, got, want)
		}
	}
}

func TestEpochsOverTerms(t *testing.T) {
	h := newHarness(t) // term 2
	h.fill(3, spec{})
	h.lead()
	h.lead() // term 4; nothing came in 3
	if e, o, err := h.p.EpochEnd(3); e != 2 || o != 3 || err != nil {
		t.Fatalf("%d %d %v", e, o, err)
	}
	h.fill(2, spec{})
	for asked, want := range map[ident.Epoch]epochStart{1: {1, 0}, 2: {2, 3}, 3: {2, 3}, 4: {4, 5}, 5: {-1, -1}} {
		if e, o, err := h.p.EpochEnd(asked); e != want.epoch || o != want.start || err != nil {
			t.Errorf("asked for %d: %d %d %v", asked, e, o, err)
		}
	}
	if h.p.EpochAt(2) != 2 || h.p.EpochAt(3) != 4 || h.p.LeaderEpoch() != 4 {
		t.Fatal("wrong epochs")
	}
	h.deleteRecords(-1)
	h.apply(1)
	h.same()
	h.site.open(h.log)
	h.lead()
	if e, o, _ := h.p.EpochEnd(4); e != 4 || o != 5 {
		t.Fatalf("%d %d", e, o)
	}
	if e, o, _ := h.p.EpochEnd(2); e != 2 || o != 5 {
		t.Fatalf("%d %d", e, o)
	}
}
