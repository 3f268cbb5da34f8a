package node

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// restarted returns a rig whose segments are in the tier and on the local disk, with
// a leader that has uploaded none of them, and a local retention that wants none.
func restarted(t *testing.T) (*tierRig, *partition.Partition) {
	g := newTierRig(t, 1)
	g.plan.Upkeep.Tier.Local.Bytes = -1
	g.fill(0, 20)
	g.upload()
	g.n.Close()
	g.open()
	g.plan.Upkeep.Tier.Local.Bytes = 0
	return g, g.part(0)
}

func (g *tierRig) localStart(want ident.Offset) {
	g.t.Helper()
	if o, err := g.part(0).Offsets(); err != nil || o.LocalStart != want {
		g.t.Fatalf("local start %d, want %d: %v", o.LocalStart, want, err)
	}
}

// S1: what an earlier life uploaded leaves the local disk when its object was found.
func TestS1SegmentsStayUntilTheirObjectsAreFound(t *testing.T) {
	g, p := restarted(t)
	g.after(time.Second)
	g.after(time.Minute)
	if len(g.b.finds) != 1 {
		t.Fatalf("looked %d times at once", len(g.b.finds))
	}
	g.localStart(0)
	down := errors.New("down")
	next(t, &g.b.finds, down)
	g.after(time.Minute)
	g.localStart(0)
	if s := g.n.TierStates(); !errors.Is(s[0].Evict, ErrSearch) || !errors.Is(s[0].Evict, down) {
		t.Fatalf("the store is down: %v", s[0].Evict)
	}
	next(t, &g.b.finds, nil)
	drive(t, g.n, g.now)
	end, _ := p.Tiered().End()
	g.localStart(end)
	g.after(time.Minute)
	if s := g.n.TierStates(); len(g.b.finds) != 0 || g.told != 1 || s[0].Evict != nil { // of the store that was down
		t.Fatalf("looks again %d times, told %d times, %v", len(g.b.finds), g.told, s[0].Evict)
	}
	g.fill(0, 8) // it knows what it uploads itself
	g.upload()
	now, _ := p.Tiered().End()
	if g.localStart(now); now == end || len(g.b.finds) != 0 {
		t.Fatalf("the tier ends at %d, was at %d; looked %d times", now, end, len(g.b.finds))
	}
}

// S1: a segment whose object somebody deleted stays on the local disk with all behind
// it. The operator is told once, until it is there again.
func TestS1SegmentWithoutItsObjectStays(t *testing.T) {
	g, p := restarted(t)
	lost := *p.Tiered().At(1)
	delete(g.b.objects, lost.ID)
	for range 3 {
		g.after(time.Minute)
		next(t, &g.b.finds, nil)
		drive(t, g.n, g.now)
		g.localStart(lost.Base)
	}
	if s := g.n.TierStates(); len(s) != 1 || !errors.Is(s[0].Evict, ErrObjectGone) || g.told != 1 {
		t.Fatalf("%+v; told %d times", s, g.told)
	}
	g.b.objects[lost.ID] = p.ID()
	g.after(time.Minute)
	next(t, &g.b.finds, nil)
	drive(t, g.n, g.now)
	end, _ := p.Tiered().End()
	g.localStart(end)
	g.upload() // of what was closed for that
	if s := g.n.TierStates(); s[0].Evict != nil || len(g.n.tier.copies) != 0 {
		t.Fatalf("%+v, %d partitions under way", s, len(g.n.tier.copies))
	}
}

// An object that retention took while it was looked for is not told to be gone.
func TestObjectDeletedWhileItIsLookedFor(t *testing.T) {
	g, p := restarted(t)
	g.after(time.Minute)
	first := *p.Tiered().At(0)
	delete(g.b.objects, first.ID)
	p.DeleteRecords(&partition.StartRequest{Offset: first.End, Done: func(_ ident.Offset, err error) {
		if err != nil {
			t.Error(err)
		}
	}}, 1)
	drive(t, g.n, g.now)
	next(t, &g.b.finds, nil)
	drive(t, g.n, g.now)
	if g.told != 0 || len(g.b.finds) != 1 {
		t.Fatalf("told %d times, looks for the others %d times", g.told, len(g.b.finds))
	}
}

