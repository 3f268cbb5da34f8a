package kafka

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
)

// encodeCase is a response with all that may occur in one.
func encodeCase() []fetchedTopic {
	piece := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	return []fetchedTopic{
		{name: "events", id: ident.TopicID{1, 2}, parts: []fetchedPartition{
			{index: 0, hw: 100, lastStable: 90, logStart: 7, divergingEpoch: -1, leaderEpoch: -1, records: [][]byte{piece(16), piece(200), piece(3)}, bytes: 219},
			{index: 1, hw: 5, lastStable: 5, logStart: 5, divergingEpoch: -1, leaderEpoch: -1},
			{index: 2, hw: 8, lastStable: 8, divergingEpoch: 3, divergingEnd: 77, leaderEpoch: -1},
			{index: 3, code: 74, hw: -1, lastStable: -1, logStart: -1, divergingEpoch: -1, leaderEpoch: 12},
		}},
		{name: "", id: ident.TopicID{9}},
		{name: "last", id: ident.TopicID{3}, parts: []fetchedPartition{
			{index: 7, hw: 1, lastStable: 1, divergingEpoch: -1, leaderEpoch: -1, records: [][]byte{piece(61)}, bytes: 61},
		}},
	}
}

// kmsgCase is encodeCase as kmsg has it.
func kmsgCase(version int16, committed bool, topics []fetchedTopic) *kmsg.FetchResponse {
	r := kmsg.NewPtrFetchResponse()
	r.Version = version
	for _, t := range topics {
		topic := kmsg.NewFetchResponseTopic()
		if version >= 13 {
			topic.TopicID = t.id
		} else {
			topic.Topic = t.name
		}
		for _, p := range t.parts {
			out := kmsg.NewFetchResponseTopicPartition()
			out.Partition, out.ErrorCode = p.index, p.code
			out.HighWatermark, out.LastStableOffset = int64(p.hw), int64(p.lastStable)
			if version >= 5 {
				out.LogStartOffset = int64(p.logStart)
			}
			if committed && p.code == 0 {
				out.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			}
			out.RecordBatches = bytes.Join(p.records, nil)
			if out.RecordBatches == nil {
				out.RecordBatches = []byte{}
			}
			if version >= 12 && p.divergingEpoch >= 0 {
				out.DivergingEpoch.Epoch, out.DivergingEpoch.EndOffset = int32(p.divergingEpoch), int64(p.divergingEnd)
			}
			if version >= 12 && p.leaderEpoch >= 0 {
				out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = 4, int32(p.leaderEpoch)
				if version >= 16 {
					b := kmsg.NewFetchResponseBroker()
					b.NodeID, b.Host, b.Port = 4, "rig.test", 9092
					r.Brokers = []kmsg.FetchResponseBroker{b}
				}
			}
			topic.Partitions = append(topic.Partitions, out)
		}
		r.Topics = append(r.Topics, topic)
	}
	return r
}

func TestFetchEncodesWhatKmsgWrites(t *testing.T) {
	topics, self := encodeCase(), endpoint{4, "rig.test", 9092}
	for v := int16(4); v <= 18; v++ {
		for _, committed := range []bool{false, true} {
			t.Run(fmt.Sprintf("v%d/%v", v, committed), func(t *testing.T) {
				got := bytes.Join(encodeFetch(v, committed, 0, topics, self), nil)
				want := kmsgCase(v, committed, topics)
				if w := want.AppendTo(nil); !bytes.Equal(got, w) {
					r := kmsg.NewPtrFetchResponse()
					r.Version = v
					t.Fatalf("decodes (%v) to\n%+v\nwant\n%+v", r.ReadFrom(got), r, want)
				}
				if r := bytes.Join(encodeFetch(v, committed, 70, nil, self), nil); v >= 7 && !bytes.Equal(r, (&kmsg.FetchResponse{Version: v, ErrorCode: 70}).AppendTo(nil)) {
					t.Fatalf("error without topics: %x", r)
				}
			})
		}
	}
}

func TestFetchEncoderCopiesNoRecords(t *testing.T) {
	topics := encodeCase()
	parts := encodeFetch(12, false, 0, topics, endpoint{})
	found := 0
	for _, p := range parts {
		for _, r := range topics[0].parts[0].records {
			if reflect.ValueOf(p).Pointer() == reflect.ValueOf(r).Pointer() && len(p) == len(r) {
				found++
			}
		}
	}
	if found != 3 {
		t.Fatalf("%d of 3 pieces are the ones that were given", found)
	}
}

func BenchmarkFetchEncode1MiB(b *testing.B) {
	pieces := make([][]byte, 64)
	for i := range pieces {
		pieces[i] = make([]byte, 16<<10)
	}
	topics := []fetchedTopic{{name: "events", parts: []fetchedPartition{{hw: 1, divergingEpoch: -1, leaderEpoch: -1, records: pieces, bytes: 1 << 20}}}}
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		encodeFetch(12, false, 0, topics, endpoint{})
	}
}
