package sim

import (
	"strings"
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// streamLosses draws which runs have a repair that loses something beside a cold
// tier, chains and groups, so that all others stay as they are.
const streamLosses = 1201

// losses is what a repair with losses meets that the plain ones do without, and
// what of it is given up: what the report names, and what docs/repair.md says
// follows from that.
//
//   - Of a partition that lost the end of its log: objects that were deleted, or were
//     to be, may be named again. What those held is below the log start that was told
//     before the repair, or is on the local disk.
//   - Of a partition whose uploads may be made again: any object that is there may be
//     garbage, and segments that had left the local disk may be there, with what was
//     deleted only because the tier was given up.
//   - Of a shard of __consumer_offsets that lost something: what its groups
//     committed before, and their generations.
//   - Of a partition with dead letters that lost the end of its log: letters that
//     were on their way; of a partition of a dead-letter topic: what the report names.
type losses struct {
	any                  bool // there may be such a repair
	tier, chains, groups bool // what the run keeps
}

// drawLosses decides what a repair with losses meets, and gives runs one that
// would have none.
func (m *midway) drawLosses(seed uint64, p *plan) {
	r := stream(seed, streamLosses)
	added, kind, late, at := r.IntN(3) == 0, r.IntN(8), r.IntN(3) == 0, r.Int64N(int64(p.length)*3/4)
	if p.without["losses"] {
		return
	}
	if m.r == nil && !p.repair && added {
		*m = midway{r: r, lossy: true, at: p.length/8 + time.Duration(at)}
	}
	if !m.lossy || kind == 0 {
		return
	}
	all := kind > 3
	m.losses = losses{any: true, tier: all || kind == 1, chains: all || kind == 2, groups: all || kind == 3}
	if late {
		m.at = p.length // whatever the load and its faults have left
	}
}

// bearable reports whether the model knows what becomes of all that a report
// names.
func (s *run) bearable(report *repair.Report) bool {
	for i := range report.Partitions {
		pr := &report.Partitions[i]
		known := s.lossOf(pr) != nil || s.midway.losses.groups && pr.Topic == coordinator.Topic ||
			s.midway.losses.chains && strings.HasPrefix(pr.Topic, letterPrefix)
		if !known || pr.Rebuilt || pr.Problem != "" {
			return false
		}
	}
	return report.Metadata == nil
}

// countLosses takes down what a repair lost.
func (s *run) countLosses(report *repair.Report) {
	if !report.Loses() {
		return
	}
	s.stats.RepairsLost++
	tier, groups, letters := false, false, false
	for i := range report.Partitions {
		pr := &report.Partitions[i]
		p := s.lossOf(pr)
		switch lost := pr.Lost != nil || len(pr.Holes) > 0; {
		case !lost:
		case pr.Topic == coordinator.Topic:
			groups = true
		case pr.Letters || strings.HasPrefix(pr.Topic, letterPrefix):
			letters = true
		default:
			tier = p != nil && s.plan.tier || tier
		}
	}
	for _, c := range []struct {
		n  *int
		is bool
	}{{&s.stats.LostWithTier, tier}, {&s.stats.LostOffsets, groups}, {&s.stats.LostLetters, letters}} {
		if c.is {
			*c.n++
		}
	}
}

// mayNameAgain gives up what took objects of a partition out of its manifest, so
// that they may be named although they are gone, or will be.
func (st *store) mayNameAgain(p *part) {
	for id, o := range st.objects { // order: each by itself
		if o.id == p.id && !o.unnamed.IsZero() {
			p.lacks[id] = true
		}
	}
	for id := range p.removed { // order: each by itself
		p.lacks[id] = true
	}
}

// mayForget gives up what named objects of a partition: any of them may be garbage,
// and the segment may be on the local disk yet.
func (st *store) mayForget(p *part) {
	for _, o := range st.objects { // order: each by itself
		o.given = o.given || o.id == p.id
	}
	p.tier, p.uploaded = tierSeen{}, min(p.uploaded, p.hw)
	if p.topic.dropsTier { // the log begins where the local log does then
		for i := range p.told {
			p.told[i].start = 0
		}
	}
}

// lacks reports whether the object of a segment may be gone although a manifest
// names it, because a repair lost what took it out.
func (s *run) lacks(id ident.Partition, segment manifest.ID) bool {
	p := s.model.part(id)
	return p != nil && p.lacks[segment]
}

// behindLack returns where a reader goes on that finds an object gone which may be,
// and whether that is so. All of it was deleted before the repair.
func (s *run) behindLack(p *part, at *partition.Partition, from ident.Offset) (ident.Offset, bool) {
	o, gone := at.Offsets()
	place, err := at.Locate(from)
	if gone != nil || err != nil || place.Local {
		return 0, false
	}
	i, ok := place.List.Find(place.At)
	if !ok {
		return 0, false
	}
	seg := place.List.At(i)
	if s.store.objects[seg.ID] != nil || !p.lacks[seg.ID] {
		return 0, false
	}
	next := max(min(seg.End, o.LocalStart), from+1)
	if lost := p.ackedIn(max(from, p.start), next); len(lost) > 0 {
		s.fail("S1", "%s: the object of [%d, %d) is deleted, and batch %d at offset %d was not", p.name, seg.Base, seg.End, p.acked[lost[0]].id, lost[0])
	}
	return next, true
}

// spared reports whether an offset is in no hole that a repair left.
func (p *part) spared(o ident.Offset) bool {
	return !inRanges(p.holes, o)
}
