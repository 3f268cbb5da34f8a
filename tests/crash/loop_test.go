package crash

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	loopPartitions = 4
	loopProducers  = 3
)

// acked is what a producer was told about a record.
type acked struct {
	partition int32
	offset    int64
	producer  int
	number    int
}

// load is idempotent producers that write numbered records, round robin over
// the partitions of a topic, until told to stop.
type load struct {
	topic      string
	partitions int
	value      func(producer, number int) string
	producers  int
	rest       time.Duration // between two records of a producer, so that judging does not take longer than the storm

	wg      sync.WaitGroup
	stop    chan struct{}
	mu      sync.Mutex
	acks    []acked
	clients []*kgo.Client
	failed  error
}

func startLoad(t *testing.T, port int, topic string, partitions int, value func(producer, number int) string) *load {
	l := &load{topic: topic, partitions: partitions, value: value, producers: loopProducers, rest: 200 * time.Microsecond, stop: make(chan struct{})}
	l.start(t, port)
	return l
}

func (l *load) start(t *testing.T, port int) {
	for id := range l.producers {
		cl := client(t, port, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Millisecond),
			kgo.MaxBufferedRecords(200), kgo.ProducerBatchMaxBytes(16<<10), kgo.ProducerBatchCompression(kgo.NoCompression()))
		l.clients = append(l.clients, cl)
		l.wg.Go(func() { l.produce(cl, id) })
	}
}

func (l *load) produce(cl *kgo.Client, id int) {
	var sent sync.WaitGroup
	defer sent.Wait()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		time.Sleep(l.rest)
		r := &kgo.Record{Topic: l.topic, Partition: int32(n % l.partitions), Value: []byte(l.value(id, n))}
		sent.Add(1)
		cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			defer sent.Done()
			l.mu.Lock()
			defer l.mu.Unlock()
			if err != nil {
				l.failed = err
				return
			}
			l.acks = append(l.acks, acked{r.Partition, r.Offset, id, n})
		})
	}
}

// acknowledged returns how many records were so far.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// atLeast lets the load go on until so many records are acknowledged: a slow
// machine, or few rounds, may not have brought enough to try anything.
func (l *load) atLeast(t *testing.T, records int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); l.acknowledged() < records; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d records to %s acknowledged, and not %d a minute after the last round", l.acknowledged(), l.topic, records)
		}
	}
}

// finish lets everything in hand be acknowledged.
func (l *load) finish(t *testing.T) []acked {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	for _, cl := range l.clients {
		cl.Close()
	}
	if l.failed != nil {
		t.Errorf("a record was not accepted: %v", l.failed)
	}
	return l.acks
}

// abandon ends the load as it is: what is in hand is not waited for.
func (l *load) abandon() []acked {
	close(l.stop)
	for _, cl := range l.clients {
		cl.Close()
	}
	l.wg.Wait()
	return l.acks
}

// TestCrashLoop kills the broker under load, again and again
// (VARVE_CRASH_ROUNDS), and then reads everything back.
func TestCrashLoop(t *testing.T) {
	s := besiege(t, "loop", logPoints)
	s.chapters(func(chapter int) {
		topic := fmt.Sprintf("crash-loop-%d", chapter)
		create(t, s.port(), topic, loopPartitions)
		l := startLoad(t, s.port(), topic, loopPartitions, numbered)
		s.storm(nil)
		acks := l.finish(t)
		s.judged(acks, judge(t, acks, readAll(t, s.port(), topic, loopPartitions, logEnds(t, s.port(), topic, loopPartitions))))
		drop(t, s.port(), topic)
	})
}

// numbered is the value of a record that names its producer and its number.
func numbered(id, n int) string { return fmt.Sprintf("%d/%d/%02000d", id, n, n) }

// create makes a topic with configs NAME=VALUE.
func create(t *testing.T, port int, topic string, partitions int32, configs ...string) {
	t.Helper()
	cl := client(t, port)
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		rc := kmsg.NewCreateTopicsRequestTopicConfig()
		rc.Name, rc.Value = name, &value
		rt.Configs = append(rt.Configs, rc)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(context.Background(), cl)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// drop deletes a topic.
func drop(t *testing.T, port int, topic string) {
	t.Helper()
	cl := client(t, port)
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopic(context.Background(), topic); err != nil {
		t.Fatal(err)
	}
}

func logEnds(t *testing.T, port int, topic string, partitions int) map[int32]int64 {
	t.Helper()
	return askOffsets(t, port, topic, partitions, -1)
}

// askOffsets asks one of ListOffsets' questions of every partition.
func askOffsets(t *testing.T, port int, topic string, partitions int, question int64) map[int32]int64 {
	t.Helper()
	cl := client(t, port)
	defer cl.Close()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = int32(p), question
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(context.Background(), cl)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int32]int64{}
	for _, rp := range resp.Topics[0].Partitions {
		if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
			t.Fatal(err)
		}
		ends[rp.Partition] = rp.Offset
	}
	return ends
}

// judge compares what was acknowledged with what is read, and returns how much
// is wrong.
func judge(t *testing.T, acks []acked, records map[int32][]*kgo.Record) (violations int) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	seen := map[string]place{}
	lost, moved, doubled, reordered := 0, 0, 0, 0
	for p, rs := range records {
		last := map[int]int{}
		for i, r := range rs {
			var id, n int
			if _, err := fmt.Sscanf(string(r.Value), "%d/%d/", &id, &n); err != nil {
				t.Fatalf("a record that nobody wrote: %q", r.Value)
			}
			key := fmt.Sprintf("%d/%d", id, n)
			if _, ok := seen[key]; ok {
				doubled++
			}
			seen[key] = place{p, r.Offset}
			if before, ok := last[id]; ok && n <= before {
				reordered++
			}
			last[id] = n
			if i > 0 && r.Offset <= rs[i-1].Offset {
				reordered++
			}
		}
	}
	for _, a := range acks {
		at, ok := seen[fmt.Sprintf("%d/%d", a.producer, a.number)]
		switch {
		case !ok:
			lost++
		case at != place{a.partition, a.offset}:
			moved++
		}
	}
	text := fmt.Sprintf("acknowledged %d, read %d: lost %d, duplicated %d, reordered %d, moved %d", len(acks), len(seen), lost, doubled, reordered, moved)
	t.Log(text)
	violations = lost + doubled + reordered + moved
	if violations > 0 || len(acks) == 0 {
		t.Error(text)
	}
	return violations
}
