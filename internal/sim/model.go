package sim

import (
	"bytes"
	"hash/fnv"
	"sort"
	"time"

	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// model is what clients and operators were promised, and what they saw.
type model struct {
	s       *run
	topics  []*topic // in the order of their creation
	nextID  int
	batches []*batch // by id, from 1
}

// topicState is how far a topic has come.
type topicState int

const (
	creating topicState = iota // asked for
	live
	deleting // asked for
	deleted
)

// topic is one topic, from the first request to create it.
type topic struct {
	name        string
	id          ident.TopicID
	state       topicState
	askedDelete time.Time
	asked       *broker // to create or delete it, last
	askedAt     time.Time
	again       bool  // it will be asked again soon
	factor      int16 // replicas
	growTo      int   // partitions that were asked for; 0: none
	parts       []*part

	// The least that any configuration since its creation kept.
	retentionMs, retentionBytes int64 // -1: everything
	configs                     map[string]string
	dropsTier                   bool // any of them gave up what is in the cold tier
}

// part is one partition.
type part struct {
	topic *topic
	id    ident.Partition
	name  string

	bySum      map[uint64]*batch // by what is stored of it
	bySequence map[sequence]*batch
	acked      map[ident.Offset]*batch // by base offset
	bases      []ident.Offset          // of acked, ascending
	values     map[ident.Offset]value  // everything that was ever read

	hw, start  ident.Offset // highest seen
	told       []borders    // by epoch
	deleteUpTo ident.Offset // of any DeleteRecords that was asked for
	layout     layout
	noSpace    bool            // the last batch was refused for want of space
	cut        bool            // a repair gave up some of it
	epochs     map[int64]int16 // by producer: the newest that was acknowledged

	holes       []repair.OffsetRange // that repairs left
	skippable   []repair.OffsetRange // that groups may go on behind, as offsets are given again
	givenBytes  int64                // of batches that repairs gave up, and that retention counted before
	lettersLost ident.Offset         // letters of records below it may be lost, or come twice
	removed     map[manifest.ID]bool // objects that were deleted
	lacks       map[manifest.ID]bool // objects that may be gone although a manifest names them

	tier         tierSeen
	lowest       ident.Offset     // base of the first segment that was ever in the tier
	uploaded     ident.Offset     // end of all that was ever there
	commitFailed map[*broker]bool // those that could not commit an upload
}

// value is what was read at an offset.
type value struct {
	epoch ident.Epoch
	sum   uint64
	last  ident.Offset
}

// batch is one batch of a producer.
type batch struct {
	id       int
	part     *part
	producer *producer // nil: of an operator's probe
	bytes    []byte
	header   record.Header
	times    []int64 // of its records, ms
	sum      uint64
	made     map[uint64]made // by generation

	nth           int            // of its producer
	first         time.Time      // when it was sent first
	attempts      []*sending     // that reached a broker
	sent, refused int            // attempts, and those refused for good
	acks          []ident.Offset // offsets told
	seen          []ident.Offset // where it was read
	offered       []int64        // times at which it came to a broker, ms
	given         bool           // a repair may have given it up
	done          bool           // the producer got its answer, or gave up
	flying        bool           // an answer is awaited
}

func newModel(s *run) *model { return &model{s: s} }

// live returns the topics that exist for sure.
func (m *model) live() []*topic {
	var out []*topic
	for _, t := range m.topics {
		if t.state == live {
			out = append(out, t)
		}
	}
	return out
}

// parts returns the partitions of topics that exist for sure.
func (m *model) parts() []*part {
	var out []*part
	for _, t := range m.live() {
		out = append(out, t.parts...)
	}
	return out
}

func newPart(t *topic, index int) *part {
	return &part{
		topic: t, id: ident.Partition{Topic: t.id, Index: int32(index)}, name: t.name + "-" + string(rune('0'+index)),
		bySum: map[uint64]*batch{}, bySequence: map[sequence]*batch{}, acked: map[ident.Offset]*batch{}, values: map[ident.Offset]value{},
		layout: layout{bases: map[ident.Offset]bool{}}, commitFailed: map[*broker]bool{},
		removed: map[manifest.ID]bool{}, lacks: map[manifest.ID]bool{},
	}
}

// sumOf identifies a batch by everything but base offset and leader epoch,
// which the broker sets.
func sumOf(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b[8:12])
	h.Write(b[16:])
	return h.Sum64()
}

// newBatch makes a batch with records of unique values.
func (m *model) newBatch(p *part, producer *producer, params record.Params, records, valueMax int) *batch {
	r := m.s.rng.client
	m.nextID++
	b := &batch{id: m.nextID, part: p, producer: producer}
	builder := record.NewBuilder(params)
	for i := range records {
		value := make([]byte, 16+r.IntN(valueMax))
		for j := range value {
			value[j] = byte(m.nextID>>(8*(j%4))) ^ byte(j)
		}
		delta := int64(r.IntN(2000)) - 1000
		rec := record.Record{OffsetDelta: int32(i), TimestampDelta: delta, Value: value}
		if err := builder.Append(&rec); err != nil {
			panic(err)
		}
		b.times = append(b.times, params.BaseTimestamp+delta)
	}
	var err error
	if b.bytes, err = builder.Finish(int32(records - 1)); err != nil {
		panic(err)
	}
	if b.header, err = record.ParseHeader(b.bytes); err != nil {
		panic(err)
	}
	b.sum = sumOf(b.bytes)
	p.bySum[b.sum] = b
	m.batches = append(m.batches, b)
	if params.ProducerID >= 0 {
		p.bySequence[sequence{params.ProducerID, params.ProducerEpoch, params.BaseSequence}] = b
	}
	return b
}

// same reports whether stored bytes are the batch.
func (b *batch) same(stored []byte) bool {
	return len(stored) == len(b.bytes) && bytes.Equal(stored[8:12], b.bytes[8:12]) && bytes.Equal(stored[16:], b.bytes[16:])
}

// note adds to a list what is not in it yet.
func note[T comparable](list []T, o T) []T {
	for _, have := range list {
		if have == o {
			return list
		}
	}
	return append(list, o)
}

// ack notes a promise.
func (p *part) ack(b *batch, base ident.Offset) {
	b.acks = note(b.acks, base)
	if p.acked[base] == nil {
		p.acked[base] = b
		at := sort.Search(len(p.bases), func(i int) bool { return p.bases[i] >= base })
		p.bases = append(p.bases, 0)
		copy(p.bases[at+1:], p.bases[at:])
		p.bases[at] = base
	}
}

// ackedIn returns the bases of acknowledged batches in [from, until).
func (p *part) ackedIn(from, until ident.Offset) []ident.Offset {
	i := sort.Search(len(p.bases), func(i int) bool { return p.bases[i] >= from })
	j := sort.Search(len(p.bases), func(i int) bool { return p.bases[i] >= until })
	return p.bases[i:max(i, j)]
}
