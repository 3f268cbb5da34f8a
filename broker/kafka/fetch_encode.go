package kafka

import (
	"encoding/binary"

	"github.com/varvelog/varve/internal/ident"
)

// fetchedTopic is a topic of a Fetch response.
type fetchedTopic struct {
	name  string // before version 13
	id    ident.TopicID
	parts []fetchedPartition
}

// fetchedPartition is a partition of a Fetch response.
type fetchedPartition struct {
	index      int32
	code       int16
	hw         ident.Offset
	lastStable ident.Offset
	logStart   ident.Offset
	// divergingEpoch and divergingEnd tell a reader where its history leaves the
	// log's, if the epoch is not -1 (version 12).
	divergingEpoch ident.Epoch
	divergingEnd   ident.Offset
	// leaderEpoch tells a reader with an old epoch the present one, if it is not
	// -1 (version 12, KIP-951).
	leaderEpoch ident.Epoch
	// records are whole batches in pieces, which are not copied.
	records [][]byte
	bytes   int // of records
	hole    hole
}

// endpoint is where a broker is (KIP-951).
type endpoint struct {
	node ident.NodeID
	host string
	port int32
}

// fetchEncoder writes Fetch responses of versions 4 to 18, all but the records.
type fetchEncoder struct {
	version   int16
	flexible  bool
	committed bool // an empty list of aborted transactions instead of none
	self      endpoint
	b         []byte
	cuts      []fetchCut
	leaders   bool // a partition names self as its leader
}

// fetchCut says that records stand at an offset of b.
type fetchCut struct {
	at      int
	records [][]byte
}

// encodeFetch returns a response body in parts for writev: records alias what
// topics hold.
func encodeFetch(version int16, committed bool, code int16, topics []fetchedTopic, self endpoint) [][]byte {
	e := fetchEncoder{version: version, flexible: version >= 12, committed: committed, self: self}
	size, parts, pieces := 32, 0, 1
	for i := range topics {
		size += 24 + len(topics[i].name)
		parts += len(topics[i].parts)
	}
	e.b, e.cuts = make([]byte, 0, size+48*parts), make([]fetchCut, 0, parts)
	e.b = appendInt32(e.b, 0) // throttle time
	if version >= 7 {
		e.b = appendInt16(e.b, code)
		e.b = appendInt32(e.b, 0) // session id: none
	}
	e.b = appendCount(e.b, e.flexible, len(topics))
	for i := range topics {
		e.topic(&topics[i])
	}
	e.end()
	for i := range e.cuts {
		pieces += 1 + len(e.cuts[i].records)
	}
	out, from := make([][]byte, 0, pieces), 0
	for _, c := range e.cuts {
		out = append(out, e.b[from:c.at:c.at])
		out = append(out, c.records...)
		from = c.at
	}
	return append(out, e.b[from:])
}

func (e *fetchEncoder) topic(t *fetchedTopic) {
	if e.version >= 13 {
		e.b = append(e.b, t.id[:]...)
	} else {
		e.b = appendString(e.b, e.flexible, t.name)
	}
	e.b = appendCount(e.b, e.flexible, len(t.parts))
	for i := range t.parts {
		e.partition(&t.parts[i])
	}
	e.b = appendNoTags(e.b, e.flexible)
}

func (e *fetchEncoder) partition(p *fetchedPartition) {
	e.b = appendInt32(e.b, p.index)
	e.b = appendInt16(e.b, p.code)
	e.b = appendInt64(e.b, int64(p.hw))
	e.b = appendInt64(e.b, int64(p.lastStable))
	if e.version >= 5 {
		e.b = appendInt64(e.b, int64(p.logStart))
	}
	if e.committed && p.code == 0 {
		e.b = appendCount(e.b, e.flexible, 0) // aborted transactions
	} else {
		e.b = appendNullArray(e.b, e.flexible)
	}
	if e.version >= 11 {
		e.b = appendInt32(e.b, -1) // preferred read replica
	}
	e.b = appendCount(e.b, e.flexible, p.bytes) // bytes have the same lengths as arrays
	if p.bytes > 0 {
		e.cuts = append(e.cuts, fetchCut{at: len(e.b), records: p.records})
	}
	if e.flexible {
		e.tags(p)
	}
}

// tags writes a partition's tagged fields.
func (e *fetchEncoder) tags(p *fetchedPartition) {
	n := byte(0)
	if p.divergingEpoch >= 0 {
		n++
	}
	if p.leaderEpoch >= 0 {
		n++
	}
	e.b = append(e.b, n)
	if p.divergingEpoch >= 0 {
		e.b = append(e.b, 0, 13) // tag and size
		e.b = appendInt32(e.b, int32(p.divergingEpoch))
		e.b = appendInt64(e.b, int64(p.divergingEnd))
		e.b = append(e.b, 0)
	}
	if p.leaderEpoch >= 0 {
		e.leaders = true
		e.b = append(e.b, 1, 9)
		e.b = appendInt32(e.b, int32(e.self.node))
		e.b = appendInt32(e.b, int32(p.leaderEpoch))
		e.b = append(e.b, 0)
	}
}

// end writes the tagged fields of the response: where the leaders are that
// partitions name (version 16).
func (e *fetchEncoder) end() {
	if !e.flexible {
		return
	}
	if e.version < 16 || !e.leaders {
		e.b = append(e.b, 0)
		return
	}
	node := appendCount(nil, true, 1)
	node = appendInt32(node, int32(e.self.node))
	node = appendString(node, true, e.self.host)
	node = appendInt32(node, e.self.port)
	node = append(node, 0, 0) // no rack, no tagged fields
	e.b = append(e.b, 1, 0)
	e.b = binary.AppendUvarint(e.b, uint64(len(node)))
	e.b = append(e.b, node...)
}
