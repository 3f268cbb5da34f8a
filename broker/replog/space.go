package replog

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// ErrSettings: sizes of the write-ahead log with which nothing could go on.
var ErrSettings = errors.New("replog: sizes of the write-ahead log")

// Least sizes of the write-ahead log. A checkpoint frees only whole files, so that
// there must be one to go on in while another is freed; and a file must hold what
// is kept for a checkpoint beside another replica's message or a client's batch.
const (
	filesLeast   = 2
	fileLeast    = 64 << 10
	reserveLeast = 4 * wal.Block
)

// check refuses what is below those.
func (c *Config) check() error {
	w := &c.WAL
	for _, n := range []int64{w.FirstFileBytes, w.FileBytes, w.ReserveBytes} {
		if n%wal.Block != 0 {
			return fmt.Errorf("%w: %d bytes are no multiple of %d", ErrSettings, n, wal.Block)
		}
	}
	switch {
	case w.FileBytes < fileLeast || w.FirstFileBytes < fileLeast:
		return fmt.Errorf("%w: files of %d bytes, the first of %d, at least %d", ErrSettings, w.FileBytes, w.FirstFileBytes, fileLeast)
	case w.BytesMax < filesLeast*w.FileBytes:
		return fmt.Errorf("%w: %d bytes for all files, at least %d of %d", ErrSettings, w.BytesMax, filesLeast, w.FileBytes)
	case w.ReserveBytes < reserveLeast || w.ReserveBytes > w.FileBytes/4:
		return fmt.Errorf("%w: a reserve of %d bytes, from %d to a quarter of a file of %d", ErrSettings, w.ReserveBytes, reserveLeast, w.FileBytes)
	}
	return nil
}

// Who may take space of the disk, and down to where: clients' proposals as long as
// the reserve is left, copies of another replica's files and new files of the
// write-ahead log down to half of it, and what a leader sends down to a quarter.
// Leaders are told when the reserve is begun (Message), so that what they sent
// until then, and what frees space behind it in the log, still finds room. The
// rest is for what segments take besides their data, which a checkpoint writes:
// without it nothing would ever be freed.

// freeBehind returns what is free on the disk when so many bytes more are written
// and the write-ahead log has made its next file.
func (e *Engine) freeBehind(bytes int64) int64 { return e.diskFree - bytes - e.wal.Lacks() }

// room takes space for a proposal if it is there: in the write-ahead log for
// its record, and on disk for the segment it ends up in.
func (e *Engine) room(p proposal, system bool) bool {
	// What a checkpoint waits for is not clients'.
	if !system && (e.wal.Overdrawn() || !e.pace(p.cost)) {
		return false
	}
	if (!system || mutant.On(mutant.RetentionNeedsSpace)) && e.freeBehind(int64(len(p.data))) < e.c.DiskReserve {
		return false
	}
	if !e.reserve(p.cost, system) {
		return false
	}
	e.diskFree -= int64(len(p.data))
	e.pacing.admitted += p.cost
	return true
}

// reserve takes space for a record in the write-ahead log, if what is kept for
// others is left.
func (e *Engine) reserve(cost int64, system bool) bool {
	// A group that is recovered and not started holds the log, and needs two
	// writes of its own before it can let go.
	keep := 2 * wal.Block * int64(len(e.waiting))
	if system {
		keep += e.roundCost // without a checkpoint nothing is ever freed
	}
	if !e.wal.Reserve(cost, system) {
		e.wanted = cost
		return false
	}
	if !e.reserveBlocks(keep) {
		e.wal.Unreserve(cost)
		e.wanted = cost
		return false
	}
	e.wal.Unreserve(keep)
	return true
}

// followBytesMax is the data that another replica's message may bring when only
// the system's reserve is left: more than retention, deletion and the like need.
const followBytesMax = 1 << 10

// fresh returns the entries from the first on that the group does not have on disk.
func (g *group) fresh(ents []raftpb.Entry) []raftpb.Entry {
	for len(ents) > 0 {
		if term, err := g.store.Term(ents[0].Index); ents[0].Index > g.store.dropped && (err != nil || term != ents[0].Term) {
			break
		}
		ents = ents[1:]
	}
	return ents
}

