package kafka

// ListOffsets, versions 1 to 11.
//
// Version 2 has isolation levels, 4 leader epochs (KIP-320), 7 the maximum
// timestamp -3 (KIP-734), 8 the earliest local offset -4 (KIP-405), 9 the latest
// tiered one -5 (KIP-1005), 10 a timeout for the tier (KIP-1075), 11 the
// earliest that is not yet tiered, -6 (KIP-1023).
//
//   - Lookups by timestamp, and of the maximum timestamp, look in the cold tier too,
//     on its own workers, for at most the timeout of the request or
//     remote.list.offsets.request.timeout.ms.
//   - For topics without remote storage -4 is -2, and -5 and -6 find nothing.
//   - There are no transactions yet: the last stable offset is the high
//     watermark.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// Timestamps that are questions.
const (
	askLatest        = -1
	askEarliest      = -2
	askMaxTimestamp  = -3
	askEarliestLocal = -4
	askLatestTiered  = -5
	askPendingUpload = -6
)

// askSince is the first version that knows a question, by -timestamp.
var askSince = [...]int16{-askLatest: 0, -askEarliest: 0, -askMaxTimestamp: 7, -askEarliestLocal: 8, -askLatestTiered: 9, -askPendingUpload: 11}

func listOffsets(h *Handlers, c *Call, q *kmsg.ListOffsetsRequest) {
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			if ts := q.Topics[i].Partitions[j].Timestamp; ts >= 0 || ts == askMaxTimestamp {
				h.lookUp(c, q)
				return
			}
		}
	}
	h.listOffsets(context.Background(), c, q) // nothing asks the disk
}

// lookUp answers on the pool of the disk, or on that of the cold tier.
func (h *Handlers) lookUp(c *Call, q *kmsg.ListOffsetsRequest) {
	wait := h.b.Config().RemoteListOffsetsTimeout
	if c.Version >= 10 && q.TimeoutMillis > 0 {
		wait = min(wait, time.Duration(q.TimeoutMillis)*time.Millisecond)
	}
	if !h.asksTier(q) {
		h.b.Run(func() {
			ctx, cancel := context.WithTimeout(context.Background(), wait) // it may reach the tier by then
			defer cancel()
			h.listOffsets(ctx, c, q)
		})
		return
	}
	if !h.b.RunLookup(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		h.listOffsets(ctx, c, q)
	}) {
		gone, cancel := context.WithCancel(context.Background())
		cancel() // too many wait: what needs the tier is answered retriably
		h.b.Run(func() { h.listOffsets(gone, c, q) })
	}
}

// asksTier reports whether a lookup has to look in the cold tier.
func (h *Handlers) asksTier(q *kmsg.ListOffsetsRequest) bool {
	img := h.b.Image()
	for i := range q.Topics {
		t, err := topicBy(img, false, q.Topics[i].Topic, ident.TopicID{})
		if err != nil {
			continue
		}
		for _, asked := range q.Topics[i].Partitions {
			if p, err := h.partitionOf(t, asked.Partition); err == nil && reachesTier(p) {
				return true
			}
		}
	}
	return false
}

// reachesTier reports whether a part of the log is in the cold tier only.
func reachesTier(p *partition.Partition) bool {
	o, err := p.Offsets()
	return err == nil && o.LogStart < o.LocalStart && p.Tiered().Len() > 0
}

func (h *Handlers) listOffsets(ctx context.Context, c *Call, q *kmsg.ListOffsetsRequest) {
	img := h.b.Image()
	r := kmsg.NewPtrListOffsetsResponse()
	r.Topics = make([]kmsg.ListOffsetsResponseTopic, 0, len(q.Topics))
	for i := range q.Topics {
		asked := &q.Topics[i]
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = asked.Topic
		topic.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, 0, len(asked.Partitions))
		t, err := topicBy(img, false, asked.Topic, ident.TopicID{})
		for _, p := range asked.Partitions {
			found, failed := notFound, err
			if failed == nil {
				found, failed = h.listOffset(ctx, c.Version, q.IsolationLevel, t, &p)
			}
			out := kmsg.NewListOffsetsResponseTopicPartition()
			out.Partition, out.ErrorCode = p.Partition, h.readCode(failed)
			out.Offset, out.Timestamp, out.LeaderEpoch = int64(found.offset), found.timestamp, int32(found.epoch)
			topic.Partitions = append(topic.Partitions, out)
		}
		r.Topics = append(r.Topics, topic)
	}
	c.Respond(r)
}

// place is an answer of ListOffsets.
type place struct {
	offset    ident.Offset
	timestamp int64
	epoch     ident.Epoch
}

