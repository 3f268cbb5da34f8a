package scenario

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// longest is the number of bytes up to which results have them as they are.
const longest = 256

// Blob returns how results write bytes; nil means null.
func Blob(b []byte) *string {
	if b == nil {
		return nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	if len(b) > longest {
		sum := sha256.Sum256(b)
		s = "sha256:" + hex.EncodeToString(sum[:])
	}
	return &s
}

// Header is a record header.
type Header struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// Record is a record to be sent.
type Record struct {
	Partition int32    `json:"partition"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers"`
	// Timestamp is in milliseconds; 0 leaves it to the client.
	Timestamp int64 `json:"timestamp"`
}

// Run is a number of records sent with one producer.
type Run struct {
	Topic      string   `json:"topic"`
	Codec      string   `json:"codec"` // none, gzip, snappy, lz4, zstd
	Idempotent bool     `json:"idempotent"`
	Records    []Record `json:"records"`
}

// Produce are the parameters of scenario produce.
type Produce struct {
	Runs []Run `json:"runs"`
}

// Ack is what a producer was told about one record.
type Ack struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	// Timestamp is null where the client does not tell it.
	Timestamp *int64 `json:"timestamp"`
}

// Produced are the results of scenarios produce and restart: for every run, an
// Ack for every record, in their order.
type Produced struct {
	Runs [][]Ack `json:"runs"`
}

// Read says what to read of one partition.
type Read struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	// Timestamp, if not 0, stands instead of Offset: from the first record
	// that is not older.
	Timestamp int64 `json:"timestamp"`
}

// Consume are the parameters of scenario consume. It names no partition twice.
type Consume struct {
	Reads []Read `json:"reads"`
	// Committed reads with isolation level read_committed, else with
	// read_uncommitted.
	Committed bool `json:"committed"`
	// Until is a file for the programs whose clients do not tell how far they
	// have read: if it is set, they read until it exists.
	Until string `json:"until"`
}

// GotHeader is a header as it was read.
type GotHeader struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// Got is a record as it was read.
type Got struct {
	Topic     string      `json:"topic"`
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	Timestamp int64       `json:"timestamp"`
	Key       *string     `json:"key"`
	Value     *string     `json:"value"`
	Headers   []GotHeader `json:"headers"`
}

// Consumed are the results of scenarios consume and follow. Records of one
// partition are in the order they came in.
type Consumed struct {
	Records []Got `json:"records"`
	Ends    []End `json:"ends"`
}

// End is how far a client says that it has read a partition, which may be behind
// the last record. Clients that cannot tell have none.
type End struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Position is the offset that the client reads next.
	Position int64 `json:"position"`
	// Lag is how far that is from the log's end, null where the client does not
	// tell it.
	Lag *int64 `json:"lag"`
}

// Admin are the parameters of scenario admin.
type Admin struct {
	Topic string `json:"topic"`
}

// Administered are the results of scenario admin, which does, in this order:
// create the topic with 3 partitions, one replica and retention.ms=3600000;
// create it again; list the topics and describe it; describe its configuration;
// set retention.ms to 7200000 and describe it again; raise the partitions to 5;
// send 10 records to partition 0, record i with the timestamp
// 1700000000000+1000*i where the client can; delete its records below offset 4;
// ask for its earliest and latest offset and for that of the timestamp
// 1700000006000; describe the cluster; delete the topic; list the topics again;
// delete it again. What a client has no call for it leaves null.
type Administered struct {
	Again      *int16   `json:"again"` // error code of the second creation
	Listed     *bool    `json:"listed"`
	Partitions *int     `json:"partitions"`
	Retention  *string  `json:"retention"`
	Altered    *string  `json:"altered"`
	Raised     *int     `json:"raised"` // partitions after
	Earliest   *int64   `json:"earliest"`
	Latest     *int64   `json:"latest"`
	ByTime     *int64   `json:"by_time"`
	Cluster    *Cluster `json:"cluster"`
	Left       *bool    `json:"left"` // whether it was listed after its deletion
	Gone       *int16   `json:"gone"` // error code of the second deletion
}

// Cluster is a cluster as a client describes it.
type Cluster struct {
	ID         string  `json:"id"`
	Controller int32   `json:"controller"`
	Brokers    []int32 `json:"brokers"`
}

// Restart are the parameters of scenario restart.
type Restart struct {
	Topic string `json:"topic"`
	Until string `json:"until"`
}

// Follow are the parameters of scenario follow.
type Follow struct {
	Topic string `json:"topic"`
	Last  []byte `json:"last"`
}
