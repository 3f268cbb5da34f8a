package coordinator

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// patience bounds what a test waits for something that must happen.
const patience = 30 * time.Second

// world is a Host on a real node over a file system in memory, with a clock that
// stands still until the test advances it. Whatever is proposed is applied before
// the proposer goes on, unless the disk hangs.
type world struct {
	t   testing.TB
	fs  *vfs.Mem
	log *logBuffer
	c   *Coordinator

	mu     sync.Mutex // owns the node
	n      *node.Node
	steps  int // tasks that are still performed; negative: all
	held   bool
	posted []func() // while held

	loads sync.Mutex // held while a log is read

	clock  sync.Mutex
	now    time.Time
	alarms map[*alarm]struct{}
}

type alarm struct {
	at time.Time
	f  func()
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testSettings are small, so that a test soon comes to every bound.
func testSettings() Settings {
	g := group.DefaultConfig()
	g.InitialRebalanceDelay = 0
	return Settings{Group: g, Partitions: 3, ReplicationFactor: 3, SegmentBytes: 1 << 20, RewriteBytes: defaultRewriteBytes}
}

func newWorld(t testing.TB, fs *vfs.Mem, s Settings) *world {
	t.Helper()
	w := &world{t: t, log: &logBuffer{}, steps: -1, now: time.UnixMilli(1_700_000_000_000), alarms: map[*alarm]struct{}{}}
	w.open(fs, s)
	w.command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1})
	return w
}

// open begins a life of the broker.
func (w *world) open(fs *vfs.Mem, s Settings) {
	w.t.Helper()
	e := replog.DefaultConfig(fs)
	seed := uint64(0)
	e.WAL.Entropy = func() uint64 { seed++; return seed * 0x9e3779b97f4a7c15 }
	e.WAL.FirstFileBytes, e.WAL.FileBytes, e.WAL.BytesMax = 8<<20, 16<<20, 64<<20
	e.DiskReserve = 0
	n, _, err := node.Open(node.Config{
		Engine: e, ID: 1, ClusterID: "c", QueueBytesMax: 8 << 20, MaintainEvery: time.Minute,
		Plan: func(*metadata.Topic) node.TopicPlan { return node.TopicPlan{Settings: partition.DefaultSettings()} },
	}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.fs, w.n = fs, n
	w.drive()
	w.mu.Unlock()
	c := New(w, s, slog.New(slog.NewTextHandler(w.log, nil)))
	w.c = c
	w.t.Cleanup(func() {
		c.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		n.Close()
	})
}

// die ends this life as a killed process does, and begins the next.
func (w *world) die(s Settings) {
	w.t.Helper()
	w.c.Close()
	w.mu.Lock()
	fs := w.fs.Kill()
	w.steps, w.held, w.posted = -1, false, nil
	w.mu.Unlock()
	w.open(fs, s)
}

// drive performs the node's tasks until nothing is left to do, or the disk hangs.
func (w *world) drive() {
	now := w.Now()
	for w.steps != 0 {
		tasks := w.n.Poll(now)
		if err := w.n.Err(); err != nil {
			w.t.Error(err)
			return
		}
		if len(tasks) == 0 {
			return
		}
		for _, task := range tasks {
			if w.steps == 0 {
				return
			}
			if w.steps > 0 {
				w.steps--
			}
			_ = task.Do()
			w.n.Done(now, task)
		}
	}
}

// hang lets the disk do n more tasks and then nothing.
func (w *world) hang(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = n
}

// hold keeps what is posted waiting until release.
func (w *world) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
}

func (w *world) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = false
	posted := w.posted
	w.posted = nil
	for _, f := range posted {
		f()
	}
	w.drive()
}

func (w *world) command(c metadata.Command) {
	w.t.Helper()
	var result metadata.Result
	w.Command(c, func(r metadata.Result) { result = r })
	if result.Err != nil {
		w.t.Fatalf("%T: %v", c, result.Err)
	}
}

func (w *world) Ready() bool                              { return w.n.Ready() }
func (w *world) Image() *metadata.Image                   { return w.n.Image() }
func (w *world) Replica(id ident.Partition) *node.Replica { return w.n.Replica(id) }

func (w *world) Run(f func()) {
	go func() {
		w.loads.Lock() // the test may hold it
		defer w.loads.Unlock()
		f()
	}()
}

func (w *world) Post(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held {
		w.posted = append(w.posted, f)
		return
	}
	f()
	w.drive()
}

func (w *world) Command(c metadata.Command, done func(metadata.Result)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n.Command(c, done)
	w.drive()
}

func (w *world) Confirm(id ident.Partition, done func(error)) {
	w.Post(func() { w.n.Confirm(id, done) })
}

func (w *world) Now() time.Time {
	w.clock.Lock()
	defer w.clock.Unlock()
	return w.now
}

func (w *world) After(d time.Duration, f func()) func() {
	w.clock.Lock()
	defer w.clock.Unlock()
	a := &alarm{w.now.Add(d), f}
	w.alarms[a] = struct{}{}
	return func() {
		w.clock.Lock()
		defer w.clock.Unlock()
		delete(w.alarms, a)
	}
}

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	w.clock.Lock()
	w.now = w.now.Add(d)
	var due []func()
	for a := range w.alarms { // order: all of them
		if !a.at.After(w.now) {
			due = append(due, a.f)
			delete(w.alarms, a)
		}
	}
	w.clock.Unlock()
	for _, f := range due {
		f()
	}
}

