package partition

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
)

// deliver sends a delivery and returns where its answer will stand.
func (h *harness) deliver(origin ident.Partition, first, last uint64) *arrival {
	h.t.Helper()
	batch, _ := scriptBatch(h.t, spec{id: -1}, "letter")
	a := &arrival{}
	h.p.Deliver(&Delivery{Origin: origin, First: first, Last: last, Batch: batch, Done: func(seen uint64, err error) {
		a.answers++
		a.seen, a.err = seen, err
	}}, 1000)
	return a
}

type arrival struct {
	answers int
	seen    uint64
	err     error
}

func (a *arrival) is(t *testing.T, seen uint64, err error) {
	t.Helper()
	if a.answers != 1 || !errors.Is(a.err, err) || err == nil && a.seen != seen {
		t.Fatalf("%d answers: seen %d, %v; want %d, %v", a.answers, a.seen, a.err, seen, err)
	}
}

func TestDeliveredOnce(t *testing.T) {
	h := newHarness(t)
	o := ident.Partition{Topic: ident.TopicID{3}, Index: 2}
	first, again := h.deliver(o, 0, 2), h.deliver(o, 0, 4) // both in flight
	h.apply(-1)
	first.is(t, 2, nil)
	again.is(t, 2, nil)
	if h.end() != 1 {
		t.Fatalf("end %d", h.end())
	}
	h.deliver(o, 2, 2).is(t, 2, nil) // without an entry
	late := h.deliver(o, 7, 7)
	lost := h.deliver(o, 8, 8)
	h.apply(1)
	late.is(t, 7, nil)
	h.drop(replog.ErrNoSpace)
	lost.is(t, 0, ErrNoSpace)
	h.same()
	h.crash(nil, h.log)
	if h.p.origins[o] != 7 || h.end() != 2 {
		t.Fatalf("origins %v, end %d", h.p.origins, h.end())
	}
	h.deliver(o, 8, 8).is(t, 0, ErrNotLeader)
}

// A batch that cannot be appended leaves no trace of its origin.
func TestFailedDeliveryChangesNothing(t *testing.T) {
	h := newHarness(t)
	o := ident.Partition{Topic: ident.TopicID{3}}
	a := &arrival{}
	h.p.Deliver(&Delivery{Origin: o, Batch: []byte("no batch"), Done: func(seen uint64, err error) {
		a.answers++
		a.err = err
	}}, 1000)
	i := h.log.items[0]
	h.log.items = nil
	if err := h.entry(i.data, i.token); err == nil {
		t.Fatal("taken")
	}
	a.is(t, 0, ErrDamaged)
	if len(h.p.origins) != 0 || h.end() != 0 {
		t.Fatalf("origins %v, end %d", h.p.origins, h.end())
	}
}

func TestForgetOrigins(t *testing.T) {
	h := newHarness(t)
	for topic := range byte(4) {
		for i := range int32(2) {
			h.deliver(ident.Partition{Topic: ident.TopicID{topic, 1}, Index: i}, 5, 5)
		}
	}
	h.apply(-1)
	gone := func(id ident.TopicID) bool { return id[0] == 1 || id[0] == 2 }
	exists := func(id ident.TopicID) bool { return !gone(id) }
	h.log.fail = replog.ErrNoSpace
	h.p.ForgetOrigins(exists, 0, 1000)
	h.log.fail = nil
	h.p.ForgetOrigins(exists, 0, 1000)
	h.p.ForgetOrigins(exists, 0, 1000)
	if len(h.log.items) != 2 { // one for each topic, once
		t.Fatalf("%d entries", len(h.log.items))
	}
	h.drop(replog.ErrNotLeader)
	h.apply(-1)
	if len(h.p.origins) != 6 {
		t.Fatalf("origins %v", h.p.origins)
	}
	h.p.ForgetOrigins(exists, 0, 1000) // tries again what was dropped
	h.apply(-1)
	if len(h.p.origins) != 4 || len(h.p.forgetting) != 0 {
		t.Fatalf("origins %v, in flight %v", h.p.origins, h.p.forgetting)
	}
	for o := range h.p.origins {
		if gone(o.Topic) {
			t.Fatalf("origin %v is left", o)
		}
	}
	h.same()
}

// Two replicas, and one that recovers again and again, have the same state,
// whatever order batches, deliveries and trims come in (P1).
func TestReplicasAgreeOnOutboxAndOrigins(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 5))
		h, s := newChainedHarness(t)
		words := []string{"keep", "drop", "dead", "fail"}
		seq := [3]int32{}
		position := [3]uint64{}
		trimmed := uint64(0)
		for range 120 {
			switch k := rng.IntN(10); {
			case k < 5:
				id := rng.IntN(3)
				values := make([]string, 1+rng.IntN(3))
				for i := range values {
					values[i] = words[rng.IntN(len(words))] + string(make([]byte, rng.IntN(40)))
				}
				o := h.chained(spec{id: int64(id), seq: seq[id]}, values...)
				h.all()
				if o.answers != 1 {
					t.Fatalf("seed %d: %d answers", seed, o.answers)
				}
				if o.Err == nil {
					seq[id] += int32(len(values))
				}
			case k < 8:
				i := rng.IntN(3)
				n := uint64(rng.IntN(3))
				h.deliver(ident.Partition{Topic: ident.TopicID{byte(1 + i)}, Index: 1}, position[i], position[i]+n)
				h.all()
				position[i] += uint64(rng.IntN(4)) // sometimes again, sometimes over a gap
			case k == 8:
				if out := h.p.Outbox(9); len(out) > 0 {
					trimmed = out[rng.IntN(len(out))].Position + 1
					h.p.Trim(trimmed, 1000)
					h.all()
				}
			case rng.IntN(2) == 0: // both, for an index grows by syncs
				h.checkpoint()
				h.other.checkpoint()
			default:
				h.p.Unlead()
				h.crash(rng, h.log)
				h.lead()
				h.p.SetChain(1, s)
			}
			if out := h.p.Outbox(1); len(out) > 0 && out[0].Position < trimmed {
				t.Fatalf("seed %d: %d is back", seed, out[0].Position)
			}
		}
		h.idle()
		h.same()
	}
}

