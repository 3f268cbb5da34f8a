package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/tests/broker"
)

const (
	repairPartitions = 4
	// exitNeedsRepair is the exit code of `varve repair` that changed nothing
	// although something is to be repaired.
	exitNeedsRepair = 3
	// repairCrashes is how often a repair is interrupted at most.
	repairCrashes = 5
)

// surgery is a data directory that is damaged and repaired again and again.
type surgery struct {
	t     *testing.T
	rng   *rand.Rand
	o     broker.Options
	p     *broker.Process
	tally *tally
	// only is where a repair is interrupted, NAME:N, and nowhere else; empty: anywhere.
	only string
	// kept are topics of the last rounds, oldest first.
	kept []*operated

	refusals, served, lossless, lossy, obstacles, crashes, whole, given int
}

// operated is a topic, what was acknowledged of it, and what reports gave up.
type operated struct {
	name  string
	acks  []acked
	given []*repair.PartitionReport
}

// topicsKept is how many topics of earlier rounds stay.
const topicsKept = 2

// note takes down what a report gives up.
func (o *operated) note(r *repair.Report) {
	for i := range r.Partitions {
		if p := &r.Partitions[i]; p.Topic == o.name {
			o.given = append(o.given, p)
		}
	}
}

// gone reports whether a report gave an offset up.
func (o *operated) gone(p int32, offset int64) bool {
	return slices.ContainsFunc(o.given, func(r *repair.PartitionReport) bool {
		return r.Partition == p && (r.Lost != nil && offset >= r.End || r.Problem != "" ||
			slices.ContainsFunc(r.Holes, func(h repair.OffsetRange) bool { return h.First <= offset && offset < h.End }))
	})
}

// TestCrashRepair kills a broker under load, damages its directory, and has
// `varve repair` mend it, which is killed too, at random times and at each of its
// places, with power loss. The broker refuses the damage and names the remedy, or
// serves all that it does not answer with an error; in the end all is there but
// what the report named before anything was changed.
func TestCrashRepair(t *testing.T) {
	seed := crashSeed(t)
	t.Logf("seed %d", seed)
	s := &surgery{t: t, rng: rand.New(rand.NewPCG(seed, 7)), tally: newTally("repair", repairPoints), only: onlyPoint()}
	s.o = broker.Options{Bin: taggedBroker(t), Dir: filepath.Join(t.TempDir(), "data"), Port: broker.FreePort(t), Settings: []string{
		"wal.bytes.max=32MiB", "wal.file.bytes=8MiB", "log.segment.bytes=1MiB", "log.level=warn",
	}}
	rounds := crashRounds(t)
	for round := 0; round < rounds && !t.Failed(); round++ {
		s.round(round)
	}
	t.Logf("refused %d, started %d; whole %d, mended without loss %d, with loss %d (%d records), cannot be repaired %d; repairs interrupted %d",
		s.refusals, s.served, s.whole, s.lossless, s.lossy, s.given, s.obstacles, s.crashes)
	if s.obstacles > rounds/3+2 {
		t.Errorf("%d of %d directories could not be repaired", s.obstacles, rounds)
	}
	s.tally.judge(t, rounds)
}

