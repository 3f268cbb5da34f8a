package kafka

// Produce, versions 3 to 13 (ApiVersions says 0 to 13, see there).
//
// Version 7 permits zstd (KIP-110), 8 has messages for single records (KIP-467),
// 10 the leader that a client should know (KIP-951), 13 topic ids (KIP-516).
//
//   - Every batch is answered when it is durable and readable, so acks=1 is
//     acks=all; min.insync.replicas counts for the latter only, as in Kafka.
//   - With acks=0 there is no answer. An error closes the connection, which is
//     how clients learn of it.
//   - A partition that stands twice in a request gets both batches, in order.
//   - The request's timeout is not used: what cannot be written is answered when
//     that is known, and the engine bounds how long a batch waits for space.
//   - A leader that refuses has no better one to name yet, so CurrentLeader is
//     never set.
//   - Transactions are refused with INVALID_REQUEST, which clients do not retry.

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// Values of acks.
const (
	acksNone   = 0
	acksLeader = 1
	acksAll    = -1
)

// produceCall is one request on its way through the sequencers.
type produceCall struct {
	h       *Handlers
	c       *Call
	img     *metadata.Image
	acks    int16
	now     int64
	refusal error // of the whole request

	topics  []produceTopic
	parts   []producePart
	batches []Batch
	done    func(*partition.Append)
	left    atomic.Int32 // outcomes to come, and one for the handler
}

// produceTopic is a topic of the request; its parts follow those of the one
// before.
type produceTopic struct {
	name  string
	id    ident.TopicID
	t     *metadata.Topic // nil if it is refused
	err   error           // then this is why
	set   *config.Topic
	parts int
}

// producePart is one partition of the request. Its outcome is err, or what
// append says later.
type producePart struct {
	index  int32
	err    error
	append *partition.Append
	// appendTime is the batch's timestamp with LogAppendTime, else -1.
	appendTime int64
}

func produce(h *Handlers, c *Call) {
	f, err := parseProduce(c.Version, c.Body)
	if err != nil {
		c.Fail(err)
		return
	}
	p := &produceCall{
		h: h, c: c, img: h.b.Image(), acks: f.acks, now: h.b.Now().UnixMilli(),
		topics: make([]produceTopic, 0, f.topics), parts: make([]producePart, 0, f.partitions),
	}
	p.done = p.landed
	switch {
	case f.acks != acksNone && f.acks != acksLeader && f.acks != acksAll:
		p.refusal = kerr.InvalidRequiredAcks
	case f.transactional:
		p.refusal = fmt.Errorf("transactions are not supported: %w", kerr.InvalidRequest)
	case !h.b.Ready():
		p.refusal = partition.ErrNotLeader
	}
	f.each(p)
	c.ReleaseBody() // every batch was copied
	appends := int32(0)
	for i := range p.batches {
		if p.batches[i].Append != nil {
			appends++
		}
	}
	p.left.Store(appends + 1)
	if len(p.batches) > 0 {
		h.b.Produce(p.batches)
	}
	p.landed(nil)
}

// landed counts one outcome, and answers after the last.
func (p *produceCall) landed(*partition.Append) {
	if p.left.Add(-1) != 0 {
		return
	}
	p.observe()
	p.c.Release() // the copies are in the log, or refused
	if p.acks != acksNone {
		p.c.Reply(p.encode())
		return
	}
	for i := range p.parts {
		if err := p.parts[i].outcome(); err != nil {
			p.c.Fail(fmt.Errorf("produce with acks=0: %w", err))
			return
		}
	}
	p.c.NoReply()
}

// outcome is nil for a batch that was appended.
func (part *producePart) outcome() error {
	if part.append != nil {
		return part.append.Err
	}
	return part.err
}

// topic implements produceVisitor.
func (p *produceCall) topic(name []byte, id ident.TopicID) {
	t := produceTopic{id: id}
	if t.err = p.refusal; t.err == nil {
		t.t, t.err = topicBy(p.img, p.c.Version >= 13, string(name), id)
	}
	if t.err == nil && t.t.Internal {
		t.t, t.err = nil, kerr.InvalidTopicException
	}
	if t.t != nil {
		t.name, t.set = t.t.Name, p.h.b.Topic(t.t)
	} else {
		t.name = string(name)
	}
	p.topics = append(p.topics, t)
}

