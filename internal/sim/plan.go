package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// Streams of random numbers: one for each concern, so that a change in one
// leaves what the others draw as it was.
const (
	streamPlan = iota + 1
	streamDelay
	streamClient
	streamAdmin
	streamReader
	streamFault
	streamDisk
	streamEntropy
	streamChain
	streamTier
	streamNodes
	streamNet
	streamNodesPlan
	streamConsumer
	streamTimeout
	streamRepair
)

func stream(seed, which uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, which)) }

// plan is what a seed decides in advance.
type plan struct {
	planNodes
	planRare
	length    time.Duration // of the part with load and faults
	producers int
	topics    int
	batches   int // that each producer makes
	idem      int // of 10 producers, how many are idempotent

	burst, pause time.Duration // mean time between batches in a burst, and between bursts
	valueMax     int           // bytes

	doDelay, doneDelay time.Duration // mean time until a task is performed, and until its end is known
	stutter            bool          // some tasks take very long

	firstFile, file, walMax int64 // bytes of the write-ahead log
	reserve                 int64
	diskReserve             int64
	waitBytes               int64
	waitMax                 time.Duration
	queueBytes              int64
	tailBytes               int64
	tasks                   int
	maintain                time.Duration
	forced                  bool // checkpoints that an operator asks for

	// Chains.
	chains                bool
	chainDelay, loadDelay time.Duration // mean time that a chain takes for a batch, and to load
	outboxBytes           int64

	// Cold tier.
	tier                 bool
	tierEvery, tierGrace time.Duration
	uploadsMax           int
	storeDelay           time.Duration // mean time of a part of an operation
	storeFails           int           // of 100 operations

	// Faults.
	faultEvery  time.Duration // mean; 0: none
	crash       []vfs.CrashOptions
	kill        bool
	cut         bool // power is lost in the middle of a task, or of a start
	clean       bool
	syncError   bool
	full        bool // the disk is small
	flipWAL     bool
	flipSegment bool
	disconnect  bool
}

func (p *plan) String() string {
	return fmt.Sprintf("length %v, %d producers (%d of 10 idempotent), %d topics, wal %d/%d/%d, reserve %d, faults every %v: crash %d kill %v cut %v clean %v sync %v full %v flips %v %v disconnect %v; chains %v (%v, %v, outbox %d); tier %v (every %v, grace %v, %d uploads, %v, fails %d%%)%v%v",
		p.length.Round(time.Millisecond), p.producers, p.idem, p.topics, p.firstFile, p.file, p.walMax, p.diskReserve, p.faultEvery.Round(time.Millisecond),
		len(p.crash), p.kill, p.cut, p.clean, p.syncError, p.full, p.flipWAL, p.flipSegment, p.disconnect,
		p.chains, p.chainDelay, p.loadDelay, p.outboxBytes, p.tier, p.tierEvery, p.tierGrace, p.uploadsMax, p.storeDelay, p.storeFails, &p.planNodes, &p.planRare)
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// bias changes the plan of every seed, if it is not nil. The hunt for planted bugs
// sets it, so that what a bug is about happens more often.
var bias func(*plan)

// draw makes the plan of a seed.
func draw(seed uint64) *plan {
	r := stream(seed, streamPlan)
	half := func() bool { return r.IntN(2) == 0 }
	const kib = 1 << 10
	p := &plan{
		length:    pick(r, 5*time.Second, 20*time.Second, time.Minute, 3*time.Minute),
		producers: 1 + r.IntN(6), topics: 1 + r.IntN(3), batches: 20 + r.IntN(100), idem: pick(r, 0, 5, 7, 10),
		burst: pick(r, 100*time.Microsecond, time.Millisecond, 20*time.Millisecond), valueMax: pick(r, 100, 1000, 6000),
		doDelay: pick(r, 20*time.Microsecond, 500*time.Microsecond, 10*time.Millisecond), doneDelay: pick(r, 5*time.Microsecond, 500*time.Microsecond),
		stutter:   r.IntN(3) == 0,
		firstFile: 64 * kib, file: pick(r, int64(64*kib), 128*kib), walMax: pick(r, int64(512*kib), 768*kib, 1024*kib), reserve: 16 * kib,
		waitBytes: pick(r, int64(16*kib), 256*kib), waitMax: pick(r, 200*time.Millisecond, 2*time.Second, 10*time.Second),
		queueBytes: pick(r, int64(16*kib), 64*kib, 1024*kib), tailBytes: pick(r, int64(1), 64*kib, 1024*kib), tasks: pick(r, 1, 2, 8),
		maintain: pick(r, 500*time.Millisecond, 5*time.Second), forced: half(),
		disconnect: half(),
	}
	p.pause = p.length / time.Duration(max(p.batches/8, 1))
	if r.IntN(8) > 0 { // else a run without faults
		p.faultEvery = p.length / time.Duration(1+r.IntN(10))
		p.crash = []vfs.CrashOptions{{}}
		if half() {
			p.crash = append(p.crash, vfs.CrashOptions{Keep: 0.5}, vfs.CrashOptions{Keep: 0.7, Tear: true})
		}
		if half() {
			p.crash = append(p.crash, vfs.CrashOptions{Keep: 0.6, Tear: true, Reorder: true}, vfs.CrashOptions{Keep: 0.9, Reorder: true})
		}
		if half() {
			p.crash = append(p.crash, vfs.CrashOptions{Keep: 1})
		}
		p.kill, p.cut, p.clean, p.syncError = half(), half(), half(), r.IntN(3) == 0
		p.flipWAL, p.flipSegment = r.IntN(3) == 0, r.IntN(4) == 0
	}
	if r.IntN(4) == 0 {
		p.full = true
		p.file, p.walMax, p.maintain = 64*kib, 256*kib, pick(r, 5*time.Second, 15*time.Second)
		// Segments of two pages take up to half as much again for their last
		// page and their index, which the reserve is for.
		p.diskReserve = pick(r, int64(256*kib), 384*kib, 512*kib)
		p.valueMax, p.batches, p.topics = 6000, p.batches+60, 1+r.IntN(2)
		p.flipSegment = false
	}
	// Nothing ever leaves dead-letter topics, so that small disks have none.
	p.chains = r.IntN(3) > 0 && !p.full
	if p.chains { // twice the groups, and so checkpoints of twice the size
		p.firstFile, p.file, p.walMax = 128*kib, 128*kib, 1024*kib
	}
	p.chainDelay = pick(r, 0, 50*time.Microsecond, 2*time.Millisecond, 50*time.Millisecond)
	p.loadDelay = pick(r, time.Millisecond, 200*time.Millisecond, 2*time.Second)
	p.outboxBytes = pick(r, int64(1000), 20*kib, 1024*kib)
	p.drawTier(r)
	p.drawNodes(seed)
	p.drawRare(seed)
	if bias != nil {
		bias(p)
	}
	return p
}
