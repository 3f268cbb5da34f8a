package replog

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// A replica that lags behind what others keep of the log in memory gets their
// state instead (Raft's snapshot). The state names files, which the machine
// fetches from the replica that sent it while the group goes on as it was; only
// when all of it is on this disk does Raft hear of the snapshot, and the group
// takes the state over. Raft is told that the snapshot is stored when a
// checkpoint with the new state is durable, and what the group appends meanwhile
// is held back: the write-ahead log never has a gap, and a crash before that
// leaves the replica as it was.

// Adopter is a Machine of a group with several voters.
type Adopter interface {
	Machine
	// Snapshot returns the state after the last applied entry, for a replica
	// that lags. The caller keeps the slice.
	Snapshot() ([]byte, error)
	// Adopt begins to fetch what a state of Snapshot, taken by another replica,
	// claims about files. It replaces an Adopt before it, of which the machine
	// may keep what it fetched, or fails with ErrAdopting: everything of that one
	// is here, or nearly, and it goes on. Until Switch the machine goes on as it
	// was, but for files that it may give up with the next checkpoint because the
	// state says that they were deleted.
	Adopt(from ident.ReplicaID, state []byte) error
	// Adopted reports whether all of it is here; an error ends the attempt.
	// Progress shows at the next Poll after work of the machine.
	Adopted() (done bool, err error)
	// Abandon ends an Adopt that is not wanted any more.
	Abandon()
	// Switch returns the machine that goes on with the adopted state: the same
	// one, or another, and then this one is closed when its tasks have ended.
	// Its first Capture makes the state durable.
	Switch() (Machine, error)
}

// ErrAdopting: an Adopt before this one is about to be complete, and goes on.
var ErrAdopting = errors.New("replog: a state is being adopted")

// Follower is a Machine that wants to know when a replica that does not lead has
// applied all that its leader said was committed when it was first heard in this
// life, or after a change of leader.
type Follower interface {
	Follow()
}

// heard notes that the leader spoke.
func (g *group) heard(commit uint64) {
	g.heardAt, g.hears = max(g.heardAt, commit), true
}

// follow tells the machine that it follows.
func (g *group) follow() {
	if f, ok := g.own.m.(Follower); ok && g.hears && !g.follows && !g.leading && g.parked == nil && g.applied >= g.heardAt {
		g.follows = true
		f.Follow()
	}
}

// lentBytesMax of applied entries stay in memory behind a snapshot that is on its
// way: without them whoever takes it over would need another one at once.
func (e *Engine) lentBytesMax() int64 { return max(e.c.KeepBytes, e.c.KeepBytesMax/4) }

// shrink forgets applied entries if there are too many of them.
func (g *group) shrink() {
	if g.store.bytes <= g.e.c.KeepBytes {
		return
	}
	to := g.applied
	if g.leading && g.lent > 0 && g.store.bytes <= g.e.lentBytesMax() {
		to = min(to, g.lent)
	}
	g.store.shrink(to, g.e.c.KeepBytes/2)
}

// snapshotTicks is after how many ticks without an answer a leader takes a
// snapshot for lost and tries another way.
const snapshotTicks = 100

// snapshot implements Raft's Storage.Snapshot.
func (g *group) snapshot() (raftpb.Snapshot, error) {
	a, ok := g.own.m.(Adopter)
	if !ok || g.parked != nil || g.storing() {
		return raftpb.Snapshot{}, raft.ErrSnapshotTemporarilyUnavailable
	}
	data, err := a.Snapshot()
	if err != nil {
		return raftpb.Snapshot{}, raft.ErrSnapshotTemporarilyUnavailable
	}
	if g.lent == 0 {
		g.lent = g.applied
	}
	return raftpb.Snapshot{Data: data, Metadata: raftpb.SnapshotMetadata{
		Index: g.applied, Term: g.appliedT, ConfState: g.store.conf,
	}}, nil
}

// storing reports whether a snapshot was taken over and is not durable yet.
func (g *group) storing() bool { return g.stored != nil }

// offered takes a snapshot from another replica. One that Raft can answer at
// once goes to it; for another the files are fetched first.
func (g *group) receive(m raftpb.Message) {
	meta := m.Snapshot.Metadata
	if meta.Index <= g.applied || meta.Index <= g.rn.BasicStatus().Commit {
		g.step(m)
		return
	}
	if old := g.adopting; old != nil && old.Term == m.Term && old.From == m.From && old.Snapshot.Metadata.Index >= meta.Index {
		return // sent again
	}
	a, ok := g.own.m.(Adopter)
	if !ok || g.storing() || m.Term < g.rn.BasicStatus().Term {
		return
	}
	switch err := a.Adopt(ident.ReplicaID(m.From), m.Snapshot.Data); {
	case errors.Is(err, ErrAdopting) && g.adopting != nil:
		// What was committed then is so in every later term.
		g.adopting.Term, g.adopting.From = m.Term, m.From
		return
	case err != nil:
		g.abandon() // it is sent again
		return
	}
	if g.adopting != nil {
		g.e.stats.AdoptionsExtended++
	} else {
		g.e.stats.AdoptionsBegun++
	}
	g.adopting = &m
	g.e.adopting[g.id] = g
	g.changed = true // it may have given up what the other one does not have any more
	g.e.offer(g)
}

