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

func testConfig(fs vfs.FS) Config {
	e := replog.DefaultConfig(fs)
	n := uint64(0)
	e.WAL.Entropy = func() uint64 { n++; return n * 0x9e3779b97f4a7c15 }
	e.WAL.FirstFileBytes, e.WAL.FileBytes, e.WAL.BytesMax, e.WAL.ReserveBytes = 256<<10, 512<<10, 2<<20, 32<<10
	e.DiskReserve = 0
	return Config{
		Engine: e, ID: 1, ClusterID: "test", QueueBytesMax: 8 << 20, MaintainEvery: time.Minute,
		Plan: func(*metadata.Topic) TopicPlan { return TopicPlan{Settings: partition.DefaultSettings()} },
	}
}

// drive performs tasks at once until nothing is left to do.
func drive(t testing.TB, n *Node, now time.Time) {
	t.Helper()
	for {
		tasks := n.Poll(now)
		if n.Err() != nil {
			t.Fatal(n.Err())
		}
		if len(tasks) == 0 {
			return
		}
		for _, task := range tasks {
			_ = task.Do()
			n.Done(now, task)
		}
	}
}

// accepted ends the test if a command is refused.
func accepted(t testing.TB) func(metadata.Result) {
	return func(r metadata.Result) {
		t.Helper()
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func testBatch(t testing.TB, value string) []byte {
	b := record.NewBuilder(record.DefaultParams(record.None, 1000))
	if err := b.Append(&record.Record{Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
	out, err := b.Finish(0)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestProduceRestartRead(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	now := time.UnixMilli(1_000_000)
	n, _, err := Open(testConfig(fs), now)
	if err != nil {
		t.Fatal(err)
	}
	drive(t, n, now)
	if !n.Ready() {
		t.Fatal("not ready")
	}
	must := accepted(t)
	n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092}, must)
	id := ident.TopicID{1}
	n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 2, ReplicationFactor: 1}, must)
	drive(t, n, now)
	part := ident.Partition{Topic: id, Index: 1}
	for i := range 10 {
		b := testBatch(t, "value")
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		done := false
		n.Replica(part).Partition.Produce(&partition.Append{Entry: partition.NewEntry(b, 1, 0, nil), Header: h, Done: func(a *partition.Append) {
			done = true
			if a.Err != nil || a.Base != ident.Offset(i) {
				t.Errorf("append: %v at %d", a.Err, a.Base)
			}
		}})
		drive(t, n, now)
		if !done {
			t.Fatal("no answer")
		}
		if i == 4 {
			n.Checkpoint()
			drive(t, n, now)
			if n.Checkpointing() {
				t.Fatal("checkpoint hangs")
			}
		}
	}
	n.Close()
	n, _, err = Open(testConfig(fs), now)
	if err != nil {
		t.Fatal(err)
	}
	drive(t, n, now)
	p := n.Replica(part).Partition
	o, err := p.Offsets()
	if err != nil || o.HighWatermark != 10 {
		t.Fatalf("%+v %v", o, err)
	}
	c, err := p.Read(0, o.HighWatermark, 1<<20, true)
	if err != nil || c.Batches != 10 {
		t.Fatalf("%+v %v", c, err)
	}
}
