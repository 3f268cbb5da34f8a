package kafka

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

// reservedTopics belong to the broker: it makes them, and knows how many
// partitions they have and how they are kept.
var reservedTopics = []string{"__consumer_offsets", "__transaction_state", "__cluster_metadata"}

// reservedPrefix begins the names of all topics of the plugin subsystem.
const reservedPrefix = "__plugin"

// reservedTopic reports whether only the broker may create the topic.
func reservedTopic(name string) bool {
	return slices.Contains(reservedTopics, name) || strings.HasPrefix(name, reservedPrefix)
}

// refuseReserved returns the error of a client that wants to make, remove or
// reshape a topic of the broker's own; nil for any other topic.
func refuseReserved(name, what string) error {
	if !reservedTopic(name) {
		return nil
	}
	return refuse(kerr.InvalidTopicException, "%s: internal topic %.260q belongs to the broker", what, name)
}

// newTopicID draws a topic id (KIP-516): a random UUID of version 4. As in
// Kafka none begins with "-" in its text form, which tools would take for an
// option.
func newTopicID() ident.TopicID {
	for {
		var id ident.TopicID
		rand.Read(id[:]) // it never fails
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// checkTopicName returns metadata's error for a name that no topic can have.
func checkTopicName(img *metadata.Image, name string) error {
	err := img.Check(metadata.CreateTopic{Name: name})
	if errors.Is(err, metadata.ErrInvalidTopicName) {
		return err
	}
	return nil
}

// findTopic returns a topic by its name, or why there is none.
func findTopic(img *metadata.Image, name string) (*metadata.Topic, error) {
	t, ok := img.Topic(name)
	if ok {
		return t, nil
	}
	if err := checkTopicName(img, name); err != nil {
		return nil, err
	}
	return nil, refuse(kerr.UnknownTopicOrPartition, "topic %.260q does not exist", name)
}

// checkChain refuses a chain that names a stage that does not exist.
func checkChain(img *metadata.Image, chain []string) error {
	for _, name := range chain {
		if _, ok := img.Stage(name); !ok {
			return refuse(kerr.InvalidConfig, "%s: stage %.130q does not exist; create it first", metadata.ChainConfig, name)
		}
	}
	return nil
}

// checkTopicConfigs judges all settings that a new topic is to have.
func (h *Handlers) checkTopicConfigs(img *metadata.Image, b *config.Broker, kvs []metadata.KV) error {
	if len(kvs) > metadata.MaxConfigs {
		return refuse(kerr.InvalidConfig, "%d settings, at most %d", len(kvs), metadata.MaxConfigs)
	}
	all := overrides(kvs)
	if err := config.ValidateTopic(all, b); err != nil {
		return err
	}
	t := config.EffectiveTopic(all, b)
	return checkChain(img, t.PluginChain)
}

// dynamicBroker returns the broker's settings with what was altered up to img:
// what Backend.Config returns may be a moment behind.
func (h *Handlers) dynamicBroker(img *metadata.Image) *config.Broker {
	b := h.b.Config()
	if next, _, err := b.WithDynamic(overrides(img.BrokerConfigs())); err == nil {
		return next
	}
	return b
}

// brokersOf turns the broker ids of one partition's assignment into what
// metadata takes. It refuses unknown and repeated ones and empty lists.
func brokersOf(img *metadata.Image, partition int, ids []int32) ([]ident.NodeID, error) {
	if len(ids) == 0 {
		return nil, refuse(kerr.InvalidReplicaAssignment, "partition %d is assigned to no broker", partition)
	}
	if len(ids) > metadata.MaxReplicas {
		return nil, refuse(kerr.InvalidReplicaAssignment, "partition %d is assigned to %d brokers, at most %d", partition, len(ids), metadata.MaxReplicas)
	}
	nodes := make([]ident.NodeID, len(ids))
	for i, id := range ids {
		n := ident.NodeID(id)
		if _, ok := img.Broker(n); !ok {
			return nil, refuse(kerr.InvalidReplicaAssignment, "partition %d is assigned to broker %d, which is not registered", partition, id)
		}
		if slices.Contains(nodes[:i], n) {
			return nil, refuse(kerr.InvalidReplicaAssignment, "partition %d is assigned to broker %d twice", partition, id)
		}
		nodes[i] = n
	}
	return nodes, nil
}
