package metrics

import "github.com/varvelog/varve/internal/metric"

// table declares all metrics, in the order of the reference page.
var table metric.Table

// Table returns the declarations.
func Table() *metric.Table { return &table }

// Labels that several metrics have. Topics, stages and groups are bounded by the
// setting metrics.series.max.
var (
	topic = metric.Open("topic")
	stage = metric.Open("stage")
	group = metric.Open("group")
	// There are fewer API keys and error codes in Kafka than these.
	api  = metric.AtMost("api", 128)
	code = metric.AtMost("code", 256)
)

// Bounds of histograms that count bytes and records.
var (
	bytesBounds   = metric.Powers(4<<10, 4, 8) // 4 KiB to 64 MiB
	recordsBounds = metric.Powers(1, 2, 14)    // 1 to 8,192
)

var _ = table.Section("Requests")

// Requests of Kafka clients.
var (
	RequestDuration = table.SecondsHistogram("varve_kafka_request_duration_seconds",
		"Time from the last byte of a request to its answer being ready to be written. For Fetch it includes the wait for data.", metric.Latencies, api)
	RequestErrors = table.Counter("varve_kafka_request_errors_total",
		"Error codes in answers, one for every request, topic, partition or other part of an answer that has one.", api, code)
	RequestsAborted = table.Counter("varve_kafka_requests_aborted_total",
		"Requests that ended their connection instead of being answered: they could not be decoded, or failed with acks=0.", api)
	FetchReadDuration = table.SecondsHistogram("varve_kafka_fetch_read_duration_seconds",
		"Time that a fetch took to read what it answered, without the wait for data.", metric.Latencies)
)

var _ = table.Section("Topics")

// Topics and their partitions on this broker.
var (
	TopicReceivedBytes = table.Counter("varve_topic_received_bytes_total",
		"Bytes of record batches that clients produced and that were acknowledged, as the client sent them. Duplicates are not counted.", topic)
	TopicReceivedRecords = table.Counter("varve_topic_received_records_total",
		"Records in those batches, whatever a chain made of them.", topic)
	TopicReceivedBatches = table.Counter("varve_topic_received_batches_total",
		"Record batches that clients produced and that were acknowledged.", topic)
	TopicSentBytes = table.Counter("varve_topic_sent_bytes_total",
		"Bytes of record batches in answers to Fetch.", topic)
	TopicSentRecords = table.Counter("varve_topic_sent_records_total",
		"Records in those batches. Fetch answers with whole batches, so they may be more than the client asked for.", topic)
	TopicLogBytes = table.Gauge("varve_topic_log_bytes",
		"Bytes of the topic's logs on this broker's disk.", topic)
	TopicPartitions = table.Gauge("varve_topic_partitions",
		"Partitions of the topic on this broker.", topic)
	Partitions = table.Gauge("varve_partitions",
		"Partitions on this broker by state: serving, waiting (it does not lead yet) or damaged (parked, or could not be opened; clients get KAFKA_STORAGE_ERROR).",
		metric.OneOf("state", "serving", "waiting", "damaged"))
	OutboxRecords = table.Gauge("varve_outbox_records",
		"Dead letters of the topic that are not yet in their target.", topic)
	OutboxBytes = table.Gauge("varve_outbox_bytes",
		"Bytes of those.", topic)
)

var _ = table.Section("Consumer groups")

// Consumer groups that this broker coordinates.
var (
	Groups = table.Gauge("varve_groups", "Consumer groups that this broker coordinates, by Kafka's name of their state.",
		metric.OneOf("state", "Empty", "PreparingRebalance", "CompletingRebalance", "Stable"))
	GroupLag = table.Gauge("varve_group_lag_records",
		"Offsets between what the group committed and the end of the log, over all partitions of the topic that it committed for. Holes count, as in Kafka.", group, topic)
)

var _ = table.Section("Connections and memory of requests")

