package metadata

import "errors"

// Refusals: the command is well-formed but cannot be carried out. They are
// ordinary answers to the proposer; the image is unchanged.
var (
	// ErrConflict reports that the object changed after the image version in
	// the command's ExpectVersion, or that the version lies in the future.
	ErrConflict = errors.New("metadata: object changed since the expected version")
	// ErrLimit reports that a bound on the number or size of objects is reached.
	ErrLimit = errors.New("metadata: limit reached")
	// ErrTopicExists reports a topic of the same name.
	ErrTopicExists = errors.New("metadata: topic exists")
	// ErrTopicCollision reports a topic whose name differs only in "." and "_".
	ErrTopicCollision = errors.New("metadata: topic name collides with another")
	// ErrTopicIDInUse reports a topic with the same topic id.
	ErrTopicIDInUse = errors.New("metadata: topic id in use")
	// ErrInvalidTopicID reports the zero topic id.
	ErrInvalidTopicID = errors.New("metadata: invalid topic id")
	// ErrInvalidTopicName reports a name outside [a-zA-Z0-9._-]{1,249}, or "."
	// or "..".
	ErrInvalidTopicName = errors.New("metadata: invalid topic name")
	// ErrUnknownTopic reports a topic id that names no topic.
	ErrUnknownTopic = errors.New("metadata: unknown topic")
	// ErrInvalidPartitions reports a number of partitions below 1, or one that
	// does not exceed the present number.
	ErrInvalidPartitions = errors.New("metadata: invalid number of partitions")
	// ErrInvalidReplicationFactor reports a replication factor below 1 or above
	// the number of registered brokers.
	ErrInvalidReplicationFactor = errors.New("metadata: invalid replication factor")
	// ErrInvalidAssignment reports an assignment with the wrong number of
	// partitions or replicas, with a broker twice, or with an unknown one.
	ErrInvalidAssignment = errors.New("metadata: invalid replica assignment")
	// ErrInvalidConfig reports an empty setting name, or one that stands twice
	// in a command.
	ErrInvalidConfig = errors.New("metadata: invalid setting")
	// ErrInvalidCount reports a block of producer ids below 1 or above
	// MaxProducerIDBlock.
	ErrInvalidCount = errors.New("metadata: invalid count")
	// ErrInvalidBroker reports a negative node id, an empty host, a port
	// outside 1 to 65535 or the zero directory id.
	ErrInvalidBroker = errors.New("metadata: invalid broker registration")
	// ErrUnknownBroker reports a node id that no broker has registered.
	ErrUnknownBroker = errors.New("metadata: unknown broker")
	// ErrInvalidFeature reports an empty feature name or a negative level.
	ErrInvalidFeature = errors.New("metadata: invalid feature")
	// ErrInvalidPlugin reports an empty plugin name or version, a size below 1
	// or the zero digest.
	ErrInvalidPlugin = errors.New("metadata: invalid plugin")
	// ErrUnknownPlugin reports a plugin version that does not exist.
	ErrUnknownPlugin = errors.New("metadata: unknown plugin")
	// ErrPluginInUse reports a plugin version that a stage names.
	ErrPluginInUse = errors.New("metadata: plugin is used by a stage")
	// ErrInvalidStage reports a stage name that is empty, or that a chain could
	// not name because it holds a comma, a blank or a control character.
	ErrInvalidStage = errors.New("metadata: invalid stage")
	// ErrUnknownStage reports a stage that does not exist.
	ErrUnknownStage = errors.New("metadata: unknown stage")
	// ErrStageInUse reports a stage that a topic's chain names.
	ErrStageInUse = errors.New("metadata: stage is used by a topic")
	// ErrInvalidLimits reports a limit below 1 or above its hard bound.
	ErrInvalidLimits = errors.New("metadata: invalid limits")
)

// Failures of bytes. Apply wraps those of Decode in ErrDamaged, Restore wraps
// all of its own in ErrCheckpoint.
var (
	// ErrDamaged reports an entry that cannot be applied at all: its bytes do
	// not decode, or its index or term goes back. Going on would let this
	// replica differ from others, so the caller parks the group.
	ErrDamaged = errors.New("metadata: damaged entry")
	// ErrCheckpoint reports a checkpoint that cannot be restored.
	ErrCheckpoint = errors.New("metadata: damaged checkpoint")
	// ErrTruncated reports bytes that end early or hold a length or count that
	// they are too short for.
	ErrTruncated = errors.New("metadata: truncated")
	// ErrTrailing reports bytes behind the end.
	ErrTrailing = errors.New("metadata: trailing bytes")
	// ErrBound reports a string, list or total above its bound.
	ErrBound = errors.New("metadata: bound exceeded")
	// ErrVersion reports a format version that this release does not know.
	ErrVersion = errors.New("metadata: unknown format version")
	// ErrKind reports a command kind that this release does not know.
	ErrKind = errors.New("metadata: unknown command kind")
	// ErrValue reports a value that no encoder writes, such as a boolean of 2.
	ErrValue = errors.New("metadata: invalid value")
	// ErrMagic reports bytes that are not a checkpoint of this package.
	ErrMagic = errors.New("metadata: wrong magic")
	// ErrChecksum reports a checkpoint whose CRC32C does not match.
	ErrChecksum = errors.New("metadata: wrong checksum")
	// ErrClusterID reports a checkpoint of another cluster.
	ErrClusterID = errors.New("metadata: another cluster's checkpoint")
)