// round is one life of a broker, its end, the damage and the repair.
func (s *surgery) round(n int) {
	t := s.t
	s.p = broker.Start(t, s.o)
	topic := fmt.Sprintf("crash-repair-%d", n)
	create(t, s.o.Port, topic, repairPartitions)
	l := startLoad(t, s.o.Port, topic, repairPartitions, numbered)
	l.atLeast(t, 300+s.rng.IntN(4000))
	orderly := s.rng.IntN(5) == 0
	if orderly {
		l.finish(t)
		s.p.Stop(t)
	} else {
		s.p.Kill(t)
		l.abandon()
	}
	acks := l.acks
	s.tally.acked += len(acks)
	s.kept = append(s.kept, &operated{name: topic, acks: acks})
	h := damageDirectory(t, s.rng, s.o.Dir)
	if t.Log(fmt.Sprintf("round %d: %d acknowledged, %s", n, len(acks), strings.ReplaceAll(strings.Join(h.text, "; "), s.o.Dir+"/", ""))); s.rng.IntN(3) > 0 {
		s.tryStart(nil)
	}
	r := s.inspect()
	if h.lone && (r.Loses() || r.Obstacle != "") {
		s.wrong("one flipped bit costs something: %s", brief(r))
	}
	for _, o := range s.kept {
		o.note(r)
	}
	if !s.mend(r) {
		s.obstacles++
		s.kept = nil
		must(t, os.RemoveAll(s.o.Dir))
		return
	}
	s.again()
	s.p = broker.Start(t, s.o)
	s.judge(r)
	if len(s.kept) > topicsKept {
		drop(t, s.o.Port, s.kept[0].name)
		s.kept = s.kept[1:]
	}
	s.p.Stop(t)
	if bad := strings.Contains(s.p.Log(), "panic"); bad {
		s.wrong("the broker panics:\n%s", s.p.Log())
	}
}

func (s *surgery) wrong(format string, args ...any) {
	s.t.Helper()
	s.tally.violations++
	s.t.Errorf(format, args...)
}

// tryStart starts a broker on the damaged directory, or on one whose repair was
// interrupted: it refuses and says why, or serves what is there and answers with
// an error where it is not, unless the report, which may be nil, gives that up.
func (s *surgery) tryStart(r *repair.Report) {
	t := s.t
	p := broker.Launch(t, s.o)
	if !p.AwaitReady(t) {
		s.refusals++
		if last := lastLine(p.Log()); p.State().ExitCode() != 1 || !strings.Contains(last, "wal/") || !strings.Contains(last, "varve repair") {
			s.wrong("the broker ends with %v and does not name the file and the remedy:\n%s", p.State(), p.Log())
		}
		return
	}
	s.served++
	for _, o := range s.kept {
		parts, there := fetchAll(t, s.o.Port, o.name, repairPartitions)
		if !there {
			if r == nil || r.Metadata == nil {
				s.wrong("the broker starts without topic %s", o.name)
			}
			continue
		}
		v := judgeStored(t, o.acks, parts, func(p int32, offset int64) bool { return parts[p].err != nil || o.gone(p, offset) })
		if v.violations() > 0 {
			s.wrong("the broker starts and serves something else of %s: %v", o.name, v)
		}
	}
	p.Kill(t)
}

// inspect has the damage reported, and sees that nothing is changed.
func (s *surgery) inspect() *repair.Report {
	t := s.t
	before := digest(t, s.o.Dir)
	r, code, _ := s.repair(nil, 0, "--dry-run")
	if want := map[bool]int{true: exitNeedsRepair}[r.Needed]; r.Obstacle == "" && code != want || r.Obstacle != "" && code != 1 {
		s.wrong("the dry run ends with %d: %s", code, brief(r))
	}
	if r.Needed && r.Loses() && r.Obstacle == "" {
		if _, code, _ := s.repair(nil, 0); code != exitNeedsRepair {
			s.wrong("a repair that loses something ends with %d although nobody accepted that", code)
		}
	}
	if after := digest(t, s.o.Dir); after != before {
		s.wrong("the directory was changed by a repair that changes nothing")
	}
	t.Log(brief(r))
	return r
}

