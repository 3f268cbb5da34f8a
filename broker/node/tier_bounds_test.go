package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// local.retention.ms=0 (and .bytes=0) is "keep nothing that is tiered", not an
// object for every upload that ends.
func TestLocalRetentionZeroDoesNotRollPerUpload(t *testing.T) {
	g := newTierRig(t, 1)
	g.plan.Settings.SegmentBytes = 1 << 20
	g.plan.Upkeep.Tier.Local.Bytes = -1
	g.plan.Upkeep.Tier.Local.Ms = 0
	g.n.Reconfigure()
	drive(t, g.n, g.now)
	g.after(time.Minute)
	for range 50 { // a trickle, in 5 seconds; an upload takes 100 ms
		g.fill(0, 1)
		g.after(100 * time.Millisecond)
		g.upload()
	}
	if n := g.part(0).Tiered().Len(); n > 5 {
		t.Fatalf("%d objects for 50 small batches in 5 s, with segment.bytes of 1 MiB", n)
	}
}

// S3: a large DeleteRecords leaves the store in bounded time.
func TestManyTombstones(t *testing.T) {
	g := newTierRig(t, 1)
	g.plan.Settings.SegmentBytes = 100
	for range 1000 {
		g.fill(0, 1)
		g.upload()
	}
	p := g.part(0)
	n := p.Tiered().Len()
	p.DeleteRecords(&partition.StartRequest{Offset: -1, Done: func(ident.Offset, error) {}}, g.now.UnixMilli())
	drive(t, g.n, g.now)
	looks := 0
	for g.after(61 * time.Second); p.Tombstones() > 0; looks++ {
		for len(g.b.discards) > 0 {
			next(t, &g.b.discards, nil)
			drive(t, g.n, g.now)
		}
		g.after(time.Second) // Every, which is 30 s in production
	}
	t.Logf("%d objects took %d looks", n, looks)
	if looks > 2 {
		t.Errorf("%d looks (30 s each in production) for %d objects", looks, n)
	}
}

// produceAs writes one record as an idempotent producer, and reports whether it
// was acknowledged within 11 s.
func (g *tierRig) produceAs(id int64) (ok bool) {
	b := record.NewBuilder(record.Params{BaseTimestamp: 1000, ProducerID: id, ProducerEpoch: 0, BaseSequence: 0})
	if id < 0 {
		b = record.NewBuilder(record.DefaultParams(record.None, 1000))
	}
	if err := b.Append(&record.Record{Value: []byte("x")}); err != nil {
		g.t.Fatal(err)
	}
	batch, err := b.Finish(0)
	if err != nil {
		g.t.Fatal(err)
	}
	h, _ := record.ParseHeader(batch)
	g.part(0).Produce(&partition.Append{Entry: partition.NewEntry(batch, 1, 0, nil), Header: h, Done: func(a *partition.Append) { ok = a.Err == nil }})
	drive(g.t, g.n, g.now)
	for n := 0; n < 11 && !ok; n++ {
		g.after(time.Second)
	}
	return ok
}

// A checkpoint holds the states of everything, and the write-ahead log keeps room
// for more than three of them: manifests at the bound that manifestRoom allows,
// and a few producers, must not stop produce. A file of the log has 512 KiB here,
// and 64 MiB (128 times that) in production.
func TestManifestsAndProducersShareTheCheckpoint(t *testing.T) {
	g := newTierRig(t, 1)
	g.plan.Settings.SegmentBytes = 100
	g.n.Reconfigure()
	drive(t, g.n, g.now)
	full := 512 << 10 / shareOfFile / manifest.SegmentBytes
	for round := 0; g.part(0).Tiered().Len() < full && round < 100; round++ {
		for range 50 {
			if !g.produceAs(-1) {
				t.Fatalf("refused with %d segments in the tier", g.part(0).Tiered().Len())
			}
		}
		g.n.Checkpoint()
		drive(t, g.n, g.now)
		g.upload()
		g.after(100 * time.Millisecond)
	}
	for i := range int64(2000) {
		if !g.produceAs(i) {
			g.after(time.Minute)
			if !g.produceAs(-1) {
				t.Fatalf("nobody can write any more: %d segments in the tier, %d producers", g.part(0).Tiered().Len(), i)
			}
		}
	}
}
