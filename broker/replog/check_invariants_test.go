package replog

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// Each way in which the state of a group can contradict itself is seen.
func TestInconsistentGroupIsSeen(t *testing.T) {
	for name, spoil := range map[string]func(g *group){
		"nothing":       func(*group) {},
		"gap":           func(g *group) { g.store.ents[1].Index++ },
		"term":          func(g *group) { g.store.ents[1].Term = 1 },
		"dropped term":  func(g *group) { g.store.droppedTerm = 9 },
		"bytes":         func(g *group) { g.store.bytes-- },
		"applied twice": func(g *group) { g.pending[0].index = g.applied },
		"order":         func(g *group) { g.pending[1].index = g.pending[0].index },
		"dropped":       func(g *group) { g.applied = g.store.dropped - 1 },
	} {
		g := &group{id: 3, applied: 12, store: &store{dropped: 10, droppedTerm: 2, bytes: 3}}
		for i := range uint64(3) {
			g.store.ents = append(g.store.ents, raftpb.Entry{Index: 11 + i, Term: 2, Data: []byte{1}})
		}
		g.pending = []waiting{{index: 13}, {index: 14}}
		if spoil(g); (g.consistent() != nil) != (name != "nothing") {
			t.Errorf("%s: %v", name, g.consistent())
		}
	}
}
