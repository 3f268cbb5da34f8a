package coordinator

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// newCluster is a world with another broker, which may know more of the cluster.
func newCluster(t *testing.T) *world {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	w.topic("u", 2)
	w.turn() // the topic of the groups is made, and is here
	w.command(metadata.RegisterBroker{NodeID: 2, DirectoryID: [16]byte{2}, Host: "h", Port: 2})
	return w
}

// until has the cluster metadata come to an index.
func (w *world) until(index uint64) {
	for id := byte(100); w.Image().Version() < index; id++ {
		w.topic("filler"+string(rune(id)), id)
	}
}

// A coordinator whose broker has not heard of a topic yet that offsets are of, be
// it new or a new one of its name, serves when it has, and keeps them.
func TestOffsetsOfATopicThatIsNotKnownYetStay(t *testing.T) {
	w := newCluster(t)
	for name, offset := range map[string]int64{"t": 5, "u": 6} {
		if err := w.commitOf("g", name, w.id(name), offset); err != nil {
			t.Fatal(err)
		}
	}
	index := w.Image().Version() + 8
	w.foreignCommit("g", "t", ident.TopicID{3}, 7, index-1)
	w.foreignCommit("g", "new", ident.TopicID{4}, 8, index)
	w.die(testSettings())
	if err := w.loaded(); !errors.Is(err, ErrLoading) {
		t.Fatal(err)
	}
	steps := []func(){
		func() {},
		func() { w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}}) },
		func() { w.topic("t", 3) },
	}
	for i, step := range steps {
		step()
		for range 2 { // also when the check has come by
			if o, err := w.fetch("g", "t"); !errors.Is(err, ErrLoading) {
				t.Fatalf("after %d changes: offset %d, %v", i, o, err)
			}
			w.advance(2 * checkEvery)
			w.turn()
		}
	}
	w.topic("new", 4)
	w.until(index)
	for name, want := range map[string]int64{"t": 7, "u": 6, "new": 8} {
		if o, err := w.fetch("g", name); err != nil || o != want {
			t.Errorf("%s: offset %d, %v, want %d", name, o, err, want)
		}
	}
}

// What the cluster metadata of a later index does not have is gone.
func TestOffsetsOfATopicThatWentUnseenGo(t *testing.T) {
	w := newCluster(t)
	index := w.Image().Version() + 8
	w.foreignCommit("g", "t", ident.TopicID{1}, 7, index)
	w.foreignCommit("g", "gone", ident.TopicID{4}, 8, index)
	w.die(testSettings())
	if err := w.loaded(); !errors.Is(err, ErrLoading) {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); !errors.Is(err, ErrLoading) {
		t.Fatalf("offset %d, %v", o, err)
	}
	w.topic("gone", 6)
	w.until(index)
	for name, want := range map[string]int64{"t": 7, "gone": -1} {
		if o, err := w.fetch("g", name); err != nil || o != want {
			t.Errorf("%s: offset %d, %v, want %d", name, o, err, want)
		}
	}
}

// A broker that is the only one serves although its metadata is older than its
// offsets, which only a repair can have done.
func TestOnlyBrokerWaitsForNobody(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	if err := w.commitOf("g", "t", w.id("t"), 5); err != nil {
		t.Fatal(err)
	}
	w.foreignCommit("g", "lost", ident.TopicID{2}, 7, 1<<40)
	w.die(testSettings())
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"t": 5, "lost": -1} {
		if o, err := w.fetch("g", name); err != nil || o != want {
			t.Errorf("%s: offset %d, %v, want %d", name, o, err, want)
		}
	}
}

// What another leader committed for a new topic stays when this broker learns of
// that topic while it reads the log, and had known of the old one.
func TestOffsetsOfANewTopicStayWhenTheOldOneGoes(t *testing.T) {
	w := newCluster(t)
	if err := w.commitOf("g", "t", w.id("t"), 5); err != nil {
		t.Fatal(err)
	}
	p := w.part("g")
	w.loads.Lock()
	w.mu.Lock()
	epoch := p.LeaderEpoch()
	p.Unlead()
	p.Lead(uint64(epoch) + 1)
	w.mu.Unlock()
	if _, err := w.fetch("g", "t"); !errors.Is(err, ErrLoading) {
		t.Fatal(err)
	}
	w.command(metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	w.topic("t", 3)
	w.foreignCommit("g", "t", ident.TopicID{3}, 7, w.Image().Version())
	w.loads.Unlock()
	for range 2 {
		o, err := w.fetch("g", "t")
		for errors.Is(err, ErrLoading) {
			o, err = w.fetch("g", "t")
		}
		if err != nil || o != 7 {
			t.Fatalf("offset %d, %v", o, err)
		}
	}
}

// A commit for a topic that has gone since it was named is refused: the new one of
// its name would begin with it.
func TestCommitsForATopicThatIsGoneAreRefused(t *testing.T) {
	w := newCluster(t)
	old := w.id("t")
	if err := w.commitOf("g", "t", old, 5); err != nil {
		t.Fatal(err)
	}
	w.command(metadata.DeleteTopic{TopicID: old})
	w.topic("t", 3)
	if err := w.commitOf("g", "t", old, 6); !errors.Is(err, group.ErrUnknownTopic) {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != -1 {
		t.Fatalf("offset %d, %v", o, err)
	}
	if err := w.commitOf("g", "t", w.id("t"), 1); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 1 {
		t.Fatalf("offset %d, %v", o, err)
	}
}

// mute is a world that loses the answers to commands.
type mute struct{ *world }

func (m mute) Command(c metadata.Command, _ func(metadata.Result)) {
	m.world.Command(c, func(metadata.Result) {})
}

// Who waits for the topic of the groups is told when it is there, also if the
// answer to the command is lost.
func TestAnswerToTheCommandIsLost(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.c.Close()
	s := testSettings()
	c := New(mute{w}, s, w.c.log)
	t.Cleanup(c.Close)
	made, seen := make(chan error, 1), make(chan error, 1)
	c.Make(func(err error) { made <- err })
	c.All(func(_ time.Time, _ []*group.Shard, err error) { seen <- err }) // it looks at everything
	for what, out := range map[string]chan error{"the topic": made, "the shards": seen} {
		if err := take(t, out, what); err != nil {
			t.Fatal(err)
		}
	}
}
