package partition

import (
	"encoding/binary"
	"sort"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/tiering/manifest"
)

// An object that the manifest names may be gone: somebody deleted it from the
// bucket, or a repair lost the entry by which the tier was given up. So a leader
// lets a segment go from the local disk only if it has uploaded it itself or has
// found its object in the store since (S1).

// Unfound returns the segments, oldest first and at most n, whose objects must be
// found before local retention may take them. now is in ms.
func (p *Partition) Unfound(now int64, plan TierPlan, n int) []manifest.Segment {
	list := p.tier.list
	end, some := list.End()
	if !plan.Copy || !some || p.serving() != nil {
		return nil
	}
	start, _ := p.planLocal(now, plan, end)
	from := p.foundEnd()
	first := sort.Search(list.Len(), func(i int) bool { return list.At(i).End > from })
	var out []manifest.Segment
	for i := first; i < list.Len() && list.At(i).Base < start && len(out) < n; i++ {
		out = append(out, *list.At(i))
	}
	return out
}

// Found says that the objects of segments that Unfound returned are there.
func (p *Partition) Found(segments []manifest.Segment) {
	for i := range segments {
		if k, ok := p.tier.list.Find(segments[i].Base); ok && p.tier.list.At(k).ID == segments[i].ID {
			p.noteFound(&segments[i])
		}
	}
}

// noteFound takes down that an object is there, if none before it is in doubt.
func (p *Partition) noteFound(s *manifest.Segment) {
	if s.Base <= p.foundEnd() {
		p.found = max(p.found, s.End)
	}
}

// foundEnd returns where the objects end that are there for certain: those from the
// local log start on.
func (p *Partition) foundEnd() ident.Offset { return max(p.found, p.log.LocalStart()) }

// Evict proposes what local retention asks, and reports whether it would take the
// active segment too, if that were closed. now is in ms.
func (p *Partition) Evict(now int64, plan TierPlan) (roll bool) {
	if !plan.Copy || p.serving() != nil {
		return false
	}
	upTo := p.log.LocalStart()
	if end, some := p.tier.list.End(); some {
		upTo = min(end, p.foundEnd())
		if mutant.On(mutant.EvictUnfound) {
			upTo = end
		}
	}
	if mutant.On(mutant.EvictUncopied) {
		upTo = p.log.End()
	}
	start, roll := p.planLocal(now, plan, upTo)
	if start > p.log.LocalStart() {
		p.propose(&p.evicting, tokenEvict, entry.LocalStart, now, binary.LittleEndian.AppendUint64(nil, uint64(start)), nil)
	}
	return roll
}

// planLocal says what local retention asks of segments below an offset.
func (p *Partition) planLocal(now int64, plan TierPlan, upTo ident.Offset) (start ident.Offset, roll bool) {
	plan.Local.UpTo = upTo
	return storage.PlanRetention(now, plan.Local, p.log.Sealed(), p.log.Active(), p.log.LocalStart())
}
