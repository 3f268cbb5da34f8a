package replog

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// Config sets up an Engine.
type Config struct {
	FS  vfs.FS
	WAL wal.Settings
	// RoundBytes of replay debt start a checkpoint round; 0 is a quarter of
	// WAL.BytesMax.
	RoundBytes int64
	// WaitBytesMax bounds the data of clients' proposals that wait for space, and
	// of those that are on their way into the write-ahead log, which get fewer as
	// the replay debt grows. WaitMax is how long each waits at most.
	WaitBytesMax int64
	WaitMax      time.Duration
	// TasksMax bounds the machines' tasks that are handed out at one time. Tasks
	// take memory only while they are performed, so it may be well above the number
	// of those who perform them: they then find work without waiting for the owner.
	TasksMax int
	// SyncEach has every machine sync its own files for a checkpoint, also where
	// one sync of the file system could do it for all. That one waits for what
	// other programs wrote there, too.
	SyncEach bool
	// DiskReserve is free disk space that clients' proposals may not use.
	DiskReserve int64
	// KeepBytes of applied entries stay in memory for replicas that lag, in each
	// group with several voters, and KeepBytesMax in all of them together.
	KeepBytes, KeepBytesMax int64
	// Send hands a message for another replica to the transport, which may lose
	// it. nil if every group has one voter.
	Send func(Message)
}

// DefaultConfig returns the settings of DESIGN D2.
func DefaultConfig(fs vfs.FS) Config {
	return Config{
		FS: fs, WAL: wal.DefaultSettings(), WaitBytesMax: 64 << 20, WaitMax: 10 * time.Second,
		DiskReserve: 64 << 20, TasksMax: 64, KeepBytes: 1 << 20, KeepBytesMax: 64 << 20,
	}
}

// Engine runs all groups of one broker.
type Engine struct {
	c   Config
	wal *wal.Log
	now time.Time
	err error

	groups  map[ident.GroupID]*group
	order   []*group                     // by id
	waiting map[ident.GroupID]*wal.Group // recovered, not started
	ready   []*group                     // with something to do
	offers  []*group                     // whose machines may have work
	running int                          // tasks of machines that are performed now
	sharing sharing
	pacing  pacing

	adopting map[ident.GroupID]*group // that fetch the files of a snapshot

	stalled      []stalled // proposals that wait for space, oldest first
	stalledBytes int64
	diskFree     int64 // as of the last Tick, less what was proposed since
	short        bool  // it has no room for clients

	committing bool
	prepareOff bool // the last Prepare failed; wait for Tick
	garbage    []wal.Garbage
	removing   bool
	removeOff  bool // the last removal failed; wait for Tick

	checkpoints uint64 // highest id used
	round       *round
	roundTail   int64     // where the write-ahead log ended when the last round began
	roundEnded  time.Time // when the last round ended
	forced      bool
	roundCost   int64  // what the next checkpoint may take in the write-ahead log
	refused     bool   // a system's proposal found no space since the last Tick
	wanted      int64  // cost of a record that the write-ahead log had no room for since then
	rounds      uint64 // proofs of leadership begun
	stats       Stats
}

// stalled is a proposal that waits for space.
type stalled struct {
	group ident.GroupID
	p     proposal
	until time.Time
}

// Open recovers the write-ahead log. Groups do not run before Start. It fails with
// ErrSettings if the log's files are fewer or smaller than can work.
func Open(c Config, now time.Time) (*Engine, *wal.Recovered, error) {
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	c.TasksMax = max(c.TasksMax, 1)
	if c.RoundBytes == 0 {
		c.RoundBytes = c.WAL.BytesMax / 4
	}
	log, rec, err := wal.Open(c.FS, c.WAL)
	if err != nil {
		return nil, nil, err
	}
	e := &Engine{
		c: c, wal: log, now: now, checkpoints: rec.Checkpoint,
		groups: map[ident.GroupID]*group{}, waiting: map[ident.GroupID]*wal.Group{},
		adopting: map[ident.GroupID]*group{}, garbage: rec.Garbage,
	}
	for _, g := range rec.Groups {
		e.waiting[g.ID] = g
		e.roundCost += int64(len(g.State)) + 128
	}
	e.roundCost = costOfRound(e.roundCost)
	e.pacing.bound = debtBound(&c)
	e.look()
	return e, rec, nil
}

