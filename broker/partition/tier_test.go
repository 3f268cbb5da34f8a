package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// tiered returns an upkeep with a cold tier that local retention empties the
// disk into at once.
func tieredUpkeep() Upkeep {
	u := limits()
	u.Tier = TierPlan{Copy: true, CopyLagMs: 0, CopyLagBytes: -1}
	u.Tier.Local = storage.RetentionSettings{Ms: -1, Bytes: 0, SegmentMs: -1, ActiveSinceMs: -1}
	return u
}

var uploadIDs byte

// object is what an uploader would commit for an upload.
func object(u Upload) manifest.Segment {
	uploadIDs++
	return manifest.Segment{
		Base: u.Base, End: u.End, Term: u.Term, ID: manifest.ID{uploadIDs}, DataBytes: u.Bytes,
		ObjectBytes: manifest.DataOffset + u.Bytes + 100, MaxTimestamp: 1000, TailCRC: 5,
	}
}

// commit is the outcome of one CommitUpload.
type commit struct {
	accepted bool
	err      error
	answers  int
}

func (h *harness) commit(s manifest.Segment) *commit {
	c := &commit{}
	h.p.CommitUpload(s, 2000, func(accepted bool, err error) {
		c.accepted, c.err = accepted, err
		c.answers++
	})
	return c
}

// upload commits the next segment.
func (h *harness) upload() manifest.Segment {
	h.t.Helper()
	h.site.work(true)
	u, ok := h.p.NextUpload(2000, tieredUpkeep().Tier)
	if !ok {
		h.t.Fatal("nothing to upload")
	}
	s := object(u)
	c := h.commit(s)
	h.apply(-1)
	if c.answers != 1 || !c.accepted || c.err != nil {
		h.t.Fatalf("commit: %+v", c)
	}
	s.CommittedAt = 2000
	return s
}

func newTiered(t *testing.T) *harness {
	h := newHarness(t)
	h.segments(1000)
	h.fill(40, spec{size: 100})
	if n := len(h.p.log.Sealed()); n < 4 {
		t.Fatalf("%d closed segments", n)
	}
	return h
}

// The bytes that an uploader gets are those of the closed segment, and the
// oldest one comes first.
func TestUploadIsTheOldestClosedSegment(t *testing.T) {
	h := newTiered(t)
	if _, ok := h.p.NextUpload(2000, tieredUpkeep().Tier); ok {
		t.Fatal("a segment that is not written yet is uploaded")
	}
	h.site.work(true)
	if _, ok := h.p.NextUpload(2000, TierPlan{}); ok {
		t.Fatal("an upload without remote.storage.enable")
	}
	want := h.p.log.Sealed()[0]
	u, ok := h.p.NextUpload(2000, tieredUpkeep().Tier)
	if !ok || u.Base != want.Base || u.End != want.End || u.Bytes != want.Bytes || len(u.Epochs) != 1 || u.Epochs[0].Epoch != 2 {
		t.Fatalf("%+v, want %+v", u, want)
	}
	f, done, err := h.p.OpenUpload(&u)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	got := make([]byte, u.Bytes)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	c, err := h.p.Read(u.Base, u.End, 1<<20, true)
	if err != nil || !bytes.Equal(bytes.Join(c.Buffers, nil), got) {
		t.Fatalf("other bytes than readers get: %v", err)
	}
	if _, err := f.ReadAt(got, 1); err == nil {
		t.Fatal("read beyond the segment")
	}
}

func TestCopyLag(t *testing.T) {
	for _, c := range []struct {
		ms, bytes int64
		want      bool
	}{{0, -1, true}, {-1, -1, false}, {500, -1, true}, {5000, -1, false}, {-1, 0, true}, {-1, 1000, true}, {-1, 1 << 30, false}, {5000, 1000, true}} {
		h := newTiered(t)
		h.site.work(true)
		plan := tieredUpkeep().Tier
		plan.CopyLagMs, plan.CopyLagBytes = c.ms, c.bytes
		if _, ok := h.p.NextUpload(2000, plan); ok != c.want {
			t.Errorf("lag of %d ms and %d bytes: %t", c.ms, c.bytes, ok)
		}
	}
}

