package kafka

// CreateTopics, versions 2 to 7.
//
//	2  throttle time
//	4  number of partitions and replication factor -1 mean the broker's defaults
//	   (KIP-464; served for older versions too)
//	5  flexible (KIP-482); the answer shows what was made: number of partitions,
//	   replication factor and all settings (KIP-525)
//	6  THROTTLING_QUOTA_EXCEEDED (KIP-599)
//	7  topic ids (KIP-516)
//
// Gaps: no mutation quota, so THROTTLING_QUOTA_EXCEEDED is never returned.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

func createTopics(h *Handlers, c *Call, q *kmsg.CreateTopicsRequest) {
	resp := kmsg.NewPtrCreateTopicsResponse()
	img := h.b.Image()
	b := h.dynamicBroker(img)
	topics, again := distinct(q.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(topics))
	var changes []change
	room, gate := partitionsPerRequestMax, h.gate()
	for i, t := range topics {
		answer := &resp.Topics[i]
		err := gate
		switch {
		case err != nil:
		case again[t.Topic]:
			err = refuse(kerr.InvalidRequest, "topic %.260q stands twice in the request", t.Topic)
		case i >= topicsPerRequestMax:
			err = refuse(kerr.PolicyViolation, "more than %d topics in one request", topicsPerRequestMax)
		}
		var cmd metadata.CreateTopic
		if err == nil {
			cmd, err = h.newTopic(img, b, t)
		}
		if err == nil && int(cmd.Partitions) > room {
			err = refuse(kerr.PolicyViolation, "more than %d partitions in one request", partitionsPerRequestMax)
		}
		if err != nil {
			*answer = h.newTopicAnswer(t.Topic, err)
			continue
		}
		room -= max(0, int(cmd.Partitions))
		*answer = h.newTopicAnswer(t.Topic, errTimedOut)
		made := h.madeTopic(&cmd, b)
		if q.ValidateOnly {
			made.TopicID = ident.TopicID{}
		}
		changes = append(changes, change{cmd, func(r metadata.Result) {
			if *answer = made; r.Err != nil {
				*answer = h.newTopicAnswer(t.Topic, r.Err)
			}
		}})
	}
	c.change(q.TimeoutMillis, q.ValidateOnly, changes, func() { c.Respond(resp) })
}

func (h *Handlers) newTopicAnswer(name string, err error) kmsg.CreateTopicsResponseTopic {
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic = name
	t.ErrorCode, t.ErrorMessage = h.verdict(err)
	return t
}

// newTopic returns the command that a topic of the request asks for.
func (h *Handlers) newTopic(img *metadata.Image, b *config.Broker, t *kmsg.CreateTopicsRequestTopic) (metadata.CreateTopic, error) {
	cmd := metadata.CreateTopic{
		Name: t.Topic, TopicID: newTopicID(), Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor,
		TimeMs: h.b.Now().UnixMilli(),
	}
	if err := refuseReserved(t.Topic, "create topic"); err != nil {
		return cmd, err
	}
	if err := checkTopicName(img, t.Topic); err != nil {
		return cmd, err
	}
	if len(t.ReplicaAssignment) > 0 {
		if err := assign(img, &cmd, t); err != nil {
			return cmd, err
		}
	}
	if cmd.Partitions == -1 {
		cmd.Partitions = b.NumPartitions
	}
	if cmd.ReplicationFactor == -1 {
		cmd.ReplicationFactor = int16(b.DefaultReplicationFactor)
	}
	for i := range t.Configs {
		kv := &t.Configs[i]
		if kv.Value == nil {
			return cmd, refuse(kerr.InvalidConfig, "setting %.130q has no value", kv.Name)
		}
		cmd.Configs = append(cmd.Configs, metadata.KV{Name: kv.Name, Value: *kv.Value})
	}
	return cmd, h.checkTopicConfigs(img, b, cmd.Configs)
}

// assign takes over a manual assignment: one entry for each partition from 0 on.
func assign(img *metadata.Image, cmd *metadata.CreateTopic, t *kmsg.CreateTopicsRequestTopic) error {
	n := len(t.ReplicaAssignment)
	if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
		return refuse(kerr.InvalidRequest, "with a manual assignment the number of partitions and the replication factor must be -1")
	}
	if n > partitionsPerRequestMax {
		return refuse(kerr.PolicyViolation, "more than %d partitions in one request", partitionsPerRequestMax)
	}
	cmd.Assignments = make([][]ident.NodeID, n)
	for i := range t.ReplicaAssignment {
		a := &t.ReplicaAssignment[i]
		if a.Partition < 0 || int(a.Partition) >= n || cmd.Assignments[a.Partition] != nil {
			return refuse(kerr.InvalidReplicaAssignment, "partitions must be assigned from 0 to %d, each once; got %d", n-1, a.Partition)
		}
		nodes, err := brokersOf(img, int(a.Partition), a.Replicas)
		if err != nil {
			return err
		}
		cmd.Assignments[a.Partition] = nodes
	}
	rf := len(cmd.Assignments[0])
	for p, nodes := range cmd.Assignments {
		if len(nodes) != rf {
			return refuse(kerr.InvalidReplicaAssignment, "partition 0 has %d replicas, partition %d has %d", rf, p, len(nodes))
		}
	}
	cmd.Partitions, cmd.ReplicationFactor = int32(n), int16(rf)
	return nil
}

// madeTopic returns the answer for a topic that is created as asked.
func (h *Handlers) madeTopic(cmd *metadata.CreateTopic, b *config.Broker) kmsg.CreateTopicsResponseTopic {
	a := h.newTopicAnswer(cmd.Name, nil)
	a.TopicID, a.NumPartitions, a.ReplicationFactor = cmd.TopicID, cmd.Partitions, cmd.ReplicationFactor
	entries := config.DescribeTopic(overrides(cmd.Configs), b)
	a.Configs = make([]kmsg.CreateTopicsResponseTopicConfig, len(entries))
	for i := range entries {
		e := &entries[i]
		a.Configs[i] = kmsg.CreateTopicsResponseTopicConfig{
			Name: e.Name, Value: shown(e.Value, e.Null), ReadOnly: e.ReadOnly, Source: int8(e.Source), IsSensitive: e.Sensitive,
		}
	}
	return a
}

// shown returns a setting's value as answers have it, nil for none.
func shown(value string, null bool) *string {
	if null {
		return nil
	}
	return &value
}