// abandon ends the fetching of a snapshot's files.
func (g *group) abandon() {
	if g.adopting == nil {
		return
	}
	g.e.stats.AdoptionsAbandoned++
	g.adopting = nil
	delete(g.e.adopting, g.id)
	if a, ok := g.own.m.(Adopter); ok {
		a.Abandon()
	}
}

// adopt tells Raft of a snapshot of which everything is here.
func (g *group) adopt() {
	m, a := g.adopting, g.own.m.(Adopter)
	done, err := a.Adopted()
	if !done && err == nil {
		return
	}
	if err != nil || g.parked != nil {
		g.abandon()
		return
	}
	g.adopting = nil
	delete(g.e.adopting, g.id)
	g.step(*m)
	if g.parked == nil {
		g.run()
	}
	if !g.storing() { // Raft did not want it any more
		if a, ok := g.own.m.(Adopter); ok {
			a.Abandon()
		}
	}
}

// install takes the state of a snapshot over, and has a checkpoint made of it.
func (g *group) install(m raftpb.Message) error {
	meta := m.Snapshot.Metadata
	a, ok := g.own.m.(Adopter)
	if !ok {
		return fmt.Errorf("%w: a snapshot for a machine that takes none", ErrDamaged)
	}
	at := g.e.wal.Tail()
	next, err := a.Switch()
	if err != nil {
		return fmt.Errorf("take over the state at entry %d: %w", meta.Index, err)
	}
	if r := g.e.round; r != nil && !r.logged {
		r.remove(g)
	}
	if next != g.own.m {
		g.e.leave(g.own)
		g.own = &owned{m: next}
	}
	for _, t := range g.flight {
		t.entries = nil // none of them is part of the log any more
	}
	g.dropPending(ErrNotLeader)
	g.applied, g.appliedT, g.changed = meta.Index, meta.Term, true
	g.store.reset(meta.Index, meta.Term)
	g.stored = &storing{index: meta.Index, at: at}
	g.e.stats.Adoptions++
	if mutant.On(mutant.SnapshotBeforeDurable) {
		g.stored = nil
		g.deliver(m.Responses)
		return nil
	}
	m.Snapshot = nil
	g.stored.held = append(g.stored.held, m)
	g.e.forced = true
	return nil
}

// storing is a snapshot that was taken over and is not in a durable checkpoint.
type storing struct {
	index uint64
	at    int64            // where the write-ahead log ended before: what the machine had destroyed is said behind it
	held  []raftpb.Message // storage appends that wait for that
}

// checkpointed is told that a checkpoint with the group at an index is durable.
func (g *group) checkpointed(index uint64) {
	s := g.stored
	if s == nil || index < s.index {
		return
	}
	g.stored = nil
	g.where = nil // nothing was appended since, and nothing before is part of the log
	for _, m := range s.held {
		if g.parked != nil {
			return
		}
		g.storageAppend(m)
	}
	g.e.mark(g)
}

// tick is the passing of a tick for a group with several voters.
func (g *group) tick() {
	g.rn.Tick()
	if g.leading {
		g.attend()
	}
	g.e.mark(g)
}

// lag is how far a replica was, and for how many ticks it has been there.
type lag struct {
	match uint64
	ticks int
}

// stuckTicks is after how many ticks a leader takes it that a replica without room
// on its disk cannot take what it is sent.
const stuckTicks = 30

// stuck reports whether a replica has no room for the next entries and has not had
// any for long. It is to get a snapshot instead, which tells it what of its log
// was deleted since: that is said in the log behind what it has no room for.
func (g *group) stuck(id uint64, pr *tracker.Progress) bool {
	was := g.lags[id]
	if !g.shorts[ident.ReplicaID(id)] || pr.Match >= g.applied || pr.State == tracker.StateSnapshot || pr.Match != was.match {
		was = lag{match: pr.Match}
	}
	was.ticks++
	if g.lags == nil {
		g.lags = map[uint64]lag{}
	}
	g.lags[id] = was
	return was.ticks >= stuckTicks
}

// attend looks at how far the others are: what all have need not be kept, and a
// snapshot of which nothing is heard is tried again.
func (g *group) attend() {
	least, waits, stuck := g.applied, uint64(0), false
	g.lent = 0
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if id == uint64(g.replica) {
			return
		}
		least = min(least, pr.Match)
		stuck = g.stuck(id, &pr) || stuck
		if pr.State == tracker.StateSnapshot {
			waits = id
			if g.lent == 0 || pr.PendingSnapshot < g.lent {
				g.lent = pr.PendingSnapshot
			}
		}
	})
	if stuck {
		least = g.applied
	}
	g.store.drop(least)
	if waits == 0 {
		g.snapTicks = 0
		return
	}
	if g.snapTicks++; g.snapTicks >= snapshotTicks {
		g.snapTicks = 0
		g.rn.ReportSnapshot(waits, raft.SnapshotFailure)
	}
}
