package sim

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// broker is one life of the broker, from a start to a crash or a stop.
type broker struct {
	s       *run
	node    *node.Node
	polling bool
	running int // tasks
	asked   int // requests not yet answered
	ended   time.Time
}

// config returns the configuration of a life of the broker.
func (b *broker) config() node.Config {
	s := b.s
	p := s.plan
	e := replog.DefaultConfig(s.disk.fs)
	e.WAL.Entropy = s.rng.entropy.Uint64
	e.WAL.FirstFileBytes, e.WAL.FileBytes, e.WAL.BytesMax, e.WAL.ReserveBytes = p.firstFile, p.file, p.walMax, p.reserve
	e.WaitBytesMax, e.WaitMax, e.TasksMax, e.DiskReserve = p.waitBytes, p.waitMax, p.tasks, p.diskReserve
	return node.Config{
		Engine: e, ID: 1, ClusterID: "sim", QueueBytesMax: p.queueBytes, MaintainEvery: p.maintain,
		Cache:     storage.Limits{TailBytes: p.tailBytes, OpenFiles: 4, IndexBytes: 4096},
		Plan:      s.topicPlan,
		LoadChain: b.loadChain, RunChain: b.runChain, Letters: letters{}, OutboxBytesMax: p.outboxBytes, Entropy: s.rng.entropy.Uint64,
		Tier: b.tierConfig(),
		Report: func(e node.Event) {
			s.log("broker: reports %s: %v", e.Text, e.Err)
			expected := errors.Is(e.Err, errSync) || errors.Is(e.Err, replog.ErrNoSpace) || errors.Is(e.Err, replog.ErrFailed) || errors.Is(e.Err, errLoad) || b.tierTrouble(e) || errors.Is(e.Err, vfs.ErrNoSpace) && s.plan.full
			if !expected && !s.disk.lost && len(s.disk.flips) == 0 {
				s.fail("V1", "broker reports without a fault: %s (topic %s, partition %v): %v", e.Text, e.Topic, e.Partition, e.Err)
			}
		},
	}
}

// setting reads a number from a topic's configuration.
func setting(t *metadata.Topic, name string, otherwise int64) int64 {
	if text, ok := t.Configs.Get(name); ok {
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			return v
		}
	}
	return otherwise
}

// topicPlan implements node.Config.Plan.
func (s *run) topicPlan(t *metadata.Topic) node.TopicPlan {
	s.noteGeneration(t)
	return node.TopicPlan{
		Settings: partition.Settings{
			SegmentBytes:       setting(t, "segment.bytes", 16<<10),
			IndexIntervalBytes: setting(t, "index.interval.bytes", 1024),
		},
		Upkeep: partition.Upkeep{
			Retention: storage.RetentionSettings{
				Ms: setting(t, "retention.ms", storage.Unlimited), Bytes: setting(t, "retention.bytes", storage.Unlimited),
				SegmentMs: setting(t, "segment.ms", storage.Unlimited), ActiveSinceMs: storage.Unlimited, UpTo: math.MaxInt64,
			},
			ProducerExpiryMs: (24 * time.Hour).Milliseconds(),
			Tier:             tierPlan(t),
		},
	}
}

// open starts the broker, as often as it takes.
func (s *run) open() {
	s.stats.Opens++
	b := &broker{s: s}
	n, rec, err := node.Open(b.config(), s.now)
	switch {
	case s.disk.lost:
		s.stats.Cuts++
		s.log("power: lost in the middle of a start")
		s.down(true)
		return
	case errors.Is(err, wal.ErrCorrupt) && len(s.disk.flips) > 0:
		s.stats.Refusals++
		s.log("broker: refuses to start: %v", err)
		s.disk.flips = nil
		s.down(false)
		return
	case errors.Is(err, errSync):
		s.log("broker: does not start: %v", err)
		s.down(s.rng.fault.IntN(2) == 0)
		return
	case errors.Is(err, vfs.ErrNoSpace) && s.plan.full:
		s.stats.Full++
		s.log("broker: does not start: %v; the operator makes room", err)
		s.disk.ballast(4 * s.plan.walMax)
		s.down(false)
		return
	case err != nil:
		s.fail("V1", "broker does not start: %v", err)
	}
	s.log("broker: started; %d groups, checkpoint %d, %d bytes, tail dropped %v", len(rec.Groups), rec.Checkpoint, rec.Bytes, rec.DroppedTail)
	b.node = n
	s.broker = b
	b.tick()
	b.wake()
}

// down ends the broker's life, by a loss of power or by its own end, and starts
// another one soon.
func (s *run) down(power bool) {
	s.noteLayout()
	s.ended()
	s.stopping = false
	if power {
		how := vfs.CrashOptions{}
		if n := len(s.plan.crash); n > 0 {
			how = s.plan.crash[s.rng.fault.IntN(n)]
		}
		s.disk.powerLoss(how)
		s.log("power: back, %+v, disk %x", how, s.disk.mem.Digest())
	} else {
		s.disk.killed()
		s.log("broker: killed")
	}
	s.disconnected()
	wait := mean(s.rng.fault, 300*time.Millisecond)
	if !s.ending && s.plan.flipWAL && s.rng.fault.IntN(2) == 0 {
		s.disk.flipInWAL()
	}
	if !s.ending && s.plan.cut && s.rng.fault.IntN(3) == 0 {
		s.disk.cut = 1 + s.rng.fault.IntN(60)
	}
	s.after(wait, func() {
		if s.broker == nil {
			s.open()
		}
	})
}

// ended notes that the broker's life is over.
func (s *run) ended() {
	if s.broker != nil {
		s.broker.ended = s.now
	}
	s.broker = nil
}

// later calls do after some time if the broker still lives.
func (b *broker) later(d time.Duration, do func()) {
	b.s.after(d, func() {
		if b.s.broker == b {
			do()
		}
	})
}

// wake has the broker polled soon.
func (b *broker) wake() {
	if b.polling {
		return
	}
	b.polling = true
	b.later(time.Duration(b.s.rng.delay.IntN(40))*time.Microsecond, func() {
		b.polling = false
		for _, t := range b.node.Poll(b.s.now) {
			b.start(t)
		}
		b.s.polled = true
	})
}

func (b *broker) tick() {
	b.later(100*time.Millisecond, func() {
		b.node.Tick(b.s.now)
		b.tick()
	})
}

// start has a task performed, and then its end told, each after some time.
func (b *broker) start(t replog.Task) {
	b.running++
	p, r := b.s.plan, b.s.rng.delay
	do, done := mean(r, p.doDelay), mean(r, p.doneDelay)
	if p.stutter && r.IntN(20) == 0 {
		do += mean(r, 100*time.Millisecond)
	}
	if p.stutter && r.IntN(20) == 0 {
		done += mean(r, 100*time.Millisecond)
	}
	b.later(do, func() {
		err := t.Do()
		b.s.log("task: class %d done, %v", t.Class(), err)
		if b.s.disk.lost {
			return
		}
		b.later(done, func() {
			b.running--
			b.node.Done(b.s.now, t)
		})
	})
}

// idle reports whether nothing is left to do until someone asks for something.
func (b *broker) idle() bool {
	return b.running == 0 && !b.polling && !b.node.Checkpointing()
}

// partition returns a partition that the broker has, or nil.
func (b *broker) partition(id ident.Partition) *partition.Partition {
	if r := b.node.Replica(id); r != nil {
		return r.Partition
	}
	return nil
}
