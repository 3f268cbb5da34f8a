package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
)

// step does one random thing that a leader may do.
func (h *harness) step(rng *rand.Rand, next map[int64]*spec, now *int64) {
	*now += rng.Int64N(50)
	switch k := rng.IntN(100); {
	case k < 70:
		id := rng.Int64N(4) - 1
		c := next[id]
		if c == nil {
			c = &spec{id: id}
			next[id] = c
		}
		if id < 0 {
			c.seq = -1
		}
		c.n, c.size, c.ts = 1+rng.IntN(3), rng.IntN(3000), *now
		o := h.produce(*c)
		if rng.IntN(4) == 0 {
			h.produce(*c) // a retry in flight
		}
		for rng.IntN(3) > 0 && len(h.log.items) > 0 {
			h.apply(1)
		}
		if id >= 0 && (o.answers == 0 || o.Err == nil) {
			c.seq += int32(c.n)
		}
	case k < 75:
		h.p.Configure(Settings{SegmentBytes: 2000 + rng.Int64N(9000), IndexIntervalBytes: 1 + rng.Int64N(4000)}, *now)
	case k < 80:
		from, end := h.p.log.Start(), h.end()
		o := from + ident.Offset(rng.Int64N(int64(end-from)/3+1))
		h.p.DeleteRecords(&StartRequest{Offset: o, Done: func(ident.Offset, error) {}}, *now)
	case k < 85:
		u := Upkeep{ProducerExpiryMs: 1000}
		u.Retention.Ms, u.Retention.Bytes, u.Retention.SegmentMs, u.Retention.ActiveSinceMs = 2000, 40_000, 500, -1
		h.p.Maintain(*now, u)
	case k < 88:
		h.p.Unlead()
		h.apply(-1)
		h.lead()
	case k < 92:
		if len(h.log.items) > 0 {
			h.drop(replog.ErrNoSpace)
		}
	default:
		h.site.work(false)
	}
}

// The same entries give the same states and the same files, through power losses
// and replays, checkpoints at any time and settings that changed in between.
func TestReplicasAreTheSame(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 7))
		h := newHarness(t)
		now := int64(1000)
		next := map[int64]*spec{}
		for round := range 12 {
			for range 60 {
				h.step(rng, next, &now)
			}
			switch round % 3 {
			case 0:
				h.apply(-1)
				h.same()
			case 1: // both lose power, at states of their own
				h.log.items = nil
				h.crash(rng, h.log)
				h.other.crash(rng, &queue{})
				next = map[int64]*spec{}
				h.lead()
			default:
				h.log.items = nil
				h.other.crash(rng, &queue{})
				next = map[int64]*spec{}
				h.site.open(h.log)
				for _, e := range h.tail {
					if err := h.p.Apply(e); err != nil {
						t.Fatal(err)
					}
				}
				h.lead()
			}
		}
		h.apply(-1)
		h.same()
		if h.end() < 100 {
			t.Fatalf("seed %d: only %d records", seed, h.end())
		}
	}
}

// Settings hold from their entry on, whatever is configured when it is replayed.
func TestSettingsComeFromTheLog(t *testing.T) {
	h := newHarness(t)
	h.same()
	small := Settings{SegmentBytes: 500, IndexIntervalBytes: 100}
	h.p.Configure(small, 1)
	h.p.Configure(Settings{SegmentBytes: 9000, IndexIntervalBytes: 100}, 1) // one is in flight
	if len(h.log.items) != 1 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	h.apply(1)
	for i := range 8 {
		if i == 4 {
			h.p.Maintain(1, limits()) // proposes what was asked for meanwhile
		}
		h.produce(spec{id: -1, seq: -1, size: 200})
		h.apply(-1)
	}
	if n := len(h.p.log.Sealed()); n != 3 || h.p.settings.SegmentBytes != 9000 {
		t.Fatalf("%d sealed segments, %+v", n, h.p.settings)
	}
	h.p.Configure(Settings{SegmentBytes: 1, IndexIntervalBytes: 1}, 1) // not in the log
	h.log.items = nil
	h.crash(rand.New(rand.NewPCG(1, 1)), h.log)
	h.lead()
	if len(h.log.items) != 0 {
		t.Fatal("a leader that nobody configured proposed settings")
	}
	h.same()
	h.site.open(h.log)
	if h.p.settings.SegmentBytes != 9000 {
		t.Fatalf("%+v after a restart", h.p.settings)
	}
}

