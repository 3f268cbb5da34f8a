package kafka

// CreatePartitions, versions 0 to 3.
//
//	1  throttle time after the answer
//	2  flexible (KIP-482)
//	3  THROTTLING_QUOTA_EXCEEDED (KIP-599)
//
// Gaps: no mutation quota, so THROTTLING_QUOTA_EXCEEDED is never returned.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

func createPartitions(h *Handlers, c *Call, q *kmsg.CreatePartitionsRequest) {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	img := h.b.Image()
	topics, again := distinct(q.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
	resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, len(topics))
	var changes []change
	room, gate := partitionsPerRequestMax, h.gate()
	for i, t := range topics {
		answer := &resp.Topics[i]
		*answer = kmsg.NewCreatePartitionsResponseTopic()
		answer.Topic = t.Topic
		err := gate
		switch {
		case err != nil:
		case again[t.Topic]:
			err = refuse(kerr.InvalidRequest, "topic %.260q stands twice in the request", t.Topic)
		case i >= topicsPerRequestMax:
			err = refuse(kerr.PolicyViolation, "more than %d topics in one request", topicsPerRequestMax)
		}
		var cmd metadata.CreatePartitions
		more := 0
		if err == nil {
			cmd, more, err = morePartitions(img, t)
		}
		if err == nil && more > room {
			err = refuse(kerr.PolicyViolation, "more than %d new partitions in one request", partitionsPerRequestMax)
		}
		if err != nil {
			answer.ErrorCode, answer.ErrorMessage = h.verdict(err)
			continue
		}
		room -= more
		answer.ErrorCode, answer.ErrorMessage = h.verdict(errTimedOut)
		changes = append(changes, change{cmd, func(r metadata.Result) {
			answer.ErrorCode, answer.ErrorMessage = h.verdict(r.Err)
		}})
	}
	c.change(q.TimeoutMillis, q.ValidateOnly, changes, func() { c.Respond(resp) })
}

// morePartitions returns the command that a topic of the request asks for, and
// how many partitions it adds.
func morePartitions(img *metadata.Image, t *kmsg.CreatePartitionsRequestTopic) (cmd metadata.CreatePartitions, more int, err error) {
	topic, err := findTopic(img, t.Topic)
	if err != nil {
		return cmd, 0, err
	}
	if err := refuseReserved(t.Topic, "create partitions"); err != nil {
		return cmd, 0, err
	}
	have := len(topic.Partitions)
	more = int(t.Count) - have
	if more <= 0 {
		return cmd, 0, refuse(kerr.InvalidPartitions, "topic %q has %d partitions, which %d does not exceed", t.Topic, have, t.Count)
	}
	cmd = metadata.CreatePartitions{TopicID: topic.ID, Total: t.Count}
	if t.Assignment == nil {
		return cmd, more, nil
	}
	if len(t.Assignment) != more {
		return cmd, 0, refuse(kerr.InvalidReplicaAssignment, "%d assignments for %d new partitions", len(t.Assignment), more)
	}
	// What is assigned was planned for the present partitions.
	cmd.ExpectVersion = img.Version()
	rf := len(topic.Partitions[0].Replicas)
	cmd.Assignments = make([][]ident.NodeID, more)
	for i := range t.Assignment {
		nodes, err := brokersOf(img, have+i, t.Assignment[i].Replicas)
		if err != nil {
			return cmd, 0, err
		}
		if len(nodes) != rf {
			return cmd, 0, refuse(kerr.InvalidReplicaAssignment, "partition %d has %d replicas, the topic's replication factor is %d", have+i, len(nodes), rf)
		}
		cmd.Assignments[i] = nodes
	}
	return cmd, more, nil
}
