package sim

import (
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// tierSeen is what was seen of a partition's cold tier last.
type tierSeen struct {
	life         *broker
	epoch        ident.Epoch
	start, local ident.Offset // of the log
	first, end   ident.Offset // of the manifest
	length       int
}

// tierEnd returns where a manifest ends, -1 if it is empty.
func tierEnd(l manifest.List) ident.Offset {
	end, _ := l.End()
	return end
}

// checkTiers looks at the cold tier of every partition that a broker leads,
// whenever it changed. It is called after everything that happens to the broker.
func (s *run) checkTiers(b *broker) {
	if b == nil || !s.plan.tier || b.server.disk.lost {
		return
	}
	for _, t := range s.model.topics {
		// A leader may not have heard of a deletion whose objects are gone by now,
		// and whose end nobody was told.
		_, dropped := s.store.dropped[t.id]
		if t.state == deleted || t.state == deleting && dropped {
			continue
		}
		for _, p := range t.parts {
			at, o, ok := b.serves(p.id)
			if !ok || s.newest(p.id) != b || o.LeaderEpoch < p.tier.epoch {
				continue // of a leader that was deposed, and nobody leads yet
			}
			p.tier.epoch = o.LeaderEpoch
			list := at.Tiered()
			now := tierSeen{life: b, epoch: o.LeaderEpoch, start: o.LogStart, local: o.LocalStart, first: list.Start(), end: tierEnd(list), length: list.Len()}
			if was := p.tier; now.life != was.life || now.start != was.start || now.local != was.local || now.first != was.first || now.end != was.end || now.length != was.length {
				s.checkTier(p, at, list, was, now)
			}
		}
	}
}

// checkTier looks at a manifest that changed, or at any after a restart.
func (s *run) checkTier(p *part, at *partition.Partition, list manifest.List, was, now tierSeen) {
	s.log("tier of %s: log [%d, local %d, manifest [%d, %d) of %d", p.name, now.start, now.local, now.first, now.end, now.length)
	s.checkManifest(p, list, now)
	s.checkNamed(p, at, list)
	p.tier = now
	s.sawStart(p, now.epoch, now.start)
	s.sawLocalStart(p, was.local, now)
	s.checkEvicted(p, list, max(was.local, now.start), now.local)
}

// checkNamed: S1. Every object that a manifest names is there and is what it was
// when it was uploaded and verified. What no manifest names any more began its
// grace.
func (s *run) checkNamed(p *part, at *partition.Partition, list manifest.List) {
	for i := range list.Len() {
		seg := *list.At(i)
		o := s.store.objects[seg.ID]
		if o == nil && p.lacks[seg.ID] {
			s.stats.NamedAgain++
			continue
		}
		if o == nil {
			s.fail("S1", "%s: the manifest names [%d, %d) of term %d, and its object is not there", p.name, seg.Base, seg.End, seg.Term)
		}
		seg.CommittedAt = o.segment.CommittedAt
		if seg != o.segment || o.id != p.id || o.key != seg.Key("sim", p.id) {
			s.fail("S1", "%s: the manifest names %+v, the object is %+v", p.name, seg, o.segment)
		}
		if o.lost && !o.told.IsZero() {
			s.fail("S3", "%s: the manifest names [%d, %d), which was given up", p.name, seg.Base, seg.End)
		}
		o.named, o.lost, o.unnamed = true, false, time.Time{}
		p.uploaded = max(p.uploaded, seg.End)
	}
	for _, d := range at.Dead() {
		if o := s.store.objects[d.Segment.ID]; o != nil {
			o.unnamed = time.UnixMilli(d.Since)
		}
	}
}

// checkEvicted: S1. Every acknowledged batch of [from, until), which just went
// from the local log, is in an object that the manifest names.
func (s *run) checkEvicted(p *part, list manifest.List, from, until ident.Offset) {
	for _, base := range p.ackedIn(from, until) {
		b := p.acked[base]
		if s.mayVanish(b) {
			continue
		}
		i, ok := list.Find(base)
		if !ok {
			s.fail("S1", "%s: batch %d at offset %d is gone from the local log, which starts at %d, and the tier ends at %d", p.name, b.id, base, until, tierEnd(list))
		}
		o := s.store.objects[list.At(i).ID]
		if o == nil && base < p.start {
			continue // deleted before a repair lost that
		}
		if o == nil || !o.holds(base) {
			s.fail("S1", "%s: batch %d at offset %d is gone from the local log and is not in its object", p.name, b.id, base)
		}
	}
}

// holds reports whether a batch with that base offset is in the object.
func (o *object) holds(base ident.Offset) bool {
	for _, b := range o.batches {
		if b.base == base {
			return true
		}
	}
	return false
}
