//go:build clients

package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/tests/clients/scenario"
)

// lastValue ends what the clients follow.
const lastValue = "last-of-all"

// TestRestart ends the broker twice, once in order and once not, while every
// client sends in idempotent mode and follows what it sends. Whatever was
// acknowledged must be there once, in order, where the producer was told, and
// the consumer must have seen all of it.
func TestRestart(t *testing.T) {
	b := start(t)
	limited, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	ctx, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	until := filepath.Join(t.TempDir(), "until")
	dir := t.TempDir()
	watch := newWatcher(t, b.Addr())
	defer watch.close()

	sent := make([]outcome[scenario.Produced], len(clients))
	seen := make([]outcome[scenario.Consumed], len(clients))
	var producers, consumers sync.WaitGroup
	for i, c := range clients {
		topic := "restart-" + c.name
		watch.create(ctx, t, topic)
		producers.Go(func() {
			sent[i].got, sent[i].err = try[scenario.Produced](c, dir, b.Addr(), "restart", scenario.Restart{Topic: topic, Until: until})
			if sent[i].err != nil {
				cancel(sent[i].err) // nobody has to wait for its progress
			}
		})
		consumers.Go(func() {
			seen[i].got, seen[i].err = try[scenario.Consumed](c, dir, b.Addr(), "follow", scenario.Follow{Topic: topic, Last: []byte(lastValue)})
		})
	}
	watch.progress(ctx, t)
	b.Stop(t)
	b = b.Again(t)
	watch.progress(ctx, t)
	b.Kill(t)
	b = b.Again(t)
	watch.progress(ctx, t)
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	producers.Wait()
	for i, c := range clients {
		if sent[i].err == nil {
			watch.last(ctx, t, "restart-"+c.name)
		}
	}
	consumers.Wait()
	for i, c := range clients {
		t.Run(c.name, func(t *testing.T) { checkRestart(t, c, sent[i], seen[i], b.Addr()) })
	}
}

type outcome[R any] struct {
	got R
	err error
}

// checkRestart compares what a client's producer was told with what its
// consumer saw and with what another client reads now.
func checkRestart(t *testing.T, c client, sent outcome[scenario.Produced], seen outcome[scenario.Consumed], addr string) {
	if sent.err != nil {
		t.Fatal(sent.err)
	}
	if seen.err != nil {
		t.Fatal(seen.err)
	}
	q := scenario.Consume{Reads: []scenario.Read{{Topic: "restart-" + c.name}}}
	now := run[scenario.Consumed](t, franz(), addr, "consume", q).Records
	acks := sent.got.Runs[0]
	if len(now) != len(acks)+1 {
		t.Errorf("%d records were acknowledged, with the last %d are there", len(acks), len(now))
	}
	if len(seen.got.Records) != len(now) {
		t.Errorf("%d records are there, the consumer saw %d", len(now), len(seen.got.Records))
	}
	for n, a := range acks {
		want := *scenario.Blob(fmt.Append(nil, n))
		switch {
		case a.Offset != int64(n):
			t.Fatalf("record %d was acknowledged with offset %d", n, a.Offset)
		case n >= len(now) || *now[n].Value != want || now[n].Offset != a.Offset:
			t.Fatalf("record %d, acknowledged with offset %d, is not there", n, a.Offset)
		case n >= len(seen.got.Records) || *seen.got.Records[n].Value != want || seen.got.Records[n].Offset != a.Offset:
			t.Fatalf("record %d, acknowledged with offset %d, was not seen", n, a.Offset)
		}
	}
}

// watcher waits for the producers' progress by reading their topics.
type watcher struct {
	cl     *kgo.Client
	counts map[string]int
}

func newWatcher(t *testing.T, addr string) *watcher {
	t.Helper()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{cl: cl, counts: map[string]int{}}
}

func (w *watcher) close() { w.cl.Close() }

// create makes a topic and begins to watch it.
func (w *watcher) create(ctx context.Context, t *testing.T, topic string) {
	t.Helper()
	createTopic(ctx, t, w.cl, topic, nil)
	w.counts[topic] = 0
	w.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}})
}

// progress waits until every topic has a good number of new records.
func (w *watcher) progress(ctx context.Context, t *testing.T) {
	t.Helper()
	const enough = 30
	fresh := map[string]int{}
	for {
		fetches := w.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the producers get stuck: %v\nnew records %v, all %v", context.Cause(ctx), fresh, w.counts)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			fresh[r.Topic]++
			w.counts[r.Topic]++
		})
		done := 0
		for topic := range w.counts {
			if fresh[topic] >= enough {
				done++
			}
		}
		if done == len(w.counts) {
			return
		}
	}
}

// last ends a topic.
func (w *watcher) last(ctx context.Context, t *testing.T, topic string) {
	t.Helper()
	if err := w.cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(lastValue)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
