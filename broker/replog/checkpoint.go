package replog

import (
	"time"

	"github.com/varvelog/varve/broker/wal"
)

// pieceBytesMax is where a checkpoint is cut into pieces, so that a piece fits
// at the end of a file.
const pieceBytesMax = 256 << 10

// round is one checkpoint in the making: the state of every changed group is
// captured, what the states claim about files is made durable, then the whole
// checkpoint is logged, then proven, and only then may files go (G4).
type round struct {
	e        *Engine
	id       uint64
	captured []*group
	flushing map[*group]bool // of those, the ones whose files are not durable yet
	waiting  int             // of those, how many are not held by the shared sync
	logged   bool
	low      int64
	reserved int64 // in the write-ahead log; the last block of it is the proof's
}

// pieceToken travels with a piece of a checkpoint, or with its proof.
type pieceToken struct {
	r    *round
	last bool // the checkpoint's last piece
	done bool // the proof
}

// Checkpoint asks for a checkpoint of everything as soon as possible. It is
// complete when Checkpointing reports false.
func (e *Engine) Checkpoint() { e.forced = true }

// Checkpointing reports whether a checkpoint was asked for or is being made.
func (e *Engine) Checkpointing() bool { return e.forced || e.round != nil }

// advanceRound begins a round if one is due and moves the current one on.
func (e *Engine) advanceRound() {
	if e.round == nil {
		due := e.wal.Debt() >= e.c.RoundBytes && e.wal.Tail()-e.roundTail >= e.c.RoundBytes/4
		if !e.forced && !due {
			return
		}
		if !e.roomForRound() {
			return
		}
		e.beginRound()
	}
	r := e.round
	if r.logged {
		return
	}
	if len(r.flushing) == 0 {
		r.log()
	}
}

// look asks a group that was offered its work whether it is flushed. Whatever
// may change that is followed by such an offer.
func (r *round) look(g *group) {
	done, stale := g.own.m.Flushed()
	switch {
	case done:
		r.leave(g)
	case stale:
		g.capture()
		r.e.offer(g)
	}
}

// leave takes a group out of those that the round waits for.
func (r *round) leave(g *group) {
	if r.flushing[g] && !g.own.held {
		r.waiting--
	}
	delete(r.flushing, g)
}

// beginRound captures the state of every group that changed since the last
// round.
func (e *Engine) beginRound() {
	e.forced = false
	e.checkpoints++
	e.roundTail = e.wal.Tail()
	r := &round{e: e, id: e.checkpoints, flushing: map[*group]bool{}, reserved: e.roundCost}
	e.round = r
	e.copyForward()
	for _, g := range e.order {
		if !g.changed || g.panicked {
			continue
		}
		g.capture()
		r.captured = append(r.captured, g)
		r.flushing[g] = true
		if !g.own.held {
			r.waiting++
		}
		e.offer(g)
	}
}

// capture takes the group's part of a checkpoint as it is now, all but the
// machine's state, which is asked for when it is durable.
func (g *group) capture() {
	g.changed = false
	g.own.m.Capture()
	g.capOwn, g.capIndex = g.own, g.applied
	g.captured = state{
		term: g.logged.Term, vote: g.logged.Vote, commit: max(g.logged.Commit, g.applied),
		applied: g.applied, appliedTerm: g.appliedT, voters: g.voters(),
	}
	g.capLow = g.low(g.applied)
}

// shrinkEvery is how often a checkpoint is made only to learn that states have
// shrunk.
const shrinkEvery = time.Second

// costOfRound is what a checkpoint of so many bytes of states takes in the
// write-ahead log, with its proof, some growth, and what the end of a file may
// waste because a piece does not fit there. It is a multiple of wal.Block.
func costOfRound(bytes int64) int64 {
	bytes += bytes/4 + min(bytes, pieceBytesMax)
	return (bytes/wal.Block + 4) * wal.Block
}

