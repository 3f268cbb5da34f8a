package node

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/manifest"
)

// bucket is a Tier that keeps what it is asked for until the test lets it go on.
type bucket struct {
	objects  map[manifest.ID]ident.Partition
	uploads  []func(err error)
	discards []func(err error)
	drops    []func(err error)
	finds    []func(err error)
	most     int // uploads at a time
}

func newBucket() *bucket { return &bucket{objects: map[manifest.ID]ident.Partition{}} }

func (b *bucket) Upload(j UploadJob, done func(manifest.Segment, error)) {
	b.uploads = append(b.uploads, func(err error) {
		if err != nil {
			done(manifest.Segment{}, err)
			return
		}
		b.objects[j.Object] = j.ID
		u := j.Segment
		done(manifest.Segment{Base: u.Base, End: u.End, Term: u.Term, ID: j.Object, DataBytes: u.Bytes, ObjectBytes: manifest.DataOffset + u.Bytes + 9, MaxTimestamp: 1}, nil)
	})
	b.most = max(b.most, len(b.uploads))
}

func (b *bucket) Find(_ ident.Partition, segments []manifest.Segment, done func(int, error)) {
	b.finds = append(b.finds, func(err error) {
		n := 0
		for n < len(segments) && err == nil {
			if _, ok := b.objects[segments[n].ID]; !ok {
				break
			}
			n++
		}
		done(n, err)
	})
}

func (b *bucket) Discard(_ ident.Partition, segments []manifest.Segment, done func(error)) {
	b.discards = append(b.discards, func(err error) {
		for _, s := range segments {
			if err == nil {
				delete(b.objects, s.ID)
			}
		}
		done(err)
	})
}

func (b *bucket) DropTopic(id ident.TopicID, done func(error)) {
	b.drops = append(b.drops, func(err error) {
		for o, p := range b.objects {
			if err == nil && p.Topic == id {
				delete(b.objects, o)
			}
		}
		done(err)
	})
}

// next takes the oldest call of a list.
func next(t testing.TB, list *[]func(error), err error) {
	t.Helper()
	if len(*list) == 0 {
		t.Fatal("nothing was asked for")
	}
	f := (*list)[0]
	*list = (*list)[1:]
	f(err)
}

// tierRig is a node with one tiered topic and its bucket.
type tierRig struct {
	t    *testing.T
	fs   *vfs.Mem
	n    *Node
	b    *bucket
	now  time.Time
	plan *TopicPlan
	told int
}

var tieredTopic = ident.TopicID{1}

func newTierRig(t *testing.T, partitions int32) *tierRig {
	g := &tierRig{t: t, fs: vfs.NewMem(vfs.MemOptions{}), b: newBucket(), now: time.UnixMilli(1_000_000), plan: &TopicPlan{}}
	g.plan.Settings = partition.Settings{SegmentBytes: 400, IndexIntervalBytes: 100}
	u := &g.plan.Upkeep
	u.ProducerExpiryMs = 1 << 40
	u.Retention = storage.RetentionSettings{Ms: -1, Bytes: -1, SegmentMs: -1, ActiveSinceMs: -1}
	u.Tier = partition.TierPlan{Copy: true, CopyLagBytes: -1, Local: storage.RetentionSettings{Ms: -1, Bytes: 0, SegmentMs: -1, ActiveSinceMs: -1}}
	g.open()
	g.must(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092})
	g.must(metadata.CreateTopic{Name: "t", TopicID: tieredTopic, Partitions: partitions, ReplicationFactor: 1})
	return g
}

func (g *tierRig) open() {
	g.t.Helper()
	c := testConfig(g.fs)
	c.Plan = func(*metadata.Topic) TopicPlan { return *g.plan }
	c.Entropy = c.Engine.WAL.Entropy
	c.Report = func(Event) { g.told++ }
	c.Tier = TierConfig{Tier: g.b, Every: time.Second, Grace: time.Minute, UploadsMax: 2}
	n, _, err := Open(c, g.now)
	if err != nil {
		g.t.Fatal(err)
	}
	g.n = n
	drive(g.t, n, g.now)
}

func (g *tierRig) must(c metadata.Command) {
	g.t.Helper()
	g.n.Command(c, func(r metadata.Result) {
		if r.Err != nil {
			g.t.Fatal(r.Err)
		}
	})
	drive(g.t, g.n, g.now)
}

