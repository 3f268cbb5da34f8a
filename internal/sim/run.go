package sim

import (
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// Violation is a broken invariant.
type Violation struct {
	Checker string // the invariant's ID
	Text    string
}

// Error implements error.
func (v *Violation) Error() string { return v.Checker + ": " + v.Text }

// Stats counts what happened in a run.
type Stats struct {
	Virtual                                    time.Duration
	Ops                                        int64 // operations on the disk
	Acked, Refused, Reads, Batches             int
	PowerLosses, Kills, Cuts, Clean            int
	SyncErrors, Flips, Refusals, Full, Opens   int
	Checkpoints, TopicsDeleted, RecordsDeleted int
	Letters                                    int // as often as they were read
	Uploads, Discards, ColdReads               int
	Objects, Orphans, ObjectsDeleted           int // in the store at the end; of these, named by nothing
	Pauses, Stalls, ClockJumps                 int
	Frames, FramesLost                         int
	FrameBytes                                 int64
	Waits                                      int // long polls
	Repairs                                    int
	GroupCommits, Committers                   int // accepted requests with offsets; members that had one
	Rebalances, Generations                    int // of groups
	CoordinatorMoves                           int // of a group, from one node to another
	RareStats
}

// Result is what became of a run.
type Result struct {
	Seed      uint64
	Plan      string
	Nodes     int
	Without   []string
	Violation *Violation // nil: none
	Hash      uint64     // of the trace
	Last      []string   // its last lines
	Stats     Stats
}

// run is one run of the simulator.
type run struct {
	seed  uint64
	plan  *plan
	rng   struct{ delay, client, admin, reader, fault, disk, entropy, chain, tier, nodes, net, consumer, repair, rare *mathrand.Rand }
	now   time.Time
	queue eventQueue
	trace trace
	stats Stats

	servers   []*server // by node id, from 1
	net       *network
	store     *store
	model     *model
	producers []*producer
	groups    *groupWorld
	// generations of every topic, and whether they are ones with a chain.
	generations map[ident.TopicID]map[uint64]bool
	skew        time.Duration // how far any two wall clocks were ever apart, at most
	consumers   []*consumer
	midway      midway
	ending      bool       // no more faults, no new load
	broken      *Violation // also if the engine caught the panic, as it does with an apply
	polled      bool       // the event was a poll, after which there is nothing to be done
}

// begin is when virtual time begins.
var begin = time.UnixMilli(1_700_000_000_000)

// Run runs one seed. Each line of the trace goes to out if it is not nil.
func Run(seed uint64, out io.Writer) Result {
	return RunWithout(seed, nil, out)
}

// RunWithout runs one seed without some of the features of its plan. It sets the
// source of random numbers that Raft draws its timeouts from, which is the
// process's: runs must not overlap.
func RunWithout(seed uint64, without []string, out io.Writer) (res Result) {
	defer func(was io.Reader) { rand.Reader = was }(rand.Reader)
	rand.Reader = &timeouts{stream(seed, streamTimeout)}
	s := &run{seed: seed, plan: draw(seed), now: begin, generations: map[ident.TopicID]map[uint64]bool{}}
	s.trace.out, s.trace.start = out, begin
	s.rng.delay, s.rng.client, s.rng.admin = stream(seed, streamDelay), stream(seed, streamClient), stream(seed, streamAdmin)
	s.rng.reader, s.rng.fault = stream(seed, streamReader), stream(seed, streamFault)
	s.rng.disk, s.rng.entropy = stream(seed, streamDisk), stream(seed, streamEntropy)
	s.rng.chain, s.rng.tier = stream(seed, streamChain), stream(seed, streamTier)
	s.rng.nodes, s.rng.net, s.rng.consumer = stream(seed, streamNodes), stream(seed, streamNet), stream(seed, streamConsumer)
	s.rng.repair, s.rng.rare = stream(seed, streamRepair), stream(seed, streamRare)
	defer func() {
		if p := recover(); p != nil {
			v := s.broken
			if v == nil {
				v = &Violation{Checker: "panic", Text: fmt.Sprintf("%v\n%s", p, debug.Stack())}
			}
			res.Violation = v
		}
		s.stats.Virtual = s.now.Sub(begin)
		res.Nodes, res.Without = s.plan.nodes, without
		res.Seed, res.Plan, res.Hash, res.Last, res.Stats = seed, s.plan.String(), s.trace.hash, s.trace.tail(), s.stats
	}()
	if err := s.plan.switchOff(without); err != nil {
		s.fail("plan", "%v", err)
	}
	s.all()
	return res
}

// timeouts gives the random bytes that Raft draws its election timeouts from.
type timeouts struct{ r *mathrand.Rand }

// Read implements io.Reader.
func (t *timeouts) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(t.r.Uint32())
	}
	return len(b), nil
}

