//go:build clients

package clients

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/tests/clients/scenario"
)

// TestAppendTime has every client write to topics whose timestamps the broker
// sets, and compares the timestamps it was told with those that are there.
func TestAppendTime(t *testing.T) {
	b := start(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			topic := "times-" + c.name
			createTopic(ctx, t, cl, topic, map[string]string{"message.timestamp.type": "LogAppendTime"})
			from := time.Now().UnixMilli()
			sent := c.fitted([]scenario.Run{
				{Topic: topic, Codec: "none", Idempotent: true, Records: dates(0)},
				{Topic: topic, Codec: "zstd", Idempotent: true, Records: dates(0)},
			})
			told := run[scenario.Produced](t, c, b.Addr(), "produce", scenario.Produce{Runs: sent})
			to := time.Now().UnixMilli()
			q := scenario.Consume{Reads: []scenario.Read{{Topic: topic}}}
			records := run[scenario.Consumed](t, c, b.Addr(), "consume", q).Records
			acks := append(told.Runs[0], told.Runs[1]...)
			if len(acks) != 2*dated || len(records) != 2*dated {
				t.Fatalf("%d records, %d acknowledged, %d read", 2*dated, len(acks), len(records))
			}
			for i, r := range records {
				if r.Timestamp < from || r.Timestamp > to {
					t.Errorf("record %d: appended from %d to %d, read with timestamp %d", i, from, to, r.Timestamp)
				}
				if a := acks[i]; a.Timestamp != nil && !c.ownTime && *a.Timestamp != r.Timestamp {
					t.Errorf("record %d: told timestamp %d, read %d", i, *a.Timestamp, r.Timestamp)
				}
			}
		})
	}
}

// createTopic makes a topic of one partition.
func createTopic(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, configs map[string]string) {
	t.Helper()
	createTopicWide(ctx, t, cl, topic, 1, configs)
}

// createTopicWide makes a topic.
func createTopicWide(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, partitions int32, configs map[string]string) {
	t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = 15_000
	c := kmsg.NewCreateTopicsRequestTopic()
	c.Topic, c.NumPartitions, c.ReplicationFactor = topic, partitions, 1
	for name, value := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, kmsg.StringPtr(value)
		c.Configs = append(c.Configs, config)
	}
	q.Topics = append(q.Topics, c)
	resp, err := q.RequestWith(ctx, cl)
	if err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
	if len(resp.Topics) != 1 {
		t.Fatalf("create %s: the answer has %d topics", topic, len(resp.Topics))
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
}
