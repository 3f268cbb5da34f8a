package node

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

// TestClusterTopics makes and deletes topics over crashes, cuts and slow disks,
// with so little of the metadata's log in memory that brokers that were down are
// given a snapshot of it. In the end all of them must have the same image, open
// replicas of what it names and no files of anything else.
func TestClusterTopics(t *testing.T) {
	clusterSeeds(t, 4, topicsRun)
}

type topicsWorld struct {
	*cluster
	next   byte
	topics map[ident.TopicID]int32 // made, perhaps, and not deleted -> partitions
	acked  map[ident.Partition]map[ident.Offset]string
	sent   int
}

func topicsRun(t *testing.T, seed uint64) {
	c := newCluster(t, []int{3, 4, 5}[seed%3], seed, []int64{300, 3000}[seed%2])
	w := &topicsWorld{cluster: c, next: 1, topics: map[ident.TopicID]int32{}, acked: map[ident.Partition]map[ident.Offset]string{}}
	w.topics[c.topic(1, 2, 3)] = 2
	for range 40 {
		w.strike()
		for range 15 {
			w.work()
			c.step()
		}
	}
	c.bad, c.slow = false, 0
	clear(c.cut)
	for i, n := range c.nodes {
		if n == nil {
			c.open(i)
		}
	}
	c.command(metadata.CreateTopic{Name: "last", TopicID: ident.TopicID{255}, Partitions: 1, ReplicationFactor: 3})
	w.settled()
	w.check()
}

// strike does something bad.
func (w *topicsWorld) strike() {
	c, n := w.cluster, len(w.nodes)
	switch c.rng.IntN(8) {
	case 0, 1:
		c.crash(c.rng.IntN(n))
	case 2:
		c.cut[[2]ident.NodeID{ident.NodeID(1 + c.rng.IntN(n)), ident.NodeID(1 + c.rng.IntN(n))}] = true
	case 3:
		clear(c.cut)
	case 4:
		c.bad = !c.bad
	case 5:
		c.slow = c.rng.IntN(8)
	case 6:
		if n := c.nodes[c.rng.IntN(n)]; n != nil {
			n.Checkpoint()
		}
	}
	for i, n := range c.nodes {
		if n == nil && c.rng.IntN(4) == 0 {
			c.open(i)
		}
	}
}

// work asks for something, whatever becomes of it.
func (w *topicsWorld) work() {
	c := w.cluster
	leader := c.controller()
	switch k := c.rng.IntN(10); {
	case k == 0 && leader != nil && w.next < 200:
		w.next++
		id, partitions := ident.TopicID{w.next}, int32(1+c.rng.IntN(3))
		w.topics[id] = partitions
		leader.Command(metadata.CreateTopic{Name: fmt.Sprint("t", w.next), TopicID: id, Partitions: partitions, ReplicationFactor: int16(1 + c.rng.IntN(3))}, func(metadata.Result) {})
	case k == 1 && leader != nil && len(w.topics) > 3:
		id := ident.TopicID{byte(1 + c.rng.IntN(int(w.next)))}
		if _, ok := leader.topic(id); ok {
			delete(w.topics, id)
			leader.Command(metadata.DeleteTopic{TopicID: id}, func(metadata.Result) {})
		}
	case k < 6:
		id := ident.TopicID{byte(1 + c.rng.IntN(int(w.next)))}
		p := ident.Partition{Topic: id, Index: int32(c.rng.IntN(3))}
		w.sent++
		value := fmt.Sprintf("%d-%s", w.sent, bytes.Repeat([]byte("x"), c.rng.IntN(1000)))
		c.produce(p, value, func(at ident.Offset) {
			if w.acked[p] == nil {
				w.acked[p] = map[ident.Offset]string{}
			}
			if old, ok := w.acked[p][at]; ok && old != value {
				w.t.Fatalf("%v: offset %d was told twice", p, at)
			}
			w.acked[p][at] = value
		})
	}
}

// settled waits until every broker knows the last topic, every partition has a
// leader, and all replicas are as long.
func (w *topicsWorld) settled() {
	c := w.cluster
	c.until("all know all", 1200, func() bool {
		for _, n := range c.nodes {
			if _, ok := n.Image().Topic("last"); !ok || !n.Ready() {
				return false
			}
		}
		for t := range c.nodes[0].Image().Topics() {
			for i := range t.Partitions {
				id := ident.Partition{Topic: t.ID, Index: int32(i)}
				p := c.leader(id)
				if p == nil {
					return false
				}
				_, end := p.Bounds()
				for _, n := range c.nodes {
					if r := n.Replica(id); r != nil {
						if r.Partition == nil {
							c.t.Fatalf("%v: %v", id, r.Err)
						}
						if _, at := r.Partition.Bounds(); at != end {
							return false
						}
					}
				}
			}
		}
		return true
	})
	for range 4 {
		for _, n := range c.nodes {
			n.Checkpoint()
		}
		c.until("checkpoints", 200, func() bool {
			for _, n := range c.nodes {
				if n.Checkpointing() {
					return false
				}
			}
			return true
		})
		c.step()
	}
}

func (w *topicsWorld) check() {
	c := w.cluster
	want := c.nodes[0].meta.core.Marshal()
	for i, n := range c.nodes {
		if !bytes.Equal(n.meta.core.Marshal(), want) {
			c.t.Errorf("node %d has another image", i+1)
		}
		dirs := map[string]bool{}
		for t := range n.Image().Topics() {
			for k, info := range t.Partitions {
				id := ident.Partition{Topic: t.ID, Index: int32(k)}
				if _, ok := info.On(n.c.ID); ok != (n.Replica(id) != nil) {
					c.t.Errorf("node %d, %v: a replica wanted: %v", i+1, id, ok)
				} else if ok {
					dirs[strings.TrimPrefix(n.Replica(id).Partition.Dir(), partitionsDir+"/")] = true
				}
			}
		}
		if len(n.engine.Waiting()) > 0 {
			c.t.Errorf("node %d: groups that nobody names: %v", i+1, n.engine.Waiting())
		}
		entries, err := c.disks[i].List(partitionsDir)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range entries {
			if !dirs[e.Name] {
				c.t.Errorf("node %d: left over: %s", i+1, e.Name)
			}
		}
	}
	for id, acked := range w.acked {
		if _, ok := c.nodes[0].topic(id.Topic); !ok {
			continue
		}
		for _, n := range c.nodes {
			if n.Replica(id) == nil {
				continue
			}
			found, _ := contents(c.t, n, id)
			for at, value := range acked {
				if !bytes.Contains(found, []byte(value)) {
					c.t.Errorf("%v: acknowledged at %d: %.20q, not found", id, at, value)
				}
			}
		}
	}
}