// partition implements produceVisitor.
func (p *produceCall) partition(index int32, records []byte) {
	t := &p.topics[len(p.topics)-1]
	t.parts++
	part := producePart{index: index, err: t.err, appendTime: -1}
	if t.t != nil {
		part.err = p.take(t, &part, records)
	}
	p.parts = append(p.parts, part)
}

// take puts a batch in front of its sequencer, or tells the sequencer that it
// was refused.
func (p *produceCall) take(t *produceTopic, part *producePart, records []byte) error {
	target, err := p.h.partitionOf(t.t, part.index)
	if err != nil {
		return err
	}
	a, err := p.prepare(t, part, records)
	if err == nil {
		part.append = a
		p.batches = append(p.batches, Batch{Partition: target, Append: a})
		return nil
	}
	// What is refused before its sequence number is seen must hold up those
	// behind it, even if the checksum is what is wrong.
	if h, bad := record.ParseHeader(records); bad == nil && h.ProducerID >= 0 {
		p.batches = append(p.batches, Batch{Partition: target, Refused: h})
	}
	return err
}

// prepare checks a batch and copies it into an entry.
func (p *produceCall) prepare(t *produceTopic, part *producePart, records []byte) (*partition.Append, error) {
	if have, want := len(t.t.Partitions[part.index].Replicas), int(t.set.MinInSyncReplicas); p.acks == acksAll && have < want {
		return nil, fmt.Errorf("%d replicas, min.insync.replicas is %d: %w", have, want, kerr.NotEnoughReplicas)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: no batch, a partition takes exactly one", record.ErrInvalidRecord)
	}
	info, err := p.h.validate(records, p.limits(t.set))
	if err != nil {
		return nil, err
	}
	logAppend := t.set.TimestampType == "LogAppendTime"
	if codec, level, ok := recompression(t.set, info.Header.Codec()); ok {
		had := len(records)
		if records, err = p.h.rewrite(records, &info.Header, codec, level); err != nil {
			return nil, err
		}
		// A small request may hold many batches that grow.
		if grown := len(records) - had; grown > 0 && !p.c.Grow(int64(grown)) {
			return nil, fmt.Errorf("no memory for %d bytes once compressed with %v: %w", len(records), codec, partition.ErrQueueFull)
		}
		if int64(len(records)) > t.set.MaxMessageBytes {
			return nil, fmt.Errorf("%w: %d bytes once compressed with %v", record.ErrTooLarge, len(records), codec)
		}
	}
	var patch func([]byte)
	switch {
	case logAppend:
		part.appendTime = p.now
		patch = func(b []byte) { _ = record.SetTimestamps(b, record.LogAppendTime, p.now) } // b was validated
	case info.MaxTimestamp != info.Header.MaxTimestamp:
		latest := info.MaxTimestamp
		patch = func(b []byte) { _ = record.SetTimestamps(b, record.CreateTime, latest) }
	}
	a := &partition.Append{Header: info.Header, Time: p.now, Generation: t.t.ChainGeneration, Done: p.done}
	if len(t.t.Chain()) == 0 {
		a.Entry = partition.NewEntry(records, p.now, a.Generation, patch)
		return a, nil
	}
	a.Batch = bytes.Clone(records) // out of the frame, for the chain
	if patch != nil {
		patch(a.Batch)
	}
	// The chain is told what the batch is now: recompressed, stamped.
	a.Header, err = record.ParseHeader(a.Batch)
	return a, err
}

// limits are what a topic's settings ask of a batch.
func (p *produceCall) limits(set *config.Topic) record.Limits {
	return record.Limits{
		MaxBatchBytes:        int(max(set.MaxMessageBytes, 1)), // 0 is no limit there, and none here
		MaxDecompressedBytes: int(p.h.b.Config().DecompressedMaxBytes),
		RefuseZstd:           p.c.Version < 7,
		RequireKey:           set.Compacted(),
		CheckTimestamps:      set.TimestampType != "LogAppendTime",
		Now:                  p.now,
		TimestampBeforeMax:   set.TimestampBeforeMax.Milliseconds(),
		TimestampAfterMax:    set.TimestampAfterMax.Milliseconds(),
	}
}
