package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// A topic may be deleted while its files are written: a checkpoint that waits
// for the mark of its directory goes on when that write has ended, although
// nothing else happens to the cluster metadata.
func TestDeletedWhileWritten(t *testing.T) {
	for _, class := range []replog.Class{replog.ClassSegment, replog.ClassSync} {
		deletedWhile(t, class)
	}
}

// deletedWhile deletes a topic while a task of a class is performed for it.
func deletedWhile(t *testing.T, class replog.Class) {
	mem := vfs.NewMem(vfs.MemOptions{})
	now := time.UnixMilli(1_000_000)
	n, _, err := Open(testConfig(mem), now)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	drive(t, n, now)
	must := func(r metadata.Result) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
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

	// others performs everything but tasks of the class, which are kept at first.
	var kept []replog.Task
	deleted := false
	others := func() {
		for {
			tasks := n.Poll(now)
			if n.Err() != nil {
				t.Fatal(n.Err())
			}
			done := 0
			for _, task := range tasks {
				if task.Class() == class && !deleted {
					kept = append(kept, task)
					continue
				}
				done++
				_ = task.Do()
				n.Done(now, task)
			}
			if done == 0 {
				return
			}
		}
	}
	n.Checkpoint()
	others()
	if len(kept) == 0 {
		t.Fatal("nothing is being written")
	}
	n.Command(metadata.DeleteTopic{TopicID: id}, must)
	deleted = true
	others()
	n.Checkpoint()
	others()
	if !n.Checkpointing() {
		t.Fatal("the checkpoint did not wait for the mark of a directory that is in use")
	}
	for _, task := range kept {
		_ = task.Do()
		n.Done(now, task)
	}
	drive(t, n, now)
	if n.Checkpointing() {
		t.Fatal("the checkpoint hangs")
	}
	n.Checkpoint()
	drive(t, n, now)
	if entries, _ := mem.List("partitions"); len(entries) != 0 {
		t.Fatalf("left over: %v", entries)
	}
}
