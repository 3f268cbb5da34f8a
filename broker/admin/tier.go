package admin

// TierStatus is how the log stands in the cold tier.
type TierStatus struct {
	Store      string          `json:"store"`
	Partitions []TierPartition `json:"partitions"`
}

// TierPartition is a partition that is tiered, or was. Records from
// LogStartOffset to LocalLogStartOffset are in the cold tier only, those up to
// TieredEndOffset in both.
type TierPartition struct {
	Topic               string `json:"topic"`
	Partition           int32  `json:"partition"`
	LogStartOffset      int64  `json:"log_start_offset"`
	LocalLogStartOffset int64  `json:"local_log_start_offset"`
	TieredEndOffset     int64  `json:"tiered_end_offset"`
	HighWatermark       int64  `json:"high_watermark"`
	Segments            int    `json:"segments"`
	Bytes               int64  `json:"bytes"`
	PendingSegments     int    `json:"pending_segments"` // closed, not yet in the tier
	PendingBytes        int64  `json:"pending_bytes"`
	DeletingSegments    int    `json:"deleting_segments"` // objects that wait to be deleted
	Error               string `json:"error"`             // why nothing moves
}

// Orphan is an object that no manifest names.
type Orphan struct {
	Key      string `json:"key"`
	Bytes    int64  `json:"bytes"`
	Modified string `json:"modified"`          // RFC 3339
	Unknown  bool   `json:"unknown,omitempty"` // not the key of a segment: nothing of Varve's
}