// Connections of Kafka clients.
var (
	Connections         = table.Gauge("varve_connections", "Open connections of Kafka clients.")
	ConnectionsAccepted = table.Counter("varve_connections_accepted_total", "Connections that were accepted.")
	ConnectionsRefused  = table.Counter("varve_connections_refused_total",
		"Connections that were closed at once, by the setting that bounds them.", metric.OneOf("setting", "max.connections", "max.connections.per.ip"))
	NetworkReceivedBytes = table.Counter("varve_network_received_bytes_total", "Bytes of requests that were read.")
	NetworkSentBytes     = table.Counter("varve_network_sent_bytes_total", "Bytes of answers that were handed to connections.")
	RequestMemory        = table.Gauge("varve_request_memory_bytes",
		"Memory that requests hold: large is Produce, and what decodes to more than the others may have; small are all others once they have arrived, arriving before.", budget)
	RequestMemoryLimit = table.Gauge("varve_request_memory_limit_bytes",
		"Bound of that memory. Connections wait where a request does not fit.", budget)
	RequestMemoryWaiting = table.Gauge("varve_request_memory_waiting_connections",
		"Connections whose next request waits for memory.")
	budget         = metric.OneOf("budget", "small", "large", "arriving")
	ResponseMemory = table.Gauge("varve_response_memory_bytes",
		"Memory of answers that clients have not taken yet, and what is reserved for those of Fetch.")
	ResponseMemoryLimit = table.Gauge("varve_response_memory_limit_bytes",
		"Bound of that memory. Fetches wait where an answer does not fit.")
	ResponseMemoryWaiting = table.Gauge("varve_response_memory_waiting_requests",
		"Fetches that wait for memory for their answers.")
)

var _ = table.Section("Write-ahead log, segments and caches")

// The log engine.
var (
	CommitDuration = table.SecondsHistogram("varve_wal_commit_duration_seconds",
		"Time of one group commit: one write and one sync of the write-ahead log, on which every produce waits.", metric.Latencies)
	CommitBytes = table.Histogram("varve_wal_commit_bytes",
		"Bytes of a group commit on disk, padding included. Their sum is what was written to the write-ahead log.", bytesBounds)
	CommitRecords = table.Histogram("varve_wal_commit_records",
		"Entries of a group commit.", recordsBounds)
	WALDebt = table.Gauge("varve_wal_debt_bytes",
		"Bytes of the write-ahead log that a restart would replay now, since no checkpoint covers them.")
	WALDebtLimit = table.Gauge("varve_wal_debt_limit_bytes",
		"The setting wal.bytes.max: at this debt produce waits for a checkpoint.")
	WALWaiting = table.Gauge("varve_wal_waiting_bytes",
		"Bytes of batches that wait for space in the write-ahead log or on disk.")
	WALPaced = table.Counter("varve_wal_paced_bytes_total",
		"Bytes of batches that were held back for a moment because varve_wal_debt_bytes had grown: produce slows down before it would have to stop.")
	Checkpoints     = table.Counter("varve_checkpoints_total", "Checkpoints that were made.")
	SegmentDuration = table.SecondsHistogram("varve_segment_task_duration_seconds",
		"Time of one task on the disk beside group commits: prepare makes or removes a file of the write-ahead log, segment writes a run of a segment, sync makes segments durable or removes them.",
		metric.Latencies, metric.OneOf("task", "prepare", "segment", "sync"))
	DiskFree       = table.Gauge("varve_disk_free_bytes", "Free bytes of the disk that holds the data directory.")
	DiskReserve    = table.Gauge("varve_disk_reserve_bytes", "The setting disk.reserve.bytes: produce is refused where less is free.")
	TailCache      = table.Gauge("varve_tail_cache_bytes", "Bytes of the newest batches that are kept in memory.")
	TailCacheReads = table.Counter("varve_tail_cache_reads_total", "Reads of the local log by where they were served from: memory, or a file.", metric.OneOf("from", "memory", "file"))
	TailCacheLimit = table.Gauge("varve_tail_cache_limit_bytes", "The setting tail.cache.bytes.")
	IndexCache     = table.Gauge("varve_index_cache_bytes", "Bytes of segment indexes in memory.")
	IndexLoads     = table.Counter("varve_index_loads_total", "Index files that were read, since the index of a segment was not in memory.")
	IndexRebuilds  = table.Counter("varve_index_rebuilds_total", "Indexes that were made anew from their segment, since their file was damaged or missing.")
	SegmentFiles   = table.Gauge("varve_segment_files_open", "Segment files that are open for reading.")
)

var _ = table.Section("Chains of plugins")

