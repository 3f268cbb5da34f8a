package config

import (
	"math"

	"github.com/varvelog/varve/internal/property"
)

// A topicSetting is a topic property and the field of Topic that it fills; the
// field is nil where the property has no effect.
type topicSetting struct {
	property.Property
	field func(*Topic) any
}

// Bounds and defaults that several rows share.
const (
	minuteMs = 60 * 1000
	hourMs   = 60 * minuteMs
	dayMs    = 24 * hourMs

	// messageBytesMax bounds a record batch, whatever is configured: buffers of
	// the produce path are planned for it.
	messageBytesMax = 32 << 20

	maxLong = "9223372036854775807" // Kafka's "never"
)

var (
	millis   = property.AtLeast(0)
	millis1  = property.AtLeast(1)
	orNoneMs = property.AtLeast(-1)
)

// synonyms returns the synonyms of the given names, all in the topic's units.
func synonyms(names ...string) []property.Synonym {
	out := make([]property.Synonym, len(names))
	for i, name := range names {
		out[i].Name = name
	}
	return out
}

// timeSynonyms returns a name in milliseconds and, behind it, others in larger
// units.
func timeSynonyms(ms string, larger ...property.Synonym) []property.Synonym {
	return append(synonyms(ms), larger...)
}

var topicSettings = func() []topicSetting {
	var all []topicSetting
	for _, part := range [][]topicSetting{topicLog, topicMessages, topicCompaction, topicRemote, topicOwn, topicInert} {
		all = append(all, part...)
	}
	for i := range all {
		all[i].Scope, all[i].Since = property.Topic, "0.1"
	}
	return all
}()

var topicTable = func() *property.Table {
	props := make([]property.Property, len(topicSettings))
	for i := range topicSettings {
		props[i] = topicSettings[i].Property
	}
	return property.MustTable(props...)
}()

var topicLog = []topicSetting{
	{property.Property{
		Name: "cleanup.policy", Type: property.List, Default: "delete", Values: []string{"delete", "compact"},
		Synonyms: synonyms("log.cleanup.policy"),
		Doc:      "How old records go: `delete` removes whole segments by retention, `compact` keeps the last record of every key, both together do both. An empty list keeps everything.",
	}, func(t *Topic) any { return &t.CleanupPolicy }},
	{property.Property{
		Name: "retention.ms", Type: property.Duration, Default: "604800000", Bounds: orNoneMs,
		Synonyms: timeSynonyms("log.retention.ms",
			property.Synonym{Name: "log.retention.minutes", Scale: minuteMs}, property.Synonym{Name: "log.retention.hours", Scale: hourMs}),
		Doc: "How long a record is kept, local and remote together, by its timestamp. -1 keeps it for ever.",
	}, func(t *Topic) any { return &t.Retention }},
	{property.Property{
		Name: "retention.bytes", Type: property.Bytes, Default: "-1", Bounds: property.AtLeast(-1),
		Synonyms: synonyms("log.retention.bytes"),
		Doc:      "How many bytes of a partition are kept, local and remote together. -1 sets no limit.",
	}, func(t *Topic) any { return &t.RetentionBytes }},
	{property.Property{
		Name: "segment.bytes", Type: property.Bytes, Default: "1073741824", Bounds: property.Between(1<<20, math.MaxInt32),
		Synonyms: synonyms("log.segment.bytes"),
		Doc:      "Size at which a segment is closed and a new one begun. Retention and offload work by whole segments.",
	}, func(t *Topic) any { return &t.SegmentBytes }},
	{property.Property{
		Name: "segment.ms", Type: property.Duration, Default: "604800000", Bounds: millis1,
		Synonyms: timeSynonyms("log.roll.ms", property.Synonym{Name: "log.roll.hours", Scale: hourMs}),
		Doc:      "Age at which a segment is closed even if it is not full, so that retention and compaction can reach it.",
	}, func(t *Topic) any { return &t.SegmentAge }},
	{property.Property{
		Name: "segment.jitter.ms", Type: property.Duration, Default: "0", Bounds: millis,
		Synonyms: timeSynonyms("log.roll.jitter.ms", property.Synonym{Name: "log.roll.jitter.hours", Scale: hourMs}),
		Doc:      "At most so much earlier than `segment.ms` a segment is closed, so that partitions do not close theirs all at once.",
	}, func(t *Topic) any { return &t.SegmentJitter }},
	{property.Property{
		Name: "index.interval.bytes", Type: property.Bytes, Default: "4096", Bounds: property.Between(0, math.MaxInt32),
		Synonyms: synonyms("log.index.interval.bytes"),
		Doc:      "How many bytes of batches lie between two entries of a segment's index.",
	}, func(t *Topic) any { return &t.IndexIntervalBytes }},
}

