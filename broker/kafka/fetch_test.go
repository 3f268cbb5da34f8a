package kafka

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// sendFetch sends a fetch that finds nothing and returns its deadline, once it
// waits.
func sendFetch(r *dataRig, c *rigClient, q *kmsg.FetchRequest) rigTimer {
	r.t.Helper()
	q.SetVersion(12)
	q.MaxWaitMillis = 500
	c.send(q)
	timer := take(r.t, r.timers, "a deadline")
	if timer.d != 500*time.Millisecond {
		r.t.Errorf("deadline after %v", timer.d)
	}
	return timer
}

func receiveFetch(c *rigClient) *kmsg.FetchResponse {
	c.t.Helper()
	resp := &kmsg.FetchResponse{Version: 12}
	c.receive(resp)
	return resp
}

func TestFetchWaitsForRecords(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 2)
	c, producer := r.dial(), r.dial()
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.Topics = append(q.Topics, rigFetch("events", ident.TopicID{}, 1, 0).Topics...)
	timer := sendFetch(r, c, q)
	batch := rigBatch(t, rigParams(), "a")
	call[*kmsg.ProduceResponse](producer, 9, rigProduce("events", ident.TopicID{}, 1, batch))
	resp := receiveFetch(c)
	if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions[0].RecordBatches) != 0 || len(resp.Topics[1].Partitions[0].RecordBatches) != len(batch) {
		t.Fatalf("%+v", resp)
	}
	take(t, timer.stopped, "the deadline to be given up")
	timer.fire() // too late: nothing happens
	if out := fetchedOf(call[*kmsg.FetchResponse](c, 12, rigFetch("events", ident.TopicID{}, 1, 0))); out.HighWatermark != 1 {
		t.Fatalf("%+v", out)
	}
}

func TestFetchWaitEnds(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 1)
	c := r.dial()
	timer := sendFetch(r, c, rigFetch("events", ident.TopicID{}, 0, 0))
	timer.fire()
	if out := fetchedOf(receiveFetch(c)); out.ErrorCode != 0 || out.RecordBatches == nil || len(out.RecordBatches) != 0 {
		t.Fatalf("%+v", out)
	}
}

func TestFetchWaitsForEnoughBytes(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 2)
	c, producer := r.dial(), r.dial()
	batch := rigBatch(t, rigParams(), "value")
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.Topics = append(q.Topics, rigFetch("events", ident.TopicID{}, 1, 0).Topics...)
	q.MinBytes = int32(3 * len(batch))
	timer := sendFetch(r, c, q)
	for i := range int32(3) {
		call[*kmsg.ProduceResponse](producer, 9, rigProduce("events", ident.TopicID{}, i%2, batch))
	}
	resp := receiveFetch(c)
	got := len(resp.Topics[0].Partitions[0].RecordBatches) + len(resp.Topics[1].Partitions[0].RecordBatches)
	if got != 3*len(batch) {
		t.Fatalf("%d bytes of %d", got, 3*len(batch))
	}
	take(t, timer.stopped, "the deadline to be given up")
}

// TestFetchEndsWhenEnoughDoesNotFit: what is there suffices, and still the last
// batch is too large for the response.
func TestFetchEndsWhenEnoughDoesNotFit(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 2)
	c := r.dial()
	batch := rigBatch(t, rigParams(), "value")
	for i := range int32(2) {
		call[*kmsg.ProduceResponse](c, 9, rigProduce("events", ident.TopicID{}, i, batch))
	}
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.Topics = append(q.Topics, rigFetch("events", ident.TopicID{}, 1, 0).Topics...)
	q.MinBytes, q.MaxBytes = int32(len(batch)+10), int32(len(batch)+10)
	sendFetch(r, c, q)
	resp := receiveFetch(c)
	if got := len(resp.Topics[0].Partitions[0].RecordBatches); got != len(batch) {
		t.Fatalf("%d bytes of %d", got, len(batch))
	}
}

func TestFetchOfLeavingClientEnds(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	c := r.dial()
	timer := sendFetch(r, c, rigFetch("events", ident.TopicID{}, 0, 0))
	c.nc.Close()
	take(t, timer.stopped, "the fetch to end")
	// Nothing is left that a new record would wake.
	p := r.Replica(ident.Partition{Topic: id}).Partition
	if _, err := p.Offsets(); err != nil {
		t.Fatal(err)
	}
	call[*kmsg.ProduceResponse](r.dial(), 9, rigProduce("events", ident.TopicID{}, 0, rigBatch(t, rigParams(), "a")))
}

