package repair

import (
	"testing"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// deliver brings a batch out of an outbox to a partition, and returns the position
// up to which the partition has everything of it.
func (l *life) deliver(to, from ident.Partition, position uint64) (seen uint64) {
	l.t.Helper()
	answers := 0
	l.n.Replica(to).Partition.Deliver(&partition.Delivery{
		Origin: from, First: position, Last: position, Batch: batch(l.t, "letter"), AsOf: l.n.Image().Version(),
		Done: func(s uint64, err error) {
			l.must(err)
			answers++
			seen = s
		},
	}, l.now.UnixMilli())
	if l.drive(); answers != 1 {
		l.t.Fatalf("%d answers", answers)
	}
	return seen
}

// The positions of an outbox that lost its end go back, so other partitions forget
// how far it had delivered: what it emits then is no duplicate. The entry by which
// they do is one that they can apply.
func TestOriginsOfALostOutboxAreForgotten(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l := newLife(t, fs)
	l.must(l.open())
	l.create("letters", 1)
	letters := l.parts[0]
	origin := ident.Partition{Topic: ident.TopicID{7}}
	l.command(metadata.PutStage{Name: "s", Spec: []byte("x")})
	l.command(metadata.CreateTopic{Name: "orders", TopicID: origin.Topic, Partitions: 1, ReplicationFactor: 1,
		Configs: []metadata.KV{{Name: metadata.ChainConfig, Value: "s"}}})
	if seen := l.deliver(letters, origin, 9); seen != 9 {
		t.Fatalf("everything up to %d is there", seen)
	}
	l.checkpoint()
	at := len(writes(t, fs, newestLog(t, fs)))
	for range 3 {
		l.n.Replica(origin).Partition.Trim(0, l.now.UnixMilli())
		l.drive()
	}
	l.n.Close()
	name := newestLog(t, fs)
	off := int64(wal.FileHeaderBytes)
	for i, w := range writes(t, fs, name) {
		if i == at {
			wipe(t, fs, name, off, int(w.Bytes))
		}
		off += w.Bytes
	}
	r := l.repaired()
	if p := r.Partition(origin.Topic.Hex(), 0); p == nil || p.Lost == nil || !p.Letters {
		t.Fatalf("%+v", r)
	}
	l.must(l.open())
	defer l.n.Close()
	for range 2 {
		if seen := l.deliver(letters, origin, 4); seen != 4 {
			t.Fatalf("everything up to %d is there", seen)
		}
	}
	if values, end, err := l.read(letters); err != nil || end != 2 || values[0] != "letter" || values[1] != "letter" {
		t.Fatalf("%v up to %d, %v", values, end, err)
	}
}
