package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// scriptChain is a chain in Go: a record's value says what becomes of it.
type scriptChain struct{}

func (scriptChain) Run(in partition.ChainInput) partition.ChainOutput {
	var out partition.ChainOutput
	b := record.NewBuilder(record.DefaultParams(record.None, in.Header.BaseTimestamp))
	kept := 0
	err := record.ForEach(in.Batch, 0, func(r *record.Record) error {
		switch string(r.Value[:4]) {
		case "drop":
		case "dead":
			e := binary.LittleEndian.AppendUint32(nil, uint32(r.OffsetDelta))
			out.Emissions = append(out.Emissions, append(e, r.Value...))
		case "fail":
			out.Err = record.ErrInvalidRecord
		default:
			kept++
			return b.Append(r)
		}
		return nil
	})
	switch {
	case err != nil:
		out.Err = err
	case out.Err != nil:
	case kept == int(in.Header.Count):
		out.Batch = in.Batch
	case kept > 0:
		out.Batch, out.Err = b.Finish(-1)
	}
	return out
}

// scriptLetters makes a record of an emission: origin offset and value.
type scriptLetters struct{}

func (scriptLetters) Target([]byte) (string, error) { return "dlq.t", nil }

func (scriptLetters) Build(o Origin, es []partition.Emission, now int64) ([]byte, error) {
	b := record.NewBuilder(record.DefaultParams(record.None, now))
	for i, e := range es {
		at := int64(e.Base) + int64(binary.LittleEndian.Uint32(e.Data))
		value := fmt.Sprintf("%s-%d@%d %s", o.Topic, o.Partition.Index, at, e.Data[4:])
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: []byte(value)}); err != nil {
			return nil, err
		}
	}
	return b.Finish(-1)
}

func chainConfig(fs vfs.FS) Config {
	c := testConfig(fs)
	c.LoadChain = func(_ *metadata.Topic, done func(partition.Chain, error)) { done(scriptChain{}, nil) }
	c.RunChain = func(work, done func()) { work(); done() }
	c.Letters, c.OutboxBytesMax, c.Entropy = scriptLetters{}, 4<<20, c.Engine.WAL.Entropy
	return c
}

