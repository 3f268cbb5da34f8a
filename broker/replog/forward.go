package replog

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
)

// copyForward writes the entries of groups that apply nothing (parked ones, ones
// that have no quorum, and recovered ones that were not started) again at the end
// of the write-ahead log, if they hold its oldest file and the log is half full:
// one damaged partition must not fill the log for all others (G5). It goes as far
// as there is room, but leaves that of the next checkpoint if this one frees
// nothing; and it does nothing if the copies would be a quarter of the log, since
// that would gain nothing. A copy that is torn loses nothing, because recovery
// keeps entries that it knows by index and term.
func (e *Engine) copyForward() {
	held := e.wal.OldestClosedEnd()
	bytes, worth := e.copies(held)
	if !worth {
		return
	}
	if free, _ := e.wouldFree(); !free {
		// Another group holds the file for now: what a checkpoint takes that lets
		// it go must be left.
		keep := bytes + e.roundCost
		if !e.reserveBlocks(keep) {
			return
		}
		e.wal.Unreserve(keep)
	}
	for _, g := range e.order {
		if g.stands() && g.low(g.applied) < held {
			g.copyEntries()
		}
	}
	for _, id := range e.Waiting() {
		e.copyWaiting(e.waiting[id], held)
	}
}

// copies returns what copyForward would take, and whether it would copy at all.
func (e *Engine) copies(held int64) (bytes int64, worth bool) {
	all := e.wal.Capacity()
	if e.wal.Occupied() >= all/2 {
		bytes = e.idleBytes(held)
	}
	return bytes, bytes > 0 && bytes <= all/4
}

// idleBytes returns what copies of everything that stands would take.
func (e *Engine) idleBytes(held int64) int64 {
	var n int64
	add := func(count int, size func(i int) int) {
		for at := 0; at < count; {
			k, cost := pick(count-at, func(i int) int { return size(at + i) })
			at, n = at+k, n+cost
		}
	}
	for _, g := range e.order {
		if g.stands() && g.low(g.applied) < held {
			ents := g.unapplied()
			add(len(ents), func(i int) int { return len(ents[i].Data) })
		}
	}
	for _, id := range e.Waiting() {
		w := e.waiting[id]
		var sizes []int
		for i := range w.Entries {
			if w.Positions[i] < held && w.Positions[i] >= w.Low {
				sizes = append(sizes, len(w.Entries[i].Data))
			}
		}
		add(len(sizes), func(i int) int { return sizes[i] })
	}
	return n
}

// stands reports whether the group may have entries that it does not apply soon, all
// of them durable.
func (g *group) stands() bool {
	return !g.panicked && g.stored == nil && len(g.flight) == 0 && (g.parked != nil || !g.alone())
}

// unapplied returns the durable entries above applied.
func (g *group) unapplied() []raftpb.Entry {
	return g.store.ents[min(g.applied-g.store.dropped, uint64(len(g.store.ents))):]
}

// copyEntries copies what the group holds above applied. What lies between that
// and its last checkpoint stays where it is: the checkpoint in the making may
// come to carry the old state again.
func (g *group) copyEntries() {
	ents := g.unapplied()
	var where []span
	for i, s := range g.where {
		if i > 0 && g.where[i-1].last >= g.applied {
			break
		}
		where = append(where, span{last: min(s.last, g.applied), position: s.position})
	}
	for len(ents) > 0 {
		n, cost := pick(len(ents), func(i int) int { return len(ents[i].Data) })
		if !g.e.wal.Reserve(cost, true) {
			return
		}
		position := g.e.wal.Tail()
		g.enqueue(ents[:n], nil, cost)
		where = append(where, span{last: ents[n-1].Index, position: position})
		ents = ents[n:]
	}
	g.where = where
}

// copyWaiting copies the entries of a group that was recovered and not started.
func (e *Engine) copyWaiting(w *wal.Group, held int64) {
	for i := 0; i < len(w.Entries); {
		if w.Positions[i] >= held || w.Positions[i] < w.Low {
			i++
			continue
		}
		n, cost := pick(len(w.Entries)-i, func(k int) int { return len(w.Entries[i+k].Data) })
		if !e.wal.Reserve(cost, true) {
			return
		}
		position := e.wal.Tail()
		rec := wal.Record{Group: w.ID, Replica: w.Replica, Kind: wal.KindAppend, Append: wal.Append{
			Term: w.Term, Vote: w.Vote, Commit: w.Commit, Entries: w.Entries[i : i+n],
		}}
		if err := e.wal.Enqueue(rec, nil, cost); err != nil {
			e.fail(err)
			return
		}
		for k := range n {
			w.Positions[i+k] = position
		}
		i += n
	}
}

// pick says how many of n entries go into one record, and what it costs.
func pick(n int, size func(int) int) (int, int64) {
	k, bytes := 0, 0
	for k < n && (k == 0 || bytes+size(k) <= pieceBytesMax) {
		bytes += size(k)
		k++
	}
	return k, wal.Cost(k, int64(bytes))
}
