package node

import (
	"slices"
	"testing"

	"github.com/varvelog/varve/broker/replog"
)

// The directory that a replica left for another one's state goes when a checkpoint
// names the new one and nothing writes to the old one any more, whichever comes
// last: a late write would make it again.
func TestDirectoryOfAReplacedReplicaWaitsForItsWrites(t *testing.T) {
	machines := func() (n *Node, next *replicaMachine) {
		n = &Node{engine: &replog.Engine{}}
		n.meta = &metaMachine{n: n, doomed: map[string]bool{}}
		return n, &replicaMachine{n: n}
	}
	n, next := machines()
	next.left("old")
	if len(n.meta.removes) > 0 || !slices.Equal(next.unused, []string{"old"}) {
		t.Errorf("before the checkpoint: removed %v, to be removed %v", n.meta.removes, next.unused)
	}
	n, next = machines()
	next.saved = true
	next.left("old")
	if !slices.Equal(n.meta.removes, []string{"old"}) {
		t.Errorf("after the checkpoint: removed %v", n.meta.removes)
	}
	n, next = machines()
	next.next = &replicaMachine{n: n} // which no checkpoint names yet
	next.saved = true
	next.left("old")
	if len(n.meta.removes) > 0 || !slices.Equal(next.next.unused, []string{"old"}) {
		t.Errorf("replaced again: removed %v, to be removed %v", n.meta.removes, next.next.unused)
	}
	n, next = machines()
	next.closed = true
	next.left("old")
	if !slices.Equal(n.meta.removes, []string{"old"}) {
		t.Errorf("destroyed: removed %v", n.meta.removes)
	}
}
