package partition

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// limits returns an upkeep in which nothing is due.
func limits() Upkeep {
	u := Upkeep{ProducerExpiryMs: 1 << 40}
	u.Retention.Ms, u.Retention.Bytes, u.Retention.SegmentMs, u.Retention.ActiveSinceMs = -1, -1, -1, -1
	return u
}

// deletion is the outcome of one StartRequest.
type deletion struct {
	low     ident.Offset
	err     error
	answers int
}

func (h *harness) deleteRecords(o ident.Offset) *deletion {
	d := &deletion{}
	h.p.DeleteRecords(&StartRequest{Offset: o, Done: func(low ident.Offset, err error) {
		d.low, d.err = low, err
		d.answers++
	}}, 1000)
	return d
}

func (d *deletion) is(t testing.TB, low ident.Offset, err error) {
	t.Helper()
	if d.answers != 1 || d.low != low || !errors.Is(d.err, err) {
		t.Fatalf("%d answers: low %d, %v; want %d, %v", d.answers, d.low, d.err, low, err)
	}
}

func (h *harness) fill(n int, c spec) {
	h.t.Helper()
	c.id, c.seq = -1, -1
	for range n {
		h.produce(c)
		h.apply(-1)
	}
}

func (h *harness) segments(bytes int64) {
	h.p.Configure(Settings{SegmentBytes: bytes, IndexIntervalBytes: 100}, 1)
	h.apply(-1)
}

func (h *harness) files() int {
	h.t.Helper()
	list, err := h.fs.List(testDir)
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		h.t.Fatal(err)
	}
	return len(list)
}

