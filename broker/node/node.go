package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// ErrNotReady: this broker does not lead group 0, or not yet.
var ErrNotReady = errors.New("node: cluster metadata is not ready")

// metadataReplica is group 0's replica id on the first broker of a cluster.
const metadataReplica ident.ReplicaID = 1

// TopicPlan is what a topic's configuration asks of its partitions.
type TopicPlan struct {
	Settings partition.Settings
	Upkeep   partition.Upkeep
}

// Config sets up a Node.
type Config struct {
	Engine replog.Config
	ID     ident.NodeID
	// Peers are the voters of group 0, this broker among them, the same on each
	// of them for ever; nil if it is alone.
	Peers []Peer
	// Send hands a frame to the network, which may lose, delay, repeat and
	// reorder frames, but does not change them. The frame is the callee's.
	Send      func(to ident.NodeID, frame []byte)
	ClusterID string // of a new cluster
	Cache     storage.Limits
	// QueueBytesMax bounds each partition's sequencer.
	QueueBytesMax int64
	// Plan derives a topic's plan from its configuration.
	Plan func(*metadata.Topic) TopicPlan
	// MaintainEvery is how often retention, rolls and expiry are looked at.
	MaintainEvery time.Duration
	// LoadChain compiles a topic's chain of plugins, elsewhere, and then calls
	// done on the owner. nil: topics with a chain refuse to be written to.
	LoadChain func(t *metadata.Topic, done func(partition.Chain, error))
	// RunChain performs a chain on a batch.
	RunChain partition.Runner
	// Letters makes records of what chains emit.
	Letters Letters
	// OutboxBytesMax bounds each partition's outbox.
	OutboxBytesMax int64
	// Tier is how the cold tier is used.
	Tier TierConfig
	// Entropy gives random numbers: seeds of batches, ids of topics.
	Entropy func() uint64
	// Report is told of what an operator must know; nil tells nobody.
	Report func(Event)
}

// DefaultConfig returns the settings of DESIGN D2; the caller sets ID,
// ClusterID, Plan and the entropy and directory id of the write-ahead log.
func DefaultConfig(fs vfs.FS) Config {
	return Config{Engine: replog.DefaultConfig(fs), QueueBytesMax: 8 << 20, OutboxBytesMax: 4 << 20, MaintainEvery: 5 * time.Minute,
		Tier: TierConfig{Every: 30 * time.Second, Grace: time.Minute, UploadsMax: 2}}
}

// Event is something that an operator must know.
type Event struct {
	Partition ident.Partition // zero if it is about the broker
	Topic     string
	Err       error
	Text      string
}

// Node is one broker's state.
type Node struct {
	c      Config
	engine *replog.Engine
	gone   map[wal.Replica]bool // destroyed in an earlier life
	found  directories          // what that left
	meta   *metaMachine
	cache  *storage.Cache
	now    time.Time

	maintained time.Time
	ready      atomic.Bool // the metadata is complete, as far as this broker can tell
	controller atomic.Bool // it leads group 0

	mu         sync.RWMutex
	partitions map[ident.Partition]*Replica
	groups     map[ident.GroupID]ident.Partition // of partitions

	chains   map[ident.TopicID]*loadedChain
	outboxes map[ident.Partition]*delivery // that hold something
	tier     tiering

	producersLooked, producersTold time.Time

	requests    uint64 // to other brokers
	pullsLooked time.Time
}

// Replica is a partition of which this broker holds a replica.
type Replica struct {
	Topic     string
	Info      metadata.PartitionInfo
	Partition *partition.Partition // nil if it could not be opened
	Err       error                // then this is why
}

