package kafka

// OffsetCommit, versions 2 to 10.
//
// Versions 2 to 4 have a retention time, 3 throttle time in the answer, 6 leader
// epochs (KIP-320), 7 instance ids (KIP-345), 8 is flexible (KIP-482), 9 has
// GROUP_ID_NOT_FOUND (KIP-848), 10 topic ids (KIP-516).
//
//   - The answer comes when the offsets are durable, or with
//     COORDINATOR_NOT_AVAILABLE after offsets.commit.timeout.ms, as in Kafka;
//     they may be committed later.
//   - Partitions that do not exist are refused one by one, the others committed.

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
)

func offsetCommit(h *Handlers, c *Call, q *kmsg.OffsetCommitRequest) {
	r := kmsg.NewPtrOffsetCommitResponse()
	instance, refusal := instanceID(q.InstanceID)
	// open are the codes of what is to be committed, in its order.
	topics, open := h.commitTopics(c, q, r, refusal)
	if len(open) == 0 {
		c.Respond(r)
		return
	}
	note := func(errs []error, err error) {
		for i, code := range open {
			at := err
			if err == nil && i < len(errs) {
				at = errs[i]
			}
			*code = h.commitCode(c.Version, at)
		}
	}
	wait := int32(h.b.Config().OffsetsCommitTimeout / time.Millisecond)
	g := c.gather(wait, 1, func() { c.Respond(r) })
	h.withGroup(q.Group, func(now time.Time, s *group.Shard, err error) {
		if err != nil {
			g.settle(func() { note(nil, err) })
			return
		}
		s.CommitOffsets(now, group.CommitRequest{
			GroupID: q.Group, MemberID: q.MemberID, InstanceID: instance, Generation: q.Generation,
			Retention: milliseconds(q.RetentionTimeMillis), Topics: topics,
		}, func(errs []error, err error) { g.settle(func() { note(errs, err) }) })
	})
}

// commitTopics makes the answer, with the codes of what is refused at once, and
// returns the rest and where its codes go.
func (h *Handlers) commitTopics(c *Call, q *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, refusal error) (topics []group.CommitTopic, open []*int16) {
	img := h.b.Image()
	r.Topics = make([]kmsg.OffsetCommitResponseTopic, len(q.Topics))
	for i := range q.Topics {
		t, answer := &q.Topics[i], &r.Topics[i]
		answer.Topic, answer.TopicID = t.Topic, t.TopicID
		answer.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		found, check, err := offsetTopic(img, c.Version >= 10, t.Topic, t.TopicID)
		if refusal != nil {
			err = refusal
		}
		var commit group.CommitTopic
		for j := range t.Partitions {
			p, a := &t.Partitions[j], &answer.Partitions[j]
			a.Partition = p.Partition
			at := err
			if at == nil {
				at = check(p.Partition)
			}
			if at != nil {
				a.ErrorCode = h.code(at)
				continue
			}
			a.ErrorCode = kerr.CoordinatorNotAvailable.Code // until the outcome is known
			commit.Partitions = append(commit.Partitions, group.CommitPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata),
			})
			open = append(open, &a.ErrorCode)
		}
		if len(commit.Partitions) > 0 {
			commit.Topic, commit.TopicID = found.Name, found.ID
			topics = append(topics, commit)
		}
	}
	return topics, open
}

// commitCode is the code of one offset.
func (h *Handlers) commitCode(version int16, err error) int16 {
	switch {
	case version < 9 && errors.Is(err, group.ErrGroupNotFound):
		return kerr.IllegalGeneration.Code
	case errors.Is(err, coordinator.ErrTooLarge):
		return kerr.InvalidCommitOffsetSize.Code
	}
	return h.code(err)
}
