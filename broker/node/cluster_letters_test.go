package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// TestClusterLetters has chains dead-letter on several brokers over crashes, cuts
// and a bad network, while topics that emit are deleted and the target gets more
// partitions. In the end every acknowledged letter of a topic that still is must be
// there, and none twice.
func TestClusterLetters(t *testing.T) {
	clusterSeeds(t, 4, lettersRun)
}

func lettersRun(t *testing.T, seed uint64) {
	c := newCluster(t, []int{3, 4}[seed%2], seed, []int64{1000, 1 << 20}[seed/2%2])
	letters := &manyLetters{}
	c.set = func(cfg *Config) {
		cfg.LoadChain = func(_ *metadata.Topic, done func(partition.Chain, error)) { done(scriptChain{}, nil) }
		cfg.RunChain = func(work, done func()) { work(); done() }
		cfg.Letters, cfg.OutboxBytesMax, cfg.Entropy = letters, 4<<20, c.rng.Uint64
	}
	for i := range c.nodes {
		c.kill(i)
		c.open(i)
	}
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	c.topic(1, 1, 3) // registers the brokers
	chain := []metadata.KV{{Name: "plugin.chain", Value: "s"}}
	for id := byte(2); id < 5; id++ {
		c.command(metadata.CreateTopic{Name: fmt.Sprint("t", id), TopicID: ident.TopicID{id}, Partitions: 2, ReplicationFactor: int16(id%3 + 1), Configs: chain})
	}
	target := ident.TopicID{9}
	c.command(metadata.CreateTopic{Name: "dlq.a", TopicID: target, Partitions: 1, ReplicationFactor: 2})
	acked, gone, grown, sent := map[string]byte{}, byte(0), int32(1), 0
	for range 40 {
		c.strike()
		for range 15 {
			id := ident.Partition{Topic: ident.TopicID{byte(2 + c.rng.IntN(3))}, Index: int32(c.rng.IntN(2))}
			sent++
			c.emits(id, fmt.Sprintf("dead%da", sent), func(v string) { acked[v] = id.Topic[0] })
			if n := c.controller(); n != nil && c.rng.IntN(200) == 0 {
				grown++
				n.Command(metadata.CreatePartitions{TopicID: target, Total: grown}, func(metadata.Result) {})
			}
			if n := c.controller(); n != nil && gone == 0 && sent > 300 {
				if _, ok := n.topic(ident.TopicID{2}); ok {
					n.Command(metadata.DeleteTopic{TopicID: ident.TopicID{2}}, func(metadata.Result) {})
				} else {
					gone = 2
				}
			}
			c.step()
			for _, n := range c.nodes {
				if n != nil && sent%50 == 0 {
					n.forgetOrigins() // as upkeep does
				}
			}
		}
	}
	c.bad, c.slow = false, 0
	clear(c.cut)
	for i, n := range c.nodes {
		if n == nil {
			c.open(i)
		}
	}
	c.until("all is delivered", 1500, func() bool {
		for id := byte(3); id < 5; id++ {
			for i := range int32(2) {
				p := c.leader(ident.Partition{Topic: ident.TopicID{id}, Index: i})
				if p == nil {
					return false
				}
				if n, _ := p.OutboxDepth(); n > 0 {
					return false
				}
			}
		}
		return c.controller() != nil
	})
	found := map[string]int{}
	topic, _ := c.controller().topic(target)
	for i := range topic.Partitions {
		id := ident.Partition{Topic: target, Index: int32(i)}
		c.until("the target has a leader", 600, func() bool { return c.leader(id) != nil })
		for _, n := range c.nodes {
			if r := n.Replica(id); r != nil && r.Partition.Leads() && n.Ready() {
				got, _ := values(t, n, id)
				for _, v := range got {
					_, v, _ = strings.Cut(v, " ")
					found[v]++
				}
				break
			}
		}
	}
	for v, n := range found {
		if n > 1 {
			t.Errorf("%d letters of %s", n, v)
		}
	}
	for v, topic := range acked {
		if topic != 2 && found[v] == 0 {
			t.Errorf("no letter of %s of topic %d", v, topic)
		}
	}
	t.Logf("%d nodes: %d sent, %d acknowledged, %d letters in %d partitions", len(c.nodes), sent, len(acked), len(found), len(topic.Partitions))
}

// strike does something bad to the nodes, or to the network.
func (c *cluster) strike() {
	w := topicsWorld{cluster: c}
	w.strike()
}

// emits produces one value through the chain of its topic, once.
func (c *cluster) emits(id ident.Partition, value string, acked func(string)) {
	for _, n := range c.nodes {
		if n == nil || !n.Ready() {
			continue
		}
		r := n.Replica(id)
		topic, ok := n.topic(id.Topic)
		if r == nil || r.Partition == nil || !ok || !r.Partition.Leads() {
			continue
		}
		b := testBatch(c.t, value)
		h, err := record.ParseHeader(b)
		if err != nil {
			c.t.Fatal(err)
		}
		r.Partition.Produce(&partition.Append{Batch: b, Time: 1, Header: h, Generation: topic.ChainGeneration, Done: func(a *partition.Append) {
			if a.Err == nil {
				acked(value)
			}
		}})
		return
	}
}
