package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/tests/broker"
)

const (
	chapterRounds = 40
	// pointWait is how long a place may take to be reached. If it is not, the
	// broker is killed where it stands.
	pointWait = 6 * time.Second
	// roundsForAll is from how many rounds on every place must be reached.
	roundsForAll = 100
)

// siege is a broker in one data directory that dies again and again.
type siege struct {
	t      *testing.T
	name   string
	rounds int // in all
	done   int
	rng    *rand.Rand
	o      broker.Options
	p      *broker.Process
	plan   plan // how this life ends
	began  time.Time

	queue []failpoint.Name // places to die at, next first
	only  string           // die nowhere else
	// everywhere: no random time is taken until every place was come by.
	everywhere bool
	rates      map[failpoint.Name]float64 // passes per second, as of the last life that told
	tally      *tally
}

// plan is how one life of a broker ends. The zero plan is no end of its own.
type plan struct {
	at    string        // places NAME:N with commas between them; it ends at the first. Empty: a random time
	after time.Duration // of a random time
	power uint64        // seed of the loss of unsynced writes, 0: there is none
	kill  bool          // from outside, after that time
}

func (p plan) String() string {
	switch {
	case p.at != "":
		return fmt.Sprintf("at %s, power %d", p.at, p.power)
	case p.power != 0:
		return fmt.Sprintf("after %v, power %d", p.after, p.power)
	}
	return fmt.Sprintf("killed after %v", p.after)
}

func (p plan) env() []string {
	var env []string
	if p.power != 0 {
		env = append(env, fmt.Sprintf("VARVE_FAILPOINT_POWER=%d", p.power))
	}
	switch {
	case p.at != "":
		env = append(env, "VARVE_FAILPOINT="+p.at)
	case p.power != 0:
		env = append(env, fmt.Sprintf("VARVE_FAILPOINT=time:%d", p.after.Milliseconds()))
	}
	return env
}

// besiege starts a broker on an empty directory with a small log, so that files
// are rolled and freed all the time. It is to die at each of the points.
func besiege(t *testing.T, name string, points []failpoint.Name, settings ...string) *siege {
	t.Helper()
	s := &siege{
		t: t, name: name, rounds: crashRounds(t), rates: map[failpoint.Name]float64{},
		tally: newTally(name, points),
	}
	seed := crashSeed(t)
	s.rng = rand.New(rand.NewPCG(seed, uint64(len(name))))
	s.queue = slices.Clone(points)
	s.rng.Shuffle(len(s.queue), func(i, j int) { s.queue[i], s.queue[j] = s.queue[j], s.queue[i] })
	s.only = onlyPoint()
	t.Logf("seed %d", seed)
	s.o = broker.Options{Bin: taggedBroker(t), Dir: t.TempDir(), Port: broker.FreePort(t), Settings: slices.Concat([]string{
		"wal.bytes.max=32MiB", "wal.file.bytes=8MiB", "log.segment.bytes=1MiB", "log.level=warn",
	}, settings)}
	s.begin(plan{})
	s.ready()
	return s
}

func (s *siege) port() int { return s.o.Port }

// chapters calls f for each chapter with its number; f makes what it needs,
// calls storm, and judges.
func (s *siege) chapters(f func(chapter int)) {
	for chapter := 0; s.done < s.rounds && !s.t.Failed(); chapter++ {
		f(chapter)
	}
	s.p.Stop(s.t)
	s.look()
	s.tally.judge(s.t, s.done)
}

// storm kills the broker for the rounds of a chapter and leaves one that serves.
// quiet, which may be nil, is called in lives that have no end of their own.
func (s *siege) storm(quiet func()) {
	n := min(chapterRounds, s.rounds-s.done)
	for i := range n {
		if s.plan == (plan{}) {
			s.plan = plan{kill: true, after: s.randomTime()}
		}
		s.end(quiet)
		if s.done++; s.done%20 == 0 {
			s.t.Logf("%d of %d rounds", s.done, s.rounds)
		}
		if i < n-1 {
			s.begin(s.choose())
		}
	}
	s.begin(plan{})
	s.ready()
}

func (s *siege) randomTime() time.Duration {
	return time.Duration(100+s.rng.IntN(700)) * time.Millisecond
}

// choose says how the next life ends: three of four at a place, half of all with
// loss.
func (s *siege) choose() plan {
	power := uint64(0)
	if s.rng.IntN(2) == 0 {
		power = 1 + s.rng.Uint64N(1<<32)
	}
	if sweep := s.everywhere && len(s.tally.missing()) > 0; !sweep && s.rng.IntN(4) == 0 {
		if power == 0 {
			return plan{kill: true, after: s.randomTime()}
		}
		return plan{after: s.randomTime(), power: power}
	}
	return plan{at: s.places(), power: power}
}

// placesAtOnce is how many places a life may end at, as long as there are so many
// at which none did.
const placesAtOnce = 6