// Open recovers the broker's state. Nothing runs before the first Poll.
func Open(c Config, now time.Time) (*Node, *wal.Recovered, error) {
	n := &Node{c: c, now: now, maintained: now, cache: storage.NewCache(c.Cache), partitions: map[ident.Partition]*Replica{}, groups: map[ident.GroupID]ident.Partition{},
		chains: map[ident.TopicID]*loadedChain{}, outboxes: map[ident.Partition]*delivery{},
		tier: tiering{copies: map[ident.Partition]*copying{}, dropping: map[ident.TopicID]bool{}}}
	if err := c.Engine.FS.MkdirAll(partitionsDir); err != nil {
		return nil, nil, fmt.Errorf("open the data directory: %w", err)
	}
	c.Engine.Send = n.sendRaft
	engine, rec, err := replog.Open(c.Engine, now)
	if err != nil {
		return nil, nil, err
	}
	n.engine = engine
	if n.found, err = listDirectories(c.Engine.FS); err != nil {
		engine.Close()
		return nil, nil, err
	}
	n.gone = make(map[wal.Replica]bool, len(rec.Gone))
	for _, g := range rec.Gone {
		n.gone[g] = true
	}
	spec := replog.Spec{ID: ident.MetadataGroup, Replica: metadataReplica, Voters: []ident.ReplicaID{metadataReplica}}
	if len(c.Peers) > 0 {
		spec.Voters = nil
		for _, p := range c.Peers {
			spec.Voters = append(spec.Voters, p.Replica)
			if p.Node == c.ID {
				spec.Replica = p.Replica
			}
		}
	}
	err = engine.Start(spec, func(state []byte) (replog.Machine, error) {
		m, err := openMeta(n, state)
		n.meta = m
		return m, err
	})
	if err != nil {
		engine.Close()
		return nil, nil, fmt.Errorf("open the cluster metadata: %w", err)
	}
	for t := range n.Image().Topics() {
		for i, info := range t.Partitions {
			n.start(ident.Partition{Topic: t.ID, Index: int32(i)}, t.Name, info)
		}
	}
	return n, rec, nil
}

// Image returns the cluster metadata. Any goroutine may call it.
func (n *Node) Image() *metadata.Image { return n.meta.core.Image() }

// Ready reports whether clients may be served (N1). Any goroutine may call it.
func (n *Node) Ready() bool { return n.ready.Load() }

// Controller reports whether the broker leads group 0: commands go to it. Any
// goroutine may call it.
func (n *Node) Controller() bool { return n.controller.Load() }

// Replica returns the broker's replica of a partition, or nil. Any goroutine
// may call it.
func (n *Node) Replica(id ident.Partition) *Replica {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.partitions[id]
}

// Confirm calls done once with nil when this broker is known to have led a
// partition at some time since the call; see replog.Engine.Confirm.
func (n *Node) Confirm(id ident.Partition, done func(error)) {
	r := n.partitions[id]
	if r == nil {
		done(replog.ErrUnknownGroup)
		return
	}
	n.engine.Confirm(r.Info.Group, done)
}

// Err returns why the broker must stop, or nil.
func (n *Node) Err() error { return n.engine.Err() }

// Stats returns the engine's counters.
func (n *Node) Stats() replog.Stats { return n.engine.Stats() }

// CacheStats returns the counters of the log caches. Any goroutine may call it.
func (n *Node) CacheStats() storage.CacheStats { return n.cache.Stats() }

// Poll does what can be done now and returns the I/O to be performed.
func (n *Node) Poll(now time.Time) []replog.Task {
	n.now = now
	return n.engine.Poll(now)
}

// Done takes a task whose Do returned.
func (n *Node) Done(now time.Time, t replog.Task) {
	n.now = now
	n.engine.Done(now, t)
}

// Tick is to be called about every 100 ms.
func (n *Node) Tick(now time.Time) {
	n.now = now
	n.engine.Tick(now)
	n.reloadChains()
	n.tickPeers()
	n.emitAll()
	n.tickTier()
	n.trimTail()
	n.shedProducers()
	if now.Sub(n.maintained) >= n.c.MaintainEvery {
		n.maintained = now
		n.Maintain(now)
	}
}

