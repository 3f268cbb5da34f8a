package replog

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/mutant"
)

// group is one started Raft group.
type group struct {
	e       *Engine
	id      ident.GroupID
	replica ident.ReplicaID
	rn      *raft.RawNode
	store   *store
	own     *owned

	queue    []proposal // not yet given to Raft
	given    []proposal // given to Raft, index not yet known
	pending  []waiting  // in the log, not yet applied
	leading  bool       // Machine.Lead was called
	dirty    bool       // in Engine.ready
	parked   error
	applied  uint64
	appliedT uint64

	adopting  *raftpb.Message          // a snapshot of which files are being fetched
	stored    *storing                 // a snapshot that was taken over
	credit    int64                    // reserved for what another replica sent
	shorts    map[ident.ReplicaID]bool // replicas whose disk has no room for clients
	lags      map[uint64]lag           // of those that this one leads, how far they are
	lent      uint64                   // index of the oldest snapshot that is on its way to another replica, 0: none
	snapTicks int                      // since a snapshot was sent of which nothing is heard
	hears     bool                     // a leader, in this life
	heardAt   uint64                   // what was committed, as far as it said
	confirm   confirming
	follows   bool // Follower.Follow was called

	logged raftpb.HardState // as of the newest record enqueued
	flight []*appendToken   // appends enqueued and not yet durable, in order
	where  []span           // write-ahead log positions of entries above the last checkpoint

	changed   bool           // since the last capture
	last      wal.GroupState // part of the last durable checkpoint
	lastIndex uint64         // applied index of last
	captured  state          // part of the round in progress, without the machine
	capOwn    *owned         // whose state it is
	capIndex  uint64         // applied index of captured
	capLow    int64          // low of captured
	capState  wal.GroupState // captured as it was logged
	offered   bool           // in Engine.offers
	panicked  bool           // in Apply: the machine's state is not trusted
	failed    bool           // work of the machine failed; tried again at the next Tick
}

// owned is a machine and what is performed for it.
type owned struct {
	m     Machine
	tasks int  // performed now, or held
	held  bool // one of them waits for the shared sync
	gone  bool // to be closed when they have ended
}

type proposal struct {
	data  []byte
	token any
	cost  int64  // reserved in the write-ahead log
	term  uint64 // in which it was given to Raft
}

type waiting struct {
	index, term uint64
	token       any
}

// span says that the entries up to last are in records at or above position.
type span struct {
	last     uint64
	position int64
}

// appendToken travels with a record through the write-ahead log.
type appendToken struct {
	g         *group
	entries   []raftpb.Entry
	responses []raftpb.Message
}

// proposeBytesMax bounds the entries of one MsgProp, and so one storage append:
// nothing in Raft does.
const proposeBytesMax = 1 << 20

// recordBytes is how many bytes of entries go into one record, but for a single
// larger entry. The end of a file may waste as much as the largest record, and
// only the reserve covers that.
func (e *Engine) recordBytes() int {
	return min(proposeBytesMax, int(e.c.WAL.ReserveBytes/2))
}

// entryBytes is about what an entry takes in a record besides its data.
const entryBytes = 32

// run does everything that the group can do now.
func (g *group) run() {
	for g.parked == nil && (len(g.queue) > 0 || g.rn.HasReady()) {
		g.propose()
		if g.rn.HasReady() {
			g.ready()
		}
	}
	g.spend() // Raft had the rest already
	g.follow()
	invariant.Costly(g.consistent)
}

// propose gives queued proposals to Raft as one message.
func (g *group) propose() {
	if len(g.queue) == 0 {
		return
	}
	limit := g.e.recordBytes()
	n, bytes := 0, 0
	for n < len(g.queue) && (n == 0 || bytes+len(g.queue[n].data) <= limit) {
		bytes += len(g.queue[n].data) + entryBytes
		n++
	}
	ents := make([]raftpb.Entry, n)
	term := g.rn.BasicStatus().Term
	for i := range ents {
		ents[i].Data = g.queue[i].data
		g.queue[i].term = term
	}
	err := g.rn.Step(raftpb.Message{Type: raftpb.MsgProp, From: uint64(g.replica), Entries: ents})
	if err != nil {
		why := ErrNotLeader
		if g.leading { // the others take nothing, and enough waits for them
			why = ErrBusy
		}
		for _, p := range g.queue[:n] {
			g.e.wal.Unreserve(p.cost)
			g.own.m.Dropped(p.token, why)
		}
	} else {
		g.given = append(g.given, g.queue[:n]...)
	}
	rest := copy(g.queue, g.queue[n:])
	clear(g.queue[rest:])
	g.queue = g.queue[:rest]
}

// ready takes one Ready of Raft and does what it says.
func (g *group) ready() {
	rd := g.rn.Ready()
	lost := rd.SoftState != nil && rd.SoftState.RaftState != raft.StateLeader
	if lost && g.leading {
		g.leading, g.follows = false, false
		g.own.m.Unlead()
	}
	g.proven(rd.ReadStates)
	for _, m := range rd.Messages {
		switch m.To {
		case raft.LocalAppendThread:
			g.storageAppend(m)
		case raft.LocalApplyThread:
			g.storageApply(m)
		default:
			g.send(m)
		}
		if g.parked != nil {
			return
		}
	}
	if lost {
		// Whether they will be applied is not known, and may not be for long.
		g.dropPending(ErrNotLeader)
	}
}

