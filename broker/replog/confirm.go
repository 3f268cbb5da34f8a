package replog

import (
	"encoding/binary"

	"go.etcd.io/raft/v3"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// confirmsMax bounds how many wait for one group's proof of leadership.
const confirmsMax = 10_000

// confirming is a group's proof that it still leads: most replicas answer a
// heartbeat that was sent after somebody asked (Raft's ReadIndex). Whoever asks
// while one is under way waits for the next.
type confirming struct {
	round       uint64 // of the proof under way, 0: none
	asked, next []func(error)
}

// Confirm calls done once with nil when this replica is known to have led the
// group at some time since the call, so that whatever another leader had
// acknowledged by then is applied here; else with an error: ErrNotLeader when
// the replica does not lead, or stopped before that was known. A group with one
// voter needs no proof. done may be called before Confirm returns; it must not
// call the engine.
//
// A leader whose machine stood still may have been replaced without having heard
// of it: what it tells of its state then is old.
func (e *Engine) Confirm(id ident.GroupID, done func(error)) {
	g := e.groups[id]
	switch {
	case e.err != nil:
		done(ErrFailed)
	case g == nil:
		done(ErrUnknownGroup)
	case g.parked != nil:
		done(ErrParked)
	case !g.leading || g.rn.BasicStatus().RaftState != raft.StateLeader:
		done(ErrNotLeader)
	case g.alone() || mutant.On(mutant.LeadsForEver):
		done(nil)
	case len(g.confirm.next) >= confirmsMax:
		done(ErrBusy)
	default:
		g.confirm.next = append(g.confirm.next, done)
		g.prove()
	}
}

// prove begins a proof if none is under way. A lost heartbeat is no trouble: all
// that follow carry the round too.
func (g *group) prove() {
	c := &g.confirm
	if c.round != 0 || len(c.next) == 0 {
		return
	}
	g.e.rounds++
	c.round, c.asked, c.next = g.e.rounds, c.next, nil
	g.rn.ReadIndex(binary.LittleEndian.AppendUint64(nil, c.round))
	g.e.mark(g)
}

// proven takes the proofs that Raft has. A leader has applied all that was
// committed before its term, and acknowledges what it applied: nothing of what
// was acknowledged is missing here.
func (g *group) proven(states []raft.ReadState) {
	c := &g.confirm
	for _, s := range states {
		if c.round != 0 && len(s.RequestCtx) == 8 && binary.LittleEndian.Uint64(s.RequestCtx) == c.round {
			done := c.asked
			c.round, c.asked = 0, nil
			for _, f := range done {
				f(nil)
			}
		}
	}
	g.prove()
}

// unproven answers all that wait for a proof that will not come.
func (g *group) unproven(err error) {
	done := append(g.confirm.asked, g.confirm.next...)
	g.confirm = confirming{}
	for _, f := range done {
		f(err)
	}
}
