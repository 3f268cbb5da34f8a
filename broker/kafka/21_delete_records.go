package kafka

// DeleteRecords, versions 0 to 2.
//
//	1  throttle time after the answer
//	2  flexible (KIP-482)
//
// Gaps: none. As in Kafka, topics that are only compacted and internal topics
// are refused.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// shorten is one partition whose log start is to be raised.
type shorten struct {
	p      *partition.Partition
	offset int64
	answer *kmsg.DeleteRecordsResponseTopicPartition
}

func deleteRecords(h *Handlers, c *Call, q *kmsg.DeleteRecordsRequest) {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	img := h.b.Image()
	gate := h.gate()
	resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(q.Topics))
	var work []shorten
	for i := range q.Topics {
		t, answer := &q.Topics[i], &resp.Topics[i]
		answer.Topic = t.Topic
		answer.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
		err := gate
		var topic *metadata.Topic
		if err == nil {
			topic, err = h.shortenable(img, t.Topic)
		}
		for j := range t.Partitions {
			a := &answer.Partitions[j]
			a.Partition, a.LowWatermark = t.Partitions[j].Partition, -1
			at := err
			var p *partition.Partition
			if at == nil {
				p, at = h.partitionOf(topic, a.Partition)
			}
			if at != nil {
				a.ErrorCode = h.code(at)
				continue
			}
			a.ErrorCode = kerr.RequestTimedOut.Code
			work = append(work, shorten{p, t.Partitions[j].Offset, a})
		}
	}
	send := func() { c.Respond(resp) }
	if len(work) == 0 {
		send()
		return
	}
	g := c.gather(q.TimeoutMillis, len(work), send)
	for _, w := range work {
		h.b.DeleteRecords(w.p, &partition.StartRequest{Offset: ident.Offset(w.offset), Done: func(low ident.Offset, err error) {
			g.settle(func() {
				if w.answer.ErrorCode = h.code(err); err == nil {
					w.answer.LowWatermark = int64(low)
				}
			})
		}})
	}
}

// shortenable finds a topic whose records may be deleted.
func (h *Handlers) shortenable(img *metadata.Image, name string) (*metadata.Topic, error) {
	t, err := findTopic(img, name)
	if err != nil {
		return nil, err
	}
	if t.Internal {
		return nil, kerr.InvalidTopicException
	}
	if cfg := h.b.Topic(t); cfg.Compacted() && !cfg.Deleted() {
		return nil, kerr.PolicyViolation
	}
	return t, refuseReserved(name, "delete records")
}
