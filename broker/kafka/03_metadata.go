package kafka

// Metadata, versions 0 to 13.
//
// Version 4 says whether topics may be created (KIP-204's time), 7 has leader
// epochs (KIP-320), 8 authorized operations (KIP-430), 10 topic ids and 12 asks
// by id (KIP-516), 13 has an error of the whole response (KIP-1102).
//
//   - The controller is this broker: it takes every change.
//   - A missing topic is created where broker and request allow it, and the
//     answer waits for that; its partitions may need another moment to lead, and
//     are LEADER_NOT_AVAILABLE until then.
//   - Authorized operations are not computed: they keep their default.
//   - All replicas are in sync; an offline one is one that cannot be served.

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

func topicMetadata(h *Handlers, c *Call, q *kmsg.MetadataRequest) {
	missing := h.creatable(c, q)
	if len(missing) == 0 {
		h.answerMetadata(c, q, nil)
		return
	}
	h.createMissing(missing, func(failed map[string]error) {
		// The callback's goroutine owns the broker: answer elsewhere.
		h.b.Run(func() { h.answerMetadata(c, q, failed) })
	})
}

// answerMetadata answers with what the image holds. failed are the topics that
// could not be created.
func (h *Handlers) answerMetadata(c *Call, q *kmsg.MetadataRequest, failed map[string]error) {
	img := h.b.Image()
	r := kmsg.NewPtrMetadataResponse()
	id := img.ClusterID()
	r.ClusterID, r.ControllerID = &id, int32(h.b.NodeID())
	r.Brokers = h.metadataBrokers(img, c.Conn.Listener())
	if q.Topics == nil || c.Version == 0 && len(q.Topics) == 0 {
		r.Topics = make([]kmsg.MetadataResponseTopic, 0, img.TopicCount())
		for t := range img.Topics() {
			r.Topics = append(r.Topics, h.describeTopic(t))
		}
	} else {
		r.Topics = make([]kmsg.MetadataResponseTopic, 0, len(q.Topics))
		for i := range q.Topics {
			r.Topics = append(r.Topics, h.namedTopic(c.Version, img, &q.Topics[i], failed))
		}
	}
	c.Respond(r)
}

// metadataBrokers lists the brokers. This one is where its listener says.
func (h *Handlers) metadataBrokers(img *metadata.Image, listener string) []kmsg.MetadataResponseBroker {
	self := h.b.NodeID()
	out := make([]kmsg.MetadataResponseBroker, 0, img.BrokerCount()+1)
	own := kmsg.NewMetadataResponseBroker()
	own.NodeID = int32(self)
	own.Host, own.Port = h.b.Advertised(listener)
	out = append(out, own)
	for b := range img.Brokers() {
		if b.NodeID == self {
			continue
		}
		other := kmsg.NewMetadataResponseBroker()
		other.NodeID, other.Host, other.Port = int32(b.NodeID), b.Host, b.Port
		out = append(out, other)
	}
	return out
}

// namedTopic answers for a topic that the request names.
func (h *Handlers) namedTopic(version int16, img *metadata.Image, q *kmsg.MetadataRequestTopic, failed map[string]error) kmsg.MetadataResponseTopic {
	t, err := h.resolveTopic(version, img, q)
	if err == nil {
		return h.describeTopic(t)
	}
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID = q.Topic, q.TopicID
	if q.Topic != nil {
		if why, ok := failed[*q.Topic]; ok {
			err = why
		}
	} else if version < 12 {
		out.Topic = new(string) // not nullable there
	}
	out.ErrorCode = h.code(err)
	return out
}

// resolveTopic finds a topic by name, or by id from version 12 on.
func (h *Handlers) resolveTopic(version int16, img *metadata.Image, q *kmsg.MetadataRequestTopic) (*metadata.Topic, error) {
	if q.Topic == nil {
		if version < 12 {
			return nil, kerr.InvalidRequest
		}
		return topicBy(img, true, "", q.TopicID)
	}
	t, err := topicBy(img, false, *q.Topic, ident.TopicID{})
	if err == nil {
		return t, nil
	}
	if bad := checkTopicName(img, *q.Topic); bad != nil {
		return nil, bad
	}
	if !h.b.Ready() { // it may exist
		return nil, kerr.LeaderNotAvailable
	}
	return nil, err
}

// describeTopic answers for a topic that exists.
func (h *Handlers) describeTopic(t *metadata.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, t.Internal
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions))
	for i := range t.Partitions {
		out.Partitions = append(out.Partitions, h.describePartition(t, int32(i)))
	}
	return out
}

func (h *Handlers) describePartition(t *metadata.Topic, index int32) kmsg.MetadataResponseTopicPartition {
	out := kmsg.NewMetadataResponseTopicPartition()
	out.Partition, out.Leader, out.LeaderEpoch = index, -1, -1
	replicas := make([]int32, 0, len(t.Partitions[index].Replicas))
	for _, r := range t.Partitions[index].Replicas {
		replicas = append(replicas, int32(r.Node))
	}
	out.Replicas, out.ISR = replicas, replicas
	p, err := h.partitionOf(t, index)
	if err == nil {
		var o partition.Offsets
		if o, err = p.Offsets(); err == nil {
			out.Leader, out.LeaderEpoch = int32(h.b.NodeID()), int32(o.LeaderEpoch)
			return out
		}
	}
	out.ErrorCode = kerr.LeaderNotAvailable.Code
	if errors.Is(err, partition.ErrDamaged) {
		out.OfflineReplicas = []int32{int32(h.b.NodeID())}
	}
	return out
}
