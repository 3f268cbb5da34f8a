package coordinator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

func TestPartitionOfAGroup(t *testing.T) {
	for id, hash := range map[string]int32{
		"": 0, "a": 97, "hello": 99162322, "polygenelubricants": 0, // whose hash is the least int32
		"Hello World": 862545276, // -862545276
		"\U0001d54f":  1772999 - 1772999 + 31*0xd835 + 0xdd4f,
	} {
		if got := PartitionFor(id, 1<<30); got != hash%(1<<30) {
			t.Errorf("%q: %d, want %d", id, got, hash)
		}
		if got := PartitionFor(id, 50); got != hash%50 {
			t.Errorf("%q of 50: %d, want %d", id, got, hash%50)
		}
	}
}

func TestCommitsSurviveCrashes(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	for life := range int64(3) {
		for g := range 7 {
			id := fmt.Sprintf("g%d", g)
			if o, err := w.fetch(id, "t"); err != nil || o != life-1 {
				t.Fatalf("life %d, %s: offset %d, %v", life, id, o, err)
			}
			if err := w.commit(id, "t", life, "m"); err != nil {
				t.Fatal(err)
			}
		}
		w.die(testSettings())
		if err := w.loaded(); err != nil {
			t.Fatal(err)
		}
	}
}

// What waits goes together, and outcomes come in order (O3).
func TestWaitingCommitsShareABatch(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 0, ""); err != nil {
		t.Fatal(err)
	}
	w.hold()
	var waiting []<-chan error
	for i := range int64(100) {
		waiting = append(waiting, w.commitLater("g", "t", i, ""))
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 0 {
		t.Fatalf("uncommitted offset %d is seen, %v", o, err)
	}
	w.release()
	for _, c := range waiting {
		if err := take(t, c, "a commit"); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 99 {
		t.Fatalf("offset %d, %v", o, err)
	}
	o, err := w.part("g").Offsets()
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := w.part("g").Read(0, o.HighWatermark, 1<<20, true)
	if err != nil || chunk.Batches > 4 || o.HighWatermark != 101 {
		t.Errorf("%d records in %d batches, %v", o.HighWatermark, chunk.Batches, err)
	}
}

// A replica that leads again under another epoch loads again, and what was to be
// appended under the old one is not (O1).
func TestNewEpochLoadsAgain(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 5, ""); err != nil {
		t.Fatal(err)
	}
	p := w.part("g")
	w.hold()
	late := w.commitLater("g", "t", 6, "")
	if _, err := w.fetch("g", "t"); err != nil { // the commit was seen
		t.Fatal(err)
	}
	w.mu.Lock()
	epoch := p.LeaderEpoch()
	p.Unlead()
	p.Lead(uint64(epoch) + 1)
	w.mu.Unlock()
	w.release()
	if err := take(t, late, "the late commit"); !errors.Is(err, ErrNotCoordinator) {
		t.Fatalf("committed under an old epoch: %v", err)
	}
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 5 {
		t.Fatalf("offset %d, %v", o, err)
	}
	w.mu.Lock()
	p.Unlead()
	w.mu.Unlock()
	if _, err := w.fetch("g", "t"); !errors.Is(err, ErrNotCoordinator) {
		t.Fatalf("served without leading: %v", err)
	}
	w.mu.Lock()
	p.Lead(uint64(epoch) + 2)
	w.mu.Unlock()
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	// While nobody looks another leader commits.
	w.mu.Lock()
	p.Unlead()
	p.Lead(uint64(epoch) + 3)
	w.mu.Unlock()
	w.foreignCommit("g", "t", ident.TopicID{}, 9, 0)
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 9 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// While a log is read its groups are told so, whoever waits for all groups waits,
// and the end answers both.
func TestLoading(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 5, ""); err != nil {
		t.Fatal(err)
	}
	for _, end := range []bool{false, true} {
		w.loads.Lock()
		w.die(testSettings())
		if _, err := w.fetch("g", "t"); !errors.Is(err, ErrLoading) {
			t.Fatal(err)
		}
		all := make(chan error, 1)
		w.c.All(func(_ time.Time, _ []*group.Shard, err error) { all <- err })
		found := make(chan error, 1)
		w.c.Find("g", func(err error) { found <- err })
		if err := take(t, found, "an answer"); err != nil || len(all) != 0 {
			t.Fatalf("%v, %d answers for all groups", err, len(all))
		}
		if end {
			w.c.Close()
			if err := take(t, all, "an answer"); !errors.Is(err, ErrNotCoordinator) {
				t.Fatal(err)
			}
		}
		w.loads.Unlock()
		if !end {
			if err := take(t, all, "an answer"); err != nil {
				t.Fatal(err)
			}
			if o, err := w.fetch("g", "t"); err != nil || o != 5 {
				t.Fatalf("offset %d, %v", o, err)
			}
		}
	}
}