// roomForRound takes space for a round. One that cannot be written to its end
// would block the queue for ever, so a round that frees no file must leave
// space for one that does, unless another file can be made for that.
//
// What does not fit may take a file beyond the limit of the log, and a round that
// would free a file one more than there are: restarts in a row, copies of idle
// entries, and states that grow use up what was kept for it.
func (e *Engine) roomForRound() bool {
	keep, files := int64(0), 1
	if another := e.wal.MayGrow() && e.roomForFile(); !another {
		free, copies := e.wouldFree()
		if keep = copies; !free {
			keep = e.roundCost
		} else {
			files = e.wal.Excess() + 1
		}
	}
	if !e.reserveBlocks(e.roundCost + keep) {
		if e.roomForFile() {
			e.wal.Overdraw(files)
		}
		return false
	}
	e.wal.Unreserve(keep)
	return true
}

// roomForFile reports whether the disk has room for another file of the
// write-ahead log without what is kept for deletion.
func (e *Engine) roomForFile() bool { return e.diskFree >= e.c.DiskReserve+e.c.WAL.FileBytes }

// reserveBlocks takes n bytes, a multiple of wal.Block, for several writes.
func (e *Engine) reserveBlocks(n int64) bool {
	for got := int64(0); got < n; got += wal.Block {
		if !e.wal.Reserve(wal.Block, true) {
			e.wal.Unreserve(got)
			return false
		}
	}
	return true
}

// wouldFree reports whether a checkpoint taken now would free a file of the
// write-ahead log, and what copies of idle entries that takes.
func (e *Engine) wouldFree() (free bool, copies int64) {
	end := e.wal.OldestClosedEnd()
	if end >= e.wal.Tail() {
		return false, 0
	}
	copies, worth := e.copies(end)
	if !worth {
		copies = 0
	}
	for _, g := range e.order {
		index := g.applied
		if g.parked != nil {
			index = g.lastIndex
		}
		copied := worth && g.stands() && (g.parked == nil || g.applied == g.lastIndex)
		if g.low(index) < end && !copied {
			return false, 0
		}
	}
	for _, w := range e.waiting { // order: it is all or nothing
		if !worth && e.carryWaiting(w).Low < end {
			return false, 0
		}
	}
	return true, copies
}

// starved reports whether a checkpoint is wanted although little was written
// since the last one: proposals wait, here or at a leader that was told to, and it
// would free a file of the write-ahead log, or let machines unlink files on a full
// disk.
func (e *Engine) starved() bool {
	told := e.short && e.now.Sub(e.roundEnded) >= shrinkEvery
	if e.round != nil || len(e.stalled) == 0 && !e.refused && !e.prepareOff && !told {
		return false
	}
	if free, _ := e.wouldFree(); free {
		return true
	}
	changed := false
	for _, g := range e.order {
		changed = changed || g.changed && g.parked == nil
	}
	wanted := e.c.DiskReserve
	if len(e.stalled) > 0 {
		wanted += int64(len(e.stalled[0].p.data))
		// What is kept for checkpoints follows the size of the last one: states
		// that have shrunk since need another.
		if changed && e.roomForFile() && e.wal.Held(e.stalled[0].p.cost) && e.now.Sub(e.roundEnded) >= shrinkEvery {
			return true
		}
	}
	return changed && e.freeBehind(0) < wanted
}

// remove forgets a group that was destroyed, or parked before its files were
// durable.
func (r *round) remove(g *group) {
	r.leave(g)
	for i, c := range r.captured {
		if c == g {
			r.captured = append(r.captured[:i], r.captured[i+1:]...)
			return
		}
	}
}