// after lets time pass, with one tick at its end.
func (g *tierRig) after(d time.Duration) {
	g.now = g.now.Add(d)
	g.n.Tick(g.now)
	drive(g.t, g.n, g.now)
}

// fill produces records and writes them out.
func (g *tierRig) fill(index int32, n int) {
	g.t.Helper()
	for range n {
		b := testBatch(g.t, "a value that has some bytes in it, so that segments are closed soon enough here")
		h, err := record.ParseHeader(b)
		if err != nil {
			g.t.Fatal(err)
		}
		g.part(index).Produce(&partition.Append{Entry: partition.NewEntry(b, 1, 0, nil), Header: h, Done: func(a *partition.Append) {
			if a.Err != nil {
				g.t.Error(a.Err)
			}
		}})
		drive(g.t, g.n, g.now)
	}
	g.n.Checkpoint()
	drive(g.t, g.n, g.now)
}

func (g *tierRig) part(index int32) *partition.Partition {
	return g.n.Replica(ident.Partition{Topic: tieredTopic, Index: index}).Partition
}

// upload lets uploads succeed until none is asked for.
func (g *tierRig) upload() {
	for len(g.b.uploads) > 0 {
		next(g.t, &g.b.uploads, nil)
		drive(g.t, g.n, g.now)
	}
}

func (g *tierRig) objects(want int) {
	g.t.Helper()
	if len(g.b.objects) != want {
		g.t.Fatalf("%d objects, want %d", len(g.b.objects), want)
	}
}

func TestSegmentsGoToTheTierAndLeaveTheDisk(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 20)
	if len(g.b.uploads) != 1 {
		t.Fatalf("%d uploads; closed segments are uploaded as soon as they are written", len(g.b.uploads))
	}
	g.upload()
	p := g.part(0)
	end, _ := p.Tiered().End()
	o, _ := p.Offsets()
	if p.Tiered().Len() < 3 || o.LocalStart != end || o.LogStart != 0 {
		t.Fatalf("%d segments up to %d, %+v", p.Tiered().Len(), end, o)
	}
	g.objects(p.Tiered().Len())
	g.n.Close()
	g.open() // what is tiered is in the log
	if again, _ := g.part(0).Tiered().End(); again != end {
		t.Fatalf("the tier ends at %d after a restart, want %d", again, end)
	}
}

// A store that fails never fails produce, is told once, and is asked again with
// growing waits.
func TestFailedUploadsAreTriedAgain(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 8)
	down := errors.New("down")
	for range 5 {
		next(t, &g.b.uploads, down)
		if len(g.b.uploads) != 0 {
			t.Fatal("tried again at once")
		}
		g.fill(0, 1)
		g.after(copyRetryMax)
	}
	if g.told != 1 {
		t.Fatalf("told %d times", g.told)
	}
	if o, _ := g.part(0).Offsets(); o.LocalStart != 0 || o.HighWatermark != 13 {
		t.Fatalf("%+v", o)
	}
	if s := g.n.TierStates(); len(s) != 1 || !errors.Is(s[0].Err, down) || s[0].PendingCount == 0 {
		t.Fatalf("%+v", s)
	}
	g.upload()
	if s := g.n.TierStates(); s[0].Err != nil || s[0].PendingCount != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestUploadsAreBounded(t *testing.T) {
	g := newTierRig(t, 7)
	for i := range int32(7) {
		g.fill(i, 12)
	}
	g.upload()
	for i := range int32(7) {
		if n, _ := g.part(i).Backlog(); n != 0 {
			t.Errorf("partition %d: %d segments wait", i, n)
		}
	}
	if g.b.most != 2 {
		t.Errorf("%d uploads at a time", g.b.most)
	}
}

// S3: what the log start passes is deleted after a grace, and what was not
// deleted is asked for again.
func TestS3DeletedRecordsLeaveTheTier(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 20)
	g.upload()
	all := len(g.b.objects)
	p := g.part(0)
	p.DeleteRecords(&partition.StartRequest{Offset: p.Tiered().At(1).End, Done: func(_ ident.Offset, err error) {
		if err != nil {
			t.Error(err)
		}
	}}, g.now.UnixMilli())
	drive(t, g.n, g.now)
	g.after(59 * time.Second)
	if len(g.b.discards) != 0 {
		t.Fatal("deleted within the grace")
	}
	g.after(2 * time.Second)
	next(t, &g.b.discards, errors.New("down"))
	drive(t, g.n, g.now)
	g.objects(all)
	g.after(2 * time.Second)
	next(t, &g.b.discards, nil)
	drive(t, g.n, g.now)
	g.objects(all - 2)
	if p.Tombstones() != 0 {
		t.Fatalf("%d tombstones", p.Tombstones())
	}
}

