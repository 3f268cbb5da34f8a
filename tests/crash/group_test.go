package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/tests/broker"
)

// member is a consumer of a group that commits what it has seen, and remembers
// which commits the broker acknowledged.
type member struct {
	cl   *kgo.Client
	stop context.CancelFunc
	done chan struct{}
}

// ledger is what the members of a group saw and committed.
type ledger struct {
	mu        sync.Mutex
	seen      map[int32]map[int64]bool
	committed map[int32]int64 // the highest that was acknowledged
	commits   int
}

func join(t *testing.T, port int, topic, group string, l *ledger) *member {
	cl := client(t, port, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.SessionTimeout(10*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, stop := context.WithCancel(context.Background())
	m := &member{cl: cl, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			fetches := cl.PollRecords(ctx, 500)
			l.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) {
				if l.seen[r.Partition] == nil {
					l.seen[r.Partition] = map[int64]bool{}
				}
				l.seen[r.Partition][r.Offset] = true
			})
			l.mu.Unlock()
			records := fetches.Records()
			if len(records) == 0 {
				continue
			}
			try, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := cl.CommitRecords(try, records...)
			cancel()
			if err != nil {
				continue // not acknowledged: others may see the records again
			}
			l.mu.Lock()
			l.commits++
			for _, r := range records {
				l.committed[r.Partition] = max(l.committed[r.Partition], r.Offset+1)
			}
			l.mu.Unlock()
		}
	}()
	return m
}

func (m *member) leave() {
	m.stop()
	<-m.done
	m.cl.Close()
}

// TestCrashGroup kills the broker under producers and a group whose members come
// and go. A committed offset is never lost or moved back (C2), and no record is
// skipped (C4).
func TestCrashGroup(t *testing.T) {
	const topic, partitions, group = "crash-group", 4, "crash"
	rounds := crashRounds(t)
	port := broker.FreePort(t)
	p := start(t, port, "group.initial.rebalance.delay.ms=0")
	create(t, port, topic, partitions)
	load := startLoad(t, port, topic, partitions, func(id, n int) string { return fmt.Sprintf("%d/%d/%050d", id, n, n) })
	l := &ledger{seen: map[int32]map[int64]bool{}, committed: map[int32]int64{}}
	members := []*member{join(t, port, topic, group, l), join(t, port, topic, group, l)}
	rng := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	for round := range rounds {
		time.Sleep(time.Duration(500+rng.IntN(1000)) * time.Millisecond)
		p.Kill(t)
		p = p.Again(t)
		l.check(t, port, group, topic)
		if round%3 == 2 { // one goes, another comes
			members[0].leave()
			members = append(members[1:], join(t, port, topic, group, l))
		}
	}
	acks := load.finish(t)
	ends := logEnds(t, port, topic, partitions)
	for end := time.Now().Add(time.Minute); !l.reached(ends); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the group stands at %v of %v", l.committed, ends)
		}
	}
	for _, m := range members {
		m.leave()
	}
	l.check(t, port, group, topic)
	skipped := 0
	for _, a := range acks {
		if !l.seen[a.partition][a.offset] {
			skipped++
		}
	}
	if skipped > 0 || l.commits == 0 {
		t.Errorf("%d of %d records were skipped, %d commits", skipped, len(acks), l.commits)
	}
	p.Stop(t)
	t.Logf("%d kills, %d records acknowledged, skipped %d, %d commits acknowledged, none lost or moved back", rounds, len(acks), skipped, l.commits)
}

// check compares the group's offsets with what was acknowledged.
func (l *ledger) check(t *testing.T, port int, group, topic string) {
	t.Helper()
	l.mu.Lock()
	before := map[int32]int64{}
	for p, o := range l.committed {
		before[p] = o
	}
	l.mu.Unlock()
	cl := client(t, port)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range before {
		if at, ok := offsets.Lookup(topic, p); !ok || at.At < o {
			t.Errorf("partition %d: %d was committed, the group stands at %d", p, o, at.At)
		}
	}
}

func (l *ledger) reached(ends map[int32]int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, end := range ends {
		if l.committed[p] < end {
			return false
		}
	}
	return true
}
