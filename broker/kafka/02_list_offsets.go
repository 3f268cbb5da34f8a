package kafka

// ListOffsets, versions 1 to 11.
//
// Version 2 has isolation levels, 4 leader epochs (KIP-320), 7 the maximum
// timestamp -3 (KIP-734), 8 the earliest local offset -4 (KIP-405), 9 the latest
// tiered one -5 (KIP-1005), 10 a timeout for the tier (KIP-1075), 11 the
// earliest that is not yet tiered, -6 (KIP-1023).
//
//   - Nothing is tiered yet: -4 is -2, -5 finds nothing, -6 is the log start of
//     topics that have remote storage and finds nothing for others.
//   - There are no transactions yet: the last stable offset is the high
//     watermark.
//   - The timeout is not used, since only the local disk is asked.

import (
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
				h.b.Run(func() { h.listOffsets(c, q) })
				return
			}
		}
	}
	h.listOffsets(c, q) // nothing asks the disk
}

func (h *Handlers) listOffsets(c *Call, q *kmsg.ListOffsetsRequest) {
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
				found, failed = h.listOffset(c.Version, q.IsolationLevel, t, &p)
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

// listOffset answers for one partition. It may wait for the disk.
func (h *Handlers) listOffset(version int16, isolation int8, t *metadata.Topic, q *kmsg.ListOffsetsRequestTopicPartition) (place, error) {
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
		return notFound, nil
	case askPendingUpload:
		if !h.b.Topic(t).RemoteStorageEnable {
			return notFound, nil
		}
		return place{o.LogStart, -1, p.EpochAt(o.LogStart)}, nil
	}
	return searchOffset(p, q.Timestamp, until)
}

// searchOffset looks for a record by its timestamp, below until.
func searchOffset(p *partition.Partition, ts int64, until ident.Offset) (found place, err error) {
	ok := false
	if ts == askMaxTimestamp {
		found.offset, found.timestamp, found.epoch, ok, err = p.MaxTimestamp()
	} else {
		found.offset, found.timestamp, found.epoch, ok, err = p.OffsetForTimestamp(ts)
	}
	if err != nil || !ok || found.offset >= until {
		return notFound, err
	}
	return found, nil
}
