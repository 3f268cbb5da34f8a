package node

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// lagging makes a topic of three replicas of which one missed more than the others
// keep in memory, and returns which node has it. It is down.
func lagging(t *testing.T, c *cluster, id ident.Partition) int {
	t.Helper()
	c.until("a leader", 300, func() bool { return c.leader(id) != nil })
	down := -1
	for i, n := range c.nodes {
		if !n.Replica(id).Partition.Leads() && !n.Controller() {
			down = i
		}
	}
	acked := 0
	value := string(bytes.Repeat([]byte("x"), 20_000))
	c.until("a beginning", 300, func() bool {
		c.produce(id, "beginning", func(ident.Offset) { acked++ })
		return acked > 3
	})
	for range 10 {
		c.step()
	}
	c.checkpoint()
	c.kill(down)
	c.until("a log that is longer than what is kept", 3000, func() bool {
		c.produce(id, strconv.Itoa(acked)+value, func(ident.Offset) { acked++ })
		return acked > 200
	})
	return down
}

// kill ends a node's process. What it wrote stays.
func (c *cluster) kill(i int) {
	c.disks[i] = c.disks[i].Kill()
	c.nodes[i], c.tasks[i] = nil, nil
}

// checkpoint makes one on every node that is up.
func (c *cluster) checkpoint() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n != nil {
			n.Checkpoint()
		}
	}
	c.until("checkpoints", 600, func() bool {
		for _, n := range c.nodes {
			if n != nil && n.Checkpointing() {
				return false
			}
		}
		return true
	})
	c.step()
}

// directoriesOf returns what a node has of a partition, without the names before
// the incarnations.
func (c *cluster) directoriesOf(i int, id ident.Partition) (out []string) {
	c.t.Helper()
	entries, err := c.disks[i].List(partitionsDir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name, id.Dir()+"."); ok {
			_, rest, _ = strings.Cut(rest, ".")
			out = append(out, "."+rest)
		}
	}
	return out
}

// interrupted opens the node of a replica that lags, and kills it while it copies.
func (c *cluster) interrupted(down int, id ident.Partition) {
	c.t.Helper()
	pieces := 0
	c.lose = func(f wireFrame) bool {
		if f.b[0] == framePiece {
			pieces++
		}
		return f.b[0] == framePiece && pieces > 3
	}
	c.open(down)
	c.until("a copy that has begun", 600, func() bool { return pieces > 3 })
	for range 30 { // what came is written
		c.step()
	}
	c.kill(down)
	c.lose = nil
	if got := c.directoriesOf(down, id); strings.Join(got, " ") != ". .1" {
		c.t.Fatalf("directories %q after the kill", got)
	}
}

// A copy that a restart cut short is begun in a directory of its own: the old one
// is on its way out, and goes when a checkpoint names another.
func TestCopyAfterARestartHasItsOwnDirectory(t *testing.T) {
	c := newCluster(t, 3, 1, 2000)
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	down := lagging(t, c, id)
	c.interrupted(down, id)
	c.open(down)
	_, end := c.leader(id).Bounds()
	c.until("it catches up", 900, func() bool {
		r := c.nodes[down].Replica(id)
		if r == nil || r.Partition == nil {
			return false
		}
		_, at := r.Partition.Bounds()
		return at >= end
	})
	p := c.nodes[down].Replica(id).Partition
	if p.Incarnation() != 2 || !strings.HasSuffix(p.Dir(), ".2") {
		t.Errorf("it goes on in %s", p.Dir())
	}
	c.checkpoint()
	c.checkpoint()
	if got := c.directoriesOf(down, id); len(got) != 1 || got[0] != ".2" {
		t.Errorf("directories %q in the end", got)
	}
	leader, _ := contents(t, c.nodes[(down+1)%3], id)
	if got, _ := contents(t, c.nodes[down], id); !bytes.Equal(got, leader) {
		t.Errorf("%d other bytes, want %d", len(got), len(leader))
	}
}

// A topic that is deleted leaves nothing of what a replica copied in an earlier
// life, or is copying now.
func TestDeletedTopicLeavesNoCopies(t *testing.T) {
	c := newCluster(t, 3, 2, 2000)
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	down := lagging(t, c, id)
	pieces := 0
	c.lose = func(f wireFrame) bool {
		if f.b[0] == framePiece {
			pieces++
		}
		return f.b[0] == framePiece && pieces > 3
	}
	c.open(down)
	c.until("a copy that has begun", 600, func() bool { return pieces > 3 })
	for range 30 {
		c.step()
	}
	if err := c.disks[down].MkdirAll(c.nodes[down].Replica(id).Partition.Dir() + ".7"); err != nil {
		t.Fatal(err)
	}
	if got := c.directoriesOf(down, id); strings.Join(got, " ") != ". .1 .7" {
		t.Fatalf("directories %q before the deletion", got)
	}
	c.command(metadata.DeleteTopic{TopicID: id.Topic})
	c.until("the deletion", 600, func() bool {
		for _, n := range c.nodes {
			if n.Replica(id) != nil {
				return false
			}
		}
		return true
	})
	c.checkpoint()
	c.checkpoint()
	for i := range c.nodes {
		if got := c.directoriesOf(i, id); len(got) != 0 {
			t.Errorf("node %d has %q", i+1, got)
		}
	}
}

// A replica that took another one's state over runs the chain of its topic when it
// leads.
func TestAdoptedReplicaRunsTheChain(t *testing.T) {
	c := newCluster(t, 3, 3, 2000)
	c.set = func(cfg *Config) {
		cfg.LoadChain = func(_ *metadata.Topic, done func(partition.Chain, error)) { done(scriptChain{}, nil) }
		cfg.RunChain = func(work, done func()) { work(); done() }
		cfg.Letters, cfg.OutboxBytesMax, cfg.Entropy = scriptLetters{}, 4<<20, c.rng.Uint64
	}
	for i := range c.nodes {
		c.kill(i)
		c.open(i)
	}
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	down := lagging(t, c, id)
	c.command(metadata.SetTopicConfigs{TopicID: id.Topic, Set: []metadata.KV{{Name: "plugin.chain", Value: "s"}}})
	c.open(down)
	_, end := c.leader(id).Bounds()
	c.until("it catches up", 900, func() bool {
		r := c.nodes[down].Replica(id)
		if r == nil || r.Partition == nil {
			return false
		}
		_, at := r.Partition.Bounds()
		return at >= end && r.Partition.Incarnation() == 1
	})
	adopted := c.nodes[down]
	c.until("it leads", 3000, func() bool {
		if adopted.Replica(id).Partition.Leads() {
			return true
		}
		for i, n := range c.nodes {
			if r := n.Replica(id); i != down && r != nil && r.Partition.Leads() {
				c.kill(i)
				c.open(i)
			}
		}
		return false
	})
	var got *partition.Append
	c.until("an answer", 600, func() bool {
		if got != nil && got.Err == nil {
			return true
		}
		b := testBatch(t, "drop it")
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		topic, _ := adopted.topic(id.Topic)
		adopted.Replica(id).Partition.Produce(&partition.Append{Batch: b, Time: 1, Header: h, Generation: topic.ChainGeneration, Done: func(a *partition.Append) {
			if got = a; errors.Is(a.Err, partition.ErrChainLoading) {
				t.Errorf("the chain is not there: %v", a.Err)
			}
		}})
		return false
	})
	if out, _ := contents(t, adopted, id); bytes.Contains(out, []byte("drop it")) {
		t.Error("the batch passed no chain")
	}
}