func TestFetchOfDeletedTopicEnds(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	c := r.dial()
	sendFetch(r, c, rigFetch("events", ident.TopicID{}, 0, 0))
	r.Command(metadata.DeleteTopic{TopicID: id}, r.must)
	if out := fetchedOf(receiveFetch(c)); out.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Fatalf("%v", kerr.ErrorForCode(out.ErrorCode))
	}
}

func TestFetchBudgets(t *testing.T) {
	r := newDataRig(t, "fetch.max.bytes=2048")
	r.createTopic("events", 2)
	c := r.dial()
	batch := rigBatch(t, rigParams(), string(make([]byte, 900)))
	for range 4 {
		for i := range int32(2) {
			call[*kmsg.ProduceResponse](c, 9, rigProduce("events", ident.TopicID{}, i, batch))
		}
	}
	for _, c1 := range []struct {
		name                   string
		maxBytes, partitionMax int32
		first, second          int // batches
	}{
		{"the broker's bound", 1 << 20, 1 << 20, 2, 0},
		{"the partition's bound", 1 << 20, 1000, 1, 1},
		{"a first batch that is too large", 10, 10, 1, 0},
		{"nothing allowed", 0, 0, 1, 0},
	} {
		q := rigFetch("events", ident.TopicID{}, 0, 0)
		q.Topics = append(q.Topics, rigFetch("events", ident.TopicID{}, 1, 0).Topics...)
		q.MaxBytes = c1.maxBytes
		for i := range q.Topics {
			q.Topics[i].Partitions[0].PartitionMaxBytes = c1.partitionMax
		}
		resp := call[*kmsg.FetchResponse](c, 12, q)
		a, b := len(resp.Topics[0].Partitions[0].RecordBatches), len(resp.Topics[1].Partitions[0].RecordBatches)
		if a != c1.first*len(batch) || b != c1.second*len(batch) {
			t.Errorf("%s: %d and %d bytes, want %d and %d batches of %d", c1.name, a, b, c1.first, c1.second, len(batch))
		}
	}
}

func TestFetchErrors(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	r.createTopic("zstd", 1, "compression.type", "zstd")
	c := r.dial()
	for range 3 {
		call[*kmsg.ProduceResponse](c, 9, rigProduce("events", id, 0, rigBatch(t, rigParams(), "a")))
	}
	deleted := make(chan error, 1)
	r.DeleteRecords(r.Replica(ident.Partition{Topic: id}).Partition, &partition.StartRequest{Offset: 1, Done: func(_ ident.Offset, err error) { deleted <- err }})
	if err := take(t, deleted, "DeleteRecords"); err != nil {
		t.Fatal(err)
	}
	epoch := int32(r.Replica(ident.Partition{Topic: id}).Partition.LeaderEpoch())
	for _, e := range []struct {
		name    string
		version int16
		topic   string
		index   int32
		from    int64
		epoch   int32
		want    *kerr.Error
	}{
		{name: "below the start", from: 0, epoch: -1, want: kerr.OffsetOutOfRange},
		{name: "at the start", from: 1, epoch: -1},
		{name: "at the end", from: 3, epoch: epoch},
		{name: "beyond the end", from: 4, epoch: -1, want: kerr.OffsetOutOfRange},
		{name: "negative", from: -1, epoch: -1, want: kerr.OffsetOutOfRange},
		{name: "old epoch", from: 1, epoch: epoch - 1, want: kerr.FencedLeaderEpoch},
		{name: "new epoch", from: 1, epoch: epoch + 1, want: kerr.UnknownLeaderEpoch},
		{name: "no such topic", topic: "none", epoch: -1, want: kerr.UnknownTopicOrPartition},
		{name: "no such partition", index: 1, epoch: -1, want: kerr.UnknownTopicOrPartition},
		{name: "no such id", version: 13, topic: "none", epoch: -1, want: kerr.UnknownTopicID},
		{name: "zstd before 10", version: 9, topic: "zstd", epoch: -1, want: kerr.UnsupportedCompressionType},
	} {
		t.Run(e.name, func(t *testing.T) {
			if e.version == 0 {
				e.version = 16
			}
			topic, tid := e.topic, id
			if topic == "" {
				topic = "events"
			} else {
				tid[0]++
			}
			if e.version >= 13 && topic == "none" && e.want == kerr.UnknownTopicOrPartition {
				e.version = 12
			}
			q := rigFetch(topic, tid, e.index, e.from)
			q.Topics[0].Partitions[0].CurrentLeaderEpoch = e.epoch
			resp := call[*kmsg.FetchResponse](c, e.version, q)
			out := fetchedOf(resp)
			want := int16(0)
			if e.want != nil {
				want = e.want.Code
			}
			if out.ErrorCode != want || e.want != nil && (out.HighWatermark != -1 || len(out.RecordBatches) != 0) {
				t.Fatalf("%v, want %v: %+v", kerr.ErrorForCode(out.ErrorCode), e.want, out)
			}
			if e.want == kerr.FencedLeaderEpoch && (out.CurrentLeader.LeaderEpoch != epoch || len(resp.Brokers) != 1 || resp.Brokers[0].Host != "rig.test") {
				t.Fatalf("no leader: %+v", resp)
			}
		})
	}
}

