package group

import (
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// Config are a shard's settings and bounds. Where a field that needs a value is
// not positive, New takes the one of DefaultConfig, unless the comment says
// otherwise.
type Config struct {
	// Entropy returns 16 random bytes for a member id. It must be set.
	Entropy func() [16]byte
	// Observe is told what happens, if it is not nil. It must not call the
	// shard.
	Observe func(Event)
	// Topic returns whether there is a topic of that name and id, and the index of
	// the cluster metadata that says so, which the offsets of a commit are stored
	// with. Offsets of any other topic are refused with ErrUnknownTopic. It is
	// asked of commits that name an id; nil takes all.
	Topic func(name string, id ident.TopicID) (index uint64, ok bool)

	// MaxSize is group.max.size; not positive is no limit but the others.
	MaxSize int
	// MinSessionTimeout is group.min.session.timeout.ms.
	MinSessionTimeout time.Duration
	// MaxSessionTimeout is group.max.session.timeout.ms.
	MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is group.initial.rebalance.delay.ms; not positive
	// is no delay.
	InitialRebalanceDelay time.Duration
	// NewMemberTimeout is how long a new member may wait for its first
	// generation before it has to join again.
	NewMemberTimeout time.Duration

	// OffsetsRetention is offsets.retention.minutes; not positive keeps offsets
	// for ever.
	OffsetsRetention time.Duration
	// OffsetsRetentionCheck is offsets.retention.check.interval.ms.
	OffsetsRetentionCheck time.Duration
	// OffsetMetadataMaxBytes is offset.metadata.max.bytes, at most 32767.
	OffsetMetadataMaxBytes int

	// AppendBytesMax bounds the keys and values of one Append, and so also the
	// one record of a group's metadata.
	AppendBytesMax int
	// GroupBytesMax bounds the metadata that a group's members hold together,
	// over all their protocols.
	GroupBytesMax int64
	// StateBytesMax bounds what all groups of the shard hold, as an estimate.
	// What is loaded is not refused; what would come on top is.
	StateBytesMax int64
	// PendingJoinsMax bounds the members of all groups that were given an id and
	// have not come back with it.
	PendingJoinsMax int
}

// DefaultConfig returns Kafka's defaults, with no Entropy.
func DefaultConfig() Config {
	return Config{
		MinSessionTimeout:      6 * time.Second,
		MaxSessionTimeout:      30 * time.Minute,
		InitialRebalanceDelay:  3 * time.Second,
		NewMemberTimeout:       5 * time.Minute,
		OffsetsRetention:       7 * 24 * time.Hour,
		OffsetsRetentionCheck:  10 * time.Minute,
		OffsetMetadataMaxBytes: 4096,
		AppendBytesMax:         1_000_000,
		GroupBytesMax:          16 << 20,
		StateBytesMax:          256 << 20,
		PendingJoinsMax:        1 << 16,
	}
}

// Bounds on what clients name.
const (
	// GroupIDMaxBytes bounds a group id.
	GroupIDMaxBytes = 1024
	// InstanceIDMaxBytes bounds an instance id, as Kafka's clients do.
	InstanceIDMaxBytes = 249
	// topicMaxBytes bounds a topic's name.
	topicMaxBytes = 249
	// nameMaxBytes bounds protocol types and names.
	nameMaxBytes = 255
	// clientMaxBytes is where client ids and hosts are cut off.
	clientMaxBytes = 255
	// protocolsMax bounds how many protocols a member offers.
	protocolsMax = 64
	// reasonMaxBytes is where reasons are cut off.
	reasonMaxBytes = 255
	// stringMaxBytes is what a string of a record can hold.
	stringMaxBytes = 1<<15 - 1
)

// withDefaults fills what has to have a value.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	orDuration := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	orDuration(&c.MinSessionTimeout, d.MinSessionTimeout)
	orDuration(&c.MaxSessionTimeout, d.MaxSessionTimeout)
	orDuration(&c.NewMemberTimeout, d.NewMemberTimeout)
	orDuration(&c.OffsetsRetentionCheck, d.OffsetsRetentionCheck)
	if c.OffsetMetadataMaxBytes <= 0 {
		c.OffsetMetadataMaxBytes = d.OffsetMetadataMaxBytes
	}
	c.OffsetMetadataMaxBytes = min(c.OffsetMetadataMaxBytes, stringMaxBytes)
	if c.AppendBytesMax <= 0 {
		c.AppendBytesMax = d.AppendBytesMax
	}
	if c.GroupBytesMax <= 0 {
		c.GroupBytesMax = d.GroupBytesMax
	}
	if c.StateBytesMax <= 0 {
		c.StateBytesMax = d.StateBytesMax
	}
	if c.PendingJoinsMax <= 0 {
		c.PendingJoinsMax = d.PendingJoinsMax
	}
	return c
}
