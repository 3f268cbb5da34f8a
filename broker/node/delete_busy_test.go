package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/replog"
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
	must := accepted(t)
	n, id := openWithTopic(t, mem, now)
	defer n.Close()

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
