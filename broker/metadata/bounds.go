package metadata

import "fmt"

// Bounds of the format. They are part of what Apply and Decode mean, so they
// are constants: a change needs a new format version.
const (
	// MaxCommandBytes bounds an encoded command.
	MaxCommandBytes = 1 << 20
	// MaxTopicName is Kafka's bound on a topic name, in bytes.
	MaxTopicName = 249
	// MaxName bounds the names of settings, features, plugins, stages, versions,
	// hosts and racks, in bytes.
	MaxName = 255
	// MaxConfigValue bounds a setting's value, in bytes.
	MaxConfigValue = 64 << 10
	// MaxConfigs bounds the settings of one topic or of the cluster, and those
	// in one command.
	MaxConfigs = 256
	// MaxConfigBytes bounds the names and values of all settings of one topic
	// or of the cluster.
	MaxConfigBytes = 1 << 20
	// MaxSpec bounds the opaque specification of a plugin or stage, in bytes.
	MaxSpec = 256 << 10
	// MaxPartitions bounds the partitions in a cluster, and so those of one
	// topic, whatever the limits say.
	MaxPartitions = 1 << 20
	// MaxTopics bounds the topics in a cluster, whatever the limits say.
	MaxTopics = 1 << 20
	// MaxReplicas bounds the replicas of one partition.
	MaxReplicas = 64
	// MaxBrokers bounds the registered brokers.
	MaxBrokers = 1024
	// MaxFeatures bounds the features that have a level.
	MaxFeatures = 256
	// MaxPlugins bounds the versions of all plugins together.
	MaxPlugins = 4096
	// MaxStages bounds the stages.
	MaxStages = 4096
	// MaxProducerIDBlock bounds one allocation of producer ids.
	MaxProducerIDBlock = 1 << 20
	// MaxClusterID bounds the cluster id, in bytes.
	MaxClusterID = 255
)

// Limits bounds how far a cluster may grow. They are state, changed by
// SetLimits, because a limit that differed between brokers, or between a first
// apply and its replay, would make images differ. Lowering a limit below what
// exists removes nothing; it refuses further growth.
type Limits struct {
	Topics             int32 // topics in the cluster
	PartitionsPerTopic int32 // partitions of one topic
	Partitions         int32 // partitions in the cluster, each counted once
}

// DefaultLimits are the limits of a new cluster.
func DefaultLimits() Limits {
	return Limits{Topics: 20_000, PartitionsPerTopic: 10_000, Partitions: 50_000}
}

// Check returns ErrInvalidLimits if a limit is below 1 or above its hard bound.
func (l Limits) Check() error {
	for _, f := range []struct {
		name       string
		value, max int32
	}{
		{"topics", l.Topics, MaxTopics},
		{"partitions per topic", l.PartitionsPerTopic, MaxPartitions},
		{"partitions", l.Partitions, MaxPartitions},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("%w: %s %d, must be 1 to %d", ErrInvalidLimits, f.name, f.value, f.max)
		}
	}
	return nil
}
