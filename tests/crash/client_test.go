package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/internal/record"
)

func client(t *testing.T, port int, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(fmt.Sprintf("127.0.0.1:%d", port)),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.AlwaysRetryEOF(), // a broker that dies when a connection is new is no broker that wants TLS
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// oneRecord is a record batch of one record.
func oneRecord(value string) []byte {
	b := record.NewBuilder(record.DefaultParams(record.None, time.Now().UnixMilli()))
	if err := b.Append(&record.Record{Value: []byte(value)}); err != nil {
		panic(err) // a small record fits
	}
	bytes, err := b.Finish(-1)
	if err != nil {
		panic(err)
	}
	return bytes
}

// readAll reads every record of a topic up to the log ends.
func readAll(t *testing.T, port int, topic string, partitions int, ends map[int32]int64) map[int32][]*kgo.Record {
	t.Helper()
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[int32(p)] = kgo.NewOffset().At(0)
	}
	// Control records are kept so that the end of a log that ends in a hole is
	// seen: a filler stands for it.
	cl := client(t, port, kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := map[int32][]*kgo.Record{}
	next := map[int32]int64{}
	complete := func() bool {
		for p, end := range ends {
			if next[p] < end {
				return false
			}
		}
		return true
	}
	for !complete() {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("reading back hangs at %v of %v", next, ends)
		}
		fetches.EachError(func(topic string, p int32, err error) { t.Errorf("fetch %s-%d: %v", topic, p, err) })
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out[r.Partition] = append(out[r.Partition], r)
			}
			next[r.Partition] = r.Offset + 1
		})
	}
	return out
}