func TestProducerExpiry(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7}) // entries' time is 1000
	h.apply(1)
	u := Upkeep{ProducerExpiryMs: 500}
	u.Retention.Ms, u.Retention.Bytes, u.Retention.SegmentMs, u.Retention.ActiveSinceMs = -1, -1, -1, -1
	h.p.Maintain(1500, u)
	if len(h.log.items) != 0 {
		t.Fatal("expired at its time, not after it")
	}
	h.p.Maintain(1501, u)
	h.p.Maintain(1502, u) // one is in flight
	if len(h.log.items) != 1 {
		t.Fatalf("%d proposals", len(h.log.items))
	}
	h.apply(1)
	if len(h.p.producers.byID) != 0 {
		t.Fatal("not forgotten")
	}
	anywhere := h.produce(spec{id: 7, seq: 99})
	h.apply(1)
	anywhere.is(t, 1, false, nil)
	h.same()
}

// A producer that has batches in flight is not forgotten: they may have waited for
// longer than its time, and what was proposed behind the first one it ever had here
// would be taken for what follows a lost one.
func TestProducerInFlightIsNotForgotten(t *testing.T) {
	for name, forget := range map[string]func(h *harness){
		"expiry": func(h *harness) {
			u := Upkeep{ProducerExpiryMs: 500}
			u.Retention.Ms, u.Retention.Bytes, u.Retention.SegmentMs, u.Retention.ActiveSinceMs = -1, -1, -1, -1
			h.p.Maintain(5000, u)
		},
		"shedding": func(h *harness) { h.p.ShedProducers(5000, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.produce(spec{id: 8})
			h.apply(1)
			// What forgets producers may come before the batches that wait for space.
			first, second := h.produce(spec{id: 7}), h.produce(spec{id: 7, seq: 1})
			forget(h)
			if len(h.log.items) != 2 {
				t.Fatalf("%d proposals while the first is in flight", len(h.log.items))
			}
			h.apply(1)
			forget(h)
			if len(h.log.items) != 1 {
				t.Fatalf("%d proposals while the second is in flight", len(h.log.items))
			}
			h.apply(1)
			first.is(t, 1, false, nil)
			second.is(t, 2, false, nil)
			forget(h)
			h.apply(1)
			if len(h.p.producers.byID) != 0 {
				t.Fatal("not forgotten")
			}
			h.same()
		})
	}
}

// Nor does one pass another that is lost while the entry that forgets its producer is
// in flight.
func TestProducerForgottenBetweenItsBatches(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	u := Upkeep{ProducerExpiryMs: 500}
	u.Retention.Ms, u.Retention.Bytes, u.Retention.SegmentMs, u.Retention.ActiveSinceMs = -1, -1, -1, -1
	h.p.Maintain(5000, u)
	expiry := h.log.items
	h.log.items = nil
	h.produce(spec{id: 7, seq: 1})
	second := h.produce(spec{id: 7, seq: 2})
	h.drop(replog.ErrNoSpace) // the first
	h.log.items = append(expiry, h.log.items...)
	h.apply(-1)
	second.is(t, 0, false, ErrOutOfOrder)
	retry := h.produce(spec{id: 7, seq: 1})
	h.apply(-1)
	retry.is(t, 1, false, nil)
	h.same()
}

