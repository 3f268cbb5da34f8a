package kafka

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// placed returns a batch as it is stored at an offset under epoch.
func placed(t testing.TB, b []byte, base int64, epoch int32) []byte {
	t.Helper()
	b = bytes.Clone(b)
	if err := record.SetPlacement(b, base, epoch); err != nil {
		t.Fatal(err)
	}
	return b
}

func produced(r *kmsg.ProduceResponse) *kmsg.ProduceResponseTopicPartition {
	return &r.Topics[0].Partitions[0]
}

func fetchedOf(r *kmsg.FetchResponse) *kmsg.FetchResponseTopicPartition {
	return &r.Topics[0].Partitions[0]
}

func TestProduceAndFetchInEveryVersion(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 2)
	c := r.dial()
	var want []byte
	base := int64(0)
	for v := int16(3); v <= 13; v++ {
		batch := rigBatch(t, rigParams(), "a", "b", strings.Repeat("v", int(v)))
		p := call[*kmsg.ProduceResponse](c, v, rigProduce("events", id, 1, batch))
		if out := produced(p); out.ErrorCode != 0 || out.BaseOffset != base || out.LogAppendTime != -1 || v >= 5 && out.LogStartOffset != 0 || out.ErrorMessage != nil {
			t.Fatalf("version %d: %+v", v, out)
		}
		want = append(want, placed(t, batch, base, 1)...)
		base += 3
	}
	for v := int16(4); v <= 18; v++ {
		for isolation := range int8(2) {
			q := rigFetch("events", id, 1, 0)
			q.IsolationLevel = isolation
			out := fetchedOf(call[*kmsg.FetchResponse](c, v, q))
			if out.ErrorCode != 0 || out.HighWatermark != base || out.LastStableOffset != base {
				t.Fatalf("version %d: %+v", v, out)
			}
			if (isolation == 1) != (out.AbortedTransactions != nil) {
				t.Errorf("version %d, isolation %d: aborted transactions %v", v, isolation, out.AbortedTransactions)
			}
			epoch := epochOf(t, out.RecordBatches)
			if !bytes.Equal(out.RecordBatches, reEpoch(t, want, epoch)) {
				t.Fatalf("version %d: other bytes than were produced", v)
			}
		}
	}
}

func epochOf(t testing.TB, b []byte) int32 {
	t.Helper()
	h, err := record.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return h.LeaderEpoch
}

