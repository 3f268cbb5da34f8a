package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// isolation of read_committed readers, in Fetch and ListOffsets.
const readCommitted = 1

// topicBy finds a topic by name, or by id in versions whose requests carry ids.
func topicBy(img *metadata.Image, byID bool, name string, id ident.TopicID) (*metadata.Topic, error) {
	if byID {
		if t, ok := img.TopicByID(id); ok {
			return t, nil
		}
		return nil, kerr.UnknownTopicID
	}
	if t, ok := img.Topic(name); ok {
		return t, nil
	}
	return nil, kerr.UnknownTopicOrPartition
}

// partitionOf finds this broker's replica of a partition of a topic.
func (h *Handlers) partitionOf(t *metadata.Topic, index int32) (*partition.Partition, error) {
	if index < 0 || int(index) >= len(t.Partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	r := h.b.Replica(ident.Partition{Topic: t.ID, Index: index})
	switch {
	case r == nil:
		return nil, partition.ErrNotLeader
	case r.Partition == nil && r.Err == nil:
		return nil, partition.ErrDamaged
	case r.Partition == nil:
		return nil, r.Err
	}
	return r.Partition, nil
}

// checkEpoch compares the leader epoch that a client knows, -1 if none, with
// the partition's (KIP-320).
func checkEpoch(known int32, current ident.Epoch) error {
	switch {
	case known < 0 || known == int32(current):
		return nil
	case known < int32(current):
		return kerr.FencedLeaderEpoch
	}
	return kerr.UnknownLeaderEpoch
}
