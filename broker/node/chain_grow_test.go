package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// A partition that is added while the topic's chain is being loaded gets it too.
func TestPartitionAddedWhileTheChainLoads(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	c := chainConfig(vfs.NewMem(vfs.MemOptions{}))
	var loaded func(partition.Chain, error)
	c.LoadChain = func(_ *metadata.Topic, done func(partition.Chain, error)) { loaded = done }
	n, _, err := Open(c, now)
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
	n.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1}, must)
	n.Command(metadata.CreateTopic{Name: "t", TopicID: id, Partitions: 1, ReplicationFactor: 1,
		Configs: []metadata.KV{{Name: "plugin.chain", Value: "s"}}}, must)
	drive(t, n, now)
	n.Command(metadata.CreatePartitions{TopicID: id, Total: 2}, must)
	drive(t, n, now)
	loaded(scriptChain{}, nil)
	drive(t, n, now)
	for i := range int32(2) {
		if a := produceValues(t, n, ident.Partition{Topic: id, Index: i}, "keep"); a.Err != nil {
			t.Errorf("partition %d: %v", i, a.Err)
		}
	}
}