// S1: nothing leaves the disk that the tier does not hold, whatever an entry
// says.
func TestS1LocalStartStopsAtTheTiersEnd(t *testing.T) {
	h := newTiered(t)
	local := func(o ident.Offset) {
		if err := h.entry(entry.Build(entry.LocalStart, 3000, offset(o), nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	local(30) // nothing is in the tier
	if o, _ := h.p.Offsets(); o.LocalStart != 0 {
		t.Fatalf("local start %d with an empty tier", o.LocalStart)
	}
	s := h.upload()
	local(30)
	if o, _ := h.p.Offsets(); o.LocalStart != s.End || o.LogStart != 0 {
		t.Fatalf("offsets %+v, the tier ends at %d", o, s.End)
	}
	if _, err := h.p.Read(0, 40, 100, true); !errors.Is(err, ErrTiered) {
		t.Fatalf("read of what is in the tier: %v", err)
	}
	if _, err := h.p.Read(s.End, 40, 100, true); err != nil {
		t.Fatal(err)
	}
	h.same()
}

// S1: local retention waits for the tier, and takes what is there.
func TestS1LocalRetentionFollowsTheTier(t *testing.T) {
	h := newTiered(t)
	h.p.Maintain(5000, tieredUpkeep())
	h.apply(-1) // closes the active segment, since the local limit is 0 bytes
	if o, _ := h.p.Offsets(); o.LocalStart != 0 {
		t.Fatalf("local start %d before any upload", o.LocalStart)
	}
	h.checkpoint()
	files := h.files()
	first, second := h.upload(), h.upload()
	if first.End != second.Base {
		t.Fatalf("segments [%d, %d) and [%d, %d)", first.Base, first.End, second.Base, second.End)
	}
	h.p.Maintain(6000, tieredUpkeep())
	h.apply(-1)
	if o, _ := h.p.Offsets(); o.LocalStart != second.End || o.LogStart != 0 {
		t.Fatalf("offsets %+v, the tier ends at %d", o, second.End)
	}
	h.same()
	if n := h.files(); n != files-4 { // a segment is two files
		t.Fatalf("%d files, %d before", n, files)
	}
	h.crash(rand.New(rand.NewPCG(1, 1)), h.log)
	if l := h.p.Tiered(); l.Len() != 2 || *l.At(1) != second || h.p.log.LocalStart() != second.End {
		t.Fatalf("after a crash: %d segments, local start %d", l.Len(), h.p.log.LocalStart())
	}
}

// S4: the manifest has no gap and no overlap, whatever was uploaded twice, late
// or by a deposed leader.
func TestS4OnlyTheNextSegmentCounts(t *testing.T) {
	h := newTiered(t)
	h.site.work(true)
	u, _ := h.p.NextUpload(2000, tieredUpkeep().Tier)
	sealed := h.p.log.Sealed()
	for name, wrong := range map[string]func(*Upload){
		"the second":    func(u *Upload) { u.Base, u.End, u.Bytes = sealed[1].Base, sealed[1].End, sealed[1].Bytes },
		"one too long":  func(u *Upload) { u.End = sealed[1].End },
		"one too short": func(u *Upload) { u.End-- },
		"fewer bytes":   func(u *Upload) { u.Bytes-- },
	} {
		v := u
		wrong(&v)
		c := h.commit(object(v))
		h.apply(-1)
		if c.answers != 1 || c.accepted || c.err != nil || h.p.Tiered().Len() != 0 {
			t.Errorf("%s: %+v, %d segments", name, c, h.p.Tiered().Len())
		}
	}
	s := h.upload()
	twice := s
	twice.ID = manifest.ID{0xff}
	c := h.commit(twice)
	h.apply(-1)
	if c.accepted || c.answers != 1 || h.p.Tiered().Len() != 1 {
		t.Fatalf("the same segment twice: %+v", c)
	}
	h.same()
}

// What was committed before a repair took damaged batches out of the local file is
// committed by a replay after it too: the object holds what the file held.
func TestCommitOfASegmentThatARepairMadeSmaller(t *testing.T) {
	h := newTiered(t)
	h.site.work(true)
	u, _ := h.p.NextUpload(2000, tieredUpkeep().Tier)
	u.Bytes += 100 // that the file has no more
	c := h.commit(object(u))
	h.apply(-1)
	if c.answers != 1 || !c.accepted || c.err != nil || h.p.Tiered().Len() != 1 {
		t.Fatalf("%+v, %d segments", c, h.p.Tiered().Len())
	}
	h.same()
}

// What became of a commit that was lost with the leadership is not known.
func TestLostCommitIsAnError(t *testing.T) {
	h := newTiered(t)
	h.site.work(true)
	u, _ := h.p.NextUpload(2000, tieredUpkeep().Tier)
	c := h.commit(object(u))
	if _, ok := h.p.NextUpload(2000, tieredUpkeep().Tier); ok {
		t.Fatal("an upload beside a commit in flight")
	}
	h.drop(replog.ErrNotLeader)
	if c.answers != 1 || !errors.Is(c.err, ErrNotLeader) {
		t.Fatalf("%+v", c)
	}
	h.upload()
}

// S3: an upload that ends when its replica leads no more is known to be garbage,
// since its commit is not even proposed.
func TestUploadOfADeposedLeaderIsGarbage(t *testing.T) {
	h := newTiered(t)
	h.site.work(true)
	u, _ := h.p.NextUpload(2000, tieredUpkeep().Tier)
	h.p.Unlead()
	if c := h.commit(object(u)); c.answers != 1 || c.accepted || c.err != nil || len(h.log.items) != 0 {
		t.Fatalf("%+v, %d proposals", c, len(h.log.items))
	}
}

// S3: a segment becomes a tombstone when the log start passes it, and is
// forgotten when its object is deleted.
func TestS3TombstonesFollowTheLogStart(t *testing.T) {
	h := newTiered(t)
	a, b := h.upload(), h.upload()
	h.deleteRecords(b.Base + 1)
	h.apply(-1)
	if l := h.p.Tiered(); l.Len() != 1 || *l.At(0) != b {
		t.Fatalf("%d segments", l.Len())
	}
	if d := h.p.Discardable(1000, 500, 10); len(d) != 0 {
		t.Fatal("deleted within the grace")
	}
	dead := h.p.Discardable(1500, 500, 10)
	if len(dead) != 1 || dead[0].Segment != a || dead[0].Since != 1000 {
		t.Fatalf("%+v", dead)
	}
	h.same()
	h.crash(rand.New(rand.NewPCG(2, 1)), h.log)
	if h.p.Tombstones() != 1 {
		t.Fatal("a crash lost the tombstone")
	}
	h.lead()
	h.p.Discarded(h.p.Discardable(1500, 500, 10), 1600)
	h.apply(-1)
	if h.p.Tombstones() != 0 || h.p.Tiered().Len() != 1 {
		t.Fatalf("%d tombstones", h.p.Tombstones())
	}
}

// Retention counts what is in the tier and what is only local, each once.
func TestRetentionOverBothTiers(t *testing.T) {
	h := newTiered(t)
	first := h.upload()
	second := h.upload()
	h.p.Maintain(5000, tieredUpkeep())
	h.apply(-1)
	total := int64(0)
	for _, g := range h.p.segments() {
		total += g.Bytes
	}
	total += h.p.log.Active().Bytes
	u := limits()
	u.Retention.Bytes = total // enough
	h.p.Maintain(6000, u)
	h.apply(-1)
	if o, _ := h.p.Offsets(); o.LogStart != 0 {
		t.Fatalf("log start %d", o.LogStart)
	}
	u.Retention.Bytes = total - first.DataBytes
	h.p.Maintain(7000, u)
	h.apply(-1)
	if o, _ := h.p.Offsets(); o.LogStart != first.End {
		t.Fatalf("log start %d, want %d", o.LogStart, first.End)
	}
	if l := h.p.Tiered(); l.Len() != 1 || *l.At(0) != second || h.p.Tombstones() != 1 {
		t.Fatalf("%d segments, %d tombstones", l.Len(), h.p.Tombstones())
	}
	h.same()
}

// Turning remote storage off with deletion leaves what is on the local disk.
func TestTierDrop(t *testing.T) {
	h := newTiered(t)
	h.upload()
	second := h.upload()
	h.p.Maintain(5000, tieredUpkeep())
	h.apply(-1)
	u := limits()
	u.Tier.Drop = true
	h.p.Maintain(6000, u)
	h.apply(-1)
	o, _ := h.p.Offsets()
	if o.LogStart != second.End || o.LocalStart != second.End || h.p.Tiered().Len() != 0 || h.p.Tombstones() != 2 {
		t.Fatalf("%+v, %d segments, %d tombstones", o, h.p.Tiered().Len(), h.p.Tombstones())
	}
	// A local start that was proposed before must not take what is only here now.
	if err := h.entry(entry.Build(entry.LocalStart, 1, offset(o.HighWatermark), nil), nil); err != nil {
		t.Fatal(err)
	}
	if now, _ := h.p.Offsets(); now.LocalStart != o.LocalStart {
		t.Fatalf("local start %d", now.LocalStart)
	}
	third := h.upload() // enabled again
	if third.Base != second.End {
		t.Fatalf("the tier goes on at %d, want %d", third.Base, second.End)
	}
	h.same()
}

// The producers that go with a segment are those of its batches, so that a copy
// of the log that ends there does not know more than it holds.
func TestUploadedProducersEndWithTheSegment(t *testing.T) {
	h := newHarness(t)
	h.segments(1000)
	for i := range 40 {
		h.produce(spec{id: 7, seq: int32(i), size: 100})
		h.apply(-1)
	}
	h.produce(spec{id: 8, seq: 0, size: 100})
	h.apply(-1)
	h.site.work(true)
	u, ok := h.p.NextUpload(2000, tieredUpkeep().Tier)
	if !ok {
		t.Fatal("nothing to upload")
	}
	s, rest, err := decodeProducers(u.Producers)
	if err != nil || len(rest) != 0 {
		t.Fatal(err)
	}
	for id, p := range s.byID {
		for _, b := range p.batches[:p.count] {
			if b.end >= u.End {
				t.Fatalf("producer %d has a batch up to %d, the segment ends at %d", id, b.end, u.End)
			}
		}
	}
	if s.byID[8] != nil {
		t.Fatal("a producer that wrote behind the segment")
	}
}

func TestTierEntriesRefuseDamage(t *testing.T) {
	for _, b := range [][]byte{
		entry.Build(entry.TierCommit, 1, []byte("short"), nil),
		entry.Build(entry.TierCommit, 1, make([]byte, manifest.SegmentBytes), nil),
		entry.Build(entry.LocalStart, 1, []byte("short"), nil),
		entry.Build(entry.TierTrim, 1, nil, []byte("short")),
		entry.Build(entry.TierDrop, 1, nil, []byte("more")),
	} {
		h := newTiered(t)
		if err := h.entry(b, nil); !errors.Is(err, errState) {
			t.Errorf("%x: %v", b[1], err)
		}
	}
}

func offset(o ident.Offset) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(o)) }
