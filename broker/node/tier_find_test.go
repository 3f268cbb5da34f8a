package node

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/partition"
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
	next(t, &g.b.finds, nil)
	drive(t, g.n, g.now)
	end, _ := p.Tiered().End()
	g.localStart(end)
	g.after(time.Minute)
	if len(g.b.finds) != 0 || g.told != 0 {
		t.Fatalf("looks again %d times, told %d times", len(g.b.finds), g.told)
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
	if s := g.n.TierStates(); len(s) != 1 || !errors.Is(s[0].Err, ErrObjectGone) || g.told != 1 {
		t.Fatalf("%+v; told %d times", s, g.told)
	}
	g.b.objects[lost.ID] = p.ID()
	g.after(time.Minute)
	next(t, &g.b.finds, nil)
	drive(t, g.n, g.now)
	end, _ := p.Tiered().End()
	g.localStart(end)
	g.upload() // of what was closed for that
	if s := g.n.TierStates(); s[0].Err != nil || len(g.n.tier.copies) != 0 {
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
