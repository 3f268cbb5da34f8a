package kafka

// OffsetDelete, version 0 (KIP-496).
//
// Gaps: none.

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/internal/ident"
)

func offsetDelete(h *Handlers, c *Call, q *kmsg.OffsetDeleteRequest) {
	r := kmsg.NewPtrOffsetDeleteResponse()
	r.Topics = make([]kmsg.OffsetDeleteResponseTopic, len(q.Topics))
	d := group.DeleteOffsetsRequest{GroupID: q.Group}
	var open []*int16 // the codes of what is to be deleted, in its order
	img := h.b.Image()
	for i := range q.Topics {
		t, answer := &q.Topics[i], &r.Topics[i]
		answer.Topic = t.Topic
		answer.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(t.Partitions))
		_, check, err := offsetTopic(img, false, t.Topic, ident.TopicID{})
		asked := group.TopicPartitions{Topic: t.Topic}
		for j := range t.Partitions {
			a, at := &answer.Partitions[j], err
			a.Partition = t.Partitions[j].Partition
			if at == nil {
				at = check(a.Partition)
			}
			if at != nil {
				a.ErrorCode = h.code(at)
				continue
			}
			asked.Partitions = append(asked.Partitions, a.Partition)
			open = append(open, &a.ErrorCode)
		}
		if len(asked.Partitions) > 0 {
			d.Topics = append(d.Topics, asked)
		}
	}
	answer := func(errs []error, err error) {
		if r.ErrorCode = h.code(err); err != nil {
			r.Topics = nil
		}
		for i := range min(len(errs), len(open)) {
			*open[i] = h.code(errs[i])
		}
		c.Respond(r)
	}
	h.withGroup(q.Group, func(now time.Time, s *group.Shard, err error) {
		if err != nil {
			answer(nil, err)
			return
		}
		s.DeleteOffsets(now, d, answer)
	})
}
