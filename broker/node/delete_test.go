package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

var testNow = time.UnixMilli(1_000_000)

func openNode(t testing.TB, fs vfs.FS) *Node {
	t.Helper()
	c := testConfig(fs)
	c.Report = func(e Event) { t.Logf("reported: %s: %v", e.Text, e.Err) }
	n, _, err := Open(c, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustDo(t testing.TB) func(metadata.Result) {
	return func(r metadata.Result) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
}

// withTopic opens a broker with one topic of two partitions.
func withTopic(t testing.TB, fs vfs.FS, id ident.TopicID) *Node {
	n := openNode(t, fs)
	drive(t, n, testNow)
	n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092}, mustDo(t))
	n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 2, ReplicationFactor: 1}, mustDo(t))
	drive(t, n, testNow)
	return n
}

func appendOne(t testing.TB, n *Node, part ident.Partition) {
	t.Helper()
	b := testBatch(t, "value")
	h, err := record.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	done := false
	n.Replica(part).Partition.Produce(&partition.Append{Entry: partition.NewEntry(b, 1, 0, nil), Header: h, Done: func(a *partition.Append) {
		done = a.Err == nil
	}})
	drive(t, n, testNow)
	if !done {
		t.Fatal("not appended")
	}
}

func checkpointed(t testing.TB, n *Node) {
	t.Helper()
	n.Checkpoint()
	drive(t, n, testNow)
	if n.Checkpointing() {
		t.Fatal("the checkpoint hangs")
	}
}

func left(t testing.TB, fs vfs.FS) string {
	t.Helper()
	list, err := fs.List(partitionsDir)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(list)
}

// A topic is deleted and power is lost after any number of tasks: a deletion
// that was answered holds, one that was not leaves the topic as it was or gone,
// and no directory is left behind.
func TestDeletionOverPowerLoss(t *testing.T) {
	id := ident.TopicID{1}
	part := ident.Partition{Topic: id, Index: 1}
	for _, early := range []bool{false, true} { // a checkpoint before the deletion
		for tasks := range 16 {
			rng := rand.New(rand.NewPCG(uint64(tasks), 3))
			fs := vfs.NewMem(vfs.MemOptions{})
			n := withTopic(t, fs, id)
			appendOne(t, n, part)
			if early {
				checkpointed(t, n)
			}
			appendOne(t, n, part)
			deleted := false
			n.Command(metadata.DeleteTopic{TopicID: id}, func(r metadata.Result) { deleted = r.Err == nil })
			for left := tasks; left > 0; {
				list := n.Poll(testNow)
				if len(list) == 0 {
					n.Checkpoint()
					if list = n.Poll(testNow); len(list) == 0 {
						break
					}
				}
				for _, task := range list {
					if left--; left < 0 {
						break
					}
					_ = task.Do()
					n.Done(testNow, task)
				}
			}
			disk := fs.Crash(rng, vfs.CrashOptions{Keep: rng.Float64(), Tear: true, Reorder: true})
			n = openNode(t, disk)
			drive(t, n, testNow)
			if !n.Ready() {
				t.Fatal("not ready")
			}
			if _, there := n.Image().TopicByID(id); there {
				if deleted {
					t.Fatalf("after %d tasks: the deletion is lost", tasks)
				}
				o, err := n.Replica(part).Partition.Offsets()
				if err != nil || o.HighWatermark != 2 {
					t.Fatalf("after %d tasks: %+v %v", tasks, o, err)
				}
				n.Command(metadata.DeleteTopic{TopicID: id}, mustDo(t))
				drive(t, n, testNow)
			}
			if n.Replica(part) != nil {
				t.Fatal("a replica of a deleted topic")
			}
			checkpointed(t, n)
			if s := left(t, disk); s != "[]" {
				t.Fatalf("after %d tasks: %s is left", tasks, s)
			}
			n.Close()
			n = openNode(t, disk)
			drive(t, n, testNow)
			if _, there := n.Image().TopicByID(id); there {
				t.Fatal("the topic came back")
			}
			n.Close()
		}
	}
}

// A checkpoint that was captured before a deletion was applied does not let the
// directory go, even if it is done after that (N2).
func TestDeletionBehindACapture(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	id := ident.TopicID{1}
	n := withTopic(t, fs, id)
	appendOne(t, n, ident.Partition{Topic: id, Index: 1})
	checkpointed(t, n)
	n.meta.Capture()
	n.Command(metadata.DeleteTopic{TopicID: id}, mustDo(t))
	drive(t, n, testNow)
	if done, _ := n.meta.Flushed(); !done || len(n.meta.marked) != 2 {
		t.Fatalf("flushed %v, marked %v", done, n.meta.marked)
	}
	n.meta.Durable()
	if len(n.meta.removes) != 0 {
		t.Fatalf("%v may go", n.meta.removes)
	}
	checkpointed(t, n)
	if s := left(t, fs); s != "[]" {
		t.Fatalf("%s is left", s)
	}
	n.Close()
}