// mend repairs, interrupted a few times. It reports false if that cannot be done.
func (s *surgery) mend(r *repair.Report) bool {
	t := s.t
	var args []string
	switch {
	case r.Obstacle != "":
		if _, code, _ := s.repair(nil, 0, "--accept-loss"); code != 1 {
			s.wrong("a repair that cannot be done ends with %d", code)
		}
		return false
	case !r.Needed:
		s.whole++
	case r.Loses():
		s.lossy++
		args = []string{"--accept-loss"}
	default:
		s.lossless++
	}
	times := s.rng.IntN(repairCrashes + 1)
	if s.only != "" {
		times = max(times, 1)
	}
	for range times {
		plan, wait := s.interruption()
		_, code, died := s.repair(plan.env(), wait, args...)
		if !died {
			if plan.at != "" {
				s.tally.late++
				t.Logf("not reached: %s", plan.at)
			}
			if code != 0 {
				s.wrong("%v: the repair ends with %d", plan, code)
			}
			return true
		}
		if s.crashes++; s.rng.IntN(4) == 0 {
			s.tryStart(r)
		}
	}
	if _, code, _ := s.repair(nil, 0, args...); code != 0 {
		s.wrong("the repair ends with %d", code)
		t.Log(brief(r))
	}
	return true
}

// again: a repair of what is repaired finds nothing, and changes nothing.
func (s *surgery) again() {
	before := digest(s.t, s.o.Dir)
	if r, code, _ := s.repair(nil, 0, "--accept-loss"); r.Needed || code != 0 {
		s.wrong("a repair of a repaired directory ends with %d: %s", code, brief(r))
	}
	if digest(s.t, s.o.Dir) != before {
		s.wrong("a repair of a repaired directory changes it")
	}
}

// judge compares what the broker serves with what was acknowledged and what the
// report gave up, and produces more.
func (s *surgery) judge(r *repair.Report) {
	t := s.t
	newest := s.kept[len(s.kept)-1]
	for _, o := range slices.Clone(s.kept) {
		lost := map[int32]*repair.PartitionReport{}
		for i := range r.Partitions {
			if p := &r.Partitions[i]; p.Topic == o.name {
				lost[p.Partition] = p
			}
		}
		parts, there := fetchAll(t, s.o.Port, o.name, repairPartitions)
		if !there {
			if r.Metadata == nil {
				s.wrong("topic %s is gone, and the report does not say so", o.name)
			}
			s.given += len(o.acks)
			s.kept = slices.DeleteFunc(s.kept, func(k *operated) bool { return k == o })
			continue
		}
		v := judgeStored(t, o.acks, parts, o.gone)
		for p := range parts {
			if err := parts[p].err; err != nil && (lost[int32(p)] == nil || lost[int32(p)].Problem == "") {
				s.wrong("%s-%d is repaired and answers %v", o.name, p, err)
			}
		}
		t.Log(o.name, v)
		if s.given += v.given; v.violations() > 0 {
			s.wrong("%s after the repair: %v\n%s", o.name, v, brief(r))
		} else if o == newest {
			s.produceOn(o.name, parts, lost)
		}
	}
}

// produceOn appends to every partition, and sees that what was there stays and
// that offsets that are used again are of a newer epoch.
func (s *surgery) produceOn(topic string, before []stored, lost map[int32]*repair.PartitionReport) {
	t := s.t
	cl := client(t, s.o.Port, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	const more = 10
	newer := map[string]bool{}
	for p := range before {
		for n := range more {
			value := numbered(1000+p, n)
			newer[value] = true
			r := &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte(value)}
			if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil && before[p].err == nil {
				s.wrong("produce after the repair: %v", err)
			}
		}
	}
	after, _ := fetchAll(t, s.o.Port, topic, repairPartitions)
	for p := range before {
		had, has := before[p].records, after[p].records
		if before[p].err != nil {
			continue
		}
		if len(has) != len(had)+more || !slices.Equal(has[:min(len(had), len(has))], had) {
			s.wrong("partition %d had %d records and has %d after %d more", p, len(had), len(has), more)
			continue
		}
		for _, r := range has[len(had):] {
			if !newer[r.value] {
				s.wrong("partition %d: %.20q at its end", p, r.value)
			}
			if pr := lost[int32(p)]; pr != nil && pr.Lost != nil && len(had) > 0 && r.epoch <= had[len(had)-1].epoch {
				s.wrong("partition %d lost its end and goes on in epoch %d, it had %d", p, r.epoch, had[len(had)-1].epoch)
			}
		}
	}
}
