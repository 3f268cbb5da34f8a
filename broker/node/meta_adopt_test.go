package node

import (
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// later returns the state that some commands lead to, from another one on.
func later(t *testing.T, state []byte, commands ...metadata.Command) []byte {
	t.Helper()
	id := ""
	if state == nil {
		id = "test"
	}
	core, err := metadata.New(id)
	if err != nil {
		t.Fatal(err)
	}
	if state != nil {
		if err := core.Restore(state); err != nil {
			t.Fatal(err)
		}
	}
	at, term := core.Applied()
	for _, c := range commands {
		at++
		b, err := c.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := core.Apply(at, max(term, 1), b); r.Err != nil {
			t.Fatalf("%+v: %v", c, r.Err)
		}
	}
	return core.Marshal()
}

// adopt has a node take another broker's metadata over.
func adopt(t *testing.T, n *Node, state []byte) {
	t.Helper()
	if err := n.meta.Adopt(2, state); err != nil {
		t.Fatal(err)
	}
	if done, err := n.meta.Adopted(); !done || err != nil {
		t.Fatalf("not adopted: %v", err)
	}
	if m, err := n.meta.Switch(); err != nil || m != n.meta {
		t.Fatalf("switched: %v", err)
	}
}

// A broker that takes another one's metadata over does what the commands between
// would have asked of it: topics that are gone end, new ones and new partitions
// begin, and settings and chains change.
func TestAdoptedMetadataIsActedOn(t *testing.T) {
	fs, now := vfs.NewMem(vfs.MemOptions{}), time.UnixMilli(1_000_000)
	c := chainConfig(fs)
	loads := map[string]int{}
	c.LoadChain = func(t *metadata.Topic, done func(partition.Chain, error)) {
		loads[t.Name]++
		done(scriptChain{}, nil)
	}
	c.Plan = func(t *metadata.Topic) TopicPlan {
		p := TopicPlan{Settings: partition.DefaultSettings()}
		if _, ok := t.Configs.Get("small"); ok {
			p.Settings.SegmentBytes = 100
		}
		return p
	}
	n, _, err := Open(c, now)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	drive(t, n, now)
	topic := func(name string, id byte) metadata.CreateTopic {
		return metadata.CreateTopic{Name: name, TopicID: ident.TopicID{id}, Partitions: 1, ReplicationFactor: 1}
	}
	must := accepted(t)
	for _, c := range []metadata.Command{metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1},
		topic("gone", 1), topic("grown", 2), topic("chained", 3), topic("set", 4)} {
		n.Command(c, must)
		drive(t, n, now)
	}
	adopt(t, n, later(t, n.meta.core.Marshal(),
		metadata.DeleteTopic{TopicID: ident.TopicID{1}},
		metadata.CreatePartitions{TopicID: ident.TopicID{2}, Total: 3},
		metadata.SetTopicConfigs{TopicID: ident.TopicID{3}, Set: []metadata.KV{{Name: "plugin.chain", Value: "s"}}},
		metadata.SetTopicConfigs{TopicID: ident.TopicID{4}, Set: []metadata.KV{{Name: "small", Value: "1"}}},
		topic("new", 5),
	))
	drive(t, n, now)
	for _, want := range []struct {
		id    byte
		index int32
		there bool
	}{{1, 0, false}, {2, 0, true}, {2, 1, true}, {2, 2, true}, {2, 3, false}, {3, 0, true}, {4, 0, true}, {5, 0, true}} {
		r := n.Replica(ident.Partition{Topic: ident.TopicID{want.id}, Index: want.index})
		if (r != nil) != want.there || r != nil && (r.Partition == nil || !r.Partition.Leads()) {
			t.Errorf("topic %d, partition %d: %+v", want.id, want.index, r)
		}
	}
	if loads["chained"] != 1 || len(loads) != 1 {
		t.Errorf("chains loaded: %v", loads)
	}
	if err := n.ChainState("chained"); err != nil {
		t.Errorf("the new chain: %v", err)
	}
	set := ident.Partition{Topic: ident.TopicID{4}}
	for range 3 {
		if a := produceValues(t, n, set, "a value"); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if closed, _ := n.Replica(set).Partition.Backlog(); closed != 2 {
		t.Errorf("%d segments are closed, want one for each batch", closed)
	}
}

// What belongs to topics that were made in an earlier life, by entries that are
// yet to be applied again, and are deleted in the metadata that is taken over,
// ends with that; what may belong to topics that are yet to be made stays.
func TestAdoptedMetadataEndsWhatNeitherImageNames(t *testing.T) {
	fs, now := vfs.NewMem(vfs.MemOptions{}), time.UnixMilli(1_000_000)
	n, _, err := Open(testConfig(fs), now)
	if err != nil {
		t.Fatal(err)
	}
	drive(t, n, now)
	broker := metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "h", Port: 1}
	gone := metadata.CreateTopic{Name: "gone", TopicID: ident.TopicID{1}, Partitions: 1, ReplicationFactor: 1}
	stays := metadata.CreateTopic{Name: "stays", TopicID: ident.TopicID{2}, Partitions: 1, ReplicationFactor: 1}
	for _, c := range []metadata.Command{broker, gone, stays} {
		n.Command(c, accepted(t))
		drive(t, n, now)
	}
	dirs := map[string]bool{}
	for _, id := range []ident.TopicID{{1}, {2}} {
		dir := n.Replica(ident.Partition{Topic: id}).Partition.Dir()
		for _, d := range []string{dir, dir + ".1"} {
			dirs[d] = id[0] == 1
			if err := fs.MkdirAll(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	fs = fs.Kill() // without a checkpoint: the image is empty until entries are applied
	if n, _, err = Open(testConfig(fs), now); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got := n.engine.Waiting(); len(got) != 2 || n.Image().TopicCount() != 0 {
		t.Fatalf("waiting %v, %d topics", got, n.Image().TopicCount())
	}
	adopt(t, n, later(t, nil, broker, gone, metadata.DeleteTopic{TopicID: gone.TopicID}))
	if got := n.engine.Waiting(); len(got) != 1 || got[0] != metadata.FirstGroupID+1 {
		t.Errorf("waiting after that: %v", got)
	}
	task := n.meta.Work(false)
	if task == nil {
		t.Fatal("nothing is marked")
	}
	if err := n.meta.Worked(task, task.Do()); err != nil {
		t.Fatal(err)
	}
	marked := strings.Join(n.meta.marked, " ") + " "
	for dir, want := range dirs {
		if strings.Contains(marked, dir+" ") != want {
			t.Errorf("%s to be removed: %v; marked are %s", dir, !want, marked)
		}
	}
}