// S3: a commit that was refused leaves garbage, which goes; nothing else does.
func TestS3RefusedCommitIsDiscarded(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 20)
	p := g.part(0)
	p.DeleteRecords(&partition.StartRequest{Offset: -1, Done: func(ident.Offset, error) {}}, g.now.UnixMilli())
	drive(t, g.n, g.now) // while the upload is under way
	next(t, &g.b.uploads, nil)
	drive(t, g.n, g.now)
	if p.Tiered().Len() != 0 {
		t.Fatal("a segment below the log start was committed")
	}
	next(t, &g.b.discards, nil)
	g.objects(0)
}

// S3: the objects of a deleted topic go when the grace is over and no upload can
// bring another, also after a restart in between.
func TestS3DeletedTopicLeavesNothing(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 20)
	next(t, &g.b.uploads, nil)
	drive(t, g.n, g.now)
	g.objects(1)
	g.must(metadata.DeleteTopic{TopicID: tieredTopic})
	if g.n.Image().DroppedCount() != 1 {
		t.Fatal("the deleted topic is forgotten at once")
	}
	g.after(2 * time.Minute)
	if len(g.b.drops) != 0 {
		t.Fatal("dropped beside an upload")
	}
	next(t, &g.b.uploads, nil) // too late
	drive(t, g.n, g.now)
	g.objects(2)
	g.after(2 * time.Second)
	if len(g.b.drops) != 1 {
		t.Fatalf("%d drops", len(g.b.drops))
	}
	g.n.Close() // before it is done
	g.b.drops = nil
	g.open()
	g.after(2 * time.Second)
	next(t, &g.b.drops, nil)
	drive(t, g.n, g.now)
	g.objects(0)
	if g.n.Image().DroppedCount() != 0 {
		t.Fatal("the deleted topic is remembered for ever")
	}
}

// S3: the grace of a deleted topic counts from when its deletion was asked for, not
// from the tick before.
func TestS3GraceOfDeletedTopicCountsFromTheRequest(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 20)
	g.upload()
	asked := g.now.Add(90 * time.Millisecond) // no tick yet
	g.must(metadata.DeleteTopic{TopicID: tieredTopic, TimeMs: asked.UnixMilli()})
	g.after(time.Minute)
	if len(g.b.drops) != 0 {
		t.Fatal("dropped within the grace")
	}
	g.after(2 * time.Second)
	if len(g.b.drops) != 1 {
		t.Fatalf("%d drops", len(g.b.drops))
	}
}

// A topic without anything in the tier is forgotten at once.
func TestUntieredTopicIsForgotten(t *testing.T) {
	g := newTierRig(t, 1)
	g.plan.Upkeep.Tier.Copy = false
	g.fill(0, 5)
	g.must(metadata.DeleteTopic{TopicID: tieredTopic})
	if g.n.Image().DroppedCount() != 0 {
		t.Fatal("remembered")
	}
}

// An upload that failed is nobody's trouble any more when copying is switched off.
func TestFailedUploadIsForgottenWhenCopyingIsSwitchedOff(t *testing.T) {
	g := newTierRig(t, 1)
	g.fill(0, 12)
	next(t, &g.b.uploads, nil) // one is in the tier, so that the partition is shown
	drive(t, g.n, g.now)
	next(t, &g.b.uploads, errors.New("down"))
	drive(t, g.n, g.now)
	if s := g.n.TierStates(); len(s) != 1 || s[0].Err == nil {
		t.Fatalf("%+v", s)
	}
	g.plan.Upkeep.Tier.Copy = false
	g.after(copyRetryMax)
	if s := g.n.TierStates(); len(s) != 1 || s[0].Err != nil || len(g.n.tier.copies) != 0 {
		t.Fatalf("%+v, %d copies", s, len(g.n.tier.copies))
	}
}
