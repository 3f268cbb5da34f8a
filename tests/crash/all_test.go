package crash

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// roundsToBeEverywhere is how many rounds it takes to come by every place, or
// nearly.
const roundsToBeEverywhere = 60

// TestCrashAll kills a broker that does everything at the same time: a plain
// topic that a group reads, a topic with a chain, one that goes to the cold tier
// and is read from there, and topics that come and go. Unless it is called for
// less, it comes by every place.
func TestCrashAll(t *testing.T) {
	points := slices.Concat(logPoints, letterPoints, tierPoints, groupPoints, topicPoints)
	s := besiege(t, "all", points, append([]string{"group.initial.rebalance.delay.ms=0"}, tierSettings...)...)
	s.everywhere, s.rounds = true, max(s.rounds, min(4*s.rounds, roundsToBeEverywhere))
	s.chapters(func(chapter int) {
		plain, chained, tiered := fmt.Sprintf("all-plain-%d", chapter), fmt.Sprintf("all-chain-%d", chapter), fmt.Sprintf("all-tier-%d", chapter)
		create(t, s.port(), plain, groupPartitions)
		makeChained(t, s, chained)
		makeTiered(t, s.port(), tiered, tierPartitions)
		g := gather(t, s.port(), plain, fmt.Sprintf("all-%d", chapter))
		lp := startPaced(t, s.port(), plain, groupPartitions, numbered)
		lc := startPaced(t, s.port(), chained, chainPartitions, chainValue)
		lt := startPaced(t, s.port(), tiered, tierPartitions, numbered)
		cold := readCold(t, s.port(), tiered, tierPartitions)
		churn := startChurn(t, s.port(), fmt.Sprintf("all-churn-%d", chapter))
		s.storm(g.turn)
		churn()
		cold()
		lt.atLeast(t, tierRecords)
		plains, chains, tiers := lp.finish(t), lc.finish(t), lt.finish(t)
		s.judged(plains, g.judge(plains)+judge(t, plains, readAll(t, s.port(), plain, groupPartitions, logEnds(t, s.port(), plain, groupPartitions))))
		s.judged(chains, judgeChain(t, chains, s.port(), chained))
		s.judged(tiers, judgeTier(t, s, tiers, tiered))
		for _, topic := range []string{plain, chained, "dlq." + chained, tiered} {
			drop(t, s.port(), topic)
		}
	})
}

// startPaced is one producer, since others share the broker.
func startPaced(t *testing.T, port int, topic string, partitions int, value func(id, n int) string) *load {
	l := &load{topic: topic, partitions: partitions, value: value, producers: 1, rest: 200 * time.Microsecond, stop: make(chan struct{})}
	l.start(t, port)
	return l
}

// startChurn makes topics in the cold tier, fills them, deletes records and then
// the topic, one after the other, until the function that it returns is called.
// What becomes of them is not judged: requests fail when the broker dies.
func startChurn(t *testing.T, port int, name string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	cl := client(t, port, kgo.ProducerBatchCompression(kgo.NoCompression())) // or a segment is never full
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			churnOnce(ctx, cl, fmt.Sprintf("%s-%d", name, n))
		}
	})
	return func() {
		cancel()
		wg.Wait()
		cl.Close()
	}
}

func churnOnce(ctx context.Context, cl *kgo.Client, topic string) {
	const partitions, records, valueBytes = 2, 60, 64 << 10
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	adm := kadm.NewClient(cl)
	remote, segment := "true", "1048576"
	if _, err := adm.CreateTopic(ctx, partitions, 1, map[string]*string{"remote.storage.enable": &remote, "segment.bytes": &segment, "local.retention.bytes": &segment}, topic); err == nil {
		for n := range records {
			cl.Produce(ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%0*d", valueBytes, n)}, nil)
		}
	}
	if cl.Flush(ctx) == nil {
		time.Sleep(300 * time.Millisecond) // segments leave meanwhile, or not
		offsets := kadm.Offsets{}
		offsets.AddOffset(topic, 0, 10, -1)
		_, _ = adm.DeleteRecords(ctx, offsets)
	}
	last, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	_, _ = adm.DeleteTopic(last, topic)
}
