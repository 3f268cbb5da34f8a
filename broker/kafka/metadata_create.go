package kafka

import (
	"errors"
	"math"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/metadata"
)

// autoCreateMax bounds the topics that one Metadata request creates. Clients ask
// again for the rest.
const autoCreateMax = 100

// creatable returns the topics of a request that are missing and may be created
// (auto.create.topics.enable), each once. Before version 4 a request always
// permits it.
func (h *Handlers) creatable(c *Call, q *kmsg.MetadataRequest) []string {
	if c.Version >= 4 && !q.AllowAutoTopicCreation || !h.b.Config().AutoCreateTopics || !h.b.Ready() {
		return nil
	}
	img := h.b.Image()
	var names []string
	seen := map[string]bool{}
	for i := range q.Topics {
		name := q.Topics[i].Topic
		if name == nil || seen[*name] || reservedTopic(*name) && *name != coordinator.Topic {
			continue
		}
		if _, ok := img.Topic(*name); ok || checkTopicName(img, *name) != nil {
			continue
		}
		seen[*name] = true
		if names = append(names, *name); len(names) == autoCreateMax {
			break
		}
	}
	return names
}

// createMissing creates topics with the broker's defaults, that of the groups as
// their coordinator wants it, and calls done once with those that could not be
// created.
func (h *Handlers) createMissing(names []string, done func(failed map[string]error)) {
	cfg := h.b.Config()
	var mu sync.Mutex
	left, failed := len(names), map[string]error{}
	note := func(name string, err error) {
		mu.Lock()
		if err != nil && !errors.Is(err, metadata.ErrTopicExists) {
			failed[name] = err
		}
		left--
		last := left == 0
		mu.Unlock()
		if last {
			done(failed)
		}
	}
	for _, name := range names {
		if name == coordinator.Topic {
			h.b.Groups().Make(func(err error) { note(name, err) })
			continue
		}
		cmd := metadata.CreateTopic{
			Name: name, TopicID: newTopicID(), Partitions: cfg.NumPartitions,
			ReplicationFactor: int16(min(cfg.DefaultReplicationFactor, math.MaxInt16)),
			TimeMs:            h.b.Now().UnixMilli(),
		}
		h.b.Command(cmd, func(r metadata.Result) { note(name, r.Err) })
	}
}
