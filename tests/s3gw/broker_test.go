package s3gw

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tiering/objstore"
)

const (
	records     = 2000
	recordBytes = 8 << 10
)

// value is a record that says which one it is, all through.
func value(i int) []byte {
	s := fmt.Sprintf("%08d.", i)
	return []byte(strings.Repeat(s, recordBytes/len(s)))
}

// tierPartition is what the broker says of a partition.
type tierPartition struct {
	LocalLogStartOffset int64  `json:"local_log_start_offset"`
	TieredEndOffset     int64  `json:"tiered_end_offset"`
	Segments            int    `json:"segments"`
	PendingSegments     int    `json:"pending_segments"`
	Error               string `json:"error"`
}

func tierOf(t *testing.T, httpPort int) tierPartition {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v1/tier", httpPort))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct{ Partitions []tierPartition }
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	if len(s.Partitions) == 0 {
		return tierPartition{}
	}
	return s.Partitions[0]
}

// TestBroker runs the real broker on the S3 server: what is produced goes to the
// bucket and leaves the disk, a killed broker finds it again, one pass from
// offset 0 reads all of it, and a deleted topic leaves no object.
func TestBroker(t *testing.T) {
	bin, err := broker.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tier := storeURL(server.endpoint, nil)
	bucket := open(t, tier, options()) // makes the bucket
	httpPort := broker.FreePort(t)
	p := broker.Start(t, broker.Options{
		Bin: bin, Dir: t.TempDir(),
		Settings: []string{
			fmt.Sprintf("http.listen=127.0.0.1:%d", httpPort), "tier.url=" + tier, "tier.delete.delay.ms=0",
			"remote.log.manager.task.interval.ms=200", "log.retention.check.interval.ms=300",
		},
		Env: environment(),
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.Addr()), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchMaxBytes(100_000),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	one := func(s string) *string { return &s }
	if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{
		"remote.storage.enable": one("true"), "segment.bytes": one("1048576"), "local.retention.bytes": one("1"),
	}, "t"); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		cl.Produce(t.Context(), &kgo.Record{Value: value(i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var s tierPartition
	wait(t, p, func() bool {
		s = tierOf(t, httpPort)
		return s.Segments > 8 && s.PendingSegments == 0 && s.LocalLogStartOffset == s.TieredEndOffset
	})
	if got := count(t, bucket); got != s.Segments {
		t.Errorf("%d objects, %d segments", got, s.Segments)
	}
	p.Kill(t)
	p = p.Again(t)
	readBack(t, p)
	t.Logf("%d records read back, %d of them from %d objects", records, s.LocalLogStartOffset, s.Segments)
	if _, err := adm.DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	wait(t, p, func() bool { return count(t, bucket) == 0 })
	p.Stop(t)
	if log := p.Log(); strings.Contains(log, server.secret) {
		t.Errorf("the log holds the secret:\n%s", log)
	}
}

// wait waits for something that the broker does by itself.
func wait(t *testing.T, p *broker.Process, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain\n%s", p.Log())
		}
	}
}

func count(t *testing.T, st objstore.Store) int {
	t.Helper()
	l, err := st.List(t.Context(), "", "", objstore.ListMax)
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// readBack reads the topic from offset 0.
func readBack(t *testing.T, p *broker.Process) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.Addr()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i := 0; i < records; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d of %d records\n%s", i, records, p.Log())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(i) || !bytes.Equal(r.Value, value(i)) {
				t.Fatalf("record %d: offset %d, %.20q", i, r.Offset, r.Value)
			}
			i++
		})
	}
}
