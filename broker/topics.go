package broker

import (
	"sync"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
)

// topicCache holds the effective configuration of topics, by the version of the
// topic and the broker's settings. Deleted topics leave it when it is found too large.
type topicCache struct {
	mu sync.RWMutex
	m  map[ident.TopicID]cachedTopic
}

type cachedTopic struct {
	version uint64
	broker  *config.Broker // whose defaults it has
	topic   *config.Topic
}

// topicCacheMax bounds the cache: more topics than that do not exist at one time.
const topicCacheMax = 100_000

func (c *topicCache) get(t *metadata.Topic, b *config.Broker) *config.Topic {
	c.mu.RLock()
	x, ok := c.m[t.ID]
	c.mu.RUnlock()
	if ok && x.version == t.Version && x.broker == b {
		return x.topic
	}
	kv := make([]config.KV, 0, len(t.Configs))
	for _, o := range t.Configs {
		kv = append(kv, config.KV{Name: o.Name, Value: o.Value})
	}
	topic := config.EffectiveTopic(kv, b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= topicCacheMax {
		c.m = map[ident.TopicID]cachedTopic{}
	}
	c.m[t.ID] = cachedTopic{version: t.Version, broker: b, topic: &topic}
	return &topic
}

// plan derives what a topic's configuration asks of its partitions.
func (b *Broker) plan(t *metadata.Topic) node.TopicPlan {
	s := b.settings()
	c := b.topics.get(t, s)
	p := node.TopicPlan{
		Settings: partition.Settings{SegmentBytes: c.SegmentBytes, IndexIntervalBytes: max(c.IndexIntervalBytes, 1)},
		Upkeep: partition.Upkeep{
			ProducerExpiryMs: s.ProducerIDExpiration.Milliseconds(),
			Retention: storage.RetentionSettings{
				Ms: storage.Unlimited, Bytes: storage.Unlimited,
				SegmentMs: c.SegmentAge.Milliseconds(), ActiveSinceMs: storage.Unlimited,
			},
		},
	}
	p.Upkeep.Tier = tierPlan(c)
	if c.Deleted() {
		p.Upkeep.Retention.Bytes = c.RetentionBytes
		if c.Retention >= 0 {
			p.Upkeep.Retention.Ms = c.Retention.Milliseconds()
		}
	}
	return p
}

// tierPlan derives what a topic's configuration says about the cold tier.
// A copy lag of -1 is what local retention keeps.
func tierPlan(c *config.Topic) partition.TierPlan {
	p := partition.TierPlan{
		Copy: c.RemoteStorageEnable && !c.RemoteCopyDisable && !c.Compacted(), Drop: !c.RemoteStorageEnable && c.RemoteDeleteOnDisable,
		CopyLagMs: c.RemoteCopyLag.Milliseconds(), CopyLagBytes: c.RemoteCopyLagBytes,
		Local: storage.RetentionSettings{
			Ms: storage.Unlimited, Bytes: c.LocalRetentionBytes, SegmentMs: storage.Unlimited, ActiveSinceMs: storage.Unlimited,
		},
	}
	if c.LocalRetention >= 0 {
		p.Local.Ms = c.LocalRetention.Milliseconds()
	}
	if p.CopyLagMs < 0 {
		p.CopyLagMs = p.Local.Ms
	}
	if p.CopyLagBytes < 0 {
		p.CopyLagBytes = p.Local.Bytes
	}
	return p
}
