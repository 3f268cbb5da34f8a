package config

import (
	"math"

	"github.com/varvelog/varve/internal/property"
)

var groupSettings = []setting{
	{Property: property.Property{
		Name: "group.min.session.timeout.ms", Type: property.Duration, Default: "6000", Bounds: property.Between(1, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "Shortest session timeout that a consumer may ask for.",
	}, field: func(b *Broker) any { return &b.GroupMinSessionTimeout }},
	{Property: property.Property{
		Name: "group.max.session.timeout.ms", Type: property.Duration, Default: "1800000", Bounds: property.Between(1, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "Longest session timeout that a consumer may ask for.",
	}, field: func(b *Broker) any { return &b.GroupMaxSessionTimeout }},
	{Property: property.Property{
		Name: "group.initial.rebalance.delay.ms", Type: property.Duration, Default: "3000", Bounds: property.Between(0, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "How long an empty group waits for more members before its first rebalance. 0 makes tests and single consumers start at once.",
	}, field: func(b *Broker) any { return &b.GroupInitialRebalanceDelay }},
	{Property: property.Property{
		Name: "group.max.size", Type: property.Int, Default: "2147483647", Bounds: property.AtLeast(1), Scope: property.StaticBroker,
		Doc: "Most members of a group.",
	}, field: func(b *Broker) any { return &b.GroupMaxSize }},
	{Property: property.Property{
		Name: "offset.metadata.max.bytes", Type: property.Bytes, Default: "4096", Bounds: property.Between(0, 1<<20), Scope: property.StaticBroker,
		Doc: "Longest metadata string beside a committed offset.",
	}, field: func(b *Broker) any { return &b.OffsetMetadataMaxBytes }},
	{Property: property.Property{
		Name: "offsets.topic.num.partitions", Type: property.Int, Default: "50", Bounds: property.Between(1, 10_000), Scope: property.StaticBroker,
		Doc: "Partitions of `__consumer_offsets`. Read when the topic is created; fixed from then on.",
	}, field: func(b *Broker) any { return &b.OffsetsTopicPartitions }},
	{Property: property.Property{
		Name: "offsets.topic.replication.factor", Type: property.Int, Default: "3", Bounds: property.Between(1, 32), Scope: property.StaticBroker,
		Doc: "Replicas of `__consumer_offsets`, as far as there are brokers when the topic is created.",
	}, field: func(b *Broker) any { return &b.OffsetsTopicReplication }},
	{Property: property.Property{
		Name: "offsets.topic.segment.bytes", Type: property.Bytes, Default: "104857600", Bounds: property.Between(1<<20, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "`segment.bytes` of `__consumer_offsets`.",
	}, field: func(b *Broker) any { return &b.OffsetsTopicSegmentBytes }},
	{Property: property.Property{
		Name: "offsets.retention.minutes", Type: property.Int, Default: "10080", Bounds: property.AtLeast(1), Scope: property.StaticBroker,
		Doc: "How long the offsets of a group without members are kept, in minutes.",
	}, field: func(b *Broker) any { return &b.OffsetsRetentionMinutes }},
	{Property: property.Property{
		Name: "offsets.retention.check.interval.ms", Type: property.Duration, Default: "600000", Bounds: millis1, Scope: property.StaticBroker,
		Doc: "How often expired offsets are looked for.",
	}, field: func(b *Broker) any { return &b.OffsetsRetentionCheck }},
	{Property: property.Property{
		Name: "offsets.commit.timeout.ms", Type: property.Duration, Default: "5000", Bounds: property.Between(1, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "How long an offset commit waits to be durable before it is answered with an error.",
	}, field: func(b *Broker) any { return &b.OffsetsCommitTimeout }},
	{Property: property.Property{
		Name: "transaction.max.timeout.ms", Type: property.Duration, Default: "900000", Bounds: property.Between(1, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "Longest transaction timeout that a producer may ask for.",
	}, field: func(b *Broker) any { return &b.TransactionMaxTimeout }},
	{Property: property.Property{
		Name: "transactional.id.expiration.ms", Type: property.Duration, Default: "604800000", Bounds: property.Between(1, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "How long a transactional id without transactions is remembered.",
	}, field: func(b *Broker) any { return &b.TransactionalIDExpiration }},
	{Property: property.Property{
		Name: "transaction.state.log.num.partitions", Type: property.Int, Default: "50", Bounds: property.Between(1, 10_000), Scope: property.StaticBroker,
		Doc: "Partitions of `__transaction_state`. Read when the topic is created; fixed from then on.",
	}, field: func(b *Broker) any { return &b.TransactionPartitions }},
	{Property: property.Property{
		Name: "transaction.state.log.replication.factor", Type: property.Int, Default: "3", Bounds: property.Between(1, 32), Scope: property.StaticBroker,
		Doc: "Replicas of `__transaction_state`, as far as there are brokers when the topic is created.",
	}, field: func(b *Broker) any { return &b.TransactionReplication }},
	{Property: property.Property{
		Name: "transaction.state.log.segment.bytes", Type: property.Bytes, Default: "104857600", Bounds: property.Between(1<<20, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "`segment.bytes` of `__transaction_state`.",
	}, field: func(b *Broker) any { return &b.TransactionSegmentBytes }},
}

var tierSettings = []setting{
	{Property: property.Property{
		Name: "tier.url", Type: property.String, Unset: true, DefaultDoc: "file://`log.dirs`/tier", Scope: property.StaticBroker, Check: checkTierURL,
		Doc: "The cold tier: `s3://bucket/prefix`, or `file://` and a directory. Parameters of S3: `region`, `endpoint` (for MinIO and others), `path_style`, `checksum`, as in `s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1`. Credentials come from the environment (AWS_ACCESS_KEY_ID, ...), never from here. Varve's own.",
	}, field: func(b *Broker) any { return &b.TierURL }},
	{Property: property.Property{
		Name: "remote.fetch.max.wait.ms", Type: property.Duration, Default: "500", Bounds: property.Between(1, math.MaxInt32), Scope: property.DynamicBroker,
		Doc: "How long a fetch waits for the cold tier before it returns what it has; the download goes on.",
	}, field: func(b *Broker) any { return &b.RemoteFetchMaxWait }},
	{Property: property.Property{
		Name: "remote.list.offsets.request.timeout.ms", Type: property.Duration, Default: "30000", Bounds: millis1, Scope: property.DynamicBroker,
		Doc: "How long a lookup by timestamp waits for the cold tier.",
	}, field: func(b *Broker) any { return &b.RemoteListOffsetsTimeout }},
	{Property: property.Property{
		Name: "remote.log.manager.task.interval.ms", Type: property.Duration, Default: "30000", Bounds: millis1, Scope: property.StaticBroker,
		Doc: "How often all partitions are looked at for segments to copy to the cold tier or to delete there. Partitions that are written to are looked at whenever a segment is closed.",
	}, field: func(b *Broker) any { return &b.RemoteTaskInterval }},
	{Property: property.Property{
		Name: "remote.log.manager.copy.max.bytes.per.second", Type: property.Bytes, Default: maxLong, Bounds: property.AtLeast(1), Scope: property.DynamicBroker,
		Doc: "Bytes a second that the broker copies to the cold tier.",
	}, field: func(b *Broker) any { return &b.RemoteCopyBytesPerSec }},
	{Property: property.Property{
		Name: "remote.log.manager.fetch.max.bytes.per.second", Type: property.Bytes, Default: maxLong, Bounds: property.AtLeast(1), Scope: property.DynamicBroker,
		Doc: "Bytes a second that the broker reads from the cold tier.",
	}, field: func(b *Broker) any { return &b.RemoteFetchBytesPerSec }},
	{Property: property.Property{
		Name: "remote.log.manager.copier.thread.pool.size", Type: property.Int, Default: "2", Bounds: property.Between(1, 64), Scope: property.StaticBroker,
		Doc: "How many segments are copied to the cold tier at a time.",
	}, field: func(b *Broker) any { return &b.RemoteCopierThreads }},
	{Property: property.Property{
		Name: "remote.log.reader.threads", Type: property.Int, Default: "10", Bounds: property.Between(1, 256), Scope: property.StaticBroker,
		Doc: "How many reads of the cold tier are served at a time. Reads of the local log do not use them.",
	}, field: func(b *Broker) any { return &b.RemoteReaderThreads }},
	{Property: property.Property{
		Name: "remote.log.reader.max.pending.tasks", Type: property.Int, Default: "1000", Bounds: property.Between(1, 100_000), Scope: property.StaticBroker,
		Doc: "How many reads of the cold tier may wait; beyond, a fetch returns nothing for the partition and the consumer asks again.",
	}, field: func(b *Broker) any { return &b.RemoteReaderPendingMax }},
	{Property: property.Property{
		Name: "tier.delete.delay.ms", Type: property.Duration, Default: "60000", Bounds: millis, Scope: property.StaticBroker,
		Doc: "How long an object stays in the cold tier after retention, DeleteRecords or the deletion of its topic took it out of the log, for readers that still use it. Varve's own.",
	}, field: func(b *Broker) any { return &b.TierDeleteDelay }},
	{Property: property.Property{
		Name: "tier.cache.bytes", Type: property.Bytes, Default: "1073741824", Bounds: property.Between(16<<20, 1<<50), Scope: property.StaticBroker,
		Doc: "Disk space, in `log.dirs`/cache, for parts of the cold tier that were read. Varve's own.",
	}, field: func(b *Broker) any { return &b.TierCacheBytes }},
	{Property: property.Property{
		Name: "tier.read.memory.bytes", Type: property.Bytes, Default: "134217728", Bounds: property.Between(32<<20, 1<<40), Scope: property.StaticBroker,
		Doc: "Memory for what is being read from the cold tier, read-ahead included. Varve's own.",
	}, field: func(b *Broker) any { return &b.TierReadMemoryBytes }},
	{Property: property.Property{
		Name: "tier.verify", Type: property.Enum, Default: "auto", Values: []string{"auto", "full"}, Scope: property.StaticBroker,
		Doc: "How a segment is verified in the cold tier before its local copy may go: `auto` trusts a checksum that the store itself keeps and reads the data back where it keeps none, `full` always reads all of it back. Varve's own.",
	}, field: func(b *Broker) any { return &b.TierVerify }},
}

var ownSettings = []setting{
	{Property: property.Property{
		Name: "wal.bytes.max", Type: property.Bytes, Default: "268435456", Bounds: property.Between(16<<20, 64<<30), Scope: property.StaticBroker,
		Doc: "Bytes of the write-ahead log that a restart may have to replay. Produce slows down from about 40 % of it on, more and more. A checkpoint that does not fit may take a file more, and one that frees files as many as it needs. At least twice `wal.file.bytes`. Varve's own.",
	}, field: func(b *Broker) any { return &b.WALBytesMax }},
	{Property: property.Property{
		Name: "wal.file.bytes", Type: property.Bytes, Default: "67108864", Bounds: property.Between(8<<20, 4<<30), Scope: property.StaticBroker,
		Doc: "Size of one file of the write-ahead log. Varve's own.",
	}, field: func(b *Broker) any { return &b.WALFileBytes }},
	{Property: property.Property{
		Name: "tail.cache.bytes", Type: property.Bytes, Default: "134217728", Bounds: property.Between(1<<20, 1<<40), Scope: property.StaticBroker,
		Doc: "Memory for the newest records of all partitions together, from which consumers at the tail are served. Varve's own.",
	}, field: func(b *Broker) any { return &b.TailCacheBytes }},
	{Property: property.Property{
		Name: "disk.reserve.bytes", Type: property.Bytes, Default: "67108864", Bounds: property.Between(1<<20, 1<<40), Scope: property.StaticBroker,
		Doc: "Free space that produce never takes, so that retention and deletion always get through and free more. Varve's own.",
	}, field: func(b *Broker) any { return &b.DiskReserveBytes }},
	{Property: property.Property{
		Name: "disk.failure.action", Type: property.Enum, Default: "serve", Values: []string{"serve", "exit"}, Scope: property.StaticBroker,
		Doc: "What a broker does when the disk of its write-ahead log fails: `serve` goes on answering what is stored and refuses whatever would be written with KAFKA_STORAGE_ERROR until it is restarted, and `/healthz` says so; `exit` ends with an error at once, for a supervisor that starts it again. In both nothing is acknowledged after the failure. Varve's own.",
	}, field: func(b *Broker) any { return &b.DiskFailureAction }},
	{Property: property.Property{
		Name: "checkpoint.sync", Type: property.Enum, Default: "auto", Values: []string{"auto", "files"}, Scope: property.StaticBroker,
		Doc: "How a checkpoint makes segments durable: `auto` syncs the whole file system once where segments are written past the page cache (direct I/O), which is much faster with many partitions, `files` always syncs file by file. Choose `files` if other programs write much to the same file system: its sync waits for their data too. Varve's own.",
	}, field: func(b *Broker) any { return &b.CheckpointSync }},
	{Property: property.Property{
		Name: "log.format", Type: property.Enum, Default: "text", Values: []string{"text", "json"}, Scope: property.StaticBroker,
		Doc: "Format of the broker's own messages on standard error. Varve's own.",
	}, field: func(b *Broker) any { return &b.LogFormat }},
	{Property: property.Property{
		Name: "log.level", Type: property.Enum, Default: "info", Values: []string{"debug", "info", "warn", "error"}, Scope: property.DynamicBroker,
		Doc: "Least severe of the broker's own messages that are written. Varve's own.",
	}, field: func(b *Broker) any { return &b.LogLevel }},
	{Property: property.Property{
		Name: "metrics.series.max", Type: property.Int, Default: "1000", Bounds: property.Between(1, 100_000), Scope: property.StaticBroker,
		Doc: "How many topics have metrics of their own, and as many pairs of topic and stage and of group and topic; the rest is summed as `other`. A topic has about ten series. Varve's own.",
	}, field: func(b *Broker) any { return &b.MetricsSeriesMax }},
}
