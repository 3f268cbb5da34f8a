package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// openWithTopic opens a node and makes a topic of one partition that holds a
// batch.
func openWithTopic(t *testing.T, fs *vfs.Mem, now time.Time) (*Node, ident.TopicID) {
	t.Helper()
	return openConfigWithTopic(t, testConfig(fs), now)
}

func openConfigWithTopic(t *testing.T, c Config, now time.Time) (*Node, ident.TopicID) {
	t.Helper()
	n, _, err := Open(c, now)
	if err != nil {
		t.Fatal(err)
	}
	drive(t, n, now)
	must := accepted(t)
	id := ident.TopicID{1}
	n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092}, must)
	n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 1, ReplicationFactor: 1}, must)
	drive(t, n, now)
	b := testBatch(t, "value")
	h, err := record.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	n.Replica(ident.Partition{Topic: id}).Partition.Produce(&partition.Append{
		Entry: partition.NewEntry(b, 1, 0, nil), Header: h, Done: func(a *partition.Append) {
			if a.Err != nil {
				t.Error(a.Err)
			}
		},
	})
	drive(t, n, now)
	return n, id
}

// A deleted topic that had files must not stop later checkpoints, and leaves
// nothing behind, also if power is lost before the files are gone.
func TestDeletedTopicLeavesNothing(t *testing.T) {
	for _, restart := range []bool{false, true} {
		mem := vfs.NewMem(vfs.MemOptions{})
		now := time.UnixMilli(1_000_000)
		must := accepted(t)
		n, id := openWithTopic(t, mem, now)
		n.Checkpoint()
		drive(t, n, now)
		if entries, _ := mem.List("partitions"); len(entries) != 1 {
			t.Fatalf("before the deletion: %v", entries)
		}
		n.Command(metadata.DeleteTopic{TopicID: id}, must)
		drive(t, n, now)
		if restart {
			mem = mem.Crash(nil, vfs.CrashOptions{})
			var err error
			if n, _, err = Open(testConfig(mem), now); err != nil {
				t.Fatal(err)
			}
			drive(t, n, now)
		}
		for range 2 {
			n.Checkpoint()
			drive(t, n, now)
			if n.Checkpointing() {
				t.Fatalf("restart %v: the checkpoint hangs", restart)
			}
		}
		if entries, _ := mem.List("partitions"); len(entries) != 0 {
			t.Fatalf("restart %v: left over: %v", restart, entries)
		}
		n.Close()
	}
}

// A broker that applied a deletion, and starts again before it hears that the
// deletion is committed, does not begin the replica anew: it has lost its log and
// its vote.
func TestDestroyedReplicaDoesNotBeginAgain(t *testing.T) {
	c := newCluster(t, 3, 5, 1<<20)
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	c.until("a leader", 600, func() bool { return c.leader(id) != nil })
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
	c.open(0)
	if _, ok := c.nodes[0].Image().TopicByID(id.Topic); ok {
		t.Fatal("the deletion is applied before it can be known to be committed")
	}
	for range 3 { // alone: it hears nothing
		c.step()
		if r := c.nodes[0].Replica(id); r != nil {
			t.Fatalf("the replica began again: %+v", r)
		}
	}
	c.open(1)
	c.open(2)
	c.until("a controller that applied the deletion", 600, func() bool {
		n := c.controller()
		if n == nil {
			return false
		}
		_, there := n.Image().TopicByID(id.Topic)
		return !there && n.Ready()
	})
	for i, n := range c.nodes {
		if r := n.Replica(id); r != nil {
			t.Errorf("node %d has %+v", i+1, r)
		}
	}
}
