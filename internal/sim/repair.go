package sim

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// given is what a repair said that it gives up of a partition.
type given struct {
	end     ident.Offset // what is behind may be lost
	holes   []repair.OffsetRange
	rebuilt bool
	problem bool
}

// damageAndRepair ends a run of one node: its disk is damaged for good, an
// operator has it repaired, accepting the loss, and what the report does not name
// is still there.
func (s *run) damageAndRepair() {
	if !s.alone() || !s.plan.repair || s.plan.full {
		return
	}
	sv := s.servers[0]
	r := s.rng.repair
	sv.ended()
	sv.disk.killed()
	s.disconnected(sv)
	s.rng.fault, s.ending = r, false // whatever is drawn for flips is the repair's
	log := 0                         // places of the write-ahead log
	for range 1 + r.IntN(3) {
		// What is lost may have taken objects out of a manifest that are deleted
		// by now, so that with a cold tier only single bits are wrong.
		switch kind := r.IntN(5); {
		case kind == 0 || kind < 4 && s.plan.tier:
			if sv.disk.flipInWAL() {
				log++
			}
		case kind == 1 || s.plan.tier:
			sv.disk.flipInSegment()
		default:
			if d, ok := sv.disk.spoil(r, true); ok {
				s.log("repair: %d bytes at %d of %s are damaged", len(d.old), d.off, d.name)
				log += 2
			}
		}
	}
	s.ending = true
	lost := map[ident.Partition]*given{}
	metadata := false
	for again := true; again; {
		again = false
		if r.IntN(3) == 0 {
			sv.disk.cut = 1 + r.IntN(200)
		}
		report, err := s.repairOnce(sv)
		if sv.disk.cut = 0; report != nil {
			metadata = metadata || report.Metadata != nil
			s.noteGiven(report, lost)
		}
		switch {
		case sv.disk.lost:
			s.log("power: lost in the middle of a repair")
			sv.disk.powerLoss(vfs.CrashOptions{Keep: 0.5, Reorder: true})
			again = true
		case errors.Is(err, repair.ErrObstacle) && log > 1:
			return // several may hit all that there is of the cluster metadata
		case err != nil:
			s.fail("repair", "%v", err)
		}
	}
	s.stats.Repairs++
	sv.open()
	if !s.until(recovery, s.working) {
		s.fail("repair", "the broker is not ready %v after a repair: %s", recovery, s.condition())
	}
	for _, p := range s.model.parts() {
		g := lost[p.id]
		if g == nil {
			g = &given{end: 1 << 62}
		}
		s.checkRepaired(p, g, metadata)
	}
}

// repairOnce finds out what is damaged and repairs it.
func (s *run) repairOnce(sv *server) (*repair.Report, error) {
	o := s.repairOptions(sv)
	report, err := repair.Inspect(sv.disk.fs, o)
	if err != nil {
		return nil, err
	}
	s.log("repair: needed %v, refused %v, %d places of the log, %d partitions, metadata %v, obstacle %q",
		report.Needed, report.Refused, len(report.Log), len(report.Partitions), report.Metadata != nil, report.Obstacle)
	if !report.Needed {
		return report, nil
	}
	if report.Obstacle != "" {
		return report, fmt.Errorf("%w: %s", repair.ErrObstacle, report.Obstacle)
	}
	return report, repair.Repair(sv.disk.fs, o, report)
}

func (s *run) repairOptions(sv *server) repair.Options {
	return repair.Options{WAL: (&broker{s: s, server: sv}).config().Engine.WAL, Node: sv.id}
}

