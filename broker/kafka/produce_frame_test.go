package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
)

// framePart is a partition as the reader or kmsg show it.
type framePart struct {
	topic   string
	id      ident.TopicID
	index   int32
	null    bool
	records []byte
}

// frameParts collects what a frame holds.
type frameParts struct {
	topics int
	name   string
	id     ident.TopicID
	parts  []framePart
}

func (f *frameParts) topic(name []byte, id ident.TopicID) {
	f.topics, f.name, f.id = f.topics+1, string(name), id
}

func (f *frameParts) partition(index int32, records []byte) {
	f.parts = append(f.parts, framePart{f.name, f.id, index, records == nil, records})
}

// frameRequest is a request with all that may occur in one.
func frameRequest(version int16) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Version, q.Acks, q.TimeoutMillis = version, -1, 30_000
	for i, name := range []string{"events", "", "other.topic"} {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = name, [16]byte{1, byte(i)}
		for j := range i + 1 {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(j) - 1
			if j != 1 {
				p.Records = bytes.Repeat([]byte{byte(i), byte(j)}, 100*j)
			}
			p.UnknownTags.Set(9, []byte("partition"))
			t.Partitions = append(t.Partitions, p)
		}
		t.UnknownTags.Set(200, nil)
		q.Topics = append(q.Topics, t)
	}
	q.UnknownTags.Set(3, []byte("request"))
	return q
}

// frameWants are the parts of a request as the frame's reader must show them.
func frameWants(q *kmsg.ProduceRequest) []framePart {
	var want []framePart
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			w := framePart{index: p.Partition, null: p.Records == nil, records: p.Records}
			if q.Version >= 13 {
				w.id = t.TopicID
			} else {
				w.topic = t.Topic
			}
			want = append(want, w)
		}
	}
	return want
}

func checkFrame(t *testing.T, f *produceFrame, q *kmsg.ProduceRequest) {
	t.Helper()
	var got frameParts
	f.each(&got)
	want := frameWants(q)
	if f.topics != len(q.Topics) || got.topics != len(q.Topics) || f.partitions != len(want) || len(got.parts) != len(want) {
		t.Fatalf("version %d: %d topics and %d partitions, shown %d and %d, want %d and %d",
			q.Version, f.topics, f.partitions, got.topics, len(got.parts), len(q.Topics), len(want))
	}
	if f.acks != q.Acks || f.timeoutMs != q.TimeoutMillis || f.transactional != (q.TransactionID != nil) {
		t.Fatalf("version %d: %+v", q.Version, f)
	}
	for i, g := range got.parts {
		w := want[i]
		if g.topic != w.topic || g.id != w.id || g.index != w.index || g.null != w.null || !bytes.Equal(g.records, w.records) {
			t.Fatalf("version %d, part %d: %+v, want %+v", q.Version, i, g, w)
		}
	}
}

func TestProduceFrameReadsWhatKmsgWrites(t *testing.T) {
	txn := "transaction"
	for v := int16(3); v <= 13; v++ {
		for _, q := range []*kmsg.ProduceRequest{frameRequest(v), {Version: v, Acks: 1, TransactionID: &txn}} {
			body := q.AppendTo(nil)
			f, err := parseProduce(v, body)
			if err != nil {
				t.Fatal(err)
			}
			checkFrame(t, &f, q)
			for n := range body {
				if _, err := parseProduce(v, body[:n]); !errors.Is(err, errFrame) {
					t.Fatalf("version %d cut at %d of %d: %v", v, n, len(body), err)
				}
			}
			if _, err := parseProduce(v, append(bytes.Clone(body), 0)); !errors.Is(err, errFrame) {
				t.Fatalf("version %d with a byte more: %v", v, err)
			}
		}
	}
}

func TestProduceFrameBelievesNoCount(t *testing.T) {
	for v := int16(3); v <= 13; v++ {
		head := (&kmsg.ProduceRequest{Version: v, Acks: 1}).AppendTo(nil)
		// The count of topics stands last but for the tagged fields.
		head = head[:len(head)-4]
		if v >= 9 {
			head = (&kmsg.ProduceRequest{Version: v, Acks: 1}).AppendTo(nil)
			head = head[:len(head)-2]
		}
		for _, lie := range []uint32{1, 1 << 10, 1<<31 - 1, 1<<32 - 2, 1<<32 - 1} {
			body := binary.BigEndian.AppendUint32(bytes.Clone(head), lie)
			if v >= 9 {
				body = binary.AppendUvarint(bytes.Clone(head), uint64(lie)+1)
			}
			body = append(body, bytes.Repeat([]byte{1}, 64)...)
			var err error
			allocs := testing.AllocsPerRun(1, func() { _, err = parseProduce(v, body) })
			if !errors.Is(err, errFrame) || allocs > 8 {
				t.Errorf("version %d, %d topics: %v, %v allocations", v, lie, err, allocs)
			}
		}
	}
}

func TestProduceFrameAllocatesNothing(t *testing.T) {
	body := frameRequest(9).AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = parseProduce(9, body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestProduceFrameBoundsPartitions(t *testing.T) {
	q := &kmsg.ProduceRequest{Version: 9, Acks: 1, Topics: make([]kmsg.ProduceRequestTopic, 1)}
	q.Topics[0].Partitions = make([]kmsg.ProduceRequestTopicPartition, producePartitionsMax)
	if _, err := parseProduce(9, q.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, q.Topics[0].Partitions[0])
	if _, err := parseProduce(9, q.AppendTo(nil)); !errors.Is(err, errFrame) {
		t.Fatal(err)
	}
}

func FuzzProduceFrame(f *testing.F) {
	for v := int16(3); v <= 13; v++ {
		f.Add(v, frameRequest(v).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		version = 3 + version&0x7fff%11
		if len(body) > 1<<16 {
			return
		}
		frame, err := parseProduce(version, body)
		if err != nil {
			return
		}
		// What is accepted is what kmsg reads.
		q := kmsg.NewPtrProduceRequest()
		q.Version = version
		if err := q.ReadFrom(body); err != nil {
			t.Fatalf("kmsg refuses it: %v", err)
		}
		checkFrame(t, &frame, q)
	})
}