// reEpoch sets the leader epoch of every batch in b.
func reEpoch(t testing.TB, b []byte, epoch int32) []byte {
	t.Helper()
	b = bytes.Clone(b)
	for batch, err := range record.Batches(b) {
		if err != nil {
			t.Fatal(err)
		}
		h, _ := record.ParseHeader(batch)
		if err := record.SetPlacement(batch, h.BaseOffset, epoch); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestProduceRefusals(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1, "max.message.bytes", "1000", "message.timestamp.after.max.ms", "1000")
	r.createTopic("table", 1, "cleanup.policy", "compact")
	r.createTopic("__internal", 1)
	r.createTopic("safe", 1, "min.insync.replicas", "2")
	good := rigBatch(t, rigParams(), "value")
	damaged := bytes.Clone(good)
	damaged[len(damaged)-1] ^= 1
	future := rigParams()
	future.BaseTimestamp += 5000
	zstd := rigParams()
	zstd.Codec = record.Zstd
	txn := "txn"
	for _, c := range []struct {
		name    string
		version int16
		edit    func(*kmsg.ProduceRequest)
		topic   string
		index   int32
		batch   []byte
		want    *kerr.Error
		failed  int // records that are named
	}{
		{name: "acks", edit: func(q *kmsg.ProduceRequest) { q.Acks = 2 }, want: kerr.InvalidRequiredAcks},
		{name: "transaction", edit: func(q *kmsg.ProduceRequest) { q.TransactionID = &txn }, want: kerr.InvalidRequest},
		{name: "unknown topic", topic: "other", want: kerr.UnknownTopicOrPartition},
		{name: "unknown id", version: 13, edit: func(q *kmsg.ProduceRequest) { q.Topics[0].TopicID[3]++ }, want: kerr.UnknownTopicID},
		{name: "unknown partition", index: 1, want: kerr.UnknownTopicOrPartition},
		{name: "negative partition", index: -1, want: kerr.UnknownTopicOrPartition},
		{name: "internal", topic: "__internal", want: kerr.InvalidTopicException},
		{name: "no batch", batch: []byte{}, want: kerr.InvalidRecord},
		{name: "null", edit: func(q *kmsg.ProduceRequest) { q.Topics[0].Partitions[0].Records = nil }, want: kerr.InvalidRecord},
		{name: "two batches", batch: append(bytes.Clone(good), good...), want: kerr.InvalidRecord},
		{name: "damaged", batch: damaged, want: kerr.CorruptMessage},
		{name: "truncated", batch: good[:len(good)-1], want: kerr.CorruptMessage},
		{name: "too large", batch: rigBatch(t, rigParams(), strings.Repeat("x", 1000)), want: kerr.MessageTooLarge},
		{name: "future", batch: rigBatch(t, future, "a", "b"), want: kerr.InvalidTimestamp, failed: 2},
		{name: "no key", topic: "table", batch: rigBatch(t, rigParams(), "a", "b", "c"), want: kerr.InvalidRecord, failed: 3},
		{name: "zstd before 7", version: 6, batch: rigBatch(t, zstd, "a"), want: kerr.UnsupportedCompressionType},
		{name: "zstd from 7", version: 7, batch: rigBatch(t, zstd, "a")},
		{name: "too few replicas", topic: "safe", want: kerr.NotEnoughReplicas},
		{name: "too few replicas, acks=1", topic: "safe", edit: func(q *kmsg.ProduceRequest) { q.Acks = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			version, topic, batch := c.version, c.topic, c.batch
			if version == 0 {
				version = 9
			}
			if topic == "" {
				topic = "events"
			}
			if batch == nil {
				batch = good
			}
			q := rigProduce(topic, id, c.index, batch)
			if c.edit != nil {
				c.edit(q)
			}
			out := produced(call[*kmsg.ProduceResponse](r.dial(), version, q))
			if c.want == nil {
				if out.ErrorCode != 0 {
					t.Fatalf("%v", kerr.ErrorForCode(out.ErrorCode))
				}
				return
			}
			if out.ErrorCode != c.want.Code || out.BaseOffset != -1 || out.Partition != c.index || len(out.ErrorRecords) != c.failed {
				t.Fatalf("%v, want %v, %d records at fault: %+v", kerr.ErrorForCode(out.ErrorCode), c.want, c.failed, out)
			}
			if version >= 8 && (out.ErrorMessage == nil || *out.ErrorMessage == "") {
				t.Error("no message")
			}
			for i, e := range out.ErrorRecords {
				if int(e.RelativeOffset) != i || *e.ErrorMessage == "" {
					t.Errorf("record %d: %+v", i, e)
				}
			}
		})
	}
	if log := r.log.String(); strings.Contains(log, "without a Kafka code") {
		t.Error(log)
	}
}

func TestRefusedBatchHoldsUpThoseBehindIt(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 1, "max.message.bytes", "500")
	c := r.dial()
	batch := func(sequence int32, value string) []byte {
		p := rigParams()
		p.ProducerID, p.ProducerEpoch, p.BaseSequence = 7, 0, sequence
		return rigBatch(t, p, value)
	}
	for i, step := range []struct {
		sequence int32
		value    string
		want     *kerr.Error
	}{
		{0, strings.Repeat("x", 500), kerr.MessageTooLarge},
		{1, "behind", kerr.OutOfOrderSequenceNumber},
		{0, "first", nil},
		{1, "second", nil},
		{1, "second", nil}, // a duplicate
	} {
		out := produced(call[*kmsg.ProduceResponse](c, 9, rigProduce("events", ident.TopicID{}, 0, batch(step.sequence, step.value))))
		if step.want != nil && out.ErrorCode != step.want.Code || step.want == nil && (out.ErrorCode != 0 || out.BaseOffset != int64(step.sequence)) {
			t.Fatalf("step %d: %+v", i, out)
		}
	}
}

func TestPartitionTwiceInOneRequest(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 2)
	q := rigProduce("events", ident.TopicID{}, 0, rigBatch(t, rigParams(), "a", "b"))
	more := rigProduce("events", ident.TopicID{}, 0, rigBatch(t, rigParams(), "c"))
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, more.Topics[0].Partitions...)
	bad := rigProduce("missing", ident.TopicID{}, 5, nil)
	q.Topics = append(q.Topics, bad.Topics[0], more.Topics[0])
	p := call[*kmsg.ProduceResponse](r.dial(), 9, q)
	var bases []int64
	for _, topic := range p.Topics {
		for _, part := range topic.Partitions {
			bases = append(bases, part.BaseOffset)
		}
	}
	if len(p.Topics) != 3 || p.Topics[1].Topic != "missing" || len(bases) != 4 ||
		bases[0] != 0 || bases[1] != 2 || bases[2] != -1 || bases[3] != 3 {
		t.Fatalf("%v %+v", bases, p)
	}
}

