package ident

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// Offset is a record's position in a partition. The first record of a new
// partition has offset 0.
type Offset int64

// Epoch is a leader epoch: the Raft term under which a batch was proposed,
// as it stands in the batch header. -1 means unknown.
type Epoch int32

// NodeID is a broker's id, Kafka's node.id.
type NodeID int32

// GroupID names one Raft group of the cluster. Group 0 holds the cluster
// metadata; every partition has a group of its own, whose id is allocated by
// group 0, counting up, and never reused.
type GroupID uint64

// MetadataGroup is the group of the cluster metadata.
const MetadataGroup GroupID = 0

// ReplicaID names one replica of one group. Replica ids are allocated once and
// never reused, not even for the same broker.
type ReplicaID uint64

// TopicID is a topic's UUID (KIP-516). The zero value means "no topic id".
type TopicID [16]byte

// ErrTopicID reports text that is not a topic id.
var ErrTopicID = errors.New("ident: not a topic id")

// IsZero reports whether the id is unset.
func (t TopicID) IsZero() bool { return t == TopicID{} }

// String returns the id as Kafka's tools print it: 22 characters of unpadded
// URL-safe base64.
func (t TopicID) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// Hex returns the id as 32 lower-case hexadecimal digits, the form used for
// directories and object keys because it is safe on case-insensitive file
// systems.
func (t TopicID) Hex() string { return hex.EncodeToString(t[:]) }

// ParseTopicID reads what String or Hex returned.
func ParseTopicID(s string) (TopicID, error) {
	var t TopicID
	var b []byte
	var err error
	switch len(s) {
	case 22:
		b, err = base64.RawURLEncoding.DecodeString(s)
	case 32:
		b, err = hex.DecodeString(s)
	default:
		return t, fmt.Errorf("%w: %q", ErrTopicID, s)
	}
	if err != nil || len(b) != len(t) {
		return TopicID{}, fmt.Errorf("%w: %q", ErrTopicID, s)
	}
	copy(t[:], b)
	return t, nil
}

// Partition names one partition of one topic for its whole life: a topic that
// is deleted and created again under the same name has another id.
type Partition struct {
	Topic TopicID
	Index int32
}

// String returns the topic id and the partition number, as in
// "AAAAAAAAAAAAAAAAAAAAAQ-3".
func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Index) }

// Dir returns the name of the partition's directory and object key prefix. It
// contains nothing that a user chose.
func (p Partition) Dir() string { return fmt.Sprintf("%s-%d", p.Topic.Hex(), p.Index) }
