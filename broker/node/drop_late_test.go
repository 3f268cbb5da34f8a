package node

import (
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

// A leader that was cut from the controller while its topic was deleted, and went
// on uploading, deletes what is left of the topic when it hears of it; one that
// hears of it in time leaves that to the controller.
func TestLateLeaderDropsItsTopic(t *testing.T) {
	for _, late := range []bool{true, false} {
		c := newCluster(t, 3, 8, 1<<20)
		buckets := []*bucket{{}, {}, {}}
		c.tier = func(i int) TierConfig {
			return TierConfig{Tier: buckets[i], Every: time.Second, Grace: 10 * time.Second, UploadsMax: 1}
		}
		for i := range c.nodes {
			c.crash(i)
			c.open(i)
		}
		c.until("a controller", 600, func() bool { return c.controller() != nil })
		leader, id := -1, ident.Partition{}
		for k := byte(1); leader < 0; k++ { // one with its only replica elsewhere
			id = ident.Partition{Topic: c.topic(k, 1, 1)}
			c.until("a leader", 600, func() bool { return c.leader(id) != nil })
			for i, n := range c.nodes {
				if n.Replica(id) != nil && !n.Controller() {
					leader = i
				}
			}
		}
		cut := c.nodes[leader]
		for _, p := range c.peers {
			if late && p.Node != cut.c.ID {
				c.cut[[2]ident.NodeID{p.Node, cut.c.ID}], c.cut[[2]ident.NodeID{cut.c.ID, p.Node}] = true, true
			}
		}
		c.command(metadata.DeleteTopic{TopicID: id.Topic})
		for range 150 {
			c.step()
			for i, b := range buckets {
				for _, drop := range b.drops {
					if i == leader {
						t.Errorf("late %v: the leader drops it before it can know", late)
					}
					drop(nil)
				}
				b.drops = nil
			}
		}
		if late && !cut.Replica(id).Partition.Leads() {
			t.Fatal("the leader does not lead any more")
		}
		clear(c.cut)
		c.until("the deletion", 600, func() bool { return cut.Replica(id) == nil })
		if got := len(buckets[leader].drops); late && got != 1 || !late && got != 0 {
			t.Errorf("late %v: the leader drops it %d times", late, got)
		}
	}
}

// A controller that holds no replica of a topic does not know what was uploaded of
// it: the topic's objects are looked for whenever it is deleted.
func TestControllerWithoutAReplicaDropsObjects(t *testing.T) {
	c := newCluster(t, 3, 4, 1<<20)
	buckets := []*bucket{{}, {}, {}}
	c.tier = func(i int) TierConfig {
		return TierConfig{Tier: buckets[i], Every: time.Second, Grace: time.Hour, UploadsMax: 1}
	}
	for i := range c.nodes {
		c.crash(i)
		c.open(i)
	}
	c.until("a controller", 600, func() bool { return c.controller() != nil })
	id := ident.Partition{}
	for k := byte(1); id.Topic.IsZero() || c.controller() == nil || c.controller().Replica(id) != nil; k++ {
		id = ident.Partition{Topic: c.topic(k, 1, 1)}
	}
	c.command(metadata.DeleteTopic{TopicID: id.Topic})
	c.until("the controller knows that there may be objects", 600, func() bool {
		n := c.controller()
		if n == nil {
			return false
		}
		if _, there := n.topic(id.Topic); !there && !n.Image().IsDropped(id.Topic) {
			t.Fatal("its objects are forgotten")
		}
		return n.Image().IsDropped(id.Topic)
	})
}