// places takes the next places: those that none was at, so that not much time
// goes by until one is reached, and then one by one.
func (s *siege) places() string {
	if s.only != "" {
		return s.only
	}
	var fresh []failpoint.Name
	for _, p := range s.queue {
		if s.tally.hit[p] == 0 && len(fresh) < placesAtOnce {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 {
		fresh = s.queue[:1]
	}
	var at []string
	for _, p := range fresh {
		at = append(at, fmt.Sprintf("%s:%d", p, s.pass(p)))
	}
	// What is not reached now is tried again later.
	s.queue = append(slices.DeleteFunc(slices.Clone(s.queue), func(p failpoint.Name) bool { return slices.Contains(fresh, p) }), fresh...)
	return strings.Join(at, ",")
}

// pass chooses which pass of a place is the last.
func (s *siege) pass(p failpoint.Name) int64 {
	if most := int64(s.rates[p] * 0.4); most > 1 {
		return 1 + s.rng.Int64N(most)
	}
	return 1
}

func (s *siege) begin(p plan) {
	s.t.Helper()
	s.plan, s.began = p, time.Now()
	o := s.o
	o.Env = p.env()
	s.p = broker.Launch(s.t, o)
}

// ready waits for the current life, which must not end by itself, to serve.
func (s *siege) ready() {
	s.t.Helper()
	if !s.p.AwaitReady(s.t) {
		s.t.Fatalf("%s: the broker ended before it was ready: %v\n%s", s.name, s.p.State(), s.p.Log())
	}
}

// end waits until the current life has ended as planned.
func (s *siege) end(quiet func()) {
	s.t.Helper()
	if s.plan.kill {
		s.ready()
		if quiet != nil {
			quiet()
		}
		time.Sleep(s.plan.after)
		s.p.Kill(s.t)
		s.tally.killed++
		s.look()
		return
	}
	select {
	case <-s.p.Ended():
	case <-time.After(pointWait):
		s.p.Kill(s.t) // it may have ended meanwhile, which is as well
	}
	s.look()
}

// look reads how a life ended, and fails the test if it was in another way than
// a kill or an orderly stop.
func (s *siege) look() {
	s.t.Helper()
	state, log := s.p.State(), s.p.Log()
	status, _ := state.Sys().(syscall.WaitStatus)
	if status.Signal() != syscall.SIGKILL && !state.Success() {
		s.t.Fatalf("%s, %v: the broker ended with %v\n%s", s.name, s.plan, state, log)
	}
	for _, bad := range []string{"panic", "DATA RACE", "cannot be taken back", "level=ERROR"} {
		if at := strings.Index(log, bad); at >= 0 {
			s.t.Errorf("%s, %v: the broker says:\n%s", s.name, s.plan, log[max(0, at-200):min(len(log), at+2000)])
		}
	}
	died := line(log, "failpoint: died at ")
	if died == "" {
		if s.plan.at != "" {
			s.tally.late++
			s.t.Logf("not reached: %s", s.plan.at)
		}
		return
	}
	for name, n := range passesOf(line(log, "failpoint: passed ")) {
		s.rates[name] = float64(n) / max(time.Since(s.began).Seconds(), 0.1)
		s.tally.passed[name] += n
	}
	if s.plan.power != 0 {
		s.tally.powerLosses++
	}
	if died == "time" {
		s.tally.killed++
		return
	}
	s.tally.hit[failpoint.Name(died)]++
}

// judged notes what a chapter found.
func (s *siege) judged(acks []acked, violations int) {
	s.tally.acked += len(acks)
	s.tally.violations += violations
}

// line returns what follows a prefix in a log.
func line(log, prefix string) string {
	_, rest, _ := strings.Cut(log, prefix)
	text, _, _ := strings.Cut(rest, "\n")
	return text
}

func passesOf(text string) map[failpoint.Name]int64 {
	out := map[failpoint.Name]int64{}
	for field := range strings.FieldsSeq(text) {
		name, count, _ := strings.Cut(field, "=")
		if n, err := strconv.ParseInt(count, 10, 64); err == nil {
			out[failpoint.Name(name)] = n
		}
	}
	return out
}

// onlyPoint is NAME:N of the place to die at and nowhere else, empty for everywhere.
func onlyPoint() string {
	point := os.Getenv("VARVE_CRASH_POINT")
	if point != "" && !strings.Contains(point, ":") {
		point += ":1"
	}
	return point
}

// allowed are those of the places at which a test that goes by all of them may die.
func allowed(points []failpoint.Name) []failpoint.Name {
	only, _, _ := strings.Cut(onlyPoint(), ":")
	if only == "" {
		return points
	}
	return slices.DeleteFunc(slices.Clone(points), func(p failpoint.Name) bool { return string(p) != only })
}

// crashRounds is how often a test kills the broker.
func crashRounds(t *testing.T) int {
	t.Helper()
	return int(number(t, "VARVE_CRASH_ROUNDS", 1))
}

func crashSeed(t *testing.T) uint64 {
	t.Helper()
	return number(t, "VARVE_CRASH_SEED", uint64(time.Now().UnixNano()%1e9))
}

func number(t *testing.T, name string, unset uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return unset
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}
