package node

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// manyLetters sends what ends in a letter to the dead-letter topic of that name.
type manyLetters struct {
	scriptLetters
	fail   error // of Build
	builds int
}

func (*manyLetters) Target(e []byte) (string, error) { return "dlq." + string(e[len(e)-1:]), nil }

func (l *manyLetters) Build(o Origin, es []partition.Emission, now int64) ([]byte, error) {
	l.builds++
	if l.fail != nil {
		return nil, l.fail
	}
	return l.scriptLetters.Build(o, es, now)
}

// world is a node that crashes, with what clients were promised.
type world struct {
	t       *testing.T
	fs      *vfs.Mem
	n       *Node
	now     time.Time
	letters *manyLetters
	reports []string
	reserve int64
	acked   map[string]string // value -> where its letter says that it comes from
	sent    int
	entropy *rand.Rand
}

func newWorld(t *testing.T, fs *vfs.Mem) *world {
	w := &world{t: t, fs: fs, now: time.UnixMilli(1_000_000), letters: &manyLetters{}, acked: map[string]string{}, entropy: rand.New(rand.NewPCG(1, 2))}
	w.open()
	drive(t, w.n, w.now)
	w.command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1})
	drive(t, w.n, w.now)
	return w
}

func (w *world) open() {
	w.t.Helper()
	c := chainConfig(w.fs)
	c.Letters, c.Entropy = w.letters, w.entropy.Uint64
	c.Engine.DiskReserve = w.reserve
	c.Plan = func(*metadata.Topic) TopicPlan {
		return TopicPlan{Settings: partition.DefaultSettings(), Upkeep: partition.Upkeep{ProducerExpiryMs: math.MaxInt64 / 2, Retention: storage.RetentionSettings{
			Ms: storage.Unlimited, Bytes: storage.Unlimited, SegmentMs: storage.Unlimited, ActiveSinceMs: storage.Unlimited}}}
	}
	c.Report = func(e Event) { w.reports = append(w.reports, fmt.Sprint(e.Text, ": ", e.Err)) }
	var err error
	if w.n, _, err = Open(c, w.now); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) crash(fs *vfs.Mem) {
	w.fs = fs
	w.open()
}

func (w *world) command(c metadata.Command) {
	w.n.Command(c, func(metadata.Result) {})
}

// create creates a topic and waits for it.
func (w *world) create(name string, id byte, partitions int32, chain bool) ident.TopicID {
	w.t.Helper()
	c := metadata.CreateTopic{Name: name, TopicID: ident.TopicID{id}, Partitions: partitions, ReplicationFactor: 1}
	if chain {
		c.Configs = []metadata.KV{{Name: "plugin.chain", Value: "s"}}
	}
	w.n.Command(c, func(r metadata.Result) {
		if r.Err != nil {
			w.t.Errorf("create %s: %v", name, r.Err)
		}
	})
	drive(w.t, w.n, w.now)
	return c.TopicID
}

// produce sends a batch with these values, if the partition is there.
func (w *world) produce(id ident.Partition, values ...string) {
	r := w.n.Replica(id)
	topic, ok := w.n.Image().TopicByID(id.Topic)
	if r == nil || !ok || !w.n.Ready() {
		return
	}
	b := record.NewBuilder(record.DefaultParams(record.None, 1000))
	for i, v := range values {
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: []byte(v)}); err != nil {
			w.t.Fatal(err)
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		w.t.Fatal(err)
	}
	h, _ := record.ParseHeader(batch)
	r.Partition.Produce(&partition.Append{Batch: batch, Time: 1, Header: h, Generation: topic.ChainGeneration, Done: func(a *partition.Append) {
		if a.Err != nil {
			return
		}
		for i, v := range values {
			w.acked[v] = fmt.Sprintf("%s-%d@%d", r.Topic, id.Index, a.Base+ident.Offset(i))
		}
	}})
}

// step does one round of what is ready.
func (w *world) step() {
	for _, task := range w.n.Poll(w.now) {
		_ = task.Do()
		w.n.Done(w.now, task)
	}
}

