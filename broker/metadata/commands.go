package metadata

import "github.com/varvelog/varve/internal/ident"

// Kind tells commands apart in their encoding. A number is never used again.
type Kind uint8

// The command kinds.
const (
	KindCreateTopic         Kind = 1
	KindDeleteTopic         Kind = 2
	KindCreatePartitions    Kind = 3
	KindSetTopicConfigs     Kind = 4
	KindSetBrokerConfigs    Kind = 5
	KindAllocateProducerIDs Kind = 6
	KindRegisterBroker      Kind = 7
	KindSetFeature          Kind = 8
	KindPutPlugin           Kind = 9
	KindDeletePlugin        Kind = 10
	KindPutStage            Kind = 11
	KindDeleteStage         Kind = 12
	KindSetLimits           Kind = 13
	KindForgetTopic         Kind = 14
)

// Command is one change of the cluster metadata. Commands are plain values;
// their slices belong to whoever built them, and neither Append nor Image.Check
// keeps or changes them. Decode returns the value types, never pointers.
//
// Every command has ExpectVersion: if it is not 0 it is the Version of the
// image that the proposer decided on, and Apply refuses the command with
// ErrConflict if the object was changed after it. For an object that does not
// exist, "changed" means that any object of its kind was removed since: no
// tombstones are kept, so the check errs on the safe side.
type Command interface {
	// Kind returns the kind that stands in the encoding.
	Kind() Kind
	// Append appends the encoding to dst and returns the longer slice, which
	// may or may not share memory with dst. It fails with ErrBound, and returns
	// dst as it was, if a string, a list or the whole exceeds its bound.
	Append(dst []byte) ([]byte, error)

	expect() uint64
	encode(e *encoder)
	apply(c *change) error
}

// KV is one setting. Name is at most MaxName bytes, Value MaxConfigValue.
type KV struct {
	Name, Value string
}

// CreateTopic creates a topic with its partitions.
type CreateTopic struct {
	ExpectVersion uint64
	Name          string
	// TopicID is drawn by the proposer, so that Apply needs no randomness.
	TopicID           ident.TopicID
	Partitions        int32
	ReplicationFactor int16
	// Assignments, if not empty, names the brokers of each partition in order
	// of preference; else Apply spreads replicas evenly over the registered
	// brokers.
	Assignments [][]ident.NodeID
	Configs     []KV
	Internal    bool
	// TimeMs is the creation time in milliseconds since 1970.
	TimeMs int64
}

// DeleteTopic removes a topic and all of its partitions.
type DeleteTopic struct {
	ExpectVersion uint64
	TopicID       ident.TopicID
	// Tiered says that the topic may have objects in the cold tier: it is
	// remembered until ForgetTopic.
	Tiered bool
	// TimeMs is the time of the deletion in milliseconds since 1970.
	TimeMs int64
}

// ForgetTopic ends the memory of a deleted topic whose objects are gone from the
// cold tier.
type ForgetTopic struct {
	ExpectVersion uint64
	TopicID       ident.TopicID
}

// CreatePartitions raises a topic's number of partitions to Total. New
// partitions have as many replicas as partition 0.
type CreatePartitions struct {
	ExpectVersion uint64
	TopicID       ident.TopicID
	Total         int32
	// Assignments, if not empty, names the brokers of each new partition.
	Assignments [][]ident.NodeID
}

// SetTopicConfigs sets and removes settings of one topic.
type SetTopicConfigs struct {
	ExpectVersion uint64
	TopicID       ident.TopicID
	Set           []KV
	Remove        []string
}

// SetBrokerConfigs sets and removes settings that hold for all brokers.
type SetBrokerConfigs struct {
	ExpectVersion uint64
	Set           []KV
	Remove        []string
}

// AllocateProducerIDs takes the next Count producer ids for the broker By.
type AllocateProducerIDs struct {
	ExpectVersion uint64
	Count         int32
	By            ident.NodeID
}

// RegisterBroker adds a broker or replaces what is known of it.
type RegisterBroker struct {
	ExpectVersion uint64
	NodeID        ident.NodeID
	// DirectoryID was drawn when the broker's data directory was created. A
	// broker that comes back with another one has lost its replicas.
	DirectoryID [16]byte
	Host        string
	Port        int32
	Rack        string // empty if unknown
}

// SetFeature finalizes a feature at a level (KIP-584); level 0 removes it.
type SetFeature struct {
	ExpectVersion uint64
	Name          string
	Level         int16
}

// PutPlugin adds or replaces one version of a plugin. The module's bytes are
// elsewhere, found by their digest.
type PutPlugin struct {
	ExpectVersion uint64
	Name, Version string
	Digest        [32]byte // SHA-256 of the module
	Size          int64    // bytes of the module
	Spec          []byte   // manifest, opaque here
}

// DeletePlugin removes one version of a plugin that no stage names.
type DeletePlugin struct {
	ExpectVersion uint64
	Name, Version string
}

// PutStage adds or replaces a stage.
type PutStage struct {
	ExpectVersion uint64
	Name          string
	// Plugin and PluginVersion name what the stage runs. An empty Plugin means
	// none is known here, an empty PluginVersion any version of it: they decide
	// which plugin changes raise the chain generation of the stage's topics.
	Plugin, PluginVersion string
	Spec                  []byte // parameters, policy, budget: opaque here
}

// DeleteStage removes a stage that no topic's chain names.
type DeleteStage struct {
	ExpectVersion uint64
	Name          string
}

// SetLimits replaces the cluster's limits.
type SetLimits struct {
	ExpectVersion uint64
	Limits        Limits
}
