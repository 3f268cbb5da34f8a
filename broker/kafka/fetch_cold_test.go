package kafka

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// coldFake is a ColdLog that answers as the test says.
type coldFake struct {
	read  func(ctx context.Context, from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error)
	calls atomic.Int64
	at    int64 // of OffsetForTimestamp's answer for offset 0
	err   atomic.Pointer[error]
}

func (c *coldFake) fail(err error) { c.err.Store(&err) }

func (c *coldFake) failure() error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *coldFake) Read(ctx context.Context, _ *partition.Partition, from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error) {
	c.calls.Add(1)
	return c.read(ctx, from, until, maxBytes, minOne)
}

func (c *coldFake) OffsetForTimestamp(_ context.Context, _ *partition.Partition, ts int64) (ident.Offset, int64, bool, error) {
	err := c.failure()
	return 0, c.at, ts <= c.at && err == nil, err
}

func (c *coldFake) MaxTimestamp(context.Context, *partition.Partition) (ident.Offset, int64, bool, error) {
	err := c.failure()
	return 0, c.at, err == nil, err
}

// coldChunk is one batch as it lies at offset 0.
func coldChunk(batch []byte, next ident.Offset) storage.Chunk {
	return storage.Chunk{Buffers: [][]byte{batch}, Bytes: len(batch), Batches: 1, NextOffset: next}
}

// tier moves everything that a partition has to the cold tier.
func (r *dataRig) tier(id ident.TopicID, index int32) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.n.Replica(ident.Partition{Topic: id, Index: index}).Partition
	var u partition.Upkeep
	u.ProducerExpiryMs = 1 << 40
	u.Retention = storage.RetentionSettings{Ms: -1, Bytes: -1, SegmentMs: -1, ActiveSinceMs: -1}
	u.Tier = partition.TierPlan{Copy: true, Local: u.Retention}
	u.Tier.Local.Bytes = 0
	p.Maintain(1, u) // closes the segment
	r.drive()
	r.n.Checkpoint() // writes it
	r.drive()
	up, ok := p.NextUpload(1, u.Tier)
	if !ok {
		r.t.Fatal("nothing to upload")
	}
	p.CommitUpload(manifest.Segment{
		Base: up.Base, End: up.End, Term: up.Term, ID: manifest.ID{1}, DataBytes: up.Bytes, ObjectBytes: manifest.DataOffset + up.Bytes + 1,
		MaxTimestamp: 1_700_000_000_000,
	}, 1, func(bool, error) {})
	r.drive()
	p.Maintain(2, u)
	r.drive()
	if o, err := p.Offsets(); err != nil || o.LocalStart != up.End {
		r.t.Fatalf("%+v %v", o, err)
	}
}

// newColdRig has one batch in the tier, in partition 0, and one on disk, in
// partition 1.
func newColdRig(t *testing.T) (*dataRig, *coldFake, ident.TopicID, []byte) {
	r := newDataRig(t)
	id := r.createTopic("events", 2)
	c := r.dial()
	batch := rigBatch(t, rigParams(), "a", "b", "c")
	call[*kmsg.ProduceResponse](c, 9, rigProduce("events", ident.TopicID{}, 0, batch))
	call[*kmsg.ProduceResponse](c, 9, rigProduce("events", ident.TopicID{}, 1, batch))
	r.tier(id, 0)
	fake := &coldFake{at: 1_700_000_000_000}
	r.cold = fake
	return r, fake, id, batch
}

func fetchBoth() *kmsg.FetchRequest {
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, rigFetch("events", ident.TopicID{}, 1, 0).Topics[0].Partitions...)
	return q
}

// A fetch of both tiers waits for the cold one and answers with both.
func TestFetchWaitsForTheTier(t *testing.T) {
	r, fake, _, batch := newColdRig(t)
	let := make(chan struct{})
	fake.read = func(_ context.Context, from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error) {
		<-let
		if from != 0 || until != 3 || maxBytes != 1<<20 || !minOne {
			t.Errorf("read %d to %d, %d bytes, %t", from, until, maxBytes, minOne)
		}
		return coldChunk(batch, 3), nil
	}
	c := r.dial()
	q := fetchBoth()
	q.SetVersion(12)
	q.MaxWaitMillis = 7000
	c.send(q)
	timer := take(t, r.timers, "a deadline")
	if timer.d != 500*time.Millisecond { // remote.fetch.max.wait.ms
		t.Errorf("deadline after %v", timer.d)
	}
	close(let)
	resp := receiveFetch(c)
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 || len(p.RecordBatches) != len(batch) {
			t.Errorf("partition %d: error %d, %d bytes", p.Partition, p.ErrorCode, len(p.RecordBatches))
		}
	}
	if fake.calls.Load() != 1 {
		t.Errorf("%d reads", fake.calls.Load())
	}
	take(t, timer.stopped, "the deadline to be given up")
}

// At the end of the wait what is there is answered, the cold part empty and
// without an error: the reader asks again.
func TestFetchDoesNotWaitForeverForTheTier(t *testing.T) {
	r, fake, _, batch := newColdRig(t)
	let := make(chan struct{})
	defer close(let)
	fake.read = func(context.Context, ident.Offset, ident.Offset, int, bool) (storage.Chunk, error) {
		<-let
		return storage.Chunk{}, nil
	}
	c := r.dial()
	q := fetchBoth()
	q.SetVersion(12)
	c.send(q) // with a wait of 0
	take(t, r.timers, "a deadline").fire()
	resp := receiveFetch(c)
	cold, hot := resp.Topics[0].Partitions[0], resp.Topics[0].Partitions[1]
	if cold.ErrorCode != 0 || len(cold.RecordBatches) != 0 || cold.HighWatermark != 3 || len(hot.RecordBatches) != len(batch) {
		t.Fatalf("%+v", resp)
	}
}