// settle lets time pass until everything is done that can be.
func (w *world) settle(ticks int) {
	w.t.Helper()
	for range ticks {
		w.now = w.now.Add(100 * time.Millisecond)
		w.n.Tick(w.now)
		drive(w.t, w.n, w.now)
	}
}

// lettersIn reads a dead-letter topic: what each partition holds, in order.
func (w *world) lettersIn(topic string) (out [][]string) {
	w.t.Helper()
	t, ok := w.n.Image().Topic(topic)
	if !ok {
		return nil
	}
	for i := range t.Partitions {
		all, _ := values(w.t, w.n, ident.Partition{Topic: t.ID, Index: int32(i)})
		for k, v := range all {
			_, all[k], _ = strings.Cut(v, ":")
		}
		out = append(out, all)
	}
	return out
}

// waiting returns how many emissions are in all outboxes.
func (w *world) waiting() (n int) {
	for t := range w.n.Image().Topics() {
		w.n.each(t, func(p *partition.Partition) {
			count, _ := p.OutboxDepth()
			n += count
		})
	}
	return n
}

// origins returns how many topics' outboxes some partition remembers.
func (w *world) origins() (out []ident.TopicID) {
	for t := range w.n.Image().Topics() {
		w.n.each(t, func(p *partition.Partition) {
			p.ForgetOrigins(func(id ident.TopicID) bool {
				out = append(out, id)
				return true
			}, 1<<62, 0)
		})
	}
	return out
}

// check looks at all dead letters: those of acknowledged records once, no other
// twice, in the order of their origin, and each says where it comes from.
func (w *world) check(what string, gone map[string]bool) {
	w.t.Helper()
	found := map[string]int{}
	for _, target := range []string{"dlq.a", "dlq.b"} {
		for _, letters := range w.lettersIn(target) {
			last := map[string]int{}
			for _, v := range letters {
				at, value, _ := strings.Cut(v, " ")
				found[value]++
				if want, ok := w.acked[value]; ok && want != at {
					w.t.Fatalf("%s: the letter of %s says %s, it was acknowledged at %s", what, value, at, want)
				}
				origin, text, _ := strings.Cut(at, "@")
				offset := 0
				_, _ = fmt.Sscan(text, &offset)
				if o, ok := last[origin]; ok && offset <= o {
					w.t.Fatalf("%s: %s comes after offset %d", what, v, o)
				}
				last[origin] = offset
				if "dlq."+value[len(value)-1:] != target {
					w.t.Fatalf("%s: %s is in %s", what, v, target)
				}
			}
		}
	}
	for v, n := range found {
		if n != 1 {
			w.t.Fatalf("%s: %d letters of %s", what, n, v)
		}
	}
	for v, at := range w.acked {
		topic, _, _ := strings.Cut(at, "-")
		if strings.HasPrefix(v, "dead") && found[v] == 0 && !gone[topic] {
			w.t.Fatalf("%s: no letter of %s", what, v)
		}
		if strings.HasPrefix(v, "keep") && found[v] != 0 {
			w.t.Fatalf("%s: a letter of %s", what, v)
		}
	}
}

