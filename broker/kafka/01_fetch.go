package kafka

// Fetch, versions 4 to 18.
//
// Version 5 has the log start offset, 7 sessions (KIP-227), 9 leader epochs
// (KIP-320), 10 permits zstd (KIP-110), 12 tells a diverging epoch (KIP-595), 13
// has topic ids (KIP-516), 16 the present leader (KIP-951).
//
//   - No session is ever opened: every answer has session id 0 and every
//     partition. An incremental fetch gets FETCH_SESSION_ID_NOT_FOUND.
//   - The first batch is returned whatever its size (KIP-74).
//   - Offsets that hold nothing up to the high watermark are answered with a
//     filler (D5a in the design), so that readers come to the end of the log. A
//     filler never ends a wait, but goes with every answer: else a reader of a
//     busy partition would never come to the end of a quiet one beside it.
//   - What is not on the local disk any more is read from the cold tier by workers
//     of its own. The fetch then waits for that, at most
//     remote.fetch.max.wait.ms, and answers with what has come.
//   - There are no transactions yet: read_committed ends at the high watermark,
//     and its list of aborted transactions is empty.
//   - Every reader is taken for a consumer: brokers do not replicate by Fetch,
//     and the rack is not looked at.

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// fetchTopic is a topic of a request, its partitions following those of the
// topic before.
type fetchTopic struct {
	name  string
	id    ident.TopicID
	parts int
}

// fetchPart is a partition of a request.
type fetchPart struct {
	index    int32
	epoch    int32 // leader epoch that the reader knows, -1 for none
	fetched  int32 // epoch of the last record that it has, -1 for none
	from     ident.Offset
	maxBytes int32

	topic *metadata.Topic
	p     *partition.Partition // nil if it is refused
	err   error                // then this is why

	seen    ident.Offset // what was counted ends here
	counted int          // bytes from from to seen

	cold *coldRead // nil: it is not read from the cold tier
}

// fetchPartitionsMax bounds the partitions of one request: a fetch that waits
// holds memory for each, which is not counted against the frame any more.
const fetchPartitionsMax = 100_000

func fetch(h *Handlers, c *Call, q *kmsg.FetchRequest) {
	if q.SessionID != 0 && q.SessionEpoch > 0 {
		c.Reply(encodeFetch(c.Version, false, kerr.FetchSessionIDNotFound.Code, nil, endpoint{})...)
		return
	}
	n := 0
	for i := range q.Topics {
		n += len(q.Topics[i].Partitions)
	}
	if n > fetchPartitionsMax || len(q.Topics) > fetchPartitionsMax {
		c.Fail(fmt.Errorf("fetch of %d partitions, at most %d: %w", n, fetchPartitionsMax, errFrame))
		return
	}
	f := &fetchCall{
		h: h, c: c,
		asked: planLimits(q.MinBytes, q.MaxBytes, q.IsolationLevel, h.b.Config().FetchMaxBytes),
		wait:  time.Duration(max(q.MaxWaitMillis, 0)) * time.Millisecond,
	}
	f.lim = f.asked
	f.resolve(q, n)
	f.least, f.most = f.needs()
	c.Release()
	f.start()
}

// resolve finds the n partitions of a request. It keeps nothing of the frame.
func (f *fetchCall) resolve(q *kmsg.FetchRequest, n int) {
	img, byID, ready := f.h.b.Image(), f.c.Version >= 13, f.h.b.Ready()
	f.topics, f.parts = make([]fetchTopic, 0, len(q.Topics)), make([]fetchPart, 0, n)
	for i := range q.Topics {
		asked := &q.Topics[i]
		f.topics = append(f.topics, fetchTopic{name: asked.Topic, id: asked.TopicID, parts: len(asked.Partitions)})
		t, err := topicBy(img, byID, asked.Topic, asked.TopicID)
		if !ready {
			err = partition.ErrNotLeader
		}
		for j := range asked.Partitions {
			p := &asked.Partitions[j]
			part := fetchPart{
				index: p.Partition, epoch: -1, fetched: -1, from: ident.Offset(p.FetchOffset), maxBytes: p.PartitionMaxBytes,
				topic: t, err: err, seen: ident.Offset(p.FetchOffset),
			}
			if f.c.Version >= 9 {
				part.epoch = p.CurrentLeaderEpoch
			}
			if f.c.Version >= 12 {
				part.fetched = p.LastFetchedEpoch
			}
			if err == nil {
				part.p, part.err = f.h.partitionOf(t, p.Partition)
			}
			if part.err == nil && f.c.Version < 10 && f.h.b.Topic(t).CompressionType == record.Zstd.String() {
				part.p, part.err = nil, kerr.UnsupportedCompressionType
			}
			f.parts = append(f.parts, part)
		}
	}
}