// A read that timed out is no error either.
func TestFetchFromASlowTier(t *testing.T) {
	r, fake, _, _ := newColdRig(t)
	fake.read = func(context.Context, ident.Offset, ident.Offset, int, bool) (storage.Chunk, error) {
		return storage.Chunk{}, fmt.Errorf("read: %w", context.DeadlineExceeded)
	}
	out := fetchedOf(call[*kmsg.FetchResponse](r.dial(), 12, rigFetch("events", ident.TopicID{}, 0, 0)))
	if out.ErrorCode != 0 || len(out.RecordBatches) != 0 {
		t.Fatalf("%+v", out)
	}
}

// A tier that cannot be read is a retriable error, never OFFSET_OUT_OF_RANGE.
func TestFetchFromABrokenTier(t *testing.T) {
	r, fake, _, _ := newColdRig(t)
	fake.read = func(context.Context, ident.Offset, ident.Offset, int, bool) (storage.Chunk, error) {
		return storage.Chunk{}, fake.failure()
	}
	for _, err := range []error{partition.ErrTierUnavailable, fmt.Errorf("read: %w", context.Canceled)} {
		fake.fail(err)
		out := fetchedOf(call[*kmsg.FetchResponse](r.dial(), 12, rigFetch("events", ident.TopicID{}, 0, 0)))
		if k := kerr.TypedErrorForCode(out.ErrorCode); k != kerr.KafkaStorageError || !k.Retriable {
			t.Errorf("%v: %v", err, k)
		}
	}
}

// With too many reads waiting, the fetch ends with its deadline.
func TestFetchFromABusyTier(t *testing.T) {
	r, _, _, _ := newColdRig(t)
	r.coldFull.Store(true)
	c := r.dial()
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.SetVersion(12)
	c.send(q)
	take(t, r.timers, "a deadline").fire()
	if out := fetchedOf(receiveFetch(c)); out.ErrorCode != 0 || len(out.RecordBatches) != 0 {
		t.Fatalf("%+v", out)
	}
}

// What comes from the tier counts first, so that a busy partition does not keep
// it out for ever, and the response stays below its bound.
func TestFetchBudgetOverBothTiers(t *testing.T) {
	r, fake, _, batch := newColdRig(t)
	fake.read = func(context.Context, ident.Offset, ident.Offset, int, bool) (storage.Chunk, error) {
		return coldChunk(batch, 3), nil
	}
	q := fetchBoth()
	parts := q.Topics[0].Partitions
	parts[0], parts[1] = parts[1], parts[0] // the hot one first
	q.MaxBytes = int32(len(batch))
	resp := call[*kmsg.FetchResponse](r.dial(), 12, q)
	hot, cold := resp.Topics[0].Partitions[0], resp.Topics[0].Partitions[1]
	if hot.Partition != 1 || len(cold.RecordBatches)+len(hot.RecordBatches) > 2*len(batch) {
		t.Fatalf("%+v", resp)
	}
	if len(cold.RecordBatches) == 0 && len(hot.RecordBatches) == 0 {
		t.Fatal("nothing")
	}
}

// A tier that holds nothing more up to the end of the log gives a filler, as the
// local log does.
func TestFetchOfAHoleInTheTier(t *testing.T) {
	r, fake, _, _ := newColdRig(t)
	fake.read = func(_ context.Context, _, until ident.Offset, _ int, _ bool) (storage.Chunk, error) {
		return storage.Chunk{First: -1, NextOffset: until}, nil
	}
	out := fetchedOf(call[*kmsg.FetchResponse](r.dial(), 12, rigFetch("events", ident.TopicID{}, 0, 0)))
	if out.ErrorCode != 0 || len(out.RecordBatches) == 0 || bytes.Contains(out.RecordBatches, []byte("value")) {
		t.Fatalf("%+v", out)
	}
}

func TestListOffsetsAskTheTier(t *testing.T) {
	r, fake, _, _ := newColdRig(t)
	c := r.dial()
	ask := func(ts int64) kmsg.ListOffsetsResponseTopicPartition {
		q := kmsg.NewPtrListOffsetsRequest()
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = ts
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic, topic.Partitions = "events", append(topic.Partitions, p)
		q.Topics = append(q.Topics, topic)
		return call[*kmsg.ListOffsetsResponse](c, 11, q).Topics[0].Partitions[0]
	}
	for _, tc := range []struct{ ts, offset int64 }{
		{askEarliest, 0}, {askEarliestLocal, 3}, {askLatestTiered, 2}, {askPendingUpload, -1}, {askLatest, 3},
		{0, 0}, {1_700_000_000_000, 0}, {1_700_000_000_001, -1}, {askMaxTimestamp, 0},
	} {
		if p := ask(tc.ts); p.ErrorCode != 0 || p.Offset != tc.offset {
			t.Errorf("%d: offset %d, error %d; want %d", tc.ts, p.Offset, p.ErrorCode, tc.offset)
		}
	}
	fake.fail(context.DeadlineExceeded)
	if p := ask(5); p.ErrorCode != kerr.KafkaStorageError.Code {
		t.Errorf("error %d", p.ErrorCode)
	}
	r.coldFull.Store(true)
	fake.fail(context.Canceled)
	if p := ask(5); p.ErrorCode != kerr.KafkaStorageError.Code {
		t.Errorf("error %d with a full queue", p.ErrorCode)
	}
}