// Every dead letter is in its topic once, and in order, wherever power is lost
// or the process dies, how often, and whatever was in a checkpoint by then; also
// when topics that emitted are deleted.
func TestDeadLettersOnceWhateverHappens(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 77))
		w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
		topics := []ident.TopicID{w.create("t0", 1, 2, true), w.create("t1", 2, 1, true)}
		if rng.IntN(2) == 0 {
			w.create("dlq.a", 3, 1, false)
		}
		gone := map[string]bool{}
		for range 60 {
			switch k := rng.IntN(20); {
			case k < 8:
				var vs []string
				for range 1 + rng.IntN(4) {
					w.sent++
					vs = append(vs, fmt.Sprintf("%s%d%s", []string{"dead", "keep", "dead"}[rng.IntN(3)], w.sent, []string{"a", "b"}[rng.IntN(2)]))
				}
				id := topics[rng.IntN(2)]
				w.produce(ident.Partition{Topic: id, Index: int32(rng.IntN(3 - int(id[0])))}, vs...)
			case k < 13:
				for range 1 + rng.IntN(6) {
					w.step()
				}
			case k < 15:
				w.settle(1)
			case k == 15:
				w.n.Checkpoint()
			case k == 16:
				w.crash(w.fs.Kill())
			case k == 17:
				w.crash(w.fs.Crash(rng, vfs.CrashOptions{}))
			case k == 18:
				w.crash(w.fs.Crash(rng, vfs.CrashOptions{Keep: 0.5, Tear: true, Reorder: true}))
			case rng.IntN(4) == 0:
				gone["t0"] = true
				w.command(metadata.DeleteTopic{TopicID: topics[0]})
			}
		}
		w.settle(3)
		what := fmt.Sprintf("seed %d", seed)
		if n := w.waiting(); n != 0 {
			t.Fatalf("%s: %d emissions wait; %v", what, n, w.reports)
		}
		w.check(what, gone)
		w.n.Checkpoint()
		w.now = w.now.Add(time.Hour) // upkeep
		w.settle(3)
		for _, id := range w.origins() {
			if _, ok := w.n.Image().TopicByID(id); !ok {
				t.Fatalf("%s: an outbox of a deleted topic is remembered", what)
			}
		}
		w.n.Checkpoint()
		w.settle(1)
		w.crash(w.fs.Kill())
		w.settle(3)
		w.check(what+", at the end", gone)
		if len(w.reports) != 0 {
			t.Fatalf("%s: reports %v", what, w.reports)
		}
		w.n.Close()
	}
}

// A deletion forgets origins also when a delivery was in flight, or the process
// died before the partitions were told.
func TestDeletedOriginsAreForgotten(t *testing.T) {
	for steps := range 40 {
		for _, die := range []bool{false, true} {
			w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
			w.create("dlq.a", 3, 1, false)
			for i := range byte(3) {
				w.create(fmt.Sprintf("t%d", i), 10+i, 1, true)
			}
			for i := range byte(3) {
				w.produce(ident.Partition{Topic: ident.TopicID{10 + i}}, fmt.Sprintf("dead%da", i))
			}
			for range steps / 2 {
				w.step()
			}
			for i := range byte(2) {
				w.command(metadata.DeleteTopic{TopicID: ident.TopicID{10 + i}})
			}
			for range steps {
				w.step()
			}
			if die {
				w.n.Checkpoint()
				w.step()
				w.crash(w.fs.Kill())
			}
			w.settle(1)
			if _, ok := w.n.Image().TopicByID(ident.TopicID{10}); ok {
				continue // the command was lost
			}
			w.now = w.now.Add(time.Hour)
			w.settle(2)
			for _, id := range w.origins() {
				if id[0] == 10 || id[0] == 11 {
					if _, ok := w.n.Image().TopicByID(id); !ok {
						t.Fatalf("%d steps, died %v: topic %d is remembered", steps, die, id[0])
					}
				}
			}
			w.check(fmt.Sprintf("%d steps, died %v", steps, die), map[string]bool{"t0": true, "t1": true})
			w.n.Close()
		}
	}
}

// Several partitions that need the same target at once make it once, and tell
// nobody.
func TestTargetIsMadeOnceQuietly(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
	id := w.create("t", 1, 4, true)
	for i := range int32(4) {
		w.produce(ident.Partition{Topic: id, Index: i}, fmt.Sprintf("dead%da", i))
	}
	drive(t, w.n, w.now)
	w.settle(1)
	w.check("made", nil)
	if len(w.reports) != 0 || w.waiting() != 0 {
		t.Fatalf("%d wait, reports %v", w.waiting(), w.reports)
	}
}