func (s *run) log(format string, args ...any) { s.trace.line(s.now, format, args...) }

// fail ends the run.
func (s *run) fail(checker, format string, args ...any) {
	if s.broken == nil {
		s.broken = &Violation{Checker: checker, Text: fmt.Sprintf(format, args...)}
		s.log("VIOLATION %v", s.broken)
	}
	panic(s.broken)
}

// after calls do later.
func (s *run) after(d time.Duration, do func()) { s.queue.add(s.now.Add(max(d, 0)), do) }

// step lets the next thing happen, and sees what it did to the broker.
func (s *run) step() {
	e := s.queue.next()
	s.now = e.at
	s.polled = false
	e.do()
	if s.broken != nil {
		panic(s.broken)
	}
	for _, sv := range s.servers {
		if s.alone() || sv.touched {
			sv.settle()
			s.vanish(sv.broker)
			s.checkTiers(sv.broker)
			sv.touched = false
		}
	}
	s.wakeConsumers()
}

// until runs until done says so, at most for some virtual time. It reports
// whether done did.
func (s *run) until(limit time.Duration, done func() bool) bool {
	end := s.now.Add(limit)
	for !done() {
		if s.queue.Len() == 0 || s.queue.list[0].at.After(end) {
			s.now = end
			return done()
		}
		s.step()
	}
	return true
}

// during runs for some virtual time.
func (s *run) during(d time.Duration) { s.until(d, func() bool { return false }) }

// mean draws a time with the given mean, never more than ten times it.
func mean(r *mathrand.Rand, m time.Duration) time.Duration {
	return time.Duration(min(r.ExpFloat64(), 10) * float64(m))
}

// all is the whole run: load and faults, then the end.
func (s *run) all() {
	s.model = newModel(s)
	s.planMidway()
	capacity := int64(0)
	if s.plan.full {
		capacity = 64 << 20
	}
	for i := range s.plan.nodes {
		s.servers = append(s.servers, newServer(s, ident.NodeID(i+1), capacity))
	}
	s.net = newNetwork(s)
	s.store = newStore(s)
	for _, sv := range s.servers {
		sv.squeeze()
	}
	s.log("seed %d: %v", s.seed, s.plan)
	for _, sv := range s.servers {
		sv.open()
		s.register(sv)
	}
	for i := range s.plan.topics {
		s.createTopic(fmt.Sprintf("t%d", i))
	}
	s.until(10*time.Second, func() bool { return len(s.model.live()) > 0 })
	s.startProducers()
	if !s.plan.without["groups"] && !s.plan.without["later"] {
		s.startGroups()
	}
	s.startReader()
	s.startAdmin()
	s.startChains()
	s.startTierAdmin()
	s.startConsumers()
	s.startFaults()
	s.startMachineFaults()
	s.startNetFaults()
	s.startRareFaults()
	s.startGrowth()
	s.load()
	s.finish()
	s.damageAndRepair()
}
