package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// A topic gets more partitions if the write-ahead log has room for the new ones,
// also when it would have none for as many as the topic has then.
func TestNewPartitionsTakeTheRoom(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	n, _, err := Open(testConfig(vfs.NewMem(vfs.MemOptions{})), now)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	drive(t, n, now)
	must := accepted(t)
	id := ident.TopicID{1}
	n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092}, must)
	n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 20, ReplicationFactor: 1}, must)
	drive(t, n, now)
	const total = 80
	for have := int32(30); have <= total; have += 10 {
		n.Command(metadata.CreatePartitions{TopicID: id, Total: have}, must)
		drive(t, n, now)
	}
	if n.engine.RoomFor(total) {
		t.Fatal("there is room for all of them at once")
	}
	if topic, ok := n.Image().TopicByID(id); !ok || len(topic.Partitions) != total {
		t.Fatalf("topic %+v", topic)
	}
}