// Waiting returns the groups that were recovered and not started, by id.
func (e *Engine) Waiting() []ident.GroupID {
	ids := make([]ident.GroupID, 0, len(e.waiting))
	for id := range e.waiting { // order: sorted below
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids
}

// Start opens a group: with what was recovered of it, else as a new one. open
// restores its machine from a checkpoint's state, nil for a machine that has
// none. With one voter it campaigns at once. An error leaves the group as it
// was, recovered and not started.
func (e *Engine) Start(s Spec, open func(machine []byte) (Machine, error)) error {
	if e.err != nil {
		return e.err
	}
	if e.groups[s.ID] != nil {
		return fmt.Errorf("start group %d: started already", s.ID)
	}
	rec := e.waiting[s.ID]
	if rec != nil && rec.Replica != s.Replica {
		return fmt.Errorf("start group %d: replica %d is wanted, %d is on disk: %w", s.ID, s.Replica, rec.Replica, ErrDamaged)
	}
	g, st, err := e.restore(s, rec)
	if err != nil {
		return fmt.Errorf("start group %d: %w", s.ID, err)
	}
	if g.own.m, err = open(st.machine); err != nil {
		return fmt.Errorf("start group %d: %w", s.ID, err)
	}
	// A new group is to be led by the replica that stands first.
	first := rec == nil && len(s.Voters) > 0 && s.Voters[0] == s.Replica
	if g.rn, err = newNode(g); err == nil && (g.alone() || first) {
		err = g.rn.Campaign()
	}
	if err != nil {
		g.own.m.Close()
		return fmt.Errorf("start group %d: %w", s.ID, err)
	}
	delete(e.waiting, s.ID)
	e.groups[s.ID] = g
	at := sort.Search(len(e.order), func(i int) bool { return e.order[i].id >= g.id })
	e.order = append(e.order, nil)
	copy(e.order[at+1:], e.order[at:])
	e.order[at] = g
	e.mark(g)
	return nil
}

func newNode(g *group) (rn *raft.RawNode, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	// A replica must have room for a whole message, whatever its log holds.
	messageBytes := min(proposeBytesMax, uint64(g.e.c.WAL.BytesMax/16), uint64(g.e.c.WAL.FileBytes/8))
	uncommitted := uint64(0) // no limit: what is proposed waits for nobody
	if !g.alone() {
		// What has no quorum holds the log; one may always wait for it.
		uncommitted = min(8<<20, uint64(g.e.c.WAL.BytesMax/8))
	}
	return raft.NewRawNode(&raft.Config{
		ID: uint64(g.replica), ElectionTick: 15, HeartbeatTick: 5, Storage: g.store, Applied: g.applied,
		AsyncStorageWrites: true, MaxSizePerMsg: messageBytes, MaxCommittedSizePerReady: 4 << 20,
		MaxInflightMsgs: 256, CheckQuorum: true, PreVote: true, Logger: silent{},
		DisableProposalForwarding: true, StepDownOnRemoval: true, MaxUncommittedEntriesSize: uncommitted,
	})
}

// Destroy ends a group because group 0 applied its deletion. Its machine is
// closed when the last of its tasks has ended; then its files are the caller's.
func (e *Engine) Destroy(id ident.GroupID) {
	rec := wal.Record{Group: id, Kind: wal.KindGone}
	if g := e.groups[id]; g != nil {
		rec.Replica = g.replica
		e.unstall(id)
		if g.parked == nil {
			g.dropAll(ErrUnknownGroup)
			g.park(ErrUnknownGroup)
		}
		e.leave(g.own)
		delete(e.groups, id)
		at := sort.Search(len(e.order), func(i int) bool { return e.order[i].id >= id })
		e.order = append(e.order[:at], e.order[at+1:]...)
		if e.round != nil {
			e.round.remove(g)
		}
	} else if w := e.waiting[id]; w != nil {
		rec.Replica = w.Replica
		delete(e.waiting, id)
	} else {
		return
	}
	if err := e.wal.Enqueue(rec, nil, 0); err != nil {
		e.fail(err)
	}
}

// unstall drops the waiting proposals of a group that ends.
func (e *Engine) unstall(id ident.GroupID) {
	kept := e.stalled[:0]
	for _, s := range e.stalled {
		if s.group != id {
			kept = append(kept, s)
			continue
		}
		e.stalledBytes -= int64(len(s.p.data))
		e.groups[id].own.m.Dropped(s.p.token, ErrUnknownGroup) // damage is what Parked tells of
	}
	clear(e.stalled[len(kept):])
	e.stalled = kept
}

// RoomFor reports whether as many groups could be started or destroyed now:
// their first records are not refused, so whoever is to propose that asks first.
func (e *Engine) RoomFor(groups int) bool {
	cost := e.roundCost + 3*wal.Block*int64(groups)
	if e.err != nil || !e.reserveBlocks(cost) {
		e.refused = true
		// On a log to which nothing else is written only this begins the next file,
		// so that another one is made. It helps if two files have the room, without
		// their headers, the write that begins one, and what the end of one may waste.
		if cost <= 2*e.c.WAL.FileBytes-4*wal.Block && e.wal.MayGrow() && e.roomForFile() {
			e.wanted = cost
		}
		return false
	}
	e.wal.Unreserve(cost)
	return true
}

// Propose asks for data to become the group's next entry. The engine keeps
// data, which must not change any more. The outcome is the machine's Apply with
// the token, or its Dropped; it may come before Propose returns. System
// proposals may use the space that is kept back from clients.
func (e *Engine) Propose(id ident.GroupID, data []byte, token any, system bool) error {
	g := e.groups[id]
	if g == nil {
		return ErrUnknownGroup
	}
	p := proposal{data: data, token: token, cost: wal.Cost(1, int64(len(data)))}
	switch {
	case e.err != nil:
		return ErrFailed
	case g.parked != nil:
		return ErrParked
	case len(data) == 0:
		return ErrEmpty
	case !e.wal.Fits(p.cost):
		return wal.ErrTooLarge
	case !system && !g.backed():
		return ErrNoSpace
	case !system && (len(e.stalled) > 0 || !e.room(p, false)):
		// One may always wait, whatever its size: it is what asks for space.
		if len(e.stalled) > 0 && e.stalledBytes+int64(len(data)) > e.c.WaitBytesMax {
			return ErrBusy
		}
		e.wait(stalled{group: id, p: p, until: e.now.Add(e.c.WaitMax)})
		return nil
	case system && !e.room(p, true):
		e.refused = true
		return ErrNoSpace
	}
	g.queue = append(g.queue, p)
	e.mark(g)
	return nil
}

// mark puts a group on the list of those with work.
func (e *Engine) mark(g *group) {
	if !g.dirty {
		g.dirty = true
		e.ready = append(e.ready, g)
	}
}

// Step gives a group a message from another replica. It is dropped, as if it had
// been lost, if it is for a group or a replica that is not here, or brings
// entries, or changes of the term, for which there is no room; what it says of
// entries that are here is heard all the same.
func (e *Engine) Step(m Message) {
	g := e.groups[m.Group]
	if g == nil || g.parked != nil || e.err != nil || m.To() != g.replica || !slices.Contains(g.store.conf.Voters, m.raft.From) {
		return
	}
	g.notice(m)
	switch {
	case g.elects(&m.raft) && !e.roomForTerm(g):
		return
	case m.raft.Type == raftpb.MsgSnap:
		g.receive(m.raft)
		return
	case len(m.raft.Entries) > 0:
		if g.storing() || !e.roomFor(g, m.raft.Entries) && !g.cut(&m.raft) {
			return
		}
	}
	// A leader that knows nothing of this replica yet says 0 in a heartbeat.
	if t := m.raft.Type; (t == raftpb.MsgApp || t == raftpb.MsgHeartbeat && m.raft.Commit > 0) && m.raft.Term >= g.rn.BasicStatus().Term {
		g.heard(m.raft.Commit)
	}
	g.step(m.raft)
}

// Wake asks a group's machine for work at the next Poll.
func (e *Engine) Wake(id ident.GroupID) {
	if g := e.groups[id]; g != nil {
		e.offer(g)
	}
}

// Err returns why the engine failed, or nil. A failed engine serves nothing any
// more; the broker must stop.
func (e *Engine) Err() error { return e.err }

func (e *Engine) fail(err error) {
	if e.err != nil {
		return
	}
	e.err = fmt.Errorf("%w: %w", ErrFailed, err)
	for _, s := range e.stalled {
		if g := e.groups[s.group]; g != nil {
			g.own.m.Dropped(s.p.token, ErrFailed)
		}
	}
	e.stalled, e.stalledBytes = nil, 0
	for _, g := range e.order {
		g.dropAll(ErrFailed)
	}
}

// Close releases all files. What is in flight is lost as in a crash.
func (e *Engine) Close() {
	for _, g := range e.order {
		g.own.m.Close()
	}
	_ = e.wal.Close() // nothing is written here, so nothing can be lost
}