// Chains.
var (
	StageRecords = table.Counter("varve_stage_records_total",
		"Records that came to the stage, by what became of them there: kept, replaced or dropped by the plugin, skipped as the plugin takes no null values, or failed and then rejected, dead-lettered, dropped (failed_dropped) or passed on. If any record of a batch is rejected, nothing of the batch is stored.",
		topic, stage, metric.OneOf("outcome", "kept", "replaced", "dropped", "skipped", "rejected", "dead_lettered", "failed_dropped", "passed"))
	StageFailures = table.Counter("varve_stage_failures_total",
		"Records that failed in the stage: rejected or dead-lettered by the plugin, or trapped, out of fuel, answered with garbage.", topic, stage)
	StageTraps = table.Counter("varve_stage_traps_total",
		"Calls of the stage's plugin that trapped or ran out of fuel or memory.", topic, stage)
	StageCalls = table.Counter("varve_stage_calls_total", "Calls of the stage's plugin.", topic, stage)
	StageRun   = table.SecondsCounter("varve_stage_run_seconds_total",
		"Time inside the stage's plugin. Plugins never wait, so this is CPU time as long as the machine has a core free for them.", topic, stage)
	StageWait = table.SecondsCounter("varve_stage_wait_seconds_total",
		"Time that batches waited for an instance of the stage's plugin.", topic, stage)
	StageFuel     = table.Counter("varve_stage_fuel_total", "Fuel that the stage's plugin used: about one for an instruction.", topic, stage)
	DeadLetters   = table.Counter("varve_dead_letters_total", "Dead letters that batches left behind on their way to the log.", topic, stage)
	ChainErrors   = table.Counter("varve_chain_errors_total", "Batches that were refused because the chain could not be run; clients send them again.", topic)
	ChainDuration = table.SecondsHistogram("varve_chain_duration_seconds", "Time that a chain took for one batch.", metric.Latencies)
	ChainQueue    = table.SecondsHistogram("varve_chain_queue_duration_seconds", "Time that a batch waited for a worker before its chain ran.", metric.Latencies)
	ChainQueued   = table.Gauge("varve_chain_queued_batches", "Batches that wait for a worker now.")
	PluginMemory  = table.Gauge("varve_plugin_memory_bytes", "Memory of all plugin instances.")
)

var _ = table.Section("Cold tier")

// The cold tier.
var (
	TierLagBytes       = table.Gauge("varve_tier_lag_bytes", "Bytes of sealed segments that are to be uploaded and are not.")
	TierLagSegments    = table.Gauge("varve_tier_lag_segments", "Sealed segments that are to be uploaded and are not.")
	TierUploads        = table.Counter("varve_tier_uploads_total", "Segments that were uploaded and verified.")
	TierUploadedBytes  = table.Counter("varve_tier_uploaded_bytes_total", "Bytes of those.")
	TierUploadErrors   = table.Counter("varve_tier_upload_errors_total", "Attempts to upload a segment that failed; they are repeated.")
	TierDownloads      = table.Counter("varve_tier_downloads_total", "Chunks that were downloaded, since they were neither in memory nor in the cache on disk, or ahead of a reader.")
	TierDownloadBytes  = table.Counter("varve_tier_downloaded_bytes_total", "Bytes that were downloaded.")
	TierDownloadErrors = table.Counter("varve_tier_download_errors_total", "Downloads that failed; clients that need them are told to try again.")
	TierDamaged        = table.Counter("varve_tier_damaged_total", "Chunks of remote segments that were not what was uploaded. They are never served.")
	TierMemoryHits     = table.Counter("varve_tier_memory_hits_total", "Chunks that a reader found in memory, or on their way there.")
	TierCacheHits      = table.Counter("varve_tier_cache_hits_total", "Chunks that a reader found in the cache on disk.")
	TierCacheBytes     = table.Gauge("varve_tier_cache_bytes", "Bytes of the chunks in the cache on disk.")
	TierCacheEvictions = table.Counter("varve_tier_cache_evictions_total", "Chunks that left the cache for want of space or for their age.")
	TierReading        = table.Gauge("varve_tier_reads_pending", "Reads by clients that wait for the cold tier or use it now.")
	TierDeletes        = table.Counter("varve_tier_deletes_total", "Objects that were deleted.")
	TierDeleteErrors   = table.Counter("varve_tier_delete_errors_total", "Attempts to delete objects that failed; they are repeated.")
)

var _ = table.Section("Broker")

// The broker as a whole.
var (
	BuildInfo = table.Gauge("varve_build_info", "1, with what was built as labels.",
		metric.AtMost("version", 1), metric.AtMost("revision", 1), metric.AtMost("go_version", 1))
	Ready       = table.Gauge("varve_ready", "1 while clients are served, else 0.")
	Failed      = table.Gauge("varve_disk_failed", "1 once the disk of the write-ahead log failed: nothing is written until a restart, what is stored is served.")
	LogMessages = table.Counter("varve_log_messages_total", "The broker's own messages that were written, by level.",
		metric.OneOf("level", "debug", "info", "warn", "error"))
	OwnerTurn = table.SecondsHistogram("varve_owner_turn_duration_seconds",
		"Time of one turn of the goroutine that decides for all partitions. What takes longer than a few milliseconds holds up every produce.", metric.Latencies)
	OwnerAge = table.Gauge("varve_owner_values_age_seconds",
		"Age of the values that only that goroutine can tell, such as varve_wal_debt_bytes and varve_outbox_records: 0, or how long it has not answered scrapes.")
)