func TestFetchSessions(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 1)
	c := r.dial()
	q := rigFetch("events", ident.TopicID{}, 0, 0)
	q.SessionEpoch = 0
	if resp := call[*kmsg.FetchResponse](c, 12, q); resp.SessionID != 0 || resp.ErrorCode != 0 || len(resp.Topics) != 1 {
		t.Fatalf("%+v", resp)
	}
	q.SessionID, q.SessionEpoch = 7, 3
	if resp := call[*kmsg.FetchResponse](c, 12, q); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code || len(resp.Topics) != 0 {
		t.Fatalf("%+v", resp)
	}
	q.SessionEpoch = -1 // ends a session and fetches
	if resp := call[*kmsg.FetchResponse](c, 12, q); resp.ErrorCode != 0 || len(resp.Topics) != 1 {
		t.Fatalf("%+v", resp)
	}
}

func TestFetchTellsDivergingEpoch(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	c := r.dial()
	call[*kmsg.ProduceResponse](c, 9, rigProduce("events", id, 0, rigBatch(t, rigParams(), "a")))
	p := r.Replica(ident.Partition{Topic: id}).Partition
	q := rigFetch("events", id, 0, 0)
	q.Topics[0].Partitions[0].LastFetchedEpoch = int32(p.LeaderEpoch())
	if out := fetchedOf(call[*kmsg.FetchResponse](c, 12, q)); out.DivergingEpoch.Epoch != -1 || len(out.RecordBatches) == 0 {
		t.Fatalf("%+v", out)
	}
}

func TestNeedsFiller(t *testing.T) {
	for _, c := range []struct {
		from, next, until ident.Offset
		batches           int
		want              bool
	}{
		{from: 5, next: 9, until: 9, want: true},
		{from: 5, next: 9, until: 9, batches: 1},
		{from: 9, next: 9, until: 9}, // at the end
		{from: 5, next: 7, until: 9}, // more to look at
		{from: 5, next: 5, until: 9}, // no room
	} {
		if got := needsFiller(c.from, c.next, c.until, c.batches); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	// A filler leads to the end of its span, however a reader looks at it.
	b := record.Filler(5, 8, 3)
	h, err := record.ParseHeader(b)
	if err != nil || h.LastOffset() != 8 || h.LeaderEpoch != 3 || !h.IsControl() {
		t.Fatalf("%+v %v", h, err)
	}
}

// FuzzFetchRequest: whatever is asked, records are served as they were produced.
func FuzzFetchRequest(f *testing.F) {
	r := newDataRig(f)
	r.instant = true
	id := r.createTopic("events", 2)
	batch := rigBatch(f, rigParams(), "a", "b")
	call[*kmsg.ProduceResponse](r.dial(), 9, rigProduce("events", id, 0, batch))
	for v := int16(4); v <= 18; v++ {
		q := rigFetch("events", id, 0, 0)
		q.SetVersion(v)
		f.Add(v, q.AppendTo(nil))
	}
	dial := r.servePipe(f)
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		version = 4 + version&0x7fff%15
		c := &rigClient{t: t, nc: dial(), last: 1}
		defer c.nc.Close()
		if _, err := c.nc.Write(rigFrame(1, version, 1, version >= 12, body)); err != nil {
			return // closed: its header was enough
		}
		got, err := c.body(version >= 12)
		if err != nil {
			return // closed: it did not decode
		}
		resp := &kmsg.FetchResponse{Version: version}
		if err := resp.ReadFrom(got); err != nil {
			t.Fatal(err)
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if len(p.RecordBatches) > 0 && !bytes.Equal(p.RecordBatches[16:], batch[16:]) {
					t.Fatal("other records than were produced")
				}
			}
		}
	})
}