// someState is a checkpoint's state with everything in it.
func someState(t testing.TB) []byte {
	h, _ := newChainedHarness(t)
	h.chained(spec{id: 4}, "keep", "dead one", "drop", "dead two")
	h.chained(spec{id: 4, seq: 4}, "dead")
	h.all()
	h.p.Trim(1, 1)
	h.deliver(ident.Partition{Topic: ident.TopicID{9}, Index: 3}, 0, 17)
	h.deliver(ident.Partition{Topic: ident.TopicID{8}, Index: 3}, 0, 5)
	h.all()
	return h.checkpoint()
}

func TestOutboxAndOriginsInCheckpoint(t *testing.T) {
	state := someState(t)
	s, err := decodeSaved(state)
	if err != nil || len(s.outbox.items) != 2 || len(s.origins) != 2 || s.outbox.next != 3 {
		t.Fatalf("%+v %v", s, err)
	}
	for i := range state {
		if _, err := decodeSaved(state[:i]); err == nil {
			t.Fatalf("cut to %d it decodes", i)
		}
		for bit := range 8 {
			b := bytes.Clone(state)
			b[i] ^= 1 << bit
			if _, err := decodeSaved(b); err == nil {
				t.Fatalf("with bit %d of byte %d flipped it decodes", bit, i)
			}
		}
	}
	// The same behind a checksum that holds: every truncation is refused, and
	// what is taken says what it was taken from.
	tail := s.origins.appendTo(s.outbox.appendTo(nil))
	for i := range tail {
		if o, rest, err := decodeOutbox(tail[:i]); err == nil {
			if _, _, err = decodeOrigins(rest); err == nil {
				t.Fatalf("cut to %d of %d it decodes: %+v", i, len(tail), o)
			}
		}
		for bit := range 8 {
			b := bytes.Clone(tail)
			b[i] ^= 1 << bit
			checkTail(t, b)
		}
	}
}

// checkTail decodes an outbox and origins: what is taken is whole, and is taken
// again as the same.
func checkTail(t testing.TB, b []byte) {
	o, rest, err := decodeOutbox(b)
	if err != nil {
		return
	}
	var size int64
	for i, e := range o.items {
		if size += int64(len(e.Data)) + outboxItemBytes; e.Position != o.next-uint64(len(o.items)-i) {
			t.Fatalf("position %d at %d of %d, next %d", e.Position, i, len(o.items), o.next)
		}
	}
	if size != o.bytes || !bytes.Equal(o.appendTo(nil), b[:len(b)-len(rest)]) {
		t.Fatalf("%d bytes counted as %d, or not the same again", size, o.bytes)
	}
	from, rest, err := decodeOrigins(rest)
	if err != nil {
		return
	}
	again, left, err := decodeOrigins(append(from.appendTo(nil), rest...))
	if err != nil || !reflect.DeepEqual(from, again) || !bytes.Equal(left, rest) {
		t.Fatalf("%v is taken as %v again, %v", from, again, err)
	}
}

func FuzzOutboxAndOrigins(f *testing.F) {
	var o outbox
	f.Add(origins{}.appendTo(o.appendTo(nil)))
	o.add(7, 5, [][]byte{[]byte("one"), nil, []byte("three")})
	f.Add(origins{{Index: 1}: 4, {Topic: ident.TopicID{1}}: 9}.appendTo(o.appendTo(nil)))
	f.Fuzz(func(t *testing.T, b []byte) { checkTail(t, b) })
}

// FuzzChainEntries applies entries with hostile contents behind a checksum that
// holds: each fails and changes nothing, or is taken, and both replicas agree.
func FuzzChainEntries(f *testing.F) {
	batch, header := scriptBatch(f, spec{id: 4}, "keep", "keep")
	for _, out := range []ChainOutput{{Batch: batch}, {}, {Batch: batch, Emissions: [][]byte{[]byte("one"), nil}}} {
		d, err := entry.Parse(newChained(ChainInput{Batch: batch, Header: header, Generation: 1}, out))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(entry.Chained), d.Header, d.Payload)
	}
	f.Add(uint8(entry.Emitted), make([]byte, emittedHeader), batch)
	f.Add(uint8(entry.OutboxTrim), make([]byte, 8), []byte{})
	f.Add(uint8(entry.ForgetOrigin), make([]byte, forgetHeader), []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, head, payload []byte) {
		h := newHarness(t)
		before := h.p.encodeRest()
		err := h.entry(entry.Build(entry.Kind(kind), 5, head, payload), nil)
		if err != nil && (h.end() != 0 || !bytes.Equal(before, h.p.encodeRest())) {
			t.Fatalf("fails with %v and changes something", err)
		}
		if !bytes.Equal(h.p.encodeRest(), h.other.p.encodeRest()) || h.end() != h.other.p.log.End() {
			t.Fatal("the replicas differ")
		}
		if _, err := decodeSaved(h.checkpoint()); err != nil {
			t.Fatal(err)
		}
	})
}