var topicMessages = []topicSetting{
	{property.Property{
		Name: "max.message.bytes", Type: property.Bytes, Default: "1048588", Bounds: property.Between(0, messageBytesMax),
		Synonyms: synonyms("message.max.bytes"),
		Doc:      "Largest record batch that a producer may send, as sent. A larger one gets MESSAGE_TOO_LARGE.",
	}, func(t *Topic) any { return &t.MaxMessageBytes }},
	{property.Property{
		Name: "compression.type", Type: property.Enum, Default: "producer",
		Values:   []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"},
		Synonyms: synonyms("compression.type"),
		Doc:      "Codec of stored batches. `producer` stores them as they were sent; any other value recompresses those that came with another codec.",
	}, func(t *Topic) any { return &t.CompressionType }},
	{property.Property{
		Name: "compression.gzip.level", Type: property.Int, Default: "-1", Bounds: property.Between(1, 9), Also: []int64{-1},
		Synonyms: synonyms("compression.gzip.level"),
		Doc:      "Level where the broker compresses with gzip. -1 is the codec's default.",
	}, func(t *Topic) any { return &t.CompressionGzipLevel }},
	{property.Property{
		Name: "compression.lz4.level", Type: property.Int, Default: "9", Bounds: property.Between(1, 17),
		Synonyms: synonyms("compression.lz4.level"),
		Doc:      "Level where the broker compresses with lz4.",
	}, func(t *Topic) any { return &t.CompressionLz4Level }},
	{property.Property{
		Name: "compression.zstd.level", Type: property.Int, Default: "3", Bounds: property.Between(-131072, 22),
		Synonyms: synonyms("compression.zstd.level"),
		Doc:      "Level where the broker compresses with zstd.",
	}, func(t *Topic) any { return &t.CompressionZstdLevel }},
	{property.Property{
		Name: "message.timestamp.type", Type: property.Enum, Default: "CreateTime", Values: []string{"CreateTime", "LogAppendTime"},
		Synonyms: synonyms("log.message.timestamp.type"),
		Doc:      "Whose clock a record's timestamp is from: the producer's, or the leader's at the append.",
	}, func(t *Topic) any { return &t.TimestampType }},
	{property.Property{
		Name: "message.timestamp.before.max.ms", Type: property.Duration, Default: maxLong, Bounds: millis,
		Synonyms: synonyms("log.message.timestamp.before.max.ms"),
		Doc:      "How far a producer's timestamp may lie before the broker's clock. Older ones get INVALID_TIMESTAMP. Of no meaning with LogAppendTime.",
	}, func(t *Topic) any { return &t.TimestampBeforeMax }},
	{property.Property{
		Name: "message.timestamp.after.max.ms", Type: property.Duration, Default: "3600000", Bounds: millis,
		Synonyms: synonyms("log.message.timestamp.after.max.ms"),
		Doc:      "How far a producer's timestamp may lie after the broker's clock. Later ones get INVALID_TIMESTAMP. Of no meaning with LogAppendTime.",
	}, func(t *Topic) any { return &t.TimestampAfterMax }},
	{property.Property{
		Name: "min.insync.replicas", Type: property.Int, Default: "1", Bounds: property.AtLeast(1),
		Synonyms: synonyms("min.insync.replicas"),
		Doc:      "Replicas that must be in sync before a produce is accepted. It is a floor on top of the majority that every write needs.",
	}, func(t *Topic) any { return &t.MinInSyncReplicas }},
}