// step gives Raft a message from another replica. One that contradicts what this
// replica knows to be committed is damage, here or there.
func (g *group) step(m raftpb.Message) {
	defer func() {
		if p := recover(); p != nil {
			g.park(fmt.Errorf("%w: %v from replica %d: %v", ErrDamaged, m.Type, m.From, p))
		}
	}()
	_ = g.rn.Step(m) // one that makes no sense is dropped, as a lost one
	g.e.mark(g)
}

// deliver hands responses to whom they are for.
func (g *group) deliver(responses []raftpb.Message) {
	for _, r := range responses {
		if r.To == uint64(g.replica) {
			// The only errors are about unknown peers; a message to oneself
			// has none.
			_ = g.rn.Step(r)
		} else {
			g.send(r)
		}
	}
}

func (g *group) send(m raftpb.Message) {
	if g.e.c.Send != nil {
		g.e.c.Send(Message{Group: g.id, raft: m, short: g.e.short})
	}
}

// storageAppend puts a storage append into the write-ahead log (G1), unless it
// changes nothing durable (G2): then its responses follow the appends that are
// on their way, or go at once if there are none.
func (g *group) storageAppend(m raftpb.Message) {
	if g.stored != nil {
		g.stored.held = append(g.stored.held, m)
		return
	}
	if m.Snapshot != nil {
		if err := g.install(m); err != nil {
			g.park(err)
		}
		return
	}
	cost := g.number(m.Entries)
	hard := g.logged
	if m.Term != 0 || m.Vote != 0 || m.Commit != 0 {
		hard = raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if len(m.Entries) == 0 && (hard.Term == g.logged.Term && hard.Vote == g.logged.Vote || mutant.On(mutant.VoteNotPersisted)) {
		g.logged.Commit = hard.Commit
		if n := len(g.flight); n > 0 {
			g.flight[n-1].responses = append(g.flight[n-1].responses, m.Responses...)
		} else {
			g.deliver(m.Responses)
		}
		return
	}
	g.logged = hard
	g.changed = true
	if mutant.On(mutant.AckBeforeSync) && len(m.Entries) > 0 && m.Responses[0].To != uint64(g.replica) {
		g.deliver(m.Responses[:1])
	}
	t := &appendToken{g: g, entries: m.Entries, responses: m.Responses}
	g.flight = append(g.flight, t)
	n := len(m.Entries)
	if n == 0 {
		cost = min(g.credit, wal.Block)
		g.credit -= cost
		g.enqueue(nil, t, cost)
		return
	}
	if cost == 0 {
		cost, g.credit = g.credit, 0
	}
	// What several messages of another replica brought may be too much for one
	// record.
	ents := m.Entries
	for {
		k := fits(ents, g.e.recordBytes())
		g.supersede(ents[0].Index)
		g.note(ents[k-1].Index, g.e.wal.Tail())
		if k == len(ents) {
			g.enqueue(ents, t, cost)
			return
		}
		g.enqueue(ents[:k], nil, 0)
		ents = ents[k:]
	}
}

// fits returns how many of the entries go into one record of so many bytes.
func fits(ents []raftpb.Entry, most int) int {
	n, bytes := 0, 0
	for n < len(ents) && (n == 0 || bytes+len(ents[n].Data) <= most) {
		bytes += len(ents[n].Data) + entryBytes
		n++
	}
	return n
}

// enqueue writes entries and the hard state into the write-ahead log. The caller
// notes where they are.
func (g *group) enqueue(ents []raftpb.Entry, token any, reserved int64) {
	rec := wal.Record{Group: g.id, Replica: g.replica, Kind: wal.KindAppend, Append: wal.Append{
		Term: g.logged.Term, Vote: g.logged.Vote, Commit: g.logged.Commit,
	}}
	if len(ents) > 0 {
		rec.Append.Entries = make([]wal.Entry, len(ents))
		for i := range ents {
			e := &ents[i]
			rec.Append.Entries[i] = wal.Entry{Index: e.Index, Term: e.Term, Type: uint8(e.Type), Data: e.Data}
		}
	}
	if err := g.e.wal.Enqueue(rec, token, reserved); err != nil {
		g.e.fail(err)
	}
}

// number learns the index of each proposal from the entries that Raft made of
// them, and returns what they reserved.
func (g *group) number(ents []raftpb.Entry) int64 {
	var cost int64
	for i := range ents {
		e := &ents[i]
		if len(e.Data) == 0 || len(g.given) == 0 || g.given[0].term != e.Term {
			continue // the first of a term, or another leader's
		}
		p := g.given[0]
		g.given[0] = proposal{}
		g.given = g.given[1:]
		cost += p.cost
		g.pending = append(g.pending, waiting{index: e.Index, term: e.Term, token: p.token})
	}
	if len(g.given) == 0 {
		g.given = nil
	}
	return cost
}

// durable is told that an append is synced.
func (g *group) durable(t *appendToken) {
	g.flight[0] = nil
	g.flight = g.flight[1:]
	g.store.append(t.entries)
	if g.parked != nil {
		return
	}
	g.deliver(t.responses)
	g.e.mark(g)
}

// storageApply applies committed entries.
func (g *group) storageApply(m raftpb.Message) {
	for i := range m.Entries {
		if err := g.apply(&m.Entries[i]); err != nil {
			g.park(fmt.Errorf("apply entry %d: %w", m.Entries[i].Index, err))
			return
		}
	}
	g.deliver(m.Responses)
	if g.alone() {
		g.store.drop(g.applied)
	} else {
		g.shrink()
	}
}

// alone reports whether the group has one voter.
func (g *group) alone() bool { return len(g.store.conf.Voters) == 1 }

func (g *group) apply(e *raftpb.Entry) error {
	if e.Type != raftpb.EntryNormal {
		return fmt.Errorf("%w: configuration changes are not known to this version", ErrDamaged)
	}
	token := g.resolve(e)
	if err := g.callApply(Entry{Index: e.Index, Term: e.Term, Data: e.Data, Token: token}); err != nil {
		if token != nil {
			g.own.m.Dropped(token, ErrParked)
		}
		return err
	}
	g.applied, g.appliedT, g.changed = e.Index, e.Term, true
	g.e.offer(g)
	if s := g.rn.BasicStatus(); !g.leading && s.RaftState == raft.StateLeader && (s.Term == e.Term || mutant.On(mutant.LeadEarly)) {
		g.leading = true
		g.own.m.Lead(e.Term)
	}
	return nil
}

// callApply turns a panic of the machine into an error: it must harm no other
// group.
func (g *group) callApply(e Entry) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			g.panicked = true
		}
	}()
	return g.own.m.Apply(e)
}

