package node

import (
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

// A replica that was destroyed does not begin again either when the write-ahead
// log has let go of the record that says so, while the deletion is still not known
// to be committed: the mark of its directory says it then.
// It is made later if the first life had no time for it.
func TestDestroyedReplicaStaysGoneWithoutItsRecord(t *testing.T) {
	for _, marked := range []bool{true, false} {
		staysGone(t, marked)
	}
}

func staysGone(t *testing.T, marked bool) {
	c := newCluster(t, 3, 9, 1<<20)
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	c.command(metadata.CreateTopic{Name: "own", TopicID: ident.TopicID{2}, Partitions: 3, ReplicationFactor: 1})
	c.until("leaders", 600, func() bool {
		for i := range int32(3) {
			if c.leader(ident.Partition{Topic: ident.TopicID{2}, Index: i}) == nil {
				return false
			}
		}
		return c.leader(id) != nil
	})
	for _, n := range c.nodes {
		n.Checkpoint()
	}
	c.until("checkpoints", 600, func() bool {
		for _, n := range c.nodes {
			if n.Checkpointing() {
				return false
			}
		}
		return true
	})
	c.command(metadata.DeleteTopic{TopicID: id.Topic})
	c.until("the deletion", 600, func() bool {
		for _, n := range c.nodes {
			if n.Replica(id) != nil {
				return false
			}
		}
		return true
	})
	c.step() // what it destroyed is on disk
	for i := range c.nodes {
		c.disks[i] = c.disks[i].Kill()
		c.nodes[i], c.tasks[i] = nil, nil
	}
	c.wire = nil
	entries, err := c.disks[0].List(partitionsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !marked && strings.HasSuffix(e.Name, deletedSuffix) {
			if err := c.disks[0].Remove(partitionsDir + "/" + e.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.open(0) // alone: it hears nothing of group 0
	own := ident.Partition{Topic: ident.TopicID{2}}
	for i := range int32(3) {
		if p := (ident.Partition{Topic: ident.TopicID{2}, Index: i}); c.nodes[0].Replica(p) != nil {
			own = p
		}
	}
	n := c.nodes[0]
	if len(n.gone) == 0 {
		t.Fatal("the log does not say that the replica is gone")
	}
	c.step()
	acked := 0
	for k := 0; k < 400; k++ { // several times the write-ahead log
		p := n.Replica(own).Partition
		c.produceAt(p, strings.Repeat("x", 20_000), func(ident.Offset) { acked++ })
		c.step()
		n.Checkpoint()
	}
	if acked < 300 {
		t.Fatalf("%d acknowledged", acked)
	}
	c.disks[0] = c.disks[0].Kill()
	c.nodes[0], c.tasks[0] = nil, nil
	c.open(0)
	n = c.nodes[0]
	if len(n.gone) > 0 {
		t.Fatal("the log still says that the replica is gone: this proves nothing")
	}
	if _, ok := n.Image().TopicByID(id.Topic); !ok {
		t.Fatal("the deletion was applied: this proves nothing")
	}
	if r := n.Replica(id); r != nil {
		t.Fatalf("the replica began again: %+v", r)
	}
	c.open(1)
	c.open(2)
	c.until("the deletion again, and nothing left", 600, func() bool {
		for i, n := range c.nodes {
			n.Checkpoint()
			entries, err := c.disks[i].List(partitionsDir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.HasPrefix(e.Name, id.Dir()) {
					return false
				}
			}
			if _, there := n.Image().TopicByID(id.Topic); there || !n.Ready() {
				return false
			}
		}
		return true
	})
}