// fetchedPartitionBytes is what a partition takes in an answer, beside its records.
const fetchedPartitionBytes = 64

// needs returns how much memory an answer must have, since the first batch is
// returned whatever its size, and how much it has at most.
func (f *fetchCall) needs() (least, most int64) {
	var topic *metadata.Topic
	batch := int64(0)
	for i := range f.parts {
		p := &f.parts[i]
		most = min(most+int64(max(p.maxBytes, 0)), int64(f.asked.maxBytes))
		if p.err == nil && p.topic != topic {
			topic = p.topic
			batch = max(batch, f.h.b.Topic(topic).MaxMessageBytes)
		}
	}
	rest := int64(len(f.parts)) * fetchedPartitionBytes
	return batch + rest, most + rest
}

// fetched is what one look at all partitions found.
type fetched struct {
	topics []fetchedTopic
	bytes  int
	failed bool // a partition has an error or another thing to tell at once
}

// read looks at all partitions and reads what they have. It may wait for the
// disk.
func (f *fetchCall) read() fetched {
	cold := f.coldBytes()
	budget := fetchBudget{left: max(f.lim.maxBytes-cold, 0), taken: cold > 0}
	out := fetched{topics: make([]fetchedTopic, 0, len(f.topics))}
	results := make([]fetchedPartition, 0, len(f.parts))
	at := 0
	for _, t := range f.topics {
		first := len(results)
		for i := range f.parts[at : at+t.parts] {
			part := &f.parts[at+i]
			r, err := f.readPart(part, &budget)
			if err != nil {
				r = f.refused(part, err)
				out.failed = true
			}
			out.failed = out.failed || r.divergingEpoch >= 0
			out.bytes += r.bytes
			results = append(results, r)
		}
		at += t.parts
		out.topics = append(out.topics, fetchedTopic{name: t.name, id: t.id, parts: results[first:len(results):len(results)]})
	}
	return out
}

// hole is a run of offsets that hold nothing, up to the end of the log.
type hole struct {
	from, until ident.Offset // empty: there is none
	epoch       ident.Epoch
}

// fill puts fillers into the holes, once it is decided to answer.
func (r *fetched) fill() {
	for _, t := range r.topics {
		for i := range t.parts {
			if p := &t.parts[i]; p.hole.from < p.hole.until {
				filler := record.Filler(int64(p.hole.from), int64(p.hole.until-1), int32(p.hole.epoch))
				p.records, p.bytes = [][]byte{filler}, len(filler)
			}
		}
	}
}

