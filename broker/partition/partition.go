package partition

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/manifest"
)

// Errors that callers are told.
var (
	// ErrNotLeader: this replica does not lead the partition, or does not yet
	// know everything that was committed (NOT_LEADER_OR_FOLLOWER).
	ErrNotLeader = errors.New("partition: not the leader")
	// ErrDamaged: the partition met damage and is parked (KAFKA_STORAGE_ERROR).
	ErrDamaged = errors.New("partition: damaged")
	// ErrQueueFull: too many bytes wait in the partition's sequencer.
	ErrQueueFull = errors.New("partition: sequencer queue is full")
	// ErrNoSpace: no room in the write-ahead log or on disk for some time.
	ErrNoSpace = errors.New("partition: no space")
	// ErrOffsetOutOfRange: an offset that does not lie in the log.
	ErrOffsetOutOfRange = errors.New("partition: offset out of range")
	// ErrTiered: the offset is in the cold tier, not on this broker's disk.
	ErrTiered = errors.New("partition: offset is in the cold tier")
	// ErrTierUnavailable: the cold tier cannot be read now.
	ErrTierUnavailable = errors.New("partition: the cold tier cannot be read")
	// ErrStaleChain: the batch passed an older chain than one already applied.
	ErrStaleChain = errors.New("partition: chain generation is older than the log's")
)

// Proposer puts entries into the partition's replicated log. The outcome comes
// back through the Partition's Apply or Dropped with the token.
type Proposer interface {
	Propose(data []byte, token any, system bool) error
}

// Config sets up a partition.
type Config struct {
	ID    ident.Partition
	FS    vfs.FS
	Dir   string // of the replica's files, relative
	Cache *storage.Cache
	Log   Proposer
	// QueueBytesMax bounds the batches that are admitted and not yet applied.
	QueueBytesMax int64
	// OutboxBytesMax bounds the emissions that wait to be delivered. A single
	// batch's emissions are admitted to an empty outbox whatever their size.
	OutboxBytesMax int64
	// OutboxRoom refuses emissions that the broker's outboxes together have no
	// room for; nil never does. It is called on the owner.
	OutboxRoom func(bytes int64) error
	// Run performs a chain on a batch; Entropy gives each batch its seed. Only
	// topics with a chain need them.
	Run     Runner
	Entropy func() uint64
	// Pull asks a replica for a piece of its log between two offsets; the answer
	// comes through Take, if it is not lost. nil if there are no other replicas.
	Pull func(from ident.ReplicaID, at, until ident.Offset)
	// TakeDisk asks for space on the disk for so many bytes of a copy of another
	// replica's log; without it the copy waits. nil: there is always enough.
	TakeDisk func(bytes int64) bool
	// FinishDisk asks whether there is space for what a whole copy takes besides,
	// which Unwritten has; without it the copy is given up. nil: there always is.
	FinishDisk func() bool
	// Unused is told of a directory that nothing names any more. nil: nobody.
	Unused func(dir string)
	// Incarnation is the highest that any directory of the replica has.
	Incarnation uint64
}

// Partition is one replica.
type Partition struct {
	c   Config
	log *storage.Log

	// Applied state.
	producers  producers
	settings   Settings
	generation uint64 // highest applied chain generation
	term       uint64
	outbox     outbox
	origins    origins
	asOf       uint64 // highest version of the cluster metadata by which origins were judged
	tier       tier

	// Leader's state, lost with the leadership.
	desired        Settings
	asked          bool // desired is what Configure said
	proposing      bool // a settings entry is in flight
	starting       bool // a log start entry of retention is in flight
	rolling        bool
	expiring       bool
	trimming       bool
	committing     bool // a tier commit is in flight, and so on
	evicting       bool
	dropping       bool
	forgettingDead bool
	forgetting     map[ident.TopicID]bool // entries in flight
	chains         chainState
	flight         map[int64]*inflight
	marks          marks
	queued         int64        // bytes proposed and not applied
	found          ident.Offset // where the objects end that are there for certain, see Unfound

	ckpt work // checkpoint and I/O state

	incarnation  uint64 // of the directory
	incarnations uint64 // highest ever used
	adoption     *adoption
	dying        []*adoption // abandoned, with runs in flight

	// What other goroutines read.
	leading atomic.Bool
	parked  atomic.Pointer[error]
	epoch   atomic.Int64
	epochs  atomic.Pointer[epochs]
	tiered  atomic.Pointer[manifest.List]
	mu      sync.Mutex // guards what follows
	watch   map[Watcher]struct{}
	readers int // reads of the log in progress
	closed  bool
}