func TestAcksNone(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("events", 1)
	c := r.dial()
	q := rigProduce("events", ident.TopicID{}, 0, rigBatch(t, rigParams(), "a"))
	q.Acks = 0
	q.SetVersion(9)
	c.send(q)
	out := fetchedOf(call[*kmsg.FetchResponse](c, 12, rigFetch("events", ident.TopicID{}, 0, 0)))
	if out.HighWatermark != 1 {
		t.Fatalf("%+v", out)
	}
	q.Topics[0].Partitions[0].Partition = 9
	c.send(q)
	c.closed()
}

func TestStoredBatches(t *testing.T) {
	r := newDataRig(t)
	r.createTopic("appendtime", 1, "message.timestamp.type", "LogAppendTime")
	r.createTopic("created", 1)
	for _, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		r.createTopic(codec, 1, "compression.type", codec)
	}
	c := r.dial()
	store := func(topic string, batch []byte) (record.Header, []byte, *kmsg.ProduceResponseTopicPartition) {
		t.Helper()
		out := produced(call[*kmsg.ProduceResponse](c, 9, rigProduce(topic, ident.TopicID{}, 0, batch)))
		if out.ErrorCode != 0 {
			t.Fatalf("%s: %v", topic, kerr.ErrorForCode(out.ErrorCode))
		}
		got := fetchedOf(call[*kmsg.FetchResponse](c, 12, rigFetch(topic, ident.TopicID{}, 0, 0))).RecordBatches
		h, err := record.ParseHeader(got)
		if err != nil || !record.VerifyCRC(got) {
			t.Fatalf("%s: %v", topic, err)
		}
		return h, got, out
	}
	old := rigParams()
	old.BaseTimestamp -= 10_000
	h, _, out := store("appendtime", rigBatch(t, old, "a", "b"))
	if now := r.now.UnixMilli(); h.TimestampType() != record.LogAppendTime || h.MaxTimestamp != now || out.LogAppendTime != now {
		t.Errorf("LogAppendTime: %+v, answered %d", h, out.LogAppendTime)
	}
	wrong := rigBatch(t, rigParams(), "a", "b")
	if err := record.SetTimestamps(wrong, record.CreateTime, 5); err != nil {
		t.Fatal(err)
	}
	if h, _, _ := store("created", wrong); h.MaxTimestamp != rigParams().BaseTimestamp+1 {
		t.Errorf("maximum timestamp %d was not corrected", h.MaxTimestamp)
	}
	idempotent := rigParams()
	idempotent.Codec, idempotent.ProducerID, idempotent.ProducerEpoch, idempotent.BaseSequence = record.Snappy, 9, 3, 0
	for _, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		h, got, _ := store(codec, rigBatch(t, idempotent, "a", strings.Repeat("b", 100), "c"))
		if want := strings.Replace(codec, "uncompressed", "none", 1); h.Codec().String() != want {
			t.Errorf("%s: stored with %v", codec, h.Codec())
		}
		var values []string
		if err := record.ForEach(got, 0, func(r *record.Record) error {
			values = append(values, string(r.Value[:1]))
			return nil
		}); err != nil || strings.Join(values, "") != "abc" || h.ProducerID != 9 || h.ProducerEpoch != 3 || h.BaseSequence != 0 || h.LastOffsetDelta != 2 {
			t.Errorf("%s: %v %v %+v", codec, values, err, h)
		}
	}
}

func TestMalformedProduceClosesTheConnection(t *testing.T) {
	r := newDataRig(t)
	c := r.dial()
	if _, err := c.nc.Write(rigFrame(produceKey, 9, 1, true, []byte{0, 0, 1})); err != nil {
		t.Fatal(err)
	}
	c.closed()
	if _, err := parseProduce(9, []byte{0, 0, 1}); !errors.Is(err, errFrame) {
		t.Fatal(err)
	}
}

func BenchmarkProduce16KiB(b *testing.B) {
	r := newDataRig(b)
	r.createTopic("events", 1)
	c := r.dial()
	q := rigProduce("events", ident.TopicID{}, 0, rigBatch(b, rigParams(), strings.Repeat("x", 16<<10)))
	q.SetVersion(9)
	frame := rigFrame(produceKey, 9, 1, true, q.AppendTo(nil))
	c.last = 1
	b.SetBytes(16 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.nc.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := c.body(true); err != nil {
			b.Fatal(err)
		}
		_ = c.nc.SetDeadline(r.deadline())
	}
}
