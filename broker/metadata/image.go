package metadata

import (
	"bytes"
	"cmp"
	"iter"
	"strings"

	"github.com/varvelog/varve/internal/ident"
)

// FirstReplicaID is the first replica id that commands give away. The ids below
// it are for the voters that group 0 itself is bootstrapped with.
const FirstReplicaID ident.ReplicaID = 16

// FirstGroupID is the first group id that commands give away.
const FirstGroupID = ident.MetadataGroup + 1

// Image is the cluster metadata after some command. It never changes: a command
// makes a new image, which shares with the old one whatever it did not touch.
// All methods are safe for any number of goroutines. What they return points
// into the image: it is read-only, and stays valid for ever.
type Image struct {
	clusterID string
	version   uint64
	limits    Limits

	brokers    tree[ident.NodeID, *Broker]
	byName     tree[string, *Topic]
	byID       tree[ident.TopicID, *Topic]
	collisions tree[string, string] // collisionKey(name) → name
	groups     tree[ident.GroupID, ident.Partition]
	features   tree[string, *Feature]
	plugins    tree[pluginKey, *Plugin]
	stages     tree[string, *Stage]
	dropped    tree[ident.TopicID, *DroppedTopic]

	configs        Configs
	configsVersion uint64
	limitsVersion  uint64

	nextGroup          ident.GroupID
	nextReplica        ident.ReplicaID
	nextProducerID     int64
	producerIDsVersion uint64

	// The index of the last command that removed an object of the kind.
	topicsRemoved, featuresRemoved, pluginsRemoved, stagesRemoved uint64
}

type pluginKey struct{ name, version string }

func comparePluginKeys(a, b pluginKey) int {
	return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.version, b.version))
}

func compareTopicIDs(a, b ident.TopicID) int { return bytes.Compare(a[:], b[:]) }

func newImage(clusterID string) *Image {
	return &Image{
		clusterID:   clusterID,
		limits:      DefaultLimits(),
		brokers:     newTree[ident.NodeID, *Broker](cmp.Compare),
		byName:      newTree[string, *Topic](strings.Compare),
		byID:        newTree[ident.TopicID, *Topic](compareTopicIDs),
		collisions:  newTree[string, string](strings.Compare),
		groups:      newTree[ident.GroupID, ident.Partition](cmp.Compare),
		features:    newTree[string, *Feature](strings.Compare),
		plugins:     newTree[pluginKey, *Plugin](comparePluginKeys),
		stages:      newTree[string, *Stage](strings.Compare),
		dropped:     newTree[ident.TopicID, *DroppedTopic](compareTopicIDs),
		nextGroup:   FirstGroupID,
		nextReplica: FirstReplicaID,
	}
}

// Version returns the index of the last command that changed the image, 0 for
// the image of a new cluster.
func (i *Image) Version() uint64 { return i.version }

// ClusterID returns the cluster's id.
func (i *Image) ClusterID() string { return i.clusterID }

// Limits returns the bounds on growth that hold now.
func (i *Image) Limits() Limits { return i.limits }

// Topic returns a topic by its name.
func (i *Image) Topic(name string) (*Topic, bool) { return i.byName.get(name) }

// TopicByID returns a topic by its id.
func (i *Image) TopicByID(id ident.TopicID) (*Topic, bool) { return i.byID.get(id) }

// Topics yields all topics in the order of their names.
func (i *Image) Topics() iter.Seq[*Topic] { return i.byName.values() }

// TopicCount returns the number of topics.
func (i *Image) TopicCount() int { return i.byName.size }

// PartitionCount returns the number of partitions of all topics.
func (i *Image) PartitionCount() int { return i.groups.size }

// PartitionOf returns the partition whose group this is; false for group 0 and
// for groups that no topic has.
func (i *Image) PartitionOf(g ident.GroupID) (ident.Partition, bool) { return i.groups.get(g) }

// NextGroup is above the id of every group that was ever made, and NextReplica
// above that of every replica.
func (i *Image) NextGroup() ident.GroupID { return i.nextGroup }

// NextReplica: see NextGroup.
func (i *Image) NextReplica() ident.ReplicaID { return i.nextReplica }

// Broker returns a registered broker.
func (i *Image) Broker(id ident.NodeID) (*Broker, bool) { return i.brokers.get(id) }

// Brokers yields the registered brokers in the order of their ids.
func (i *Image) Brokers() iter.Seq[*Broker] { return i.brokers.values() }

// BrokerCount returns the number of registered brokers.
func (i *Image) BrokerCount() int { return i.brokers.size }

// BrokerConfigsVersion returns the index of the command that last changed the
// settings that hold for all brokers.
func (i *Image) BrokerConfigsVersion() uint64 { return i.configsVersion }

// BrokerConfigs returns the settings that hold for all brokers.
func (i *Image) BrokerConfigs() Configs { return i.configs }

// Feature returns a feature's finalized level, 0 if it has none.
func (i *Image) Feature(name string) int16 {
	if f, ok := i.features.get(name); ok {
		return f.Level
	}
	return 0
}

// Features yields the finalized features in the order of their names.
func (i *Image) Features() iter.Seq[*Feature] { return i.features.values() }

// Plugin returns one version of a plugin.
func (i *Image) Plugin(name, version string) (*Plugin, bool) {
	return i.plugins.get(pluginKey{name, version})
}

// Plugins yields all versions of all plugins in the order of name and version,
// both compared as bytes.
func (i *Image) Plugins() iter.Seq[*Plugin] { return i.plugins.values() }

// Stage returns a stage.
func (i *Image) Stage(name string) (*Stage, bool) { return i.stages.get(name) }

// Stages yields the stages in the order of their names.
func (i *Image) Stages() iter.Seq[*Stage] { return i.stages.values() }

// Dropped yields the deleted topics that may still have objects in the cold tier,
// in the order of their ids.
func (i *Image) Dropped() iter.Seq[*DroppedTopic] { return i.dropped.values() }

// IsDropped reports whether a topic is one of those.
func (i *Image) IsDropped(id ident.TopicID) bool {
	_, ok := i.dropped.get(id)
	return ok
}

// DroppedCount returns how many those are.
func (i *Image) DroppedCount() int { return i.dropped.size }

// NextProducerID returns the first producer id that is not given away.
func (i *Image) NextProducerID() int64 { return i.nextProducerID }

// Check returns the error with which Apply would refuse the command if it came
// next, nil if it would accept it. It is for answers before a proposal
// (validate_only); only Apply decides.
func (i *Image) Check(c Command) error {
	return newChange(i, i.version+1).run(c)
}
