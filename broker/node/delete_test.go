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

// A deleted topic that had files must not stop later checkpoints, and leaves
// nothing behind, also if power is lost before the files are gone.
func TestDeletedTopicLeavesNothing(t *testing.T) {
	for _, restart := range []bool{false, true} {
		mem := vfs.NewMem(vfs.MemOptions{})
		now := time.UnixMilli(1_000_000)
		n, _, err := Open(testConfig(mem), now)
		if err != nil {
			t.Fatal(err)
		}
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
		n.Checkpoint()
		drive(t, n, now)
		if entries, _ := mem.List("partitions"); len(entries) != 1 {
			t.Fatalf("before the deletion: %v", entries)
		}
		n.Command(metadata.DeleteTopic{TopicID: id}, must)
		drive(t, n, now)
		if restart {
			mem = mem.Crash(nil, vfs.CrashOptions{})
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
