package sim

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// streamMidway draws what a repair in the middle of a run is about, so that runs
// without one stay as they are.
const streamMidway = 1001

// midway is a repair in the middle of a run of one node: the broker ends, its
// disk is damaged for good, an operator has it repaired, with losses of power in
// between, and the load goes on.
type midway struct {
	r  *rand.Rand // nil: there is none
	at time.Duration
	// lossy: batches may be lost, as the report says; else only single bits are
	// wrong, which costs nothing: every promise still holds.
	lossy  bool
	losses losses // what that meets
}

// drawMidway decides whether there is one.
func drawMidway(seed uint64, p *plan) (m midway) {
	if p.nodes > 1 || p.full || p.without["midway"] || p.without["later"] {
		return m
	}
	r := stream(seed, streamMidway)
	if kind := r.IntN(5); p.repair && kind > 0 {
		m = midway{r: r, lossy: kind > 2, at: p.length/8 + time.Duration(r.Int64N(int64(p.length)*3/4))}
	}
	m.drawLosses(seed, p)
	return m
}

// planMidway plans it. A run with losses does without what they do not meet.
func (s *run) planMidway() {
	p := s.plan
	s.midway = drawMidway(s.seed, p)
	if m := &s.midway; m.lossy {
		p.tier, p.chains = p.tier && m.losses.tier, p.chains && m.losses.chains
		p.without["groups"] = p.without["groups"] || !m.losses.groups
	}
}

// load lets the load and its faults go on for as long as planned, with a repair
// in the middle if there is to be one.
func (s *run) load() {
	if s.midway.r == nil {
		s.during(s.plan.length)
		return
	}
	s.during(s.midway.at)
	s.operate()
	s.during(s.plan.length - s.midway.at)
}

// operate damages the disk and has it repaired.
func (s *run) operate() {
	sv, r := s.servers[0], s.midway.r
	up := func() bool {
		return sv.broker != nil && sv.broker.node.Ready() && !sv.stopping && len(sv.disk.flips) == 0
	}
	if !s.until(recovery, up) {
		return
	}
	sv.fall(r.IntN(2) == 0)
	report := s.damageMidway(sv)
	if report == nil {
		s.log("midway: nothing is damaged")
		sv.open()
		return
	}
	s.giveUp(report)
	for again, before := report.Needed, false; again; before = true {
		if r.IntN(2) == 0 {
			sv.disk.cut = 1 + r.IntN(pick(r, 20, 150))
		}
		report, err := s.repairOnce(sv)
		// What the first report still found in files that were never synced may be
		// lost with the power.
		if before && report != nil {
			if report.Loses() && !s.bearable(report) {
				s.fail("repair", "after a loss of power in the middle more is lost: %+v", report)
			}
			s.giveUp(report)
		}
		if again = sv.disk.lost; again {
			s.log("power: lost in the middle of a repair")
			sv.disk.powerLoss(pick(r, vfs.CrashOptions{}, vfs.CrashOptions{Keep: 0.5, Tear: true, Reorder: true}, vfs.CrashOptions{Keep: 0.7, Tear: true}))
		} else if err != nil {
			s.fail("repair", "%v", err)
		}
		sv.disk.cut = 0
	}
	if after, err := repair.Inspect(sv.disk.fs, s.repairOptions(sv)); err != nil || after.Needed {
		s.fail("repair", "a repaired directory needs repair: %+v, %v", after, err)
	}
	s.stats.Repairs++
	s.countLosses(report)
	sv.open()
}