// produceValues sends one batch with these values and returns the outcome.
func produceValues(t *testing.T, n *Node, id ident.Partition, values ...string) *partition.Append {
	t.Helper()
	b := record.NewBuilder(record.DefaultParams(record.None, 1000))
	for i, v := range values {
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	h, err := record.ParseHeader(batch)
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	a := &partition.Append{Batch: batch, Time: 1, Header: h, Done: func(*partition.Append) { answers++ }}
	if topic, ok := n.Image().TopicByID(id.Topic); ok {
		a.Generation = topic.ChainGeneration
	}
	n.Replica(id).Partition.Produce(a)
	drive(t, n, n.now)
	if answers != 1 {
		t.Fatalf("%d answers", answers)
	}
	return a
}

// values reads a partition: offset and value of every record.
func values(t *testing.T, n *Node, id ident.Partition) (out []string, end ident.Offset) {
	t.Helper()
	p := n.Replica(id).Partition
	o, err := p.Offsets()
	if err != nil {
		t.Fatal(err)
	}
	for at := o.LogStart; at < o.HighWatermark; {
		c, err := p.Read(at, o.HighWatermark, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for _, b := range c.Buffers {
			all = append(all, b...)
		}
		for batch, err := range record.Batches(all) {
			if err != nil {
				t.Fatal(err)
			}
			h, _ := record.ParseHeader(batch)
			if err := record.ForEach(batch, 0, func(r *record.Record) error {
				out = append(out, fmt.Sprintf("%d:%s", h.BaseOffset+int64(r.OffsetDelta), r.Value))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		at = c.NextOffset
	}
	return out, o.HighWatermark
}

func TestChainDropsDeadLettersAndRefuses(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	now := time.UnixMilli(1_000_000)
	n, _, err := Open(chainConfig(fs), now)
	if err != nil {
		t.Fatal(err)
	}
	drive(t, n, now)
	must := func(r metadata.Result) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1}, must)
	id := ident.TopicID{1}
	n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 2, ReplicationFactor: 1,
		Configs: []metadata.KV{{Name: "plugin.chain", Value: "s"}}}, must)
	drive(t, n, now)
	part := ident.Partition{Topic: id, Index: 1}

	for _, c := range []struct {
		values []string
		base   ident.Offset
		err    error
	}{
		{[]string{"keep1", "drop", "keep2", "drop"}, 0, nil},
		{[]string{"drop", "drop"}, 4, nil},
		{[]string{"dead1", "keep3"}, 6, nil},
		{[]string{"keep4", "dead2", "fail"}, 0, record.ErrInvalidRecord},
		{[]string{"dead3"}, 8, nil},
	} {
		a := produceValues(t, n, part, c.values...)
		if !errors.Is(a.Err, c.err) || c.err == nil && a.Base != c.base {
			t.Fatalf("%v: %v at %d", c.values, a.Err, a.Base)
		}
	}
	check := func(n *Node) {
		t.Helper()
		got, end := values(t, n, part)
		if want := "[0:keep1 2:keep2 7:keep3]"; fmt.Sprint(got) != want || end != 9 {
			t.Fatalf("%v up to %d, want %s up to 9", got, end, want)
		}
		dlq, ok := n.Image().Topic("dlq.t")
		if !ok {
			t.Fatal("no dead-letter topic")
		}
		got, _ = values(t, n, ident.Partition{Topic: dlq.ID, Index: 1})
		if want := "[0:t-1@6 dead1 1:t-1@8 dead3]"; fmt.Sprint(got) != want {
			t.Fatalf("%v, want %s", got, want)
		}
		if count, bytes := n.Replica(part).Partition.OutboxDepth(); count != 0 || bytes != 0 {
			t.Fatalf("%d emissions of %d bytes are left in the outbox", count, bytes)
		}
	}
	check(n)
	n.Checkpoint()
	drive(t, n, now)
	for range 2 { // with a checkpoint, and then by replay of one more batch
		n.Close()
		if n, _, err = Open(chainConfig(fs), now); err != nil {
			t.Fatal(err)
		}
		drive(t, n, now)
		check(n)
	}
}

// An emission that was delivered is not delivered again when the process dies
// before the outbox was trimmed, and one that was not is, wherever it dies.
func TestDeadLettersOnceOverCrashes(t *testing.T) {
	for steps := range 60 {
		fs := vfs.NewMem(vfs.MemOptions{})
		now := time.UnixMilli(1_000_000)
		n, _, err := Open(chainConfig(fs), now)
		if err != nil {
			t.Fatal(err)
		}
		drive(t, n, now)
		n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1}, func(metadata.Result) {})
		id := ident.TopicID{1}
		n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 1, ReplicationFactor: 1,
			Configs: []metadata.KV{{Name: "plugin.chain", Value: "s"}}}, func(metadata.Result) {})
		drive(t, n, now)
		part := ident.Partition{Topic: id}
		acked := 0
		for i := range 3 {
			b := testBatch(t, fmt.Sprintf("dead%d", i))
			h, _ := record.ParseHeader(b)
			n.Replica(part).Partition.Produce(&partition.Append{Batch: b, Time: 1, Header: h, Generation: n.chains[id].generation,
				Done: func(a *partition.Append) {
					if a.Err == nil {
						acked++
					}
				}})
		}
		for range steps { // so many steps of I/O, then the process dies
			tasks := n.Poll(now)
			for _, task := range tasks {
				_ = task.Do()
				n.Done(now, task)
			}
		}
		n, _, err = Open(chainConfig(fs.Kill()), now)
		if err != nil {
			t.Fatal(err)
		}
		drive(t, n, now)
		dlq, ok := n.Image().Topic("dlq.t")
		if !ok {
			if acked > 0 {
				t.Fatalf("after %d steps: %d acknowledged, no dead-letter topic", steps, acked)
			}
			continue
		}
		got, _ := values(t, n, ident.Partition{Topic: dlq.ID})
		if len(got) < acked || len(got) > 3 {
			t.Fatalf("after %d steps: %d acknowledged, dead letters %v", steps, acked, got)
		}
		for i, v := range got {
			if want := fmt.Sprintf("%d:t-0@%d dead%d", i, i, i); v != want {
				t.Fatalf("after %d steps: %v", steps, got)
			}
		}
	}
}