// roomFor takes space for another replica's entries, in the write-ahead log and on
// disk. What is here needs none: a leader that has not heard of it must hear of it.
func (e *Engine) roomFor(g *group, ents []raftpb.Entry) bool {
	var cost int64
	if ents = g.fresh(ents); len(ents) == 0 {
		return true
	}
	for rest := ents; len(rest) > 0; {
		k := fits(rest, e.recordBytes())
		c := wal.Cost(k, dataBytes(rest[:k]))
		if !e.wal.Fits(c) {
			return false
		}
		cost += c
		rest = rest[k:]
	}
	bytes := dataBytes(ents)
	little := bytes <= followBytesMax
	if !little && e.freeBehind(bytes) < e.c.DiskReserve/4 || !e.reserve(cost, little) {
		e.refused = true
		return false
	}
	g.credit += cost
	e.diskFree -= bytes
	return true
}

// cut takes the entries for which there is no room out of a leader's message, and
// reports whether the rest matters: it says that entries which are here are
// committed, or gets an answer that tells the leader where the log ends. Entries
// that are not known to be committed hold the write-ahead log, so that a replica
// whose log they fill would never have room for what the message brings besides.
// What is no news is not answered, since a leader sends more as soon as it hears.
func (g *group) cut(m *raftpb.Message) bool {
	commit := g.rn.BasicStatus().Commit
	if m.Index < commit {
		return true // Raft answers, and takes nothing
	}
	if term, err := g.store.Term(m.Index); err != nil || term != m.LogTerm {
		// Raft refuses it, if it has nothing that is not in the store yet.
		return len(g.flight) == 0 && g.stored == nil && !g.rn.HasReady()
	}
	m.Entries = m.Entries[:len(m.Entries)-len(g.fresh(m.Entries))]
	return min(m.Commit, m.Index+uint64(len(m.Entries))) > commit
}

// TakeDisk sets space of the disk aside for the copy of another replica's files,
// and reports whether it is there. Until the next Tick it stays so, also if it is
// not used.
func (e *Engine) TakeDisk(bytes int64) bool {
	if e.freeBehind(bytes) < e.c.DiskReserve/2 {
		e.refused = true
		return false
	}
	e.diskFree -= bytes
	return true
}

// FinishDisk reports whether a copy that is all here has room for what it takes
// besides its data, which its machine tells (Unwritten). It may use what a copy in
// the making leaves.
func (e *Engine) FinishDisk() bool {
	taken := e.diskFree
	e.look() // what was taken since the last Tick does not say what blocks it takes
	e.diskFree = min(e.diskFree, taken)
	if e.freeBehind(0) < e.c.DiskReserve/4 {
		e.refused = true
		return false
	}
	return true
}

// elects reports whether a message may change the group's term or vote, or make
// its replica the leader.
func (g *group) elects(m *raftpb.Message) bool {
	switch m.Type {
	case raftpb.MsgPreVote: // promises nothing
		return false
	case raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVoteResp, raftpb.MsgTimeoutNow:
		return true
	}
	return m.Term > g.logged.Term
}

// roomForTerm takes space in the write-ahead log for what such a message may have
// a group write: its hard state, and the first entry of a term that it leads.
func (e *Engine) roomForTerm(g *group) bool {
	cost := 2*wal.Block - g.credit
	if cost > 0 && !e.reserve(cost, true) {
		e.refused = true
		return false
	}
	g.credit += max(cost, 0)
	e.mark(g) // which gives back what is not needed
	return true
}

// spend gives what was reserved back, but for the first entry of a term that the
// replica stands for: its own vote may decide that, when it is durable.
func (g *group) spend() {
	keep := int64(0)
	if g.parked == nil && g.credit > 0 && g.rn.BasicStatus().RaftState == raft.StateCandidate {
		keep = min(g.credit, wal.Block)
	}
	g.e.wal.Unreserve(g.credit - keep)
	g.credit = keep
}

// notice takes down whether the sender of a message has room for clients.
func (g *group) notice(m Message) {
	if m.short == g.shorts[m.From()] {
		return
	}
	if !m.short {
		delete(g.shorts, m.From())
		return
	}
	if g.shorts == nil {
		g.shorts = map[ident.ReplicaID]bool{}
	}
	g.shorts[m.From()] = true
}

// backed reports whether most replicas have room for clients: an entry that most
// cannot take would hold up all behind it, and with them what frees space. One that
// needs a copy of the log first takes nothing until it has it, and on a full disk it
// may never.
func (g *group) backed() bool {
	if len(g.shorts) == 0 {
		return true
	}
	n, lacking := len(g.store.conf.Voters), len(g.shorts)
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		copies := pr.State == tracker.StateSnapshot || pr.Match < g.store.dropped
		if copies && !g.shorts[ident.ReplicaID(id)] && id != uint64(g.replica) {
			lacking++
		}
	})
	return n-lacking > n/2
}