// readPart reads from one partition.
func (f *fetchCall) readPart(part *fetchPart, budget *fetchBudget) (fetchedPartition, error) {
	r := fetchedPartition{index: part.index, divergingEpoch: -1, leaderEpoch: -1}
	if part.err != nil {
		return r, part.err
	}
	o, err := part.p.Offsets()
	if err != nil {
		return r, err
	}
	if err := checkFetch(&o, part.epoch, part.from); err != nil {
		return r, err
	}
	r.hw, r.lastStable, r.logStart = o.HighWatermark, o.LastStable, o.LogStart
	if part.fetched >= 0 {
		epoch, end, err := part.p.EpochEnd(ident.Epoch(part.fetched))
		if err != nil {
			return r, err
		}
		if epoch >= 0 && (int32(epoch) < part.fetched || end < part.from) {
			r.divergingEpoch, r.divergingEnd = epoch, end
			return r, nil
		}
	}
	until := f.lim.until(&o)
	if part.from >= until {
		return r, nil
	}
	maxBytes, minOne := budget.next(part.maxBytes)
	if part.cold == nil && maxBytes == 0 && !minOne {
		return r, nil
	}
	chunk, err := part.p.Read(part.from, until, maxBytes, minOne)
	if errors.Is(err, partition.ErrTiered) {
		if !f.cold { // what it will give is not known yet
			budget.reserve(maxBytes)
		}
		return f.readCold(part, r, o, until, maxBytes, minOne)
	}
	if err != nil {
		return r, part.readError(err)
	}
	r.records, r.bytes = chunk.Buffers, chunk.Bytes
	part.seen, part.counted = chunk.NextOffset, chunk.Bytes
	if needsFiller(part.from, chunk.NextOffset, until, chunk.Batches) && f.h.b.Topic(part.topic).FetchFillerEnable {
		r.hole = hole{from: part.from, until: until, epoch: o.LeaderEpoch}
	}
	budget.spend(r.bytes)
	return r, nil
}

// readCold answers with what was read from the cold tier, once it is there.
func (f *fetchCall) readCold(part *fetchPart, r fetchedPartition, o partition.Offsets, until ident.Offset, maxBytes int, minOne bool) (fetchedPartition, error) {
	chunk, done, err := f.wantCold(part, until, maxBytes, minOne)
	if err != nil {
		return r, part.coldError(err)
	}
	if !done {
		return r, nil
	}
	r.records, r.bytes = chunk.Buffers, chunk.Bytes
	if needsFiller(part.from, chunk.NextOffset, until, chunk.Batches) && f.h.b.Topic(part.topic).FetchFillerEnable {
		r.hole = hole{from: part.from, until: until, epoch: o.LeaderEpoch}
	}
	return r, nil
}

// readError makes sure that OFFSET_OUT_OF_RANGE, at which readers jump, is told
// only of offsets that are in fact outside of the log.
func (part *fetchPart) readError(err error) error {
	if lookupError(err) != kerr.OffsetOutOfRange {
		return err
	}
	o, now := part.p.Offsets()
	if now != nil {
		return now
	}
	if part.from >= o.LogStart && part.from <= o.HighWatermark {
		return partition.ErrDamaged
	}
	return err
}

// refused is the answer for a partition that cannot be read.
func (f *fetchCall) refused(part *fetchPart, err error) fetchedPartition {
	r := fetchedPartition{index: part.index, hw: -1, lastStable: -1, logStart: -1, divergingEpoch: -1, leaderEpoch: -1}
	if part.p != nil {
		if _, ok := f.h.b.Image().TopicByID(part.p.ID().Topic); !ok { // deleted meanwhile
			_, err = topicBy(f.h.b.Image(), f.c.Version >= 13, part.topic.Name, part.topic.ID)
			if err == nil { // and created again under its name: the client must look
				err = kerr.UnknownTopicOrPartition
			}
		}
		if lookupError(err) == kerr.FencedLeaderEpoch && f.c.Version >= 16 {
			r.leaderEpoch = part.p.LeaderEpoch()
		}
	}
	r.code = f.h.readCode(err)
	return r
}

// grown counts what has come to the partitions since they were looked at, and
// reports whether it is time to answer. It reads only what it did not count
// before.
func (f *fetchCall) grown() bool {
	total := 0
	for i := range f.parts {
		part := &f.parts[i]
		if part.err != nil {
			return true
		}
		o, err := part.p.Offsets()
		if err != nil || checkFetch(&o, part.epoch, part.from) != nil {
			return true
		}
		if left := min(int(part.maxBytes), f.lim.maxBytes) - part.counted; f.lim.until(&o) > part.seen && (left > 0 || part.counted == 0) {
			chunk, err := part.p.Read(part.seen, f.lim.until(&o), left, part.counted == 0)
			if err != nil {
				return true
			}
			part.seen, part.counted = max(chunk.NextOffset, part.seen), part.counted+chunk.Bytes
		}
		total += part.counted
	}
	return total >= f.lim.minBytes
}