// A target that may not be made holds the outbox, costs no entries, is told
// once, and gets everything in order when it may.
func TestTargetRefusedThenAllowed(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
	id := w.create("t", 1, 1, true)
	other := w.create("dlq_a", 2, 1, false) // its name collides
	part := ident.Partition{Topic: id}
	for i := range 5 {
		w.produce(part, fmt.Sprintf("dead%da", i), fmt.Sprintf("dead%db", i))
		drive(t, w.n, w.now)
	}
	version := w.n.Image().Version()
	w.settle(20)
	if w.n.Image().Version() != version {
		t.Fatalf("%d entries in group 0 meanwhile", w.n.Image().Version()-version)
	}
	if w.waiting() != 10 || len(w.acked) != 10 {
		t.Fatalf("%d wait, %d acknowledged", w.waiting(), len(w.acked))
	}
	if len(w.reports) != 1 || !strings.Contains(w.reports[0], metadata.ErrTopicCollision.Error()) {
		t.Fatalf("reports %v", w.reports)
	}
	w.command(metadata.DeleteTopic{TopicID: other})
	w.settle(2)
	w.check("allowed", nil)
	if w.waiting() != 0 {
		t.Fatalf("%d wait", w.waiting())
	}
}

// Deleting the origin drops what waits; deleting a target while emissions wait
// for it makes it anew.
func TestDeletionsWhileEmissionsWait(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
	id, target := w.create("t", 1, 1, true), w.create("dlq.a", 2, 1, false)
	w.letters.fail = errors.New("not now")
	w.produce(ident.Partition{Topic: id}, "dead1a", "dead2a")
	drive(t, w.n, w.now)
	builds := w.letters.builds
	for range 50 {
		drive(t, w.n, w.now)
	}
	if w.letters.builds != builds {
		t.Fatalf("%d attempts without a tick", w.letters.builds-builds)
	}
	w.settle(10)
	if w.letters.builds > builds+10 || len(w.reports) != 1 {
		t.Fatalf("%d attempts in 10 ticks, reports %v", w.letters.builds-builds, w.reports)
	}
	w.command(metadata.DeleteTopic{TopicID: target})
	w.settle(1)
	w.letters.fail = nil
	w.settle(2)
	w.check("target deleted", nil)

	w.letters.fail = errors.New("not now")
	w.produce(ident.Partition{Topic: id}, "dead3a")
	w.settle(1)
	w.command(metadata.DeleteTopic{TopicID: id})
	w.settle(1)
	w.letters.fail = nil
	w.settle(2)
	if len(w.n.outboxes) != 0 || len(w.origins()) != 0 {
		t.Fatalf("%d outboxes, origins %v", len(w.n.outboxes), w.origins())
	}
	if got := fmt.Sprint(w.lettersIn("dlq.a")); got != "[[t-0@0 dead1a t-0@1 dead2a]]" {
		t.Fatal(got)
	}
}

