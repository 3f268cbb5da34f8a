package kafka

// OffsetForLeaderEpoch, versions 2 to 4.
//
// Consumers ask where an epoch ended in order to notice that the log was
// truncated (KIP-320). Only committed records are stored here, so an answer
// never shrinks. The replica id of version 3 is not looked at.

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

func offsetForLeaderEpoch(h *Handlers, c *Call, q *kmsg.OffsetForLeaderEpochRequest) {
	img := h.b.Image()
	r := kmsg.NewPtrOffsetForLeaderEpochResponse()
	r.Topics = make([]kmsg.OffsetForLeaderEpochResponseTopic, 0, len(q.Topics))
	for i := range q.Topics {
		asked := &q.Topics[i]
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = asked.Topic
		topic.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, 0, len(asked.Partitions))
		t, err := topicBy(img, false, asked.Topic, ident.TopicID{})
		for _, p := range asked.Partitions {
			out := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			out.Partition = p.Partition
			out.LeaderEpoch, out.EndOffset = -1, -1
			failed := err
			if failed == nil {
				failed = h.epochEnd(t, &p, &out)
			}
			out.ErrorCode = h.code(failed)
			topic.Partitions = append(topic.Partitions, out)
		}
		r.Topics = append(r.Topics, topic)
	}
	c.Respond(r)
}

// epochEnd answers for one partition.
func (h *Handlers) epochEnd(t *metadata.Topic, q *kmsg.OffsetForLeaderEpochRequestTopicPartition, out *kmsg.OffsetForLeaderEpochResponseTopicPartition) error {
	p, err := h.partitionOf(t, q.Partition)
	if err != nil {
		return err
	}
	o, err := p.Offsets()
	if err != nil {
		return err
	}
	if err := checkEpoch(q.CurrentLeaderEpoch, o.LeaderEpoch); err != nil {
		return err
	}
	epoch, end, err := p.EpochEnd(ident.Epoch(q.LeaderEpoch))
	if err != nil {
		return err
	}
	out.LeaderEpoch, out.EndOffset = int32(epoch), int64(end)
	return nil
}
