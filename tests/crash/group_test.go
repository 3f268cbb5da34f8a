package crash

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
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
			err := commit(ctx, cl, records)
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

// commit commits, again and again while the coordinator is not to be had: what is
// not committed now would be only if more records came.
func commit(ctx context.Context, cl *kgo.Client, records []*kgo.Record) error {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := cl.CommitRecords(try, records...)
		late := try.Err() != nil
		cancel()
		if ctx.Err() != nil || !late && !kerr.IsRetriable(err) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (m *member) leave() {
	m.stop()
	<-m.done
	m.cl.Close()
}

const groupPartitions = 4

// TestCrashGroup kills the broker under producers and a group whose members come
// and go. A committed offset is never lost or moved back (C2), and no record is
// skipped (C4).
func TestCrashGroup(t *testing.T) {
	s := besiege(t, "group", slices.Concat(groupPoints, commitPoints), "group.initial.rebalance.delay.ms=0")
	s.chapters(func(chapter int) {
		topic, group := fmt.Sprintf("crash-group-%d", chapter), fmt.Sprintf("crash-%d", chapter)
		create(t, s.port(), topic, groupPartitions)
		load := startLoad(t, s.port(), topic, groupPartitions, func(id, n int) string { return fmt.Sprintf("%d/%d/%050d", id, n, n) })
		g := gather(t, s.port(), topic, group)
		s.storm(g.turn)
		acks := load.finish(t)
		s.judged(acks, g.judge(acks))
		drop(t, s.port(), topic)
	})
}

// gathering is a group under load.
type gathering struct {
	t            *testing.T
	port         int
	topic, group string
	l            *ledger
	members      []*member
}

func gather(t *testing.T, port int, topic, group string) *gathering {
	g := &gathering{t: t, port: port, topic: topic, group: group, l: &ledger{seen: map[int32]map[int64]bool{}, committed: map[int32]int64{}}}
	g.members = []*member{join(t, port, topic, group, g.l), join(t, port, topic, group, g.l)}
	return g
}

// turn compares, and lets one member go and another come.
func (g *gathering) turn() {
	g.l.check(g.t, g.port, g.group, g.topic)
	g.members[0].leave()
	g.members = append(g.members[1:], join(g.t, g.port, g.topic, g.group, g.l))
}

// judge waits until the group has seen everything and compares, and returns how
// much is wrong.
func (g *gathering) judge(acks []acked) (violations int) {
	t := g.t
	t.Helper()
	ends := logEnds(t, g.port, g.topic, groupPartitions)
	for end := time.Now().Add(time.Minute); !g.l.reached(ends); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the group stands at %v of %v", g.l.committed, ends)
		}
	}
	for _, m := range g.members {
		m.leave()
	}
	violations = g.l.check(t, g.port, g.group, g.topic)
	skipped := 0
	for _, a := range acks {
		if !g.l.seen[a.partition][a.offset] {
			skipped++
		}
	}
	if skipped > 0 || g.l.commits == 0 {
		t.Errorf("%d of %d records were skipped, %d commits", skipped, len(acks), g.l.commits)
	}
	t.Logf("%d records acknowledged, skipped %d, %d commits acknowledged", len(acks), skipped, g.l.commits)
	return violations + skipped
}

// check compares the group's offsets with what was acknowledged, and returns how
// many are wrong.
func (l *ledger) check(t *testing.T, port int, group, topic string) (violations int) {
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
	// This client's waits between its tries are so short that it gives up while
	// the coordinator of a broker that was just started loads.
	for ; kerr.IsRetriable(err) && ctx.Err() == nil; offsets, err = kadm.NewClient(cl).FetchOffsets(ctx, group) {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range before {
		if at, ok := offsets.Lookup(topic, p); !ok || at.At < o {
			t.Errorf("partition %d: %d was committed, the group stands at %d", p, o, at.At)
			violations++
		}
	}
	return violations
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
