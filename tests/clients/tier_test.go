//go:build clients

package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tests/clients/scenario"
)

const (
	coldTopic   = "cold"
	coldRecords = 3000 // of each of two partitions, 6 MiB
	coldValue   = 2 << 10
)

// TestColdTier has every client read a topic of which all closed segments have
// left the broker's disk, and Kafka's tool ask where its parts begin and end.
func TestColdTier(t *testing.T) {
	httpPort := broker.FreePort(t)
	b := start(t, fmt.Sprintf("http.listen=127.0.0.1:%d", httpPort),
		"remote.log.manager.task.interval.ms=200", "log.retention.check.interval.ms=300")
	want := sendCold(t, b.Addr())
	state := untilCold(t, fmt.Sprintf("http://127.0.0.1:%d/v1/tier?topic=%s", httpPort, coldTopic))
	q := scenario.Consume{}
	for p := range want {
		q.Reads = append(q.Reads, scenario.Read{Topic: coldTopic, Partition: int32(p)})
	}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			got := byPartition(run[scenario.Consumed](t, c, b.Addr(), "consume", q).Records)
			for p := range want {
				sameRecords(t, want[p], got[place{coldTopic, int32(p)}])
			}
		})
	}
	t.Run("offsets", func(t *testing.T) { coldOffsets(t, b.Addr(), state) })
	t.Run("group", func(t *testing.T) {
		const group = "cold-readers"
		read := consumePerformance(t, b.Addr(), coldTopic, group, 2*coldRecords)
		t.Log(read)
		for partition, l := range described(t, b.Addr(), group, coldTopic)[group] {
			if l.lag != "0" {
				t.Errorf("partition %d: committed %s, the log ends at %s, lag %s", partition, l.committed, l.end, l.lag)
			}
		}
	})
}

// coldOffsets asks Kafka's tool where the parts of the partitions begin and end.
func coldOffsets(t *testing.T, addr string, state []admin.TierPartition) {
	for when, offset := range map[string]func(admin.TierPartition) int64{
		"earliest":                func(admin.TierPartition) int64 { return 0 },
		"latest":                  func(admin.TierPartition) int64 { return coldRecords },
		"earliest-local":          func(p admin.TierPartition) int64 { return p.LocalLogStartOffset },
		"latest-tiered":           func(p admin.TierPartition) int64 { return p.TieredEndOffset - 1 },
		"earliest-pending-upload": func(p admin.TierPartition) int64 { return p.TieredEndOffset },
	} {
		out := tool(t, getOffsets, "--bootstrap-server", addr, "--topic", coldTopic, "--time", when)
		t.Logf("--time %s: %q", when, out)
		for _, p := range state {
			contains(t, out, fmt.Sprintf("%s:%d:%d\n", coldTopic, p.Partition, offset(p)))
		}
	}
}

// sendCold fills the topic, one partition as it is and the other compressed.
func sendCold(t *testing.T, addr string) [][]scenario.Got {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rng := rand.New(rand.NewPCG(3, 4))
	out := make([][]scenario.Got, 2)
	for p, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(100_000))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if p == 0 {
			createTopicWide(ctx, t, cl, coldTopic, int32(len(out)), map[string]string{
				"remote.storage.enable": "true", "segment.bytes": "1048576", "local.retention.bytes": "1",
			})
		}
		var records []*kgo.Record
		for i := range coldRecords {
			value := make([]byte, coldValue)
			for j := range value {
				value[j] = byte(rng.Uint32())
			}
			r := &kgo.Record{Topic: coldTopic, Partition: int32(p), Key: fmt.Appendf(nil, "key %d", i), Value: value}
			records = append(records, r)
			out[p] = append(out[p], scenario.Got{
				Topic: coldTopic, Partition: int32(p), Offset: int64(i), Key: scenario.Blob(r.Key), Value: scenario.Blob(value),
			})
		}
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// untilCold waits until nothing is left to be uploaded or to leave the disk, and
// returns where the partitions stand.
func untilCold(t *testing.T, url string) []admin.TierPartition {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const closed = 5 // segments of a MiB that 6 MiB have at least
	for {
		var status admin.TierStatus
		raw := call(ctx, t, "GET", url, "")
		if err := json.Unmarshal(raw, &status); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		cold := 0
		for _, p := range status.Partitions {
			if p.Segments >= closed && p.PendingSegments == 0 && p.LocalLogStartOffset == p.TieredEndOffset {
				cold++
			}
		}
		if cold == 2 {
			t.Logf("%s", raw)
			return status.Partitions
		}
		if ctx.Err() != nil {
			t.Fatalf("not all is tiered: %s", raw)
		}
		time.Sleep(pause)
	}
}