// A record that cannot be read keeps its partition's groups away, loudly, and no
// others.
func TestDamagedShardFailsAlone(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	for _, id := range []string{"a", "b", "c"} { // one in each partition
		if err := w.commit(id, "t", 5, ""); err != nil {
			t.Fatal(err)
		}
	}
	a, err := buildAppend([]group.Record{{Key: []byte{0, 1, 99}, Value: []byte{0}}}, w.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := w.part("a")
	a.Done = func(*partition.Append) {}
	w.Post(func() { p.Produce(a) })
	w.die(testSettings())
	if err := w.loaded(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, group.ErrCorrupt) {
		t.Fatal(err)
	}
	if _, err := w.fetch("a", "t"); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "c"} {
		if o, err := w.fetch(id, "t"); err != nil || o != 5 {
			t.Fatalf("%s: %d %v", id, o, err)
		}
	}
	if !strings.Contains(w.log.String(), "groups cannot be loaded") {
		t.Error("nobody was told")
	}
}

// What has no room is refused at once, and what comes later is taken.
func TestRefusedAppend(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 1, ""); err != nil {
		t.Fatal(err)
	}
	p := w.part("g")
	fill, err := buildAppend([]group.Record{{Key: []byte{0, 99}, Value: make([]byte, 8<<20-100)}}, w.Now()) // of a version to be skipped
	if err != nil {
		t.Fatal(err)
	}
	fill.Done = func(*partition.Append) {}
	w.hang(0)
	w.Post(func() { p.Produce(fill) })
	if err := w.commit("g", "t", 2, strings.Repeat("x", 4000)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, partition.ErrQueueFull) {
		t.Fatal(err)
	}
	w.hang(-1)
	w.Post(func() {})
	if o, err := w.fetch("g", "t"); err != nil || o != 1 {
		t.Fatalf("offset %d, %v", o, err)
	}
	if err := w.commit("g", "t", 3, ""); err != nil {
		t.Fatal(err)
	}
	w.die(testSettings())
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 3 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// Offsets of deleted topics go, also while the topic is made anew, and those of
// other topics stay.
func TestDeletedTopics(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	w.topic("u", 2)
	for g := range 7 {
		for _, topic := range []string{"t", "u"} {
			if err := w.commit(fmt.Sprintf("g%d", g), topic, 5, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	w.topic("t", 3)
	if err := w.commit("g0", "t", 1, ""); err != nil { // to the new topic
		t.Fatal(err)
	}
	for range 2 {
		for g := range 7 {
			id, want := fmt.Sprintf("g%d", g), int64(-1)
			if g == 0 {
				want = 1
			}
			// A commit waits for what comes before it.
			if err := w.commit(id, "u", 6, ""); err != nil {
				t.Fatal(err)
			}
			if o, err := w.fetch(id, "t"); err != nil || o != want {
				t.Fatalf("%s: %d, want %d, %v", id, o, want, err)
			}
			if o, err := w.fetch(id, "u"); err != nil || o != 6 {
				t.Fatalf("%s: %d %v", id, o, err)
			}
		}
		w.die(testSettings())
		if err := w.loaded(); err != nil {
			t.Fatal(err)
		}
	}
	w.c.Close() // the topic goes while nobody looks
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{2}})
	w.die(testSettings())
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if err := w.commit("g3", "t", 9, ""); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g3", "u"); err != nil || o != -1 {
		t.Fatalf("%d %v", o, err)
	}
}

// A topic that is made anew does not begin with the offsets of the old one when
// the broker dies before those are removed.
func TestOffsetsOfAnOldTopicStayGoneBehindACrash(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	w.topic("other", 2)
	for _, name := range []string{"t", "other"} {
		if err := w.commitOf("g", name, w.id(name), 5); err != nil {
			t.Fatal(err)
		}
	}
	w.hold() // nothing more is appended
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	w.topic("t", 3)
	w.die(testSettings())
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"t": -1, "other": 5} {
		if o, err := w.fetch("g", name); err != nil || o != want {
			t.Errorf("%s: offset %d, %v, want %d", name, o, err, want)
		}
	}
}