func TestDeleteRecords(t *testing.T) {
	h := newHarness(t)
	h.deleteRecords(-1).is(t, 0, nil) // an empty log
	h.fill(10, spec{})
	h.deleteRecords(11).is(t, -1, ErrOffsetOutOfRange)
	h.deleteRecords(-2).is(t, -1, ErrOffsetOutOfRange)
	h.deleteRecords(0).is(t, 0, nil)
	a, b, c := h.deleteRecords(4), h.deleteRecords(6), h.deleteRecords(5)
	h.apply(3)
	a.is(t, 4, nil)
	b.is(t, 6, nil)
	c.is(t, 6, nil) // never back
	h.deleteRecords(3).is(t, 6, nil)
	if _, err := h.p.Read(5, 10, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
	dropped := h.deleteRecords(7)
	h.drop(replog.ErrNotLeader)
	dropped.is(t, 6, ErrNotLeader)
	h.log.fail = replog.ErrNoSpace
	h.deleteRecords(7).is(t, -1, ErrNoSpace)
	h.log.fail = nil
	all := h.deleteRecords(-1)
	h.produce(spec{id: -1, seq: -1})
	h.apply(2)
	all.is(t, 10, nil)
	if o, err := h.p.Offsets(); err != nil || o.LogStart != 10 || o.HighWatermark != 11 {
		t.Fatalf("%+v %v", o, err)
	}
	h.same()
}

func TestRetentionBySize(t *testing.T) {
	h := newHarness(t)
	h.segments(700)
	h.fill(20, spec{size: 200})
	h.same()
	files := h.files()
	u := limits()
	u.Retention.Bytes = 1500
	h.p.Maintain(1, u)
	h.p.Maintain(2, u) // one is in flight
	if len(h.log.items) != 1 || !h.log.items[0].system {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	// DeleteRecords goes further meanwhile: retention does not take it back.
	d := h.deleteRecords(19)
	h.log.items[0], h.log.items[1] = h.log.items[1], h.log.items[0]
	h.apply(2)
	d.is(t, 19, nil)
	if h.p.log.Start() != 19 {
		t.Fatalf("log start %d", h.p.log.Start())
	}
	h.site.work(true)
	h.other.work(true)
	if h.files() != files {
		t.Fatal("files went before a checkpoint (P6)")
	}
	h.same()
	if h.files() >= files {
		t.Fatalf("%d files of %d are left", h.files(), files)
	}
	h.p.Maintain(3, u)
	if len(h.log.items) != 0 {
		t.Fatal("there is nothing left to do")
	}
}

// The active segment is closed, and then goes, also when nothing is ever
// produced again.
func TestRetentionByTimeOfAnIdleLog(t *testing.T) {
	h := newHarness(t)
	h.fill(5, spec{ts: 1000})
	h.same()
	u := limits()
	u.Retention.Ms = 100
	h.p.Maintain(1100, u)
	if len(h.log.items) != 0 {
		t.Fatal("not old enough")
	}
	h.p.Maintain(1101, u)
	h.p.Maintain(1101, u)
	if len(h.log.items) != 2 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	h.apply(-1)
	h.same()
	if o, _ := h.p.Offsets(); o.LogStart != 5 || o.HighWatermark != 5 || h.p.Size() != 0 {
		t.Fatalf("%+v, %d bytes", o, h.p.Size())
	}
	if n := h.files(); n > 2 {
		t.Fatalf("%d files are left", n)
	}
	h.site.open(h.log)
	h.lead()
	h.fill(1, spec{})
	if c, err := h.p.Read(5, 6, 1000, true); err != nil || c.Batches != 1 {
		t.Fatalf("%+v %v", c, err)
	}
}

// The log start entry may be applied although the roll was refused, and the roll
// come later: what it closes lies below the log start, and goes.
func TestRollBelowTheLogStart(t *testing.T) {
	h := newHarness(t)
	h.fill(5, spec{ts: 1000})
	h.deleteRecords(-1)
	h.apply(-1)
	u := limits()
	u.Retention.Ms = 100
	h.p.Maintain(5000, u)
	h.apply(-1)
	h.same()
	if h.p.Size() != 0 || h.files() > 2 {
		t.Fatalf("%d bytes and %d files are left", h.p.Size(), h.files())
	}
}

func TestRollByTime(t *testing.T) {
	h := newHarness(t)
	h.fill(1, spec{ts: 1000})
	u := limits()
	u.Retention.SegmentMs = 100
	h.p.Maintain(9000, u)
	if len(h.log.items) != 0 {
		t.Fatal("its timestamps do not span that much")
	}
	h.fill(1, spec{ts: 1101})
	h.p.Maintain(9000, u)
	h.p.Maintain(9000, u)
	if len(h.log.items) != 1 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	h.apply(1)
	h.p.Maintain(9000, u)
	if len(h.log.items) != 0 || len(h.p.log.Sealed()) != 1 {
		t.Fatal("an empty segment is rolled, or none was")
	}
	h.same()
}

// An entry of the leader's own that is lost is proposed again.
func TestOwnEntriesAreProposedAgain(t *testing.T) {
	h := newHarness(t)
	h.fill(5, spec{ts: 1000})
	u := limits()
	u.Retention.Ms = 1
	lose := map[string]func(){
		"dropped":         func() { h.drop(replog.ErrNoSpace); h.drop(replog.ErrNoSpace) },
		"leadership lost": func() { h.log.items = nil; h.p.Unlead(); h.lead() },
		"refused":         func() { h.log.items = nil; h.p.rolling, h.p.starting = false, false },
	}
	for _, name := range []string{"dropped", "leadership lost", "refused"} {
		h.p.Maintain(9000, u)
		if len(h.log.items) != 2 {
			t.Fatalf("before %s: %d proposals", name, len(h.log.items))
		}
		lose[name]()
	}
	h.log.fail = replog.ErrNoSpace
	h.p.Maintain(9000, u)
	h.p.Configure(Settings{SegmentBytes: 1, IndexIntervalBytes: 1}, 1)
	h.log.fail = nil
	h.p.Maintain(9000, u)
	if len(h.log.items) != 3 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	h.apply(-1)
	h.same()
}
