package kafka

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/broker/wire"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// movingCold is a ColdLog whose lookups take long: before they answer, more of
// the log leaves the disk.
type movingCold struct {
	*coldFake
	before func()
	// at is the timestamp of the first record of each segment, by base offset.
	at map[ident.Offset]int64
}

func (c *movingCold) OffsetForTimestamp(_ context.Context, p *partition.Partition, ts int64) (ident.Offset, int64, bool, error) {
	list := p.Tiered() // what tierHost does first, too
	if f := c.before; f != nil {
		c.before = nil
		f()
	}
	for i := range list.Len() {
		if base := list.At(i).Base; c.at[base] >= ts {
			return base, c.at[base], true, nil
		}
	}
	return -1, -1, false, nil
}

// L9: a segment that is tiered and evicted while the tier is searched is not
// passed over.
func TestListOffsetsWhileLocalStartMoves(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	c := r.dial()
	produce := func(ts int64) {
		call[*kmsg.ProduceResponse](r.dial(), 9, rigProduce("events", ident.TopicID{}, 0, rigBatch(t, record.DefaultParams(record.None, ts), "a", "b", "c")))
	}
	produce(1_700_000_000_000)
	r.tier(id, 0) // [0, 3)
	produce(1_700_000_001_000)
	cold := &movingCold{coldFake: &coldFake{}, at: map[ident.Offset]int64{0: 1_700_000_000_000, 3: 1_700_000_001_000}}
	cold.before = func() {
		r.tier(id, 0) // [3, 6) now
		produce(1_700_000_002_000)
	}
	r.cold = cold
	q := kmsg.NewPtrListOffsetsRequest()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = 1_700_000_001_000
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic, topic.Partitions = "events", append(topic.Partitions, p)
	q.Topics = append(q.Topics, topic)
	got := call[*kmsg.ListOffsetsResponse](c, 11, q).Topics[0].Partitions[0]
	if got.ErrorCode != 0 || got.Offset != 3 {
		t.Fatalf("offset %d, error %d; the first record at that time is at 3", got.Offset, got.ErrorCode)
	}
}

// R1, KIP-74: what a fetch takes from the tier is bounded by its max bytes, as
// what it takes from the disk.
func TestFetchBudgetOverManyColdPartitions(t *testing.T) {
	const n = 20
	r := newDataRig(t)
	id := r.createTopic("events", n)
	c := r.dial()
	batch := rigBatch(t, rigParams(), "a", "b", "c")
	q := kmsg.NewPtrFetchRequest()
	for i := range int32(n) {
		call[*kmsg.ProduceResponse](c, 9, rigProduce("events", ident.TopicID{}, i, batch))
		r.tier(id, i)
		one := rigFetch("events", ident.TopicID{}, i, 0)
		if i == 0 {
			q = one
			continue
		}
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, one.Topics[0].Partitions...)
	}
	fake := &coldFake{}
	fake.read = func(_ context.Context, from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error) {
		if maxBytes < len(batch) && !minOne {
			return storage.Chunk{First: -1, NextOffset: from}, nil
		}
		return coldChunk(batch, 3), nil
	}
	r.cold = fake
	q.MaxBytes = int32(2 * len(batch))
	resp := call[*kmsg.FetchResponse](c, 12, q)
	total := 0
	for _, p := range resp.Topics[0].Partitions {
		total += len(p.RecordBatches)
	}
	if total > 2*len(batch) {
		t.Fatalf("%d bytes of records in %d reads, max bytes %d", total, fake.calls.Load(), q.MaxBytes)
	}
	if total == 0 {
		t.Fatal("nothing")
	}
}

// heldRig keeps cold reads waiting, as a queue before busy workers does.
type heldRig struct {
	*dataRig
	held chan func(context.Context)
}

func (r *heldRig) RunCold(f func(context.Context)) bool { r.held <- f; return true }

// D12: a read of the tier that nobody waits for any more is not begun: consumers
// ask again every half second, and what they gave up would fill the queue.
func TestColdReadOfAnEndedFetchIsNotBegun(t *testing.T) {
	r, fake, _, batch := newColdRig(t)
	fake.read = func(context.Context, ident.Offset, ident.Offset, int, bool) (storage.Chunk, error) {
		return coldChunk(batch, 3), nil
	}
	h := &heldRig{r, make(chan func(context.Context), 100)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	server := wire.NewServer(wire.Settings{Known: Known}, New(h, log), log)
	served := make(chan error, 1)
	go func() { served <- server.Serve("PLAINTEXT", l) }()
	defer func() { ctx, cancel := context.WithCancel(t.Context()); cancel(); _ = server.Shutdown(ctx); <-served }()
	r.addr = l.Addr().String()
	c := r.dial()
	for range 5 { // a consumer that asks again
		q := rigFetch("events", ident.TopicID{}, 0, 0)
		q.SetVersion(12)
		c.send(q)
		take(t, r.timers, "a deadline").fire()
		receiveFetch(c)
	}
	for range 5 {
		(<-h.held)(t.Context())
	}
	if n := fake.calls.Load(); n != 0 {
		t.Fatalf("%d reads for fetches that were answered", n)
	}
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.SetVersion(12)
	c.send(q)
	go (<-h.held)(t.Context())
	if out := fetchedOf(receiveFetch(c)); len(out.RecordBatches) != len(batch) {
		t.Fatalf("%+v", out)
	}
}
