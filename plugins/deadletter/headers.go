package deadletter

import (
	"slices"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/plugins/pipeline"
)

// The headers of a dead letter. Numbers are decimal text, as other tools of the
// Kafka world write them.
const (
	// Prefix begins the headers about the first failure of a record.
	Prefix = plugins.DeadLetterHeaders
	// LastPrefix begins those about the latest failure of a record that was a
	// dead letter before.
	LastPrefix = Prefix + "last."
)

// The names behind a prefix, in the order in which they are written.
const (
	NameTopic     = "topic"
	NamePartition = "partition"
	NameOffset    = "offset"
	NameStage     = "stage"
	NameCode      = "code"
	NameMessage   = "message"
	NameTimestamp = "timestamp"
)

var allNames = [...]string{NameTopic, NamePartition, NameOffset, NameStage, NameCode, NameMessage, NameTimestamp}

// originNames tell where a record was; a record that has all of them was a dead
// letter before.
var originNames = allNames[:3]

// Origin is where the batch of an emission was to be stored.
type Origin struct {
	Topic     string
	Partition int32
	// BaseOffset is the offset of the first record of the client's batch.
	BaseOffset int64
	// AppendTime is the leader's clock when the batch ran through its chain, in
	// ms since 1970.
	AppendTime int64
}

// Record returns the dead letter of an emission. Key, value and headers are the
// record's own, followed by headers that tell of the failure; without payload
// there are only these. The timestamp is the record's own, relative to base.
// Slices of e are shared.
//
// A record whose headers hold topic, partition and offset of an earlier failure
// keeps all headers of Prefix, also without payload, and gets headers of
// LastPrefix, in place of any that it has. From any other record stray headers of
// the family are removed first.
func Record(e *pipeline.Emission, o Origin, base int64) record.Record {
	prefix := Prefix
	if wasDeadLetter(e.Headers) {
		prefix = LastPrefix
	}
	r := record.Record{TimestampDelta: e.Timestamp - base, Headers: make([]record.RecordHeader, 0, len(e.Headers)+len(allNames))}
	if e.Payload {
		r.Key, r.Value = e.Key, e.Value
	}
	for _, h := range e.Headers {
		first, ours := family(h.Key)
		if !ours && e.Payload || ours && first && prefix == LastPrefix {
			r.Headers = append(r.Headers, h)
		}
	}
	values := [len(allNames)]string{
		o.Topic, strconv.Itoa(int(o.Partition)), strconv.FormatInt(o.BaseOffset+int64(e.Index), 10),
		e.Stage, strconv.Itoa(int(e.Code)), e.Message, strconv.FormatInt(o.AppendTime, 10),
	}
	for i, name := range allNames {
		r.Headers = append(r.Headers, record.RecordHeader{Key: []byte(prefix + name), Value: []byte(values[i])})
	}
	return r
}

// family says whether a header is one of a dead letter, and whether it is about
// the first failure.
func family(key []byte) (first, ours bool) {
	name, ok := strings.CutPrefix(string(key), Prefix)
	if !ok {
		return false, false
	}
	if slices.Contains(allNames[:], name) {
		return true, true
	}
	name, ok = strings.CutPrefix(name, "last.")
	return false, ok && slices.Contains(allNames[:], name)
}

func wasDeadLetter(hs []record.RecordHeader) bool {
	for _, name := range originNames {
		if !slices.ContainsFunc(hs, func(h record.RecordHeader) bool { return string(h.Key) == Prefix+name && h.Value != nil }) {
			return false
		}
	}
	return true
}
