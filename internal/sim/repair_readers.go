package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/internal/ident"
)

// giveUpGroups has the model forget what was promised to the groups of a shard of
// __consumer_offsets that lost something: any commit or deletion may have been
// undone, and the group may be an older one.
func (s *run) giveUpGroups(report *repair.Report) {
	if s.groups == nil {
		return
	}
	for i := range report.Partitions {
		pr := &report.Partitions[i]
		if pr.Topic != coordinator.Topic || pr.Lost == nil && len(pr.Holes) == 0 {
			continue
		}
		for _, g := range s.groups.groups {
			if coordinator.PartitionFor(g.id, s.groups.plan.parts) == pr.Partition {
				s.log("midway: group %s may be as it was at any time before", g.id)
				g.giveUp()
			}
		}
	}
}

// giveUp forgets what was known of a group's offsets and generations.
func (g *simGroup) giveUp() {
	g.incarnate()
	for _, r := range g.registers { // order: each by itself
		for _, c := range r.list {
			c.given, c.known, c.gone = g.w.s.now, time.Time{}, false
		}
	}
}

// giveUpProcessed notes that the offsets of a partition from one on are given
// again: nothing at them was processed, and whoever had read further than the end
// is may go on behind what is written there, unless it looks at leader epochs.
func (s *run) giveUpProcessed(p *part, end ident.Offset) {
	p.skippable = append(p.skippable, repair.OffsetRange{First: int64(end), End: int64(max(end, p.hw))})
	if s.groups == nil {
		return
	}
	for _, g := range s.groups.groups {
		at := placeOf(p)
		if g.processedOf[at] != p {
			continue
		}
		for base := range g.processed[at] { // order: deletions only
			if base >= int64(end) {
				delete(g.processed[at], base)
			}
		}
	}
}

// mayBeSkipped reports whether a group that goes on behind an offset may not have
// processed it: it was deleted before a repair lost that, or is where offsets are
// given again.
func (p *part) mayBeSkipped(o ident.Offset) bool {
	return p.cut && o < p.start || inRanges(p.skippable, o)
}

func inRanges(list []repair.OffsetRange, o ident.Offset) bool {
	return slices.ContainsFunc(list, func(h repair.OffsetRange) bool { return ident.Offset(h.First) <= o && o < ident.Offset(h.End) })
}

// giveUpLetters has the model forget the letters that may be lost, or come twice:
// those of a topic of which a partition lost entries, and those that were in a
// dead-letter topic of which one lost something.
func (s *run) giveUpLetters(report *repair.Report) {
	for i := range report.Partitions {
		pr := &report.Partitions[i]
		of := ""
		switch p := s.lossOf(pr); {
		case pr.Letters && p != nil:
			of = p.topic.name
		case strings.HasPrefix(pr.Topic, letterPrefix) && (pr.Lost != nil || len(pr.Holes) > 0):
			of = strings.TrimPrefix(pr.Topic, letterPrefix)
		default:
			continue
		}
		for _, t := range s.model.topics {
			for _, p := range t.parts {
				if t.name == of {
					p.lettersLost = max(p.lettersLost, p.hw)
				}
			}
		}
	}
}

// givenLetter reports whether a letter is of a batch that a repair gave up, and so
// is nothing that is known of its place.
func (s *run) givenLetter(l letter) bool {
	id := batchOf(l.value)
	if id < 1 || id > len(s.model.batches) {
		return false
	}
	b := s.model.batches[id-1]
	return b.given && !slices.Contains(b.acks, l.offset-ident.Offset(l.delta))
}

// letterMayMove reports whether a letter may come twice, or behind later ones.
func (s *run) letterMayMove(l letter) bool {
	p := s.model.part(l.from)
	return p != nil && (l.offset < p.lettersLost || s.model.batches[batchOf(l.value)-1].given)
}

// deadAre reports whether the dead letters of an acknowledged batch are those that
// they should be, or some of these if they may be lost.
func (p *part) deadAre(base ident.Offset, dead, want []int) bool {
	if base >= p.lettersLost {
		return slices.Equal(dead, want)
	}
	for _, d := range dead {
		if !slices.Contains(want, d) {
			return false
		}
	}
	return true
}
