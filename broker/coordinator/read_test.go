package coordinator

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// confirmedWorld is one in which reads need a proof of leadership, and in which
// none comes until release: the topic of the groups has a second replica, on a
// broker that is down.
func confirmedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.command(metadata.RegisterBroker{NodeID: 2, DirectoryID: [16]byte{2}, Host: "h", Port: 2})
	w.command(metadata.CreateTopic{Name: Topic, TopicID: ident.TopicID{9}, Partitions: 1, ReplicationFactor: 2, Internal: true})
	w.hold()
	return w
}

// read makes so many reads and waits until the coordinator has seen them.
func (w *world) read(n int, answers chan<- error) {
	w.t.Helper()
	for range n {
		w.c.Read("g", func(_ time.Time, s *group.Shard, err error) {
			if (s == nil) == (err == nil) {
				w.t.Errorf("shard %v, %v", s, err)
			}
			answers <- err
		})
	}
	seen := make(chan error, 1)
	w.c.Find("g", func(err error) { seen <- err })
	take(w.t, seen, "the coordinator")
}

// Reads that wait for a proof of leadership when the coordinator ends are answered
// then, once: a proof that comes later finds nobody (O5).
func TestWaitingReadsAreAnsweredAtTheEnd(t *testing.T) {
	for name, end := range map[string]func(*Coordinator){"close": (*Coordinator).Close, "drain": (*Coordinator).Drain} {
		t.Run(name, func(t *testing.T) {
			w := confirmedWorld(t)
			const reads = 5
			answers := make(chan error, 2*reads)
			if w.read(reads, answers); len(answers) != 0 {
				t.Fatalf("answered before anything is proven: %v", <-answers)
			}
			end(w.c)
			for range reads {
				if err := take(t, answers, "a read"); !errors.Is(err, ErrNotCoordinator) {
					t.Errorf("a read that waits at the end: %v", err)
				}
			}
			w.release() // what became of the proofs
			w.c.Read("g", func(_ time.Time, _ *group.Shard, err error) { answers <- err })
			if err := take(t, answers, "a read"); !errors.Is(err, ErrNotCoordinator) {
				t.Errorf("a read after the end: %v", err)
			}
			w.c.Close()
			if n := len(answers); n != 0 {
				t.Errorf("%d reads are answered twice", n)
			}
			if n := len(w.c.core.reads); n != 0 {
				t.Errorf("%d reads still wait", n)
			}
		})
	}
}

// A read is refused when the proof is, and at once when too many wait for theirs
// (O5).
func TestReadsWithoutAProof(t *testing.T) {
	w := confirmedWorld(t)
	answers := make(chan error, requestsMax+1)
	for range 2 { // not more at once than the queue takes
		w.read(requestsMax/2, answers)
	}
	if len(answers) != 0 {
		t.Fatalf("answered before anything is proven: %v", <-answers)
	}
	w.read(1, answers)
	if err := take(t, answers, "the read too many"); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("the read too many: %v", err)
	}
	w.release()
	for range requestsMax {
		if err := take(t, answers, "a read"); !errors.Is(err, ErrNotCoordinator) || !errors.Is(err, replog.ErrNotLeader) {
			t.Fatalf("a read of a broker that does not lead: %v", err)
		}
	}
}
