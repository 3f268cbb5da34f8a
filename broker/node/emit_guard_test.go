package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// What is left to do for a replica that was replaced by another one's state says
// nothing of the outbox of the one in its place.
func TestReplacedReplicaLeavesTheOutboxAlone(t *testing.T) {
	n, id := openWithTopic(t, vfs.NewMem(vfs.MemOptions{}), time.UnixMilli(1_000_000))
	defer n.Close()
	part := ident.Partition{Topic: id}
	old := &Replica{Topic: "t", Partition: n.Replica(part).Partition}
	d := &delivery{r: n.Replica(part), delivered: 7, busy: true}
	n.outboxes[part] = d
	n.emit(part, old)
	if n.outboxes[part] != d {
		t.Fatal("how far it is delivered is forgotten")
	}
	d.r = old
	n.emit(part, old)
	if n.outboxes[part] != nil {
		t.Fatal("the outbox of a replica that was replaced is kept")
	}
}

// Nothing is delivered while the broker cannot tell whether its metadata is
// complete: the origin may be deleted by then, and its targets have forgotten it.
func TestNothingIsDeliveredBeforeTheMetadataIsComplete(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
	id := w.create("t", 1, 1, true)
	w.create("dlq.a", 2, 1, false)
	w.letters.fail = fmt.Errorf("not now")
	w.produce(ident.Partition{Topic: id}, "dead1a")
	drive(t, w.n, w.now)
	w.letters.fail = nil
	w.n.ready.Store(false)
	w.settle(5)
	if got := w.lettersIn("dlq.a"); len(got[0]) != 0 || w.waiting() != 1 {
		t.Fatalf("delivered %v", got)
	}
	w.n.ready.Store(true)
	w.settle(1)
	w.check("complete", nil)
	if w.waiting() != 0 {
		t.Fatal("not delivered")
	}
	w.n.Close()
}

// A delivery from another broker is refused, so that it comes again, while this
// one does not know the origin: it was deleted, and perhaps is forgotten, or is too
// new. It is also refused while this one knows less than an earlier leader did.
func TestDeliveryOfAnUnknownOriginIsRefused(t *testing.T) {
	var sent [][]byte
	c := testConfig(vfs.NewMem(vfs.MemOptions{}))
	c.Send = func(_ ident.NodeID, frame []byte) { sent = append(sent, frame) }
	now := time.UnixMilli(1_000_000)
	n, id := openConfigWithTopic(t, c, now)
	defer n.Close()
	target := ident.Partition{Topic: id}
	_, before := n.Replica(target).Partition.Bounds()
	deliver := func(origin ident.Partition) (seen, failed int64) {
		t.Helper()
		b := appendPartition(appendPartition(appendInts([]byte{frameDeliver}, 1), target), origin)
		sent = nil
		if err := n.Receive(2, append(appendInts(b, 0, 3), testBatch(t, "letter")...)); err != nil {
			t.Fatal(err)
		}
		drive(t, n, now)
		if len(sent) != 1 || sent[0][0] != frameDelivered {
			t.Fatalf("answers %v", sent)
		}
		r := frameReader{b: sent[0][1:]}
		if got, request := r.partition(), r.int(); got != origin || request != 1 {
			t.Fatalf("an answer to request %d of %v", request, got)
		}
		return r.int(), r.int()
	}
	if _, failed := deliver(ident.Partition{Topic: ident.TopicID{99}}); failed == 0 {
		t.Error("a delivery of a topic that is not known is taken")
	}
	if _, end := n.Replica(target).Partition.Bounds(); end != before {
		t.Fatalf("the log ends at %d, want %d", end, before)
	}
	if seen, failed := deliver(target); failed != 0 || seen != 3 {
		t.Errorf("a delivery of a topic that is known: seen %d, failed %d", seen, failed)
	}
	// An earlier leader judged by metadata that this broker does not have yet.
	done := false
	n.Replica(target).Partition.Deliver(&partition.Delivery{Origin: target, First: 4, Last: 4, Batch: testBatch(t, "letter"), AsOf: 1 << 40, Done: func(_ uint64, err error) {
		done = err == nil
	}}, 1)
	drive(t, n, now)
	if _, failed := deliver(target); !done || failed == 0 {
		t.Errorf("a broker that lags takes a delivery: %v", done)
	}
}

// An answer with another number is of an earlier attempt: it may have failed where
// the present one does not.
func TestAnswerToAnEarlierAttemptIsIgnored(t *testing.T) {
	n, id := openWithTopic(t, vfs.NewMem(vfs.MemOptions{}), time.UnixMilli(1_000_000))
	defer n.Close()
	origin := ident.Partition{Topic: id}
	d := &delivery{r: n.Replica(origin), busy: true, request: 2}
	n.outboxes[origin] = d
	if err := n.Receive(2, appendInts(appendPartition([]byte{frameDelivered}, origin), 1, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if !d.busy || d.request != 2 {
		t.Fatalf("taken for the answer: %+v", d)
	}
}
