package metadata

import "github.com/varvelog/varve/internal/ident"

// Delta is one consequence of a command, for the shell to act on. An Apply
// returns its deltas in a fixed order: the object first, then its partitions
// ascending, then topics ascending by name. What a delta points to is
// read-only.
type Delta interface{ delta() }

// TopicCreated reports a new topic. A PartitionAdded for each of its partitions
// follows.
type TopicCreated struct{ Topic *Topic }

// PartitionAdded reports a partition whose group is to be started by the
// brokers among its replicas.
type PartitionAdded struct {
	Partition ident.Partition
	Topic     string
	Info      PartitionInfo
}

// TopicDeleted reports a topic that is gone, as it last was: the groups of its
// partitions are to be destroyed.
type TopicDeleted struct{ Topic *Topic }

// TopicForgotten reports that nothing of a deleted topic is left.
type TopicForgotten struct{ ID ident.TopicID }

// TopicConfigsChanged reports new settings of a topic.
type TopicConfigsChanged struct{ Topic *Topic }

// ChainChanged reports that a topic's ChainGeneration rose.
type ChainChanged struct{ Topic *Topic }

// BrokerChanged reports a broker that registered for the first time, with
// Previous nil, or with something new.
type BrokerChanged struct{ Broker, Previous *Broker }

// BrokerConfigsChanged reports new settings for all brokers.
type BrokerConfigsChanged struct{ Configs Configs }

// FeatureChanged reports a feature's new level, 0 if it was removed.
type FeatureChanged struct {
	Name  string
	Level int16
}

// PluginChanged reports a new plugin version, with Previous nil, a replaced one,
// or a removed one, with Plugin nil.
type PluginChanged struct{ Plugin, Previous *Plugin }

// StageChanged reports a new stage, with Previous nil, a replaced one, or a
// removed one, with Stage nil.
type StageChanged struct{ Stage, Previous *Stage }

// LimitsChanged reports new limits.
type LimitsChanged struct{ Limits Limits }

func (TopicCreated) delta()         {}
func (PartitionAdded) delta()       {}
func (TopicDeleted) delta()         {}
func (TopicForgotten) delta()       {}
func (TopicConfigsChanged) delta()  {}
func (ChainChanged) delta()         {}
func (BrokerChanged) delta()        {}
func (BrokerConfigsChanged) delta() {}
func (FeatureChanged) delta()       {}
func (PluginChanged) delta()        {}
func (StageChanged) delta()         {}
func (LimitsChanged) delta()        {}