// damageMidway damages the disk until the report is one that the model can live
// with, and returns it; nil if there is nothing to damage.
func (s *run) damageMidway(sv *server) *repair.Report {
	r := s.midway.r
	for try := range 12 {
		lossy := s.midway.lossy && try < 8
		var done []spoiled
		for range 1 + r.IntN(3) {
			if d, ok := sv.disk.spoil(r, lossy); ok {
				done = append(done, d)
			}
			if try > 4 { // one must do
				break
			}
		}
		if s.midway.losses.any && r.IntN(3) == 0 {
			if d, ok := sv.disk.spoilHeader(r); ok {
				done = append(done, d)
			}
		}
		if len(done) == 0 {
			return nil
		}
		report, err := repair.Inspect(sv.disk.fs, s.repairOptions(sv))
		if err != nil {
			s.fail("repair", "%v", err)
		}
		if !lossy && len(done) == 1 && (report.Loses() || report.Obstacle != "") {
			s.fail("repair", "one wrong bit, %+v, costs something: %+v", done[0], report)
		}
		if report.Obstacle == "" && (!report.Loses() || s.midway.lossy && s.bearable(report)) {
			for _, d := range done {
				if d.header {
					s.stats.RepairedHeaders++
				}
			}
			s.log("midway: damaged %+v; needed %v, refused %v, loses %v", done, report.Needed, report.Refused, report.Loses())
			return report
		}
		for _, d := range slices.Backward(done) {
			sv.disk.put(d.name, d.off, d.old)
		}
	}
	return nil
}

// lossOf finds the partition of a report, nil if the model knows none.
func (s *run) lossOf(pr *repair.PartitionReport) *part {
	b, err := hex.DecodeString(pr.TopicID)
	if err != nil || len(b) != len(ident.TopicID{}) {
		s.fail("repair", "the report names topic %q", pr.TopicID)
	}
	return s.model.part(ident.Partition{Topic: ident.TopicID(b), Index: pr.Partition})
}

// giveUp has the model forget what a report gives up, and nothing else.
func (s *run) giveUp(report *repair.Report) {
	s.giveUpGroups(report)
	s.giveUpLetters(report)
	for i := range report.Partitions {
		pr := &report.Partitions[i]
		p := s.lossOf(pr)
		if p == nil || pr.Lost == nil && len(pr.Holes) == 0 {
			continue
		}
		g := &given{end: 1 << 62, holes: pr.Holes}
		if pr.Lost != nil {
			g.end = ident.Offset(pr.End)
			s.giveUpProcessed(p, g.end)
			// What moved its borders may be among it.
			p.told, p.tier, p.hw = nil, tierSeen{}, min(p.hw, g.end)
			p.start, p.deleteUpTo = min(p.start, g.end), min(p.deleteUpTo, g.end)
			s.store.mayNameAgain(p)
		}
		if pr.Uploads {
			s.store.mayForget(p)
		}
		s.log("midway: %s ends at %d, lost %+v, holes %v", p.name, pr.End, pr.Lost, pr.Holes)
		p.giveUp(g)
		for _, pr := range s.producers {
			if pr.part == p {
				pr.gap = pr.epoch + 1
			}
		}
	}
}

// giveUp forgets the offsets that are given up: what was promised, what was read
// there, and which batches that concerns.
func (p *part) giveUp(g *given) {
	p.cut, p.layout = true, layout{bases: map[ident.Offset]bool{}}
	p.holes = append(p.holes, g.holes...)
	p.bases = slices.DeleteFunc(p.bases, func(o ident.Offset) bool { return !g.keeps(o) })
	for o, v := range p.values { // order: a sum, and deletions
		if !g.keeps(o) {
			if p.acked[o] == nil {
				p.givenBytes += int64(len(p.bySum[v.sum].bytes))
			}
			delete(p.values, o)
		}
	}
	for o, b := range p.acked { // order: a sum, and deletions
		if !g.keeps(o) {
			p.givenBytes += int64(len(b.bytes))
			delete(p.acked, o)
		}
	}
	for _, b := range p.bySum { // order: each is looked at by itself
		was := len(b.acks) + len(b.seen)
		gone := func(o ident.Offset) bool { return !g.keeps(o) }
		b.acks, b.seen = slices.DeleteFunc(b.acks, gone), slices.DeleteFunc(b.seen, gone)
		b.given = b.given || was > len(b.acks)+len(b.seen) || was == 0
	}
}