var notFound = place{-1, -1, -1}

// listOffset answers for one partition. It may wait for the disk, and for the
// cold tier.
func (h *Handlers) listOffset(ctx context.Context, version int16, isolation int8, t *metadata.Topic, q *kmsg.ListOffsetsRequestTopicPartition) (place, error) {
	p, err := h.partitionOf(t, q.Partition)
	if err != nil {
		return notFound, err
	}
	o, err := p.Offsets()
	if err != nil {
		return notFound, err
	}
	known := q.CurrentLeaderEpoch
	if version < 4 {
		known = -1
	}
	if err := checkEpoch(known, o.LeaderEpoch); err != nil {
		return notFound, err
	}
	until := o.HighWatermark
	if isolation == readCommitted {
		until = o.LastStable
	}
	if ts := q.Timestamp; ts < 0 && (ts < askPendingUpload || version < askSince[-ts]) {
		return notFound, kerr.UnsupportedVersion
	}
	switch q.Timestamp {
	case askLatest:
		return place{until, -1, o.LeaderEpoch}, nil
	case askEarliest:
		return place{o.LogStart, -1, p.EpochAt(o.LogStart)}, nil
	case askEarliestLocal:
		return place{o.LocalStart, -1, p.EpochAt(o.LocalStart)}, nil
	case askLatestTiered:
		end, ok := p.Tiered().End()
		if !ok {
			return notFound, nil
		}
		return place{end - 1, -1, p.EpochAt(end - 1)}, nil
	case askPendingUpload:
		if !h.b.Topic(t).RemoteStorageEnable {
			return notFound, nil
		}
		next := o.LogStart
		if end, ok := p.Tiered().End(); ok {
			next = max(next, end)
		}
		return place{next, -1, p.EpochAt(next)}, nil
	}
	return h.searchOffset(ctx, p, q.Timestamp, until)
}

// searchMax bounds how often a lookup begins again.
const searchMax = 10

// searchOffset looks for a record by its timestamp, below until: first in the
// cold tier, whose records are the older ones. It begins again if the local log
// begins, by then, behind what was searched.
func (h *Handlers) searchOffset(ctx context.Context, p *partition.Partition, ts int64, until ident.Offset) (place, error) {
	for range searchMax {
		o, err := p.Offsets()
		if err != nil {
			return notFound, err
		}
		seen := o.LocalStart
		if end, ok := p.Tiered().End(); ok && reachesTier(p) {
			seen = max(seen, end)
		}
		found, err := h.searchOnce(ctx, p, ts, until)
		o, gone := p.Offsets()
		switch {
		case gone != nil:
			return notFound, gone
		case o.LocalStart <= seen && !errors.Is(err, partition.ErrOffsetOutOfRange):
			return found, err
		}
	}
	return notFound, fmt.Errorf("%w: the log moves faster than it is searched", partition.ErrTierUnavailable)
}

func (h *Handlers) searchOnce(ctx context.Context, p *partition.Partition, ts int64, until ident.Offset) (found place, err error) {
	cold, ok, err := h.searchTier(ctx, p, ts)
	if err != nil {
		return notFound, err
	}
	if ok && ts >= 0 {
		return below(cold, until), nil
	}
	local := false
	if ts == askMaxTimestamp {
		found.offset, found.timestamp, found.epoch, local, err = p.MaxTimestamp()
	} else {
		found.offset, found.timestamp, found.epoch, local, err = p.OffsetForTimestamp(ts)
	}
	switch {
	case err != nil:
		return notFound, err
	case ok && (!local || cold.timestamp >= found.timestamp):
		return below(cold, until), nil
	case !local:
		return notFound, nil
	}
	return below(found, until), nil
}

// below returns what was found, unless readers may not see it.
func below(found place, until ident.Offset) place {
	if found.offset >= until {
		return notFound
	}
	return found
}

// searchTier looks in the part of the log that is in the cold tier only.
func (h *Handlers) searchTier(ctx context.Context, p *partition.Partition, ts int64) (found place, ok bool, err error) {
	if !reachesTier(p) {
		return notFound, false, nil
	}
	if ts == askMaxTimestamp {
		found.offset, found.timestamp, ok, err = h.b.Cold().MaxTimestamp(ctx, p)
	} else {
		found.offset, found.timestamp, ok, err = h.b.Cold().OffsetForTimestamp(ctx, p, ts)
	}
	if err != nil {
		return notFound, false, fmt.Errorf("%w: %w", partition.ErrTierUnavailable, err)
	}
	found.epoch = p.EpochAt(found.offset)
	return found, ok, nil
}
