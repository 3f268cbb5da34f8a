package coordinator

import (
	"context"
	"log/slog"
	"time"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/group"
)

// Settings of a coordinator.
type Settings struct {
	// Group are those of each shard; New sets Entropy and Observe, NewCore Topic.
	// Entropy is for topic ids as well.
	Group group.Config
	// What the topic is made with, its replicas as far as there are brokers.
	Partitions        int32
	ReplicationFactor int32
	SegmentBytes      int64
	// RewriteBytes is the size below which no log is rewritten.
	RewriteBytes int64
	// SnapshotBytes is the size of the batches that a log is rewritten with; 0 is
	// the usual one.
	SnapshotBytes int64
}

const (
	// defaultRewriteBytes is a log that is replayed within a moment.
	defaultRewriteBytes = 8 << 20
	// stateBytes is what all groups together may hold, and shardStateBytes what
	// those of one partition always may.
	stateBytes      = 1 << 30
	shardStateBytes = 32 << 20
)

// SettingsOf derives the settings from a broker's.
func SettingsOf(b *config.Broker) Settings {
	g := group.DefaultConfig()
	g.MaxSize = int(b.GroupMaxSize)
	g.MinSessionTimeout, g.MaxSessionTimeout = b.GroupMinSessionTimeout, b.GroupMaxSessionTimeout
	g.InitialRebalanceDelay = b.GroupInitialRebalanceDelay
	g.OffsetsRetention = time.Duration(b.OffsetsRetentionMinutes) * time.Minute
	g.OffsetsRetentionCheck = b.OffsetsRetentionCheck
	g.OffsetMetadataMaxBytes = int(b.OffsetMetadataMaxBytes)
	g.StateBytesMax = max(shardStateBytes, stateBytes/int64(b.OffsetsTopicPartitions))
	return Settings{
		Group: g, Partitions: b.OffsetsTopicPartitions, ReplicationFactor: b.OffsetsTopicReplication,
		SegmentBytes: b.OffsetsTopicSegmentBytes, RewriteBytes: defaultRewriteBytes,
	}
}

var eventTexts = map[group.EventKind]string{
	group.EventRebalance: "group rebalances", group.EventGeneration: "group has a new generation",
	group.EventStable: "group is stable", group.EventEmpty: "group is empty", group.EventExpired: "member removed from group",
	group.EventLeft: "member left group", group.EventAppendFailed: "record of a group cannot be stored",
	group.EventDeleted: "group deleted", group.EventOffsetsExpired: "committed offsets expired",
}

// observe logs what happens to groups.
func observe(log *slog.Logger) func(group.Event) {
	return func(e group.Event) {
		level := slog.LevelDebug
		if e.Kind == group.EventAppendFailed {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, eventTexts[e.Kind], "group", e.GroupID, "member", e.MemberID, "generation", e.Generation, "count", e.Count, "reason", e.Reason)
	}
}