// log writes the whole checkpoint: new states of the captured groups, the last
// ones of all others.
func (r *round) log() {
	r.logged = true
	e := r.e
	captured := make(map[*group]bool, len(r.captured))
	for _, g := range r.captured {
		captured[g] = true
	}
	states := make([]wal.GroupState, 0, len(e.order)+len(e.waiting))
	for _, g := range e.order {
		switch {
		case captured[g]:
			g.captured.machine = g.own.m.State()
			g.captured.term, g.captured.vote = g.logged.Term, g.logged.Vote
			g.capState = wal.GroupState{Group: g.id, Replica: g.replica, Low: g.capLow, State: g.captured.encode()}
			states = append(states, g.capState)
		default:
			states = append(states, g.carry())
		}
	}
	for _, id := range e.Waiting() {
		states = append(states, e.carryWaiting(e.waiting[id]))
	}
	r.low = e.wal.Tail()
	var bytes int64
	for _, s := range states {
		r.low = min(r.low, s.Low)
		bytes += int64(len(s.State)) + 64
	}
	e.roundCost = costOfRound(bytes)
	e.wal.SetReserve(e.roundCost + bytes + e.c.WAL.ReserveBytes)
	e.wal.Unreserve(r.reserved - wal.Block)
	r.enqueue(states)
}

func (r *round) enqueue(states []wal.GroupState) {
	for number := uint32(0); ; number++ {
		n, bytes := 0, 0
		for n < len(states) && (n == 0 || bytes+len(states[n].State) <= pieceBytesMax) {
			bytes += len(states[n].State)
			n++
		}
		last := n == len(states)
		rec := wal.Record{Kind: wal.KindCheckpoint, Piece: wal.Piece{ID: r.id, Number: number, Last: last, Groups: states[:n]}}
		if err := r.e.wal.Enqueue(rec, &pieceToken{r: r, last: last}, 0); err != nil {
			r.e.fail(err)
			return
		}
		if last {
			return
		}
		states = states[n:]
	}
}

// carry is the part of a group that was not captured: its last state, or that
// of a group that never had one. Nothing changed if its entries are where they
// were.
func (g *group) carry() wal.GroupState {
	s := g.last
	if s.State == nil {
		st := state{term: g.logged.Term, vote: g.logged.Vote, voters: g.voters()}
		s = wal.GroupState{Group: g.id, Replica: g.replica, State: st.encode()}
	}
	// A record that changed the hard state only does not hold the log.
	s.State = withHardState(s.State, g.logged.Term, g.logged.Vote)
	s.Low = g.low(g.lastIndex)
	return s
}

// carryWaiting is the part of a group that was recovered and is not started.
// Its entries below the low of its last checkpoint were applied then.
func (e *Engine) carryWaiting(w *wal.Group) wal.GroupState {
	s := wal.GroupState{Group: w.ID, Replica: w.Replica, Low: e.wal.Tail(), State: w.State}
	if st, err := decodeState(w.State); w.State == nil {
		st := state{term: w.Term, vote: w.Vote}
		s.State = st.encode()
	} else if err == nil {
		h := mergeHard(st, w, st.applied)
		s.State = withHardState(w.State, h.Term, h.Vote)
	} else {
		s.Low = w.Low // not understood, so nothing of it is given up
	}
	for _, at := range w.Positions {
		if at >= w.Low {
			s.Low = min(s.Low, at)
		}
	}
	return s
}

// durable is told that a piece, or the proof, is synced.
func (r *round) durable(t *pieceToken) {
	e := r.e
	switch {
	case t.done:
		r.finish()
	case t.last:
		if err := e.wal.Enqueue(wal.Record{Kind: wal.KindProof}, &pieceToken{r: r, done: true}, wal.Block); err != nil {
			e.fail(err)
		}
	}
}

// finish lets go of what the proven checkpoint makes superfluous.
func (r *round) finish() {
	e := r.e
	e.round, e.roundEnded = nil, e.now
	e.stats.Checkpoints++
	e.garbage = append(e.garbage, e.wal.Advance(r.low)...)
	e.wal.Overdraw(0)
	for _, g := range r.captured {
		g.last, g.captured, g.lastIndex = g.capState, state{}, g.capIndex
		g.forget(g.lastIndex)
		if g.own == g.capOwn {
			g.own.m.Durable()
		}
		e.offer(g)
		g.checkpointed(g.lastIndex)
	}
}