// Maintain looks at retention, time-based rolls, expiry and forgotten origins of
// every partition.
func (n *Node) Maintain(now time.Time) {
	n.forgetOrigins()
	for t := range n.Image().Topics() {
		plan := n.c.Plan(t)
		for i := range t.Partitions {
			r := n.Replica(ident.Partition{Topic: t.ID, Index: int32(i)})
			if r != nil && r.Partition != nil {
				r.Partition.Maintain(now.UnixMilli(), plan.Upkeep)
			}
		}
	}
}

// trimTail takes memory from logs that nobody writes to while the tails of all
// together are over their budget.
func (n *Node) trimTail() {
	if n.cache.TailOver() <= 0 {
		return
	}
	for t := range n.Image().Topics() {
		n.each(t, func(p *partition.Partition) {
			if n.cache.TailOver() > 0 {
				p.EvictIdle()
			}
		})
	}
}

// shareOfFile is which part of a file of the write-ahead log outboxes, manifests
// and producers may take, each of all partitions together. They are in every
// checkpoint, and the log keeps room for more than three times a checkpoint's
// states: with more, nobody could write.
const shareOfFile = 8

func (n *Node) checkpointShare() int64 { return n.c.Engine.WAL.FileBytes / shareOfFile }

// randomID returns 16 random bytes, for a topic or an upload.
func (n *Node) randomID() (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], n.c.Entropy())
	binary.LittleEndian.PutUint64(id[8:], n.c.Entropy())
	return id
}

// Checkpoint asks for a checkpoint of everything; Checkpointing reports whether
// it is still being made.
func (n *Node) Checkpoint() { n.engine.Checkpoint() }

// Checkpointing reports whether a checkpoint was asked for or is being made.
func (n *Node) Checkpointing() bool { return n.engine.Checkpointing() }

// Close releases all files. What is in flight is lost as in a crash.
func (n *Node) Close() { n.engine.Close() }

// command travels with a proposed metadata command.
type command struct {
	done func(metadata.Result)
}

// Command proposes a change of the cluster metadata; a broker that is not the
// controller refuses it with ErrNotReady. done is called once, on
// the owner, with what became of it: a refusal, or an error of proposing it in
// Result.Err. For a command that makes partitions it is called when they can be
// written to.
func (n *Node) Command(c metadata.Command, done func(metadata.Result)) {
	if d, ok := c.(metadata.DeleteTopic); ok && n.c.Tier.Tier != nil {
		// The node's time is that of its last tick: a grace that counted from it would
		// have begun before who asked for the deletion did.
		d.Tiered, d.TimeMs = n.tiered(d.TopicID), max(d.TimeMs, n.now.UnixMilli())
		c = d
	}
	payload, err := c.Append(nil)
	if err == nil && !n.controller.Load() {
		err = ErrNotReady
	}
	if err == nil && !n.engine.RoomFor(replicasOf(n.Image(), c)) {
		if err = n.Image().Check(c); err == nil { // what it could never be is the better answer
			err = replog.ErrNoSpace
		}
	}
	if err == nil {
		data := entry.Build(entry.Command, n.now.UnixMilli(), nil, payload)
		err = n.engine.Propose(ident.MetadataGroup, data, &command{done: done}, true)
	}
	if err != nil {
		done(metadata.Result{Err: err})
	}
}

// replicasOf bounds the groups that a command starts or destroys. Those that a topic
// has already take no room again.
func replicasOf(img *metadata.Image, c metadata.Command) int {
	switch c := c.(type) {
	case metadata.CreateTopic:
		return int(c.Partitions)
	case metadata.CreatePartitions:
		if t, ok := img.TopicByID(c.TopicID); ok {
			return max(int(c.Total)-len(t.Partitions), 1)
		}
	}
	return 1
}

// groupProposer is one partition's way into its log.
type groupProposer struct {
	n  *Node
	id ident.GroupID
}

func (g groupProposer) Propose(data []byte, token any, system bool) error {
	return g.n.engine.Propose(g.id, data, token, system)
}

func (n *Node) report(e Event) {
	if n.c.Report != nil {
		n.c.Report(e)
	}
}