// noteGiven takes down what a report names as lost.
func (s *run) noteGiven(report *repair.Report, lost map[ident.Partition]*given) {
	for i := range report.Partitions {
		pr := &report.Partitions[i]
		b, err := hex.DecodeString(pr.TopicID)
		if err != nil || len(b) != len(ident.TopicID{}) {
			s.fail("repair", "the report names topic %q", pr.TopicID)
		}
		id := ident.Partition{Topic: ident.TopicID(b), Index: pr.Partition}
		g := lost[id]
		if g == nil {
			g = &given{end: 1 << 62}
			lost[id] = g
		}
		if pr.Lost != nil {
			g.end = min(g.end, ident.Offset(pr.End))
			if p := s.model.part(id); p != nil { // entries that moved its borders may be among them
				p.told, p.tier = nil, tierSeen{}
			}
		}
		g.holes = append(g.holes, pr.Holes...)
		g.rebuilt = g.rebuilt || pr.Rebuilt
		g.problem = g.problem || pr.Problem != ""
		s.log("repair: %s-%d ends at %d, lost %+v, holes %v, rebuilt %v, problem %q", pr.Topic, pr.Partition, pr.End, pr.Lost, pr.Holes, pr.Rebuilt, pr.Problem)
	}
}

// keeps reports whether the report leaves an offset alone.
func (g *given) keeps(o ident.Offset) bool {
	return o < g.end && !slices.ContainsFunc(g.holes, func(h repair.OffsetRange) bool {
		return ident.Offset(h.First) <= o && o < ident.Offset(h.End)
	})
}

// checkRepaired: what a report does not name as lost is there after the repair,
// and no (offset, epoch) has a second value (L2).
func (s *run) checkRepaired(p *part, g *given, metadata bool) {
	b := s.newest(p.id)
	if b == nil {
		if !metadata && !g.problem {
			s.fail("repair", "%s does not serve after a repair", p.name)
		}
		return
	}
	at, o, _ := b.serves(p.id)
	found := map[ident.Offset]bool{}
	from := o.LogStart
	if g.rebuilt {
		from = max(from, o.LocalStart)
	}
	start := from
	for from < o.HighWatermark {
		if behind, lacks := s.behindLack(p, at, from); lacks {
			from = behind
			continue
		}
		f, err := s.fetch(p, b, at, from, o.HighWatermark, 1<<20)
		if err != nil || f.next <= from {
			s.fail("repair", "%s at %d cannot be read after a repair: %v", p.name, from, err)
		}
		for raw, err := range record.Batches(f.bytes) {
			if err != nil || !record.VerifyCRC(raw) {
				s.fail("repair", "%s: what is read at %d after a repair is damaged: %v", p.name, from, err)
			}
			h, _ := record.ParseHeader(raw) // Batches parsed it
			s.checkRepairedBatch(p, g, h, raw)
			found[ident.Offset(h.BaseOffset)] = true
		}
		from = f.next
	}
	for _, base := range p.ackedIn(max(start, p.start), g.end) {
		if !found[base] && g.keeps(base) && !s.mayVanish(p.acked[base]) {
			s.fail("repair", "%s: batch %d at offset %d is gone after a repair, and the report says nothing of it (lost from %d on, holes %v)", p.name, p.acked[base].id, base, g.end, g.holes)
		}
	}
	s.forget(p, g, o.LogStart, o.HighWatermark)
	if !s.probe(p, recovery) {
		s.fail("repair", "%s takes no batch after a repair; %s", p.name, s.condition())
	}
}

// checkRepairedBatch compares a batch with what was read there before.
func (s *run) checkRepairedBatch(p *part, g *given, h record.Header, raw []byte) {
	base := ident.Offset(h.BaseOffset)
	was, ok := p.values[base]
	now := value{epoch: ident.Epoch(h.LeaderEpoch), sum: sumOf(raw), last: ident.Offset(h.LastOffset())}
	switch {
	case !ok || now == was:
	case now.epoch == was.epoch:
		s.fail("L2", "%s: offset %d of epoch %d holds another batch after a repair", p.name, base, now.epoch)
	case g.keeps(base):
		s.fail("repair", "%s: offset %d held batch %d of epoch %d, and holds another after a repair that says nothing of it", p.name, base, p.bySum[was.sum].id, was.epoch)
	}
}

// forget has the model know nothing of a partition but what is there.
func (s *run) forget(p *part, g *given, start, hw ident.Offset) {
	p.acked, p.bases, p.values, p.told = map[ident.Offset]*batch{}, nil, map[ident.Offset]value{}, nil
	p.start, p.hw, p.deleteUpTo = start, hw, 1<<62
	p.tier, p.lowest, p.uploaded = tierSeen{}, 0, 0
}