// resolve finds the proposer of an entry, and drops proposals that another
// leader's entry replaced.
func (g *group) resolve(e *raftpb.Entry) any {
	for len(g.pending) > 0 && g.pending[0].index <= e.Index {
		w := g.pending[0]
		g.pending[0] = waiting{}
		g.pending = g.pending[1:]
		if w.index == e.Index && w.term == e.Term {
			return w.token
		}
		g.own.m.Dropped(w.token, ErrNotLeader)
	}
	return nil
}

// park stops a group that met damage (G5).
func (g *group) park(err error) {
	g.parked = err
	g.dropAll(ErrParked)
	g.leading = false
	g.spend()
	g.abandon()
	if g.e.round != nil && !g.e.round.logged {
		g.e.round.remove(g)
		g.changed = true // what was captured was for nothing
	}
	g.own.m.Parked(err)
}

// dropAll tells every proposer whose entry is not applied yet, in order.
func (g *group) dropAll(err error) {
	g.dropPending(err)
	g.dropProposals(g.queue, err)
	g.queue = nil
}

// dropPending tells the proposers whose entries Raft has.
func (g *group) dropPending(err error) {
	g.unproven(err)
	pending, given := g.pending, g.given
	g.pending, g.given = nil, nil
	for _, w := range pending {
		g.own.m.Dropped(w.token, err)
	}
	g.dropProposals(given, err)
}

func (g *group) dropProposals(ps []proposal, err error) {
	for _, p := range ps {
		g.e.wal.Unreserve(p.cost)
		g.own.m.Dropped(p.token, err)
	}
}

func (g *group) voters() []ident.ReplicaID {
	var v []ident.ReplicaID
	for _, id := range g.store.conf.Voters {
		v = append(v, ident.ReplicaID(id))
	}
	return v
}

// note remembers where the entries up to last are.
func (g *group) note(last uint64, position int64) {
	if n := len(g.where); n > 0 && g.where[n-1].position == position {
		g.where[n-1].last = last
		return
	}
	g.where = append(g.where, span{last: last, position: position})
}

// supersede forgets where entries from an index on are: another leader's take
// their place, so that their records hold nothing any more.
func (g *group) supersede(first uint64) {
	for n := len(g.where); n > 0 && g.where[n-1].last >= first; n-- {
		if n == 1 || g.where[n-2].last < first-1 {
			g.where[n-1].last = first - 1
			return
		}
		g.where = g.where[:n-1]
	}
}

// low returns the position of the oldest record that holds an entry above
// index; entries enqueued from now on lie at or above the tail.
func (g *group) low(index uint64) int64 {
	low := g.e.wal.Tail()
	if g.stored != nil {
		low = g.stored.at
	}
	for _, s := range g.where {
		if s.last > index && !mutant.On(mutant.LogRemovedEarly) {
			low = min(low, s.position)
		}
	}
	return low
}

// forget drops positions of entries that a checkpoint covers.
func (g *group) forget(index uint64) {
	n := 0
	for n < len(g.where) && g.where[n].last <= index {
		n++
	}
	g.where = append(g.where[:0], g.where[n:]...)
}
