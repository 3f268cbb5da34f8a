package replog

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/mutant"
)

// restore builds a group from what the write-ahead log held of it, by the rules
// of docs/format/wal.md, step 5.
func (e *Engine) restore(s Spec, rec *wal.Group) (*group, state, error) {
	g := &group{e: e, id: s.ID, replica: s.Replica, store: &store{}, own: &owned{}, changed: true}
	g.store.take = g.snapshot
	st := state{voters: s.Voters}
	if rec == nil {
		rec = &wal.Group{}
	}
	if rec.State != nil {
		var err error
		if st, err = decodeState(rec.State); err != nil {
			return nil, st, err
		}
		g.last = wal.GroupState{Group: s.ID, Replica: s.Replica, Low: rec.Low, State: rec.State}
	}
	if len(st.voters) == 0 {
		st.voters = s.Voters // carried in a checkpoint before it was ever started
	}
	for _, v := range st.voters {
		g.store.conf.Voters = append(g.store.conf.Voters, uint64(v))
	}
	g.applied, g.appliedT, g.lastIndex = st.applied, st.appliedTerm, st.applied
	g.store.dropped, g.store.droppedTerm = st.applied, st.appliedTerm
	if err := g.restoreEntries(rec); err != nil {
		return nil, st, err
	}
	g.store.hard = mergeHard(st, rec, st.applied+uint64(len(g.store.ents)))
	g.logged = g.store.hard
	return g, st, nil
}

// restoreEntries takes the entries above what the state has applied. They must
// follow it without a gap. Terms never fall along a log: an entry of an older
// term stood there before a snapshot took the log's place, and it and what is
// behind it were never part of what follows the snapshot.
func (g *group) restoreEntries(rec *wal.Group) error {
	next, term := g.applied+1, g.appliedT
	for i, e := range rec.Entries {
		if e.Index < next {
			continue
		}
		if e.Index > next {
			return fmt.Errorf("%w: applied is %d, and the oldest entry behind it is %d", ErrDamaged, next-1, e.Index)
		}
		if e.Term < term && !mutant.On(mutant.StaleTailKept) {
			return nil
		}
		next, term = next+1, e.Term
		g.store.bytes += int64(len(e.Data))
		g.store.ents = append(g.store.ents, raftpb.Entry{Index: e.Index, Term: e.Term, Type: raftpb.EntryType(e.Type), Data: e.Data})
		if n := len(g.where); n > 0 && g.where[n-1].position == rec.Positions[i] {
			g.where[n-1].last = e.Index
		} else {
			g.where = append(g.where, span{last: e.Index, position: rec.Positions[i]})
		}
	}
	return nil
}

// mergeHard combines the hard state of the checkpoint and of the records behind
// it. Commit-only changes are not written (G2), so commit may be behind what
// was applied (G3).
func mergeHard(st state, rec *wal.Group, last uint64) raftpb.HardState {
	h := raftpb.HardState{Term: st.term, Vote: st.vote}
	switch {
	case rec.Term > h.Term:
		h.Term, h.Vote = rec.Term, rec.Vote
	case rec.Term == h.Term && h.Vote == 0:
		h.Vote = rec.Vote
	}
	h.Commit = max(rec.Commit, st.commit, st.applied)
	if mutant.On(mutant.CommitFromHardState) {
		h.Commit = rec.Commit
	}
	h.Commit = min(h.Commit, last)
	return h
}
