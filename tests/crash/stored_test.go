package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/varvelog/varve/internal/record"
)

// storedRecord is a record as a broker serves it.
type storedRecord struct {
	offset int64
	epoch  int32
	value  string
}

// stored is what a broker serves of one partition, up to its end or to the first
// error.
type stored struct {
	records []storedRecord
	end     int64 // high watermark
	err     error
}

// fetchAll reads a topic from its beginning with plain requests, so that every
// error of every partition is seen. It reports false if there is no such topic.
func fetchAll(t *testing.T, port int, topic string, partitions int) ([]stored, bool) {
	t.Helper()
	cl := client(t, port, kgo.MaxVersions(kversion.V3_0_0())) // which names topics
	defer cl.Close()
	out := make([]stored, partitions)
	for p := range out {
		s := &out[p]
		for next := int64(0); s.err == nil; {
			var raw []byte
			raw, s.end, s.err = fetchOnce(t, cl, topic, int32(p), next)
			if s.err == kerr.UnknownTopicOrPartition {
				return nil, false
			}
			if s.err != nil || next >= s.end {
				break
			}
			before := next
			for batch, err := range record.Batches(raw) {
				if err != nil {
					break // it does not end with a batch
				}
				next = s.take(t, batch)
			}
			if next == before {
				break // a hole up to the end
			}
		}
	}
	return out, true
}

// take adds the records of a batch and returns the offset behind it.
func (s *stored) take(t *testing.T, batch []byte) int64 {
	t.Helper()
	h, err := record.ParseHeader(batch)
	if err != nil || !record.VerifyCRC(batch) {
		t.Fatalf("a damaged batch is served: %v", err)
	}
	if !h.IsControl() {
		err = record.ForEach(batch, 0, func(r *record.Record) error {
			s.records = append(s.records, storedRecord{h.BaseOffset + int64(r.OffsetDelta), h.LeaderEpoch, string(r.Value)})
			return nil
		})
		must(t, err)
	}
	return h.LastOffset() + 1
}

// fetchOnce asks for what follows an offset. A partition that has no leader yet
// is asked again.
func fetchOnce(t *testing.T, cl *kgo.Client, topic string, partition int32, from int64) (raw []byte, end int64, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 100, 1, 8<<20
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = topic
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, from, 4<<20
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(ctx, cl)
		must(t, err)
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			t.Fatalf("an answer of %d topics, error %d", len(resp.Topics), resp.ErrorCode)
		}
		got := &resp.Topics[0].Partitions[0]
		err = kerr.ErrorForCode(got.ErrorCode)
		if err == kerr.LeaderNotAvailable || err == kerr.NotLeaderForPartition {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		return got.RecordBatches, got.HighWatermark, err
	}
}

// verdict counts what is wrong with what a broker serves.
type verdict struct {
	acked, read, given              int // given up, as a report says
	lost, moved, doubled, reordered int
}

func (v *verdict) violations() int { return v.lost + v.moved + v.doubled + v.reordered }

func (v *verdict) String() string {
	return fmt.Sprintf("acknowledged %d, read %d, given up %d: lost %d, duplicated %d, reordered %d, moved %d",
		v.acked, v.read, v.given, v.lost, v.doubled, v.reordered, v.moved)
}

// judgeStored compares what was acknowledged with what is served. gone says which
// offsets may be missing.
func judgeStored(t *testing.T, acks []acked, parts []stored, gone func(partition int32, offset int64) bool) *verdict {
	t.Helper()
	v := &verdict{acked: len(acks)}
	type place struct {
		partition int32
		offset    int64
	}
	seen := map[string]place{}
	for p := range parts {
		last, lastOffset := map[int]int{}, int64(-1)
		for _, r := range parts[p].records {
			var id, n int
			if _, err := fmt.Sscanf(r.value, "%d/%d/", &id, &n); err != nil {
				t.Fatalf("a record that nobody wrote: %q", r.value)
			}
			key := fmt.Sprintf("%d/%d", id, n)
			if _, ok := seen[key]; ok {
				v.doubled++
			}
			seen[key] = place{int32(p), r.offset}
			if before, ok := last[id]; ok && n <= before || r.offset <= lastOffset {
				v.reordered++
			}
			last[id], lastOffset = n, r.offset
			v.read++
		}
	}
	for _, a := range acks {
		at, ok := seen[fmt.Sprintf("%d/%d", a.producer, a.number)]
		switch {
		case ok && at != place{a.partition, a.offset}:
			v.moved++
		case ok:
		case gone(a.partition, a.offset):
			v.given++
		default:
			if v.lost++; v.lost <= 3 {
				t.Logf("lost: partition %d, offset %d (served up to %d, %v)", a.partition, a.offset, parts[a.partition].end, parts[a.partition].err)
			}
		}
	}
	return v
}
