package kafka

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

func TestCodesOfResponses(t *testing.T) {
	topics := kmsg.NewPtrCreateTopicsResponse()
	topics.Topics = []kmsg.CreateTopicsResponseTopic{{ErrorCode: 36}, {}, {ErrorCode: 17, ConfigErrorCode: 29}}
	meta := kmsg.NewPtrMetadataResponse()
	meta.Topics = []kmsg.MetadataResponseTopic{{ErrorCode: 3}, {Partitions: []kmsg.MetadataResponseTopicPartition{{ErrorCode: 5}, {}}}}
	offsets := kmsg.NewPtrOffsetFetchResponse()
	offsets.ErrorCode = 14
	offsets.Groups = []kmsg.OffsetFetchResponseGroup{{
		ErrorCode: 16, Topics: []kmsg.OffsetFetchResponseGroupTopic{{Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{ErrorCode: 7}}}},
	}}
	for _, c := range []struct {
		r    kmsg.Response
		want []int16
	}{
		{topics, []int16{36, 17}}, {meta, []int16{3, 5}}, {offsets, []int16{14, 7, 16}}, {kmsg.NewPtrListOffsetsResponse(), nil},
		{&kmsg.HeartbeatResponse{ErrorCode: 27}, []int16{27}}, {&kmsg.ApiVersionsResponse{}, nil},
	} {
		var got []int16
		errorCodes(c.r, func(code int16) { got = append(got, code) })
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%T has %v, want %v", c.r, got, c.want)
		}
	}
}

// Every response that the table serves can be walked.
func TestCodesOfEveryKey(t *testing.T) {
	for _, a := range apis() {
		q := kmsg.RequestForKey(a.key)
		errorCodes(q.ResponseKind(), func(code int16) { t.Errorf("key %d has code %d", a.key, code) })
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ErrorName(kerr.NotLeaderForPartition.Code), "NOT_LEADER_OR_FOLLOWER"}, {ErrorName(-1), "UNKNOWN_SERVER_ERROR"},
		{ErrorName(32000), "32000"}, {ErrorName(0), "0"}, {APIName(0), "Produce"}, {APIName(42), "DeleteGroups"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	for _, a := range apis() {
		if APIName(a.key) == "Unknown" {
			t.Errorf("key %d has no name", a.key)
		}
	}
}

// Batches are counted wherever the pieces are cut.
func TestCountRecords(t *testing.T) {
	var all []byte
	want := 0
	for _, n := range []int{1, 7, 100} {
		b := record.NewBuilder(record.DefaultParams(record.None, 1))
		for i := range n {
			if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: fmt.Appendf(nil, "%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Finish(-1)
		if err != nil {
			t.Fatal(err)
		}
		all, want = append(all, batch...), want+n
	}
	for size := 1; size <= len(all); size++ {
		if got := countRecords(slices.Collect(slices.Chunk(all, size))); got != want {
			t.Fatalf("%d records in pieces of %d bytes, want %d", got, size, want)
		}
	}
	if got := countRecords([][]byte{make([]byte, 200)}); got != 0 {
		t.Errorf("%d records in nothing", got)
	}
}

func TestLeadingCode(t *testing.T) {
	code := kerr.FetchSessionIDNotFound.Code
	for version := int16(4); version <= 18; version++ {
		want := code
		if version < 7 { // has none
			want = 0
		}
		if got := leadingCode(fetchKey, version, encodeFetch(version, false, code, nil, endpoint{})); got != want {
			t.Errorf("version %d: %d", version, got)
		}
	}
	if leadingCode(produceKey, 9, [][]byte{make([]byte, 10)}) != 0 || leadingCode(fetchKey, 9, nil) != 0 {
		t.Error("a code out of nothing")
	}
}

func BenchmarkCountRecords(b *testing.B) {
	builder := record.NewBuilder(record.DefaultParams(record.None, 1))
	for i := range 100 {
		_ = builder.Append(&record.Record{OffsetDelta: int32(i), Value: make([]byte, 100)})
	}
	batch, err := builder.Finish(-1)
	if err != nil {
		b.Fatal(err)
	}
	pieces := [][]byte{batch, batch, batch, batch}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if countRecords(pieces) != 400 {
			b.Fatal("miscounted")
		}
	}
}

// A large answer, walked for codes that it does not have.
func BenchmarkCodesOfMetadata(b *testing.B) {
	r := kmsg.NewPtrMetadataResponse()
	for range 33 {
		r.Topics = append(r.Topics, kmsg.MetadataResponseTopic{Partitions: make([]kmsg.MetadataResponseTopicPartition, 100)})
	}
	b.ReportAllocs()
	for range b.N {
		errorCodes(r, func(int16) { b.Fatal("a code") })
	}
}
