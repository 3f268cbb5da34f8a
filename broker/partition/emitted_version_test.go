package partition

import (
	"bytes"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
)

// asOf delivers by a version of the cluster metadata.
func (h *harness) asOf(version uint64, origin ident.Partition, first, last uint64) *arrival {
	h.t.Helper()
	batch, _ := scriptBatch(h.t, spec{id: -1}, "letter")
	a := &arrival{}
	h.p.Deliver(&Delivery{Origin: origin, First: first, Last: last, Batch: batch, AsOf: version, Done: func(seen uint64, err error) {
		a.answers++
		a.seen, a.err = seen, err
	}}, 1000)
	return a
}

// A leader whose cluster metadata is older than that of an earlier leader takes
// nothing of an origin that may have been deleted and forgotten since, and does
// not forget one that may only be too new for it; also when it has the state from
// a checkpoint, or from another replica.
func TestOldMetadataJudgesNoOrigins(t *testing.T) {
	h := newHarness(t)
	gone, young := ident.Partition{Topic: ident.TopicID{1}}, ident.Partition{Topic: ident.TopicID{2}}
	h.asOf(5, gone, 0, 3)
	h.apply(-1)
	exists := func(id ident.TopicID) bool { return id != gone.Topic }
	h.p.ForgetOrigins(exists, 9, 1000) // gone was deleted by command 9
	h.apply(-1)
	if len(h.p.origins) != 0 || h.p.asOf != 9 {
		t.Fatalf("origins %v as of %d", h.p.origins, h.p.asOf)
	}
	h.asOf(8, gone, 0, 3).is(t, 0, ErrNotLeader)
	if len(h.log.items) != 0 {
		t.Fatal("a late delivery is taken for a new one")
	}
	h.asOf(12, young, 0, 0) // made by command 12
	h.apply(-1)
	judges := func(what string) {
		t.Helper()
		h.p.ForgetOrigins(func(ident.TopicID) bool { return false }, 11, 1000)
		h.asOf(11, gone, 0, 3).is(t, 0, ErrNotLeader)
		if len(h.log.items) != 0 || len(h.p.origins) != 1 {
			t.Fatalf("%s: old metadata judges: %d entries, origins %v", what, len(h.log.items), h.p.origins)
		}
	}
	judges("applied")
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, err := decodeSnapshot(state)
	if err != nil || rest.asOf != 12 || len(rest.origins) != 1 {
		t.Fatalf("a snapshot has origins %v as of %d: %v", rest.origins, rest.asOf, err)
	}
	h.checkpoint()
	h.crash(nil, h.log)
	h.p.Lead(2)
	judges("recovered")
	again := h.asOf(12, young, 0, 0)
	again.is(t, 0, nil)
	after := h.asOf(13, young, 1, 1)
	h.drop(replog.ErrNotLeader)
	after.is(t, 0, ErrNotLeader)
}

// A header of another length, and an origin without a topic, is damage.
func TestHeadersOfAnotherLength(t *testing.T) {
	h := newHarness(t)
	h.asOf(5, ident.Partition{Topic: ident.TopicID{1}}, 0, 3)
	e, err := entry.Parse(h.log.items[0].data)
	if err != nil {
		t.Fatal(err)
	}
	h.log.items = nil
	forget, err := entry.Parse(NewForget(ident.TopicID{1}, 5, 1000))
	if err != nil {
		t.Fatal(err)
	}
	nameless := bytes.Clone(e.Header)
	clear(nameless[:16])
	for what, data := range map[string][]byte{
		"without a version":        entry.Build(entry.Emitted, e.Time, e.Header[:emittedHeader-8], e.Payload),
		"too long":                 entry.Build(entry.Emitted, e.Time, append(bytes.Clone(e.Header), 0), e.Payload),
		"without a topic":          entry.Build(entry.Emitted, e.Time, nameless, e.Payload),
		"forgets, with no version": entry.Build(entry.ForgetOrigin, e.Time, forget.Header[:16], nil),
		"forgets, too long":        entry.Build(entry.ForgetOrigin, e.Time, append(bytes.Clone(forget.Header), 0), nil),
	} {
		if err := h.entry(data, nil); err == nil || len(h.p.origins) != 0 || h.p.asOf != 0 || h.end() != 0 {
			t.Errorf("%s: %v, origins %v as of %d, end %d", what, err, h.p.origins, h.p.asOf, h.end())
		}
	}
}