func reseal(b []byte, change func([]byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	entry.Seal(b)
	return b
}

func TestHostileEntries(t *testing.T) {
	good := NewEntry(spec{id: 7, seq: 3}.build(t), 1, 0, nil)
	at := entry.HeaderBytes + batchHeader
	le := binary.LittleEndian
	for name, b := range map[string][]byte{
		"short":                   good[:10],
		"cut":                     good[:len(good)-1],
		"bad CRC":                 append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
		"unknown kind":            reseal(good, func(b []byte) { b[1] = 9 }),
		"kind 0":                  reseal(good, func(b []byte) { b[1] = 0 }),
		"a metadata command":      reseal(good, func(b []byte) { b[1] = byte(entry.Command) }),
		"unknown version":         reseal(good, func(b []byte) { b[0] = 2 }),
		"unknown flag":            reseal(good, func(b []byte) { b[2] = 1 }),
		"batch without header":    entry.Build(entry.Batch, 1, nil, good[at:]),
		"batch with more header":  entry.Build(entry.Batch, 1, make([]byte, batchHeader+1), good[at:]),
		"batch with unknown flag": reseal(good, func(b []byte) { b[at-1] = 2 }),
		"no batch":                entry.Build(entry.Batch, 1, make([]byte, batchHeader), nil),
		"half a header":           entry.Build(entry.Batch, 1, make([]byte, batchHeader), good[at:at+40]),
		"half a batch":            entry.Build(entry.Batch, 1, make([]byte, batchHeader), good[at:len(good)-1]),
		"two batches":             entry.Build(entry.Batch, 1, make([]byte, batchHeader), append(bytes.Clone(good[at:]), good[at:]...)),
		"old magic":               reseal(good, func(b []byte) { b[at+16] = 1 }),
		"negative last delta":     reseal(good, func(b []byte) { binary.BigEndian.PutUint32(b[at+23:], 1<<31) }),
		"short log start":         entry.Build(entry.LogStart, 1, make([]byte, 8), nil),
		"log start with payload":  entry.Build(entry.LogStart, 1, make([]byte, 9), []byte{1}),
		"roll with header":        entry.Build(entry.Roll, 1, []byte{1}, nil),
		"roll with payload":       entry.Build(entry.Roll, 1, nil, []byte{1}),
		"short expiry":            entry.Build(entry.ProducerExpiry, 1, make([]byte, 7), nil),
		"expiry with payload":     entry.Build(entry.ProducerExpiry, 1, make([]byte, 8), []byte{1}),
		"settings: nothing":       entry.Build(entry.Settings, 1, nil, nil),
		"settings: header":        entry.Build(entry.Settings, 1, []byte{1}, DefaultSettings().appendTo(nil)),
		"settings: behind it":     entry.Build(entry.Settings, 1, nil, append(DefaultSettings().appendTo(nil), 0)),
		"settings: lying count":   entry.Build(entry.Settings, 1, nil, []byte{255, 255, 1, 0}),
		"settings: zero value":    entry.Build(entry.Settings, 1, nil, Settings{SegmentBytes: 1}.appendTo(nil)),
		"settings: negative":      entry.Build(entry.Settings, 1, nil, Settings{SegmentBytes: -1, IndexIntervalBytes: 1}.appendTo(nil)),
		"settings: unknown id":    entry.Build(entry.Settings, 1, nil, le.AppendUint64(le.AppendUint16([]byte{1, 0}, 3), 5)),
		"settings: half an entry": entry.Build(entry.Settings, 1, nil, DefaultSettings().appendTo(nil)[:15]),
	} {
		h := newHarness(t)
		h.produce(spec{id: 7, n: 3})
		h.apply(1)
		h.lead()
		before, at := h.p.encodeRest(), h.p.log.Mark()
		o := &outcome{}
		o.Append = &Append{Entry: b, Header: spec{id: 7, seq: 3}.header(t), Done: func(*Append) { o.answers++ }}
		h.p.Produce(o.Append)
		again := h.produce(spec{id: 7, seq: 3})
		data := h.log.items[0]
		if name == "bad CRC" { // of an entry that was not proposed here
			if err := h.other.apply(replog.Entry{Index: 4, Term: h.term, Data: data.data}); err == nil {
				t.Fatalf("%s: applied", name)
			}
			h.p.Dropped(data.token, replog.ErrParked)
		} else if err := h.entry(data.data, data.token); err == nil {
			t.Fatalf("%s: applied", name)
		}
		if !bytes.Equal(before, h.p.encodeRest()) || at != h.p.log.Mark() || h.p.queued != 0 {
			t.Fatalf("%s: changed something", name)
		}
		o.is(t, 0, false, ErrDamaged)
		again.is(t, 0, false, ErrDamaged)
		h.p.Dropped(data.token, replog.ErrParked)
		o.is(t, 0, false, ErrDamaged)
		if h.p.queued != 0 {
			t.Fatalf("%s: %d bytes queued", name, h.p.queued)
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add(byte(entry.Batch), make([]byte, 8), spec{id: 7, seq: 3}.build(f))
	f.Add(byte(entry.LogStart), startHeader(1<<62, 1), []byte{})
	f.Add(byte(entry.LogStart), startHeader(-5, 2), []byte{})
	f.Add(byte(entry.Settings), []byte{}, DefaultSettings().appendTo(nil))
	f.Add(byte(entry.Roll), []byte{}, []byte{})
	f.Add(byte(entry.ProducerExpiry), make([]byte, 8), []byte{})
	f.Fuzz(func(t *testing.T, kind byte, header, payload []byte) {
		h := newHarness(t)
		h.produce(spec{id: 7, n: 3})
		h.apply(1)
		before, at := h.p.encodeRest(), h.p.log.Mark()
		if h.entry(entry.Build(entry.Kind(kind), 5, header, payload), nil) != nil {
			if !bytes.Equal(before, h.p.encodeRest()) || at != h.p.log.Mark() {
				t.Fatal("a refused entry changed something")
			}
			return
		}
		h.same()
		if s, err := decodeSaved(h.state); err != nil || !bytes.Equal(encodeSaved(s.incarnation, s.position, h.p.encodeRest()), h.state) {
			t.Fatalf("the state does not survive: %v", err)
		}
	})
}

func TestEmptyEntryChangesNothing(t *testing.T) {
	h := newHarness(t)
	before := h.p.encodeRest()
	if err := h.entry(nil, nil); err != nil || !bytes.Equal(before, h.p.encodeRest()) {
		t.Fatal(err)
	}
	if _, err := h.p.Read(0, 0, 1, true); err != nil && !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
}