// A topic that is made anew does not begin with the offsets of the old one, not
// even while those are being removed.
func TestOffsetsOfAnOldTopicAreNotSeen(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 5, ""); err != nil {
		t.Fatal(err)
	}
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	w.topic("t", 2)
	w.hold()
	later := w.fetchLater("g", "t")
	w.turn()
	if len(later) != 0 {
		t.Fatalf("%+v", <-later)
	}
	w.release()
	if a := take(t, later, "the fetch"); a.err != nil || a.offset != -1 {
		t.Fatalf("%+v", a)
	}
	// Nor do offsets stay that were on their way when the topic went.
	w.hold()
	late := w.commitLater("g", "t", 7, "")
	w.turn()
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{2}})
	w.turn()
	w.release()
	if err := take(t, late, "the commit"); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * checkEvery)
	w.turn()
	if o, err := w.fetch("g", "t"); err != nil || o != -1 {
		t.Fatalf("offset %d, %v", o, err)
	}
	// Nor those of a topic that goes while its groups are being loaded.
	w.topic("t", 3)
	if err := w.commit("g", "t", 8, ""); err != nil {
		t.Fatal(err)
	}
	w.loads.Lock()
	w.die(testSettings())
	w.turn()
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{3}})
	w.topic("t", 4)
	w.loads.Unlock()
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != -1 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// Offsets say which topic they are of: what was known when their log began to be
// read may be older than that topic.
func TestOffsetsOfATopicThatIsNewerThanTheLoadStay(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commitOf("g", "t", w.id("t"), 5); err != nil {
		t.Fatal(err)
	}
	w.loads.Lock()
	w.die(testSettings())
	w.turn() // it waits to be loaded
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	w.topic("t", 2)
	w.foreignCommit("g", "t", w.id("t"), 7, w.Image().Version()) // of a leader that knew of it
	w.loads.Unlock()
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 7 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// When the offsets of a deleted topic cannot be removed for want of room, requests
// are refused until they are: a topic of its name must not begin with them.
func TestOffsetsThatCannotBeRemovedAreNotSeen(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	name := strings.Repeat("t", 200)
	w.topic(name, 1)
	if err := w.commit("g", name, 5, ""); err != nil {
		t.Fatal(err)
	}
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	w.topic(name, 2)
	p := w.part("g")
	fill, err := buildAppend([]group.Record{{Key: []byte{0, 99}, Value: make([]byte, 8<<20-100)}}, w.Now()) // of a version to be skipped
	if err != nil {
		t.Fatal(err)
	}
	fill.Done = func(*partition.Append) {}
	w.hang(0)
	w.Post(func() { p.Produce(fill) })
	for range 2 {
		if o, err := w.fetch("g", name); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("offset %d, %v", o, err)
		}
		w.turn()
	}
	w.hang(-1)
	w.Post(func() {})
	w.advance(2 * checkEvery)
	w.turn() // of which the check is the end
	w.turn()
	if o, err := w.fetch("g", name); err != nil || o != -1 {
		t.Fatalf("offset %d, %v", o, err)
	}
	if err := w.commit("g", name, 3, ""); err != nil {
		t.Fatal(err)
	}
	w.die(testSettings())
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", name); err != nil || o != 3 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// The queue of requests has a bound, and everything in it is answered at the end
// (O5).
func TestQueueIsBoundedAndAnswered(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	busy, free := make(chan struct{}), make(chan struct{})
	w.c.Find("g", func(error) { close(busy); <-free })
	take(t, busy, "the goroutine")
	answers := make(chan error, 2*requestsMax)
	for range requestsMax + 5 {
		w.c.Do("g", func(_ time.Time, _ *group.Shard, err error) { answers <- err })
	}
	for range 5 {
		if err := take(t, answers, "a refusal"); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if len(answers) != 0 {
		t.Fatalf("%d more answers", len(answers))
	}
	closed := make(chan struct{})
	go func() { w.c.Close(); close(closed) }()
	close(free)
	take(t, closed, "the end")
	if len(answers) != requestsMax {
		t.Fatalf("%d answers, want %d", len(answers), requestsMax)
	}
	if _, err := w.fetch("g", "t"); !errors.Is(err, ErrNotCoordinator) {
		t.Fatal(err)
	}
}

// A mistake of ours costs a reload (O6).
func TestPanicIsContained(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 4, ""); err != nil {
		t.Fatal(err)
	}
	w.c.Do("g", func(time.Time, *group.Shard, error) { panic("a mistake") })
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 4 {
		t.Fatalf("offset %d, %v", o, err)
	}
	if !strings.Contains(w.log.String(), "a mistake") {
		t.Error("nobody was told")
	}
	// What was being appended is in what is loaded.
	w.hold()
	late := w.commitLater("g", "t", 5, "")
	w.turn()
	w.c.Do("g", func(time.Time, *group.Shard, error) { panic("another mistake") })
	if err := take(t, late, "the commit"); !errors.Is(err, ErrNotCoordinator) {
		t.Fatal(err)
	}
	for range 100 { // time enough to be loaded too early
		if _, err := w.fetch("g", "t"); !errors.Is(err, ErrLoading) {
			t.Fatal(err)
		}
	}
	w.release()
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 5 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// A drain answers who waits for time at once, and who waits for the disk with
// the outcome.
func TestDrain(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commit("g", "t", 0, ""); err != nil {
		t.Fatal(err)
	}
	w.hold()
	late := w.commitLater("g", "t", 1, "")
	if _, err := w.fetch("g", "t"); err != nil {
		t.Fatal(err)
	}
	w.c.Drain()
	if _, err := w.fetch("g", "t"); !errors.Is(err, ErrNotCoordinator) {
		t.Fatal(err)
	}
	if len(late) != 0 {
		t.Fatal("answered before the outcome is known")
	}
	w.release()
	if err := take(t, late, "the commit"); err != nil {
		t.Fatal(err)
	}
}