// A full disk holds the outbox; when there is room again everything is
// delivered once.
func TestDeliveryWaitsForSpace(t *testing.T) {
	mem := vfs.NewMem(vfs.MemOptions{Capacity: 64 << 20})
	w := newWorld(t, mem)
	w.n.Close()
	w.reserve = 1 << 20
	w.crash(mem.Kill())
	mem = w.fs
	drive(t, w.n, w.now)
	id := w.create("t", 1, 1, true)
	w.create("dlq.a", 2, 1, false)
	w.letters.fail = errors.New("not now")
	for i := range 3 {
		w.produce(ident.Partition{Topic: id}, fmt.Sprintf("dead%da", i))
	}
	drive(t, w.n, w.now)
	free, _ := mem.Free()
	f, err := mem.Create("ballast")
	if err == nil {
		err = f.Preallocate(free - 512<<10)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.letters.fail = nil
	w.settle(300) // longer than any wait
	if got := w.lettersIn("dlq.a"); len(got[0]) != 0 || w.waiting() != 3 {
		t.Fatalf("%v delivered, %d wait", got, w.waiting())
	}
	if err := errors.Join(f.Close(), mem.Remove("ballast")); err != nil {
		t.Fatal(err)
	}
	w.settle(300)
	w.check("with room", nil)
	if w.waiting() != 0 {
		t.Fatalf("%d wait", w.waiting())
	}
	if slices.ContainsFunc(w.reports, func(r string) bool { return !strings.Contains(r, "not now") }) {
		t.Fatalf("reports %v", w.reports)
	}
}

// Outboxes are part of every checkpoint, and a checkpoint must fit the
// write-ahead log: however many outboxes are held up, the broker goes on, and
// all are delivered in the end.
func TestHeldOutboxesLeaveRoomForCheckpoints(t *testing.T) {
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
	id := w.create("t", 1, 8, true)
	plain := w.create("plain", 2, 1, false)
	w.letters.fail = errors.New("not now")
	full := 0
	for i := range 400 {
		w.produce(ident.Partition{Topic: id, Index: int32(i % 8)}, fmt.Sprintf("dead%d%s.a", i, strings.Repeat("x", 4000)))
		drive(t, w.n, w.now)
		if i%20 == 0 {
			w.n.Checkpoint()
			w.settle(5)
		}
		full = i + 1 - len(w.acked)
	}
	if full == 0 {
		t.Fatal("no outbox was ever full")
	}
	w.settle(100)
	w.produce(ident.Partition{Topic: plain}, "keep, without a chain")
	w.settle(100)
	if _, ok := w.acked["keep, without a chain"]; !ok {
		t.Fatalf("a topic without a chain is held up; %d emissions wait; %+v", w.waiting(), w.n.engine.Stats())
	}
	big := []string{}
	for i := range 40 {
		big = append(big, fmt.Sprintf("deadbig%d%s.a", i, strings.Repeat("y", 4000)))
	}
	w.letters.fail = nil
	w.settle(100)
	w.produce(ident.Partition{Topic: id}, big...) // more than may ever wait
	w.settle(10)
	w.check("released", nil)
	if _, ok := w.acked[big[0]]; ok || w.waiting() != 0 {
		t.Fatalf("taken %v, %d emissions wait; %+v", ok, w.waiting(), w.n.engine.Stats())
	}
}

// A controller that is deposed while it makes a target has nothing to tell
// operators: the next one is asked.
func TestDeposedControllerMakesNoTarget(t *testing.T) {
	c := newCluster(t, 3, 6, 1<<20)
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	old := c.controller()
	old.c.Entropy = c.rng.Uint64
	d := &delivery{r: old.Replica(id)}
	for _, p := range c.peers {
		if p.Node != old.c.ID {
			c.cut[[2]ident.NodeID{p.Node, old.c.ID}], c.cut[[2]ident.NodeID{old.c.ID, p.Node}] = true, true
		}
	}
	old.makeTarget("dlq.t1", id, d)
	if !d.busy || d.told != "" {
		t.Fatalf("busy %v, told %q: nothing is proposed", d.busy, d.told)
	}
	c.until("another controller", 600, func() bool { n := c.controller(); return n != nil && n != old && !old.Controller() })
	c.command(metadata.CreateTopic{Name: "other", TopicID: ident.TopicID{2}, Partitions: 1, ReplicationFactor: 1})
	clear(c.cut)
	c.until("the old controller learns of it", 600, func() bool { return !d.busy })
	if d.told != "" {
		t.Fatalf("told %q", d.told)
	}
}

// A letter is delivered once also when its topic gets more partitions between the
// delivery and the trim of the outbox, and the process dies just then.
func TestLettersOnceWhenTheirTopicGrows(t *testing.T) {
	for steps := range 40 {
		w := newWorld(t, vfs.NewMem(vfs.MemOptions{}))
		id, target := w.create("t", 1, 3, true), w.create("dlq.a", 2, 2, false)
		for i := range int32(3) {
			w.produce(ident.Partition{Topic: id, Index: i}, fmt.Sprintf("dead%da", i))
		}
		for range steps {
			w.step()
		}
		w.command(metadata.CreatePartitions{TopicID: target, Total: 3})
		w.step()
		w.step()
		w.crash(w.fs.Kill())
		w.settle(2)
		w.command(metadata.CreatePartitions{TopicID: target, Total: 5})
		w.settle(2)
		w.check(fmt.Sprintf("%d steps", steps), nil)
		if w.waiting() != 0 {
			t.Fatalf("%d steps: %d wait", steps, w.waiting())
		}
		w.n.Close()
	}
}