// spoiled is bytes of a file that were changed for good.
type spoiled struct {
	name string
	off  int64
	old  []byte

	header bool // of a file of the log
}

// spoil changes one bit of a proven write or of a batch in a segment, or, with
// lossy, more of it. It reports false if there is nothing to change.
func (d *disk) spoil(r *rand.Rand, lossy bool) (spoiled, bool) {
	name, off, size, ok := d.someBatch(r)
	if w := d.provenWrites(); len(w) > 0 && (!ok || r.IntN(2) == 0) {
		p := w[len(w)-1-r.IntN(min(len(w), 12))]
		name, off, size, ok = p.name, p.off, p.size, true
		if lossy { // of its first record, whose header still says whose it was
			off, size = off+64+48, size-64-48
		}
	}
	if !ok || size < 2 {
		return spoiled{}, false
	}
	at, n := r.Int64N(size-1), int64(1)
	if lossy {
		n = min(2+r.Int64N(200), size-at)
	}
	old := d.get(name, off+at, n)
	b := slices.Clone(old)
	switch {
	case !lossy:
		b[0] ^= 1 << r.IntN(8)
	case r.IntN(2) == 0:
		clear(b)
	default:
		b[0] ^= 4
		b[1] ^= 32
	}
	d.put(name, off+at, b)
	return spoiled{name: name, off: off + at, old: old}, true
}

// spoilHeader changes one bit of the header of a log file. It reports false if there
// is none.
func (d *disk) spoilHeader(r *rand.Rand) (spoiled, bool) {
	var names []string
	for _, e := range d.list("wal") {
		if strings.HasSuffix(e.Name, ".wal") {
			names = append(names, "wal/"+e.Name)
		}
	}
	if len(names) == 0 {
		return spoiled{}, false
	}
	name, off := names[r.IntN(len(names))], r.Int64N(80)
	old := d.get(name, off, 1)
	if len(old) == 0 {
		return spoiled{}, false
	}
	d.put(name, off, []byte{old[0] ^ 1<<r.IntN(8)})
	return spoiled{name: name, off: off, old: old, header: true}, true
}

// someBatch chooses a batch of a closed segment, without what no checksum covers:
// base offset and leader epoch.
func (d *disk) someBatch(r *rand.Rand) (name string, off, size int64, ok bool) {
	var names []string
	for _, dir := range d.list("partitions") {
		var logs []string
		for _, e := range d.list("partitions/" + dir.Name) {
			if strings.HasSuffix(e.Name, ".log") && e.Size > record.HeaderSize {
				logs = append(logs, "partitions/"+dir.Name+"/"+e.Name)
			}
		}
		names = append(names, logs[:max(len(logs)-1, 0)]...)
	}
	if len(names) == 0 {
		return "", 0, 0, false
	}
	name = names[r.IntN(len(names))]
	type place struct{ off, size int64 }
	var batches []place
	at := int64(0)
	for b := range record.Batches(d.get(name, 0, 1<<30)) {
		if b != nil {
			batches = append(batches, place{at + 16, int64(len(b)) - 16})
			at += int64(len(b))
		}
	}
	if len(batches) == 0 {
		return "", 0, 0, false
	}
	b := batches[r.IntN(len(batches))]
	return name, b.off, b.size, true
}

// get reads bytes of a file, fewer if there are not so many.
func (d *disk) get(name string, off, n int64) []byte {
	f, err := d.mem.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		panic(err)
	}
	b := make([]byte, max(min(n, size-off), 0))
	got, _ := f.ReadAt(b, off)
	return b[:got]
}

// put writes bytes of a file, for good.
func (d *disk) put(name string, off int64, b []byte) {
	f, err := d.mem.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		panic(err)
	}
	if err := f.Sync(); err != nil {
		panic(err)
	}
}