// What was found is not trusted for a segment that another object has replaced.
func TestFoundIsOfTheNamedObject(t *testing.T) {
	_, p := restarted(t)
	segments := p.Unfound(1_000_000, partition.TierPlan{Copy: true}, 1)
	if len(segments) != 1 {
		t.Fatalf("%d segments", len(segments))
	}
	segments[0].ID = manifest.ID{0xff}
	p.Found(segments)
	if again := p.Unfound(1_000_000, partition.TierPlan{Copy: true}, 1); len(again) != 1 || again[0].Base != segments[0].Base {
		t.Fatalf("%+v", again)
	}
}

// The plan is that of the answer: what is on the local disk when the tier is given up
// stays there.
func TestTierGivenUpWhileObjectsAreLookedFor(t *testing.T) {
	g, p := restarted(t)
	g.after(time.Minute)
	g.plan.Upkeep.Tier = partition.TierPlan{Drop: true}
	next(t, &g.b.finds, nil)
	drive(t, g.n, g.now)
	g.after(time.Minute)
	if o, err := p.Offsets(); err != nil || o.LogStart != 0 || p.Tiered().Len() != 0 {
		t.Fatalf("%+v, %d segments in the tier: %v", o, p.Tiered().Len(), err)
	}
}

// With several replicas, where it takes a while to know who leads, an object that is
// gone is told once too, and shown until it is back.
func TestS1ObjectGoneInACluster(t *testing.T) {
	c, b := newCluster(t, 3, 8, 1<<20), newBucket()
	told, local := 0, int64(-1)
	c.tier = func(int) TierConfig {
		return TierConfig{Tier: b, Every: time.Second, Grace: time.Hour, UploadsMax: 1}
	}
	c.set = func(cfg *Config) {
		cfg.MaintainEvery = time.Second
		cfg.Plan = func(*metadata.Topic) TopicPlan {
			var p TopicPlan
			p.Settings = partition.Settings{SegmentBytes: 400, IndexIntervalBytes: 100}
			p.Upkeep.ProducerExpiryMs = 1 << 40
			p.Upkeep.Retention = storage.RetentionSettings{Ms: -1, Bytes: -1, SegmentMs: -1, ActiveSinceMs: -1}
			p.Upkeep.Tier = partition.TierPlan{Copy: true, CopyLagBytes: -1, Local: storage.RetentionSettings{Ms: -1, Bytes: local, SegmentMs: -1, ActiveSinceMs: -1}}
			return p
		}
		cfg.Report = func(e Event) {
			if errors.Is(e.Err, ErrObjectGone) {
				told++
			}
		}
	}
	for i := range c.nodes {
		c.crash(i)
		c.open(i)
	}
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	c.until("a leader", 600, func() bool { return c.leader(id) != nil })
	for range 20 {
		ok := false
		c.produce(id, "a value that has some bytes in it, so that segments are closed soon enough here", func(ident.Offset) { ok = true })
		c.until("an answer", 100, func() bool { return ok })
	}
	for _, n := range c.nodes {
		n.Checkpoint()
	}
	step := func() {
		c.step()
		for _, list := range []*[]func(error){&b.uploads, &b.finds} {
			for len(*list) > 0 {
				next(t, list, nil)
				c.step()
			}
		}
	}
	for range 200 {
		step()
	}
	p := c.leader(id)
	if p == nil || p.Tiered().Len() < 3 {
		t.Fatal("nothing is in the tier")
	}
	for i := range c.nodes {
		c.nodes[i].Close()
		c.nodes[i], c.tasks[i] = nil, nil
	}
	for i := range c.nodes {
		c.open(i)
	}
	delete(b.objects, p.Tiered().At(1).ID)
	local = 0
	c.until("a leader", 600, func() bool { return c.leader(id) != nil })
	shown, looks := 0, 0
	for i := range 300 {
		step()
		for _, n := range c.nodes {
			if r := n.Replica(id); i < 100 || r == nil || r.Partition == nil || !r.Partition.Leads() {
				continue
			}
			for _, s := range n.TierStates() {
				looks++
				if errors.Is(s.Evict, ErrObjectGone) {
					shown++
				}
			}
		}
	}
	if told != 1 || shown != looks || looks == 0 {
		t.Errorf("told %d times, shown in %d of %d looks", told, shown, looks)
	}
}
