package sim

import (
	"math"
	"strconv"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
)

// broker is one life of the broker, from a start to a crash or a stop.
type broker struct {
	s       *run
	server  *server
	node    *node.Node
	polling bool
	running int // tasks
	asked   int // requests not yet answered
	ended   time.Time

	remembers map[ident.Partition]bool        // partitions with producers
	led       map[ident.Partition]ident.Epoch // when it led a partition last, see vanish
}

// config returns the configuration of a life of the broker.
func (b *broker) config() node.Config {
	s := b.s
	p := s.plan
	e := replog.DefaultConfig(b.server.disk.fs)
	e.WAL.Entropy = s.rng.entropy.Uint64
	e.WAL.FirstFileBytes, e.WAL.FileBytes, e.WAL.BytesMax, e.WAL.ReserveBytes = p.firstFile, p.file, p.walMax, p.reserve
	if p.keepBytes > 0 {
		e.KeepBytes = p.keepBytes
	}
	e.WaitBytesMax, e.WaitMax, e.TasksMax, e.DiskReserve = p.waitBytes, p.waitMax, p.tasks, p.diskReserve
	if p.lagBytes > 0 {
		e.KeepBytes = p.lagBytes
	}
	return node.Config{
		Engine: e, ID: b.server.id, ClusterID: "sim", QueueBytesMax: p.queueBytes, MaintainEvery: p.maintain,
		Cache:     storage.Limits{TailBytes: p.tailBytes, OpenFiles: 4, IndexBytes: 4096},
		Plan:      s.topicPlan,
		LoadChain: b.loadChain, RunChain: b.runChain, Letters: letters{}, OutboxBytesMax: p.outboxBytes, Entropy: s.rng.entropy.Uint64,
		Tier:  b.tierConfig(),
		Peers: b.server.peers(), Send: b.send,
		Report: func(e node.Event) {
			b.server.log("broker: reports %s: %v", e.Text, e.Err)
			b.checkReport(e)
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
			ProducerExpiryMs: s.producerExpiry().Milliseconds(),
			Tier:             tierPlan(t),
		},
	}
}

// later calls do after some time if the broker still lives.
func (b *broker) later(d time.Duration, do func()) {
	b.server.after(d, func() {
		if b.lives() {
			do()
		}
	})
}

// lives reports whether this life of the broker goes on.
func (b *broker) lives() bool { return b.server.broker == b }

// answers reports whether what the broker answers can still leave it.
func (b *broker) answers() bool { return b.lives() && !b.server.disk.lost }

// touch has the broker polled after what just happened.
func (b *broker) touch() { b.server.touched = true }

// wake has the broker polled soon.
func (b *broker) wake() {
	if b.polling {
		return
	}
	b.polling = true
	b.later(time.Duration(b.s.rng.delay.IntN(40))*time.Microsecond, func() {
		b.polling = false
		for _, t := range b.node.Poll(b.server.now()) {
			b.start(t)
		}
		b.s.polled = true
	})
}

// send takes a frame for another node.
func (b *broker) send(to ident.NodeID, frame []byte) {
	if b.server.disk.lost {
		return
	}
	b.s.net.send(b.server.id, to, frame)
}

// receive takes a frame of another node.
func (b *broker) receive(from ident.NodeID, frame []byte) { _ = b.node.Receive(from, frame) }

func (b *broker) tick() {
	b.later(100*time.Millisecond, func() {
		b.node.Tick(b.server.now())
		b.noteForgotten()
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
	if p.slowCommit > 0 && t.Class() == replog.ClassCommit {
		do += mean(b.s.rng.rare, p.slowCommit)
	}
	if wait := b.server.disk.stalled.Sub(b.s.now); wait > 0 && (t.Class() == replog.ClassCommit || t.Class() == replog.ClassSync) {
		if b.s.rng.nodes.IntN(2) == 0 { // the writes before it stall too
			do += wait
		} else {
			done += wait
		}
	}
	b.later(do, func() {
		err := t.Do()
		b.s.stats.noteTask(err)
		b.server.log(taskDone+" %d done, %v", t.Class(), err)
		if b.server.disk.lost {
			return
		}
		b.later(done, func() {
			b.running--
			b.node.Done(b.server.now(), t)
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