var topicCompaction = []topicSetting{
	{property.Property{
		Name: "delete.retention.ms", Type: property.Duration, Default: "86400000", Bounds: millis,
		Synonyms: synonyms("log.cleaner.delete.retention.ms"),
		Doc:      "How long compaction keeps a tombstone, a record with a null value, so that a reader from the start sees the deletion.",
	}, func(t *Topic) any { return &t.DeleteRetention }},
	{property.Property{
		Name: "min.compaction.lag.ms", Type: property.Duration, Default: "0", Bounds: millis,
		Synonyms: synonyms("log.cleaner.min.compaction.lag.ms"),
		Doc:      "Age that a record must have before compaction may remove it.",
	}, func(t *Topic) any { return &t.MinCompactionLag }},
	{property.Property{
		Name: "max.compaction.lag.ms", Type: property.Duration, Default: maxLong, Bounds: millis1,
		Synonyms: synonyms("log.cleaner.max.compaction.lag.ms"),
		Doc:      "Age at which a record is compacted whatever the dirty ratio says.",
	}, func(t *Topic) any { return &t.MaxCompactionLag }},
	{property.Property{
		Name: "min.cleanable.dirty.ratio", Type: property.Double, Default: "0.5", MinReal: 0, MaxReal: 1,
		Synonyms: synonyms("log.cleaner.min.cleanable.ratio"),
		Doc:      "Share of a partition's bytes that must be uncompacted before compaction runs.",
	}, func(t *Topic) any { return &t.MinCleanableDirtyRatio }},
}

var topicRemote = []topicSetting{
	{property.Property{
		Name: "remote.storage.enable", Type: property.Bool, Default: "false",
		Synonyms: synonyms("log.remote.storage.enable"),
		Doc:      "Whether closed segments are copied to the cold tier (`tier.url`) and, beyond local retention, read from there. Not for compacted topics. Turning it off for a topic that has it requires `remote.log.delete.on.disable=true`.",
	}, func(t *Topic) any { return &t.RemoteStorageEnable }},
	{property.Property{
		Name: "local.retention.ms", Type: property.Duration, Default: "-2", Bounds: property.AtLeast(-2),
		Synonyms: synonyms("log.local.retention.ms"),
		Doc:      "How long a segment that is in the cold tier also stays on local disk. -2 means `retention.ms`. At most `retention.ms`.",
	}, func(t *Topic) any { return &t.LocalRetention }},
	{property.Property{
		Name: "local.retention.bytes", Type: property.Bytes, Default: "-2", Bounds: property.AtLeast(-2),
		Synonyms: synonyms("log.local.retention.bytes"),
		Doc:      "How many bytes of a tiered partition stay on local disk. -2 means `retention.bytes`. At most `retention.bytes`.",
	}, func(t *Topic) any { return &t.LocalRetentionBytes }},
	{property.Property{
		Name: "remote.log.copy.disable", Type: property.Bool, Default: "false",
		Doc: "Stops copying to the cold tier; what is there stays readable. Local and total retention must then be equal.",
	}, func(t *Topic) any { return &t.RemoteCopyDisable }},
	{property.Property{
		Name: "remote.log.delete.on.disable", Type: property.Bool, Default: "false",
		Doc: "Whether the remote data of the topic is deleted when `remote.storage.enable` is turned off.",
	}, func(t *Topic) any { return &t.RemoteDeleteOnDisable }},
	{property.Property{
		Name: "remote.copy.lag.ms", Type: property.Duration, Default: "0", Bounds: orNoneMs,
		Synonyms: synonyms("log.remote.copy.lag.ms"),
		Doc:      "Age that a closed segment must have before it is copied to the cold tier; 0 copies at once, -1 takes the age from local retention. Either this or `remote.copy.lag.bytes` suffices.",
	}, func(t *Topic) any { return &t.RemoteCopyLag }},
	{property.Property{
		Name: "remote.copy.lag.bytes", Type: property.Bytes, Default: "-1", Bounds: property.AtLeast(-1),
		Synonyms: synonyms("log.remote.copy.lag.bytes"),
		Doc:      "Bytes that must lie behind a closed segment before it is copied to the cold tier; 0 copies at once, -1 takes the size from local retention.",
	}, func(t *Topic) any { return &t.RemoteCopyLagBytes }},
}