// take takes the next value of a channel, or fails the test.
func take[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// commit commits one offset and returns the outcome.
func (w *world) commit(id, topic string, offset int64, metadata string) error {
	w.t.Helper()
	return take(w.t, w.commitLater(id, topic, offset, metadata), "a commit")
}

func (w *world) commitLater(id, topic string, offset int64, metadata string) <-chan error {
	out := make(chan error, 1)
	w.c.Do(id, func(now time.Time, s *group.Shard, err error) {
		if err != nil {
			out <- err
			return
		}
		s.CommitOffsets(now, group.CommitRequest{GroupID: id, Generation: -1, Retention: -1, Topics: []group.CommitTopic{{
			Topic: topic, Partitions: []group.CommitPartition{{Offset: offset, LeaderEpoch: -1, Metadata: metadata}},
		}}}, func(errs []error, err error) {
			if err == nil && len(errs) > 0 {
				err = errs[0]
			}
			out <- err
		})
	})
	return out
}

// id is a topic's id.
func (w *world) id(topic string) ident.TopicID {
	w.t.Helper()
	t, ok := w.Image().Topic(topic)
	if !ok {
		w.t.Fatal("no topic " + topic)
	}
	return t.ID
}

// commitOf commits one offset of the topic with an id.
func (w *world) commitOf(id, topic string, topicID ident.TopicID, offset int64) error {
	w.t.Helper()
	out := make(chan error, 1)
	w.c.Do(id, func(now time.Time, s *group.Shard, err error) {
		if err != nil {
			out <- err
			return
		}
		s.CommitOffsets(now, group.CommitRequest{GroupID: id, Generation: -1, Retention: -1, Topics: []group.CommitTopic{{
			Topic: topic, TopicID: topicID, Partitions: []group.CommitPartition{{Offset: offset, LeaderEpoch: -1}},
		}}}, func(errs []error, err error) {
			if err == nil && len(errs) > 0 {
				err = errs[0]
			}
			out <- err
		})
	})
	return take(w.t, out, "a commit")
}

// fetched is what fetch comes to.
type fetched struct {
	offset int64
	err    error
}

// fetch returns a committed offset, -1 for none.
func (w *world) fetch(id, topic string) (int64, error) {
	w.t.Helper()
	a := take(w.t, w.fetchLater(id, topic), "a fetch")
	return a.offset, a.err
}

func (w *world) fetchLater(id, topic string) <-chan fetched {
	out := make(chan fetched, 1)
	w.c.Do(id, func(_ time.Time, s *group.Shard, err error) {
		a := fetched{-1, err}
		if err == nil {
			var got []group.FetchedTopic
			got, a.err = s.FetchOffsets(group.FetchRequest{GroupID: id, Topics: []group.TopicPartitions{{Topic: topic, Partitions: []int32{0}}}})
			if a.err == nil {
				a.offset = got[0].Partitions[0].Offset
			}
		}
		out <- a
	})
	return out
}

// turn waits until the coordinator has seen everything that was asked so far.
func (w *world) turn() {
	w.t.Helper()
	seen := make(chan error, 1)
	w.c.Find("g", func(err error) { seen <- err })
	if err := take(w.t, seen, "the coordinator"); err != nil {
		w.t.Fatal(err)
	}
}

// loaded waits until all shards are loaded.
func (w *world) loaded() error {
	w.t.Helper()
	out := make(chan error, 1)
	w.c.All(func(_ time.Time, _ []*group.Shard, err error) { out <- err })
	return take(w.t, out, "the shards")
}

// part is the partition of a group.
func (w *world) part(id string) *partition.Partition {
	w.t.Helper()
	t, ok := w.Image().Topic(Topic)
	if !ok {
		w.t.Fatal("no topic")
	}
	return w.Replica(ident.Partition{Topic: t.ID, Index: PartitionFor(id, int32(len(t.Partitions)))}).Partition
}

// topic makes a topic for offsets to belong to.
func (w *world) topic(name string, id byte) {
	w.t.Helper()
	w.command(metadata.CreateTopic{Name: name, TopicID: ident.TopicID{id}, Partitions: 1, ReplicationFactor: 1})
}

// foreignCommit appends what another leader's coordinator would, which knew the
// cluster metadata up to an index.
func (w *world) foreignCommit(id, topic string, topicID ident.TopicID, offset int64, index uint64) {
	w.t.Helper()
	other := &recorder{}
	g := testSettings().Group
	g.Entropy = entropy
	g.Topic = func(string, ident.TopicID) (uint64, bool) { return index, true }
	s := group.New(g, other)
	s.Start(w.Now())
	s.CommitOffsets(w.Now(), group.CommitRequest{GroupID: id, Generation: -1, Retention: -1, Topics: []group.CommitTopic{{
		Topic: topic, TopicID: topicID, Partitions: []group.CommitPartition{{Offset: offset, LeaderEpoch: -1}},
	}}}, func([]error, error) {})
	a, err := buildAppend(other.records, w.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	a.Done = func(a *partition.Append) {
		if a.Err != nil {
			w.t.Error(a.Err)
		}
	}
	p := w.part(id)
	w.Post(func() { p.Produce(a) })
}

// recorder is a Log that keeps what it is given.
type recorder struct{ records []group.Record }

func (r *recorder) Append(_ time.Time, records []group.Record, _ func(time.Time, error)) {
	r.records = append(r.records, records...)
}