var _ replog.Machine = (*Partition)(nil)

// Open restores a partition from its part of a checkpoint, or makes a new one
// if state is nil. It reads the files that the state names and changes those
// that lie behind it.
func Open(c Config, state []byte) (*Partition, error) {
	p := newPartition(c)
	s := saved{position: storage.EmptyPosition(0), settings: DefaultSettings(), producers: producers{byID: map[int64]*producer{}}, origins: origins{}}
	if state != nil {
		var err error
		if s, err = decodeSaved(state); err != nil {
			return nil, fmt.Errorf("open partition %v: %w", c.ID, err)
		}
	}
	log, err := storage.Open(c.FS, incarnationDir(c.Dir, s.incarnation), s.position, s.settings.storage(), c.Cache)
	if err != nil {
		return nil, fmt.Errorf("open partition %v: %w", c.ID, err)
	}
	p.restore(log, s)
	return p, nil
}

func newPartition(c Config) *Partition {
	return &Partition{c: c, flight: map[int64]*inflight{}, forgetting: map[ident.TopicID]bool{}, watch: map[Watcher]struct{}{}}
}

// restore takes a log and the state that goes with it.
func (p *Partition) restore(log *storage.Log, s saved) {
	p.log, p.producers, p.settings, p.generation = log, s.producers, s.settings, s.generation
	p.desired, p.outbox, p.origins, p.asOf = s.settings, s.outbox, s.origins, s.asOf
	p.tier = s.tier
	if mutant.On(mutant.ProducersForgotten) {
		p.producers = producers{byID: map[int64]*producer{}}
	}
	p.incarnation = s.incarnation
	p.incarnations = max(p.incarnations, p.incarnation, p.c.Incarnation)
	p.publish()
	p.epochs.Store(&s.epochs)
	p.log.SetEpochs(p.EpochAt)
	p.epoch.Store(-1)
}

// Lead implements replog.Machine: from now on everything that was ever
// committed is applied, so clients can be served.
func (p *Partition) Lead(term uint64) {
	p.term = term
	p.epoch.Store(int64(term))
	p.leading.Store(true)
	p.found = 0
	p.adjust(0)
	p.wake()
}

// Unlead implements replog.Machine.
func (p *Partition) Unlead() {
	p.leading.Store(false)
	p.proposing, p.starting, p.rolling, p.expiring, p.trimming = false, false, false, false, false
	p.committing, p.evicting, p.dropping, p.forgettingDead = false, false, false, false
	clear(p.forgetting)
	p.marks.clear()
	p.disband(ErrNotLeader) // which leaves marks, for it may lead again soon
	p.wake()
}

// Parked implements replog.Machine.
func (p *Partition) Parked(err error) {
	err = fmt.Errorf("%w: %w", ErrDamaged, err)
	p.parked.Store(&err)
	p.leading.Store(false)
	p.disband(err)
	p.wake()
}

// Close implements replog.Machine.
func (p *Partition) Close() {
	p.leading.Store(false)
	p.disband(ErrNotLeader)
	p.Abandon()
	for _, a := range p.dying { // the end of their runs is not told any more
		p.release(a)
	}
	p.dying = nil
	p.mu.Lock()
	last := !p.closed && p.readers == 0
	p.closed = true
	p.mu.Unlock()
	if last {
		p.log.Close()
	}
	p.wake()
}

// serving returns why the replica does not serve clients, or nil.
func (p *Partition) serving() error {
	if err := p.parked.Load(); err != nil {
		return *err
	}
	if !p.leading.Load() {
		return ErrNotLeader
	}
	return nil
}

// Unwritten returns about how many bytes of the disk will be taken by what is
// applied, or copied of another replica's log, and not yet in a file.
func (p *Partition) Unwritten() int64 {
	n := p.log.Owed()
	if a := p.adoption; a != nil {
		n += a.log.Owed()
	}
	return n
}