var topicOwn = []topicSetting{
	{property.Property{
		Name: "plugin.chain", Type: property.List, Default: "", ItemsMax: 64, Check: checkChain,
		Doc: "The stages that every record of the topic passes before it is stored, in order, such as `redact-email,validate-order`. Empty: none. Varve's own.",
	}, func(t *Topic) any { return &t.PluginChain }},
	{property.Property{
		Name: "fetch.filler.enable", Type: property.Bool, Default: "true",
		Doc: "Whether a fetch that ends in offsets without records gets a control batch over them, so that consumers come to the end of the log. Turn it off only for clients that show control records to the application. Varve's own.",
	}, func(t *Topic) any { return &t.FetchFillerEnable }},
}

const inertDoc = "Accepted so that tools written for Kafka work; it changes nothing. "

var topicInert = []topicSetting{
	{inert(property.Property{
		Name: "flush.messages", Type: property.Long, Default: maxLong, Bounds: property.AtLeast(1),
		Synonyms: synonyms("log.flush.interval.messages"), Doc: "Every record is durable before it is acknowledged.",
	}), nil},
	{inert(property.Property{
		Name: "flush.ms", Type: property.Duration, Default: maxLong, Bounds: millis,
		Synonyms: synonyms("log.flush.interval.ms", "log.flush.scheduler.interval.ms"), Doc: "Every record is durable before it is acknowledged.",
	}), nil},
	{inert(property.Property{
		Name: "segment.index.bytes", Type: property.Bytes, Default: "10485760", Bounds: property.Between(4, math.MaxInt32),
		Synonyms: synonyms("log.index.size.max.bytes"), Doc: "An index is as large as its segment needs.",
	}), nil},
	{inert(property.Property{
		Name: "file.delete.delay.ms", Type: property.Duration, Default: "60000", Bounds: millis,
		Synonyms: synonyms("log.segment.delete.delay.ms"), Doc: "A file goes once the deletion is durable and no reader uses it.",
	}), nil},
	{inert(property.Property{
		Name: "preallocate", Type: property.Bool, Default: "false",
		Synonyms: synonyms("log.preallocate"), Doc: "Space is reserved before every write.",
	}), nil},
	{inert(property.Property{
		Name: "unclean.leader.election.enable", Type: property.Bool, Default: "false",
		Synonyms: synonyms("unclean.leader.election.enable"), Doc: "A replica that misses acknowledged records is never elected.",
	}), nil},
	{inert(property.Property{
		Name: "message.downconversion.enable", Type: property.Bool, Default: "true",
		Synonyms: synonyms("log.message.downconversion.enable"), Doc: "There is one record format.",
	}), nil},
	{inert(property.Property{
		Name: "leader.replication.throttled.replicas", Type: property.List, Default: "", ItemsMax: 4096,
		Doc: "The broker paces replication itself.",
	}), nil},
	{inert(property.Property{
		Name: "follower.replication.throttled.replicas", Type: property.List, Default: "", ItemsMax: 4096,
		Doc: "The broker paces replication itself.",
	}), nil},
	{inert(property.Property{
		Name: "errors.deadletterqueue.group.enable", Type: property.Bool, Default: "false",
		Doc: "There are no share groups; dead letters come from plugin chains.",
	}), nil},
}

func inert(p property.Property) property.Property {
	p.NoEffect = true
	p.Doc = inertDoc + p.Doc
	return p
}
