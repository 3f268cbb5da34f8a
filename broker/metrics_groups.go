package broker

import (
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/metric"
)

// groupOffsets are what a group committed.
type groupOffsets struct {
	id     string
	state  string
	topics []group.FetchedTopic
}

// coordinator tells of consumer groups.
func (s *scraper) coordinator(k *metric.Sink) {
	groups, _ := s.groups.get(s.b.c.Now, s.askGroups)
	for _, state := range []group.State{group.Empty, group.PreparingRebalance, group.CompletingRebalance, group.Stable} {
		k.Gauge(metrics.Groups, 0, state.String())
	}
	for _, g := range groups {
		k.Gauge(metrics.Groups, 1, g.state)
		for i := range g.topics {
			if lag, ok := s.lag(&g.topics[i]); ok {
				k.Gauge(metrics.GroupLag, lag, g.id, g.topics[i].Topic)
			}
		}
	}
}

// askGroups runs on the coordinator.
func (s *scraper) askGroups(answer func([]groupOffsets, bool)) {
	s.b.groups.All(func(_ time.Time, shards []*group.Shard, err error) {
		if err != nil {
			answer(nil, false)
			return
		}
		var out []groupOffsets
		for _, shard := range shards {
			listed, err := shard.List(nil, nil)
			if err != nil {
				answer(nil, false)
				return
			}
			for _, g := range listed {
				// A group that cannot be asked has nothing committed to tell.
				topics, _ := shard.FetchOffsets(group.FetchRequest{GroupID: g.GroupID, All: true})
				out = append(out, groupOffsets{id: g.GroupID, state: g.State.String(), topics: topics})
			}
		}
		answer(out, true)
	})
}

// lag adds up how far a group is behind the ends of a topic's partitions on this
// broker, and reports whether there are any. What retention took away counts as
// read.
func (s *scraper) lag(t *group.FetchedTopic) (lag float64, ok bool) {
	topic, ok := s.b.node.Image().Topic(t.Topic)
	if !ok {
		return 0, false
	}
	for _, p := range t.Partitions {
		r := s.b.node.Replica(ident.Partition{Topic: topic.ID, Index: p.Partition})
		if r == nil || r.Partition == nil || p.Offset < 0 {
			continue
		}
		if o, err := r.Partition.Offsets(); err == nil {
			lag += float64(max(int64(o.HighWatermark)-max(p.Offset, int64(o.LogStart)), 0))
		}
	}
	return lag, true
}
