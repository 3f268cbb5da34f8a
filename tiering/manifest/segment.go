package manifest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/ident"
)

// ErrKey: text that is not the key of a segment's object.
var ErrKey = errors.New("manifest: not a segment's key")

// ID tells one upload from every other. It is random.
type ID [16]byte

// Segment is one object of the cold tier that holds the batches of
// [Base, End) of a partition.
type Segment struct {
	Base ident.Offset // first offset that it may hold
	End  ident.Offset // exclusive
	Term uint64       // Raft term of the leader that uploaded it
	ID   ID
	// DataBytes is the length of the batches. They begin at DataOffset of the
	// object.
	DataBytes int64
	// ObjectBytes is the length of the whole object. What lies behind the data
	// are its indexes, snapshots and footer: the tail.
	ObjectBytes int64
	// TailCRC is the CRC-32C of the tail. The tail holds the checksum of the
	// data, so that an object which has this tail and data that agrees with it is
	// the one that was committed.
	TailCRC      uint32
	MaxTimestamp int64 // largest timestamp of its batches in ms, -1: none
	// CommittedAt is the leader's clock when the commit was proposed, in ms.
	CommittedAt int64
}

// DataOffset is where the batches begin in an object: behind its header.
const DataOffset = 64

// TailOffset is where the tail begins in the object.
func (s *Segment) TailOffset() int64 { return DataOffset + s.DataBytes }

// Limits of what a Segment may claim; larger is damage.
const (
	dataBytesMax = 4<<30 - 1 // Kafka's limit of a segment file
	tailBytesMax = 256 << 20
)

// Check tells whether the fields of a segment can be true.
func (s *Segment) Check() error {
	tail := s.ObjectBytes - s.TailOffset()
	switch {
	case s.Base < 0 || s.End <= s.Base:
		return fmt.Errorf("manifest: a segment of the offsets %d to %d", s.Base, s.End)
	case s.DataBytes < 0 || s.DataBytes > dataBytesMax:
		return fmt.Errorf("manifest: a segment with %d bytes of data", s.DataBytes)
	case tail <= 0 || tail > tailBytesMax:
		return fmt.Errorf("manifest: a segment with a tail of %d bytes", tail)
	case s.MaxTimestamp < -1:
		return fmt.Errorf("manifest: a segment with the timestamp %d", s.MaxTimestamp)
	}
	return nil
}

// Prefix returns what the keys of all objects of a partition begin with. It
// ends in a slash and holds nothing that a user chose but the cluster id.
func Prefix(cluster string, p ident.Partition) string {
	return TopicPrefix(cluster, p.Topic) + strconv.Itoa(int(p.Index)) + "/"
}

// TopicPrefix returns what the keys of all objects of a topic begin with. It
// ends in a slash.
func TopicPrefix(cluster string, t ident.TopicID) string {
	return ClusterPrefix(cluster) + t.Hex() + "/"
}

// ClusterPrefix returns what the keys of all segments of a cluster begin with.
// It ends in a slash.
func ClusterPrefix(cluster string) string { return cluster + "/segments/" }

// Key returns the key of the segment's object. Keys of a partition ascend with
// their base offsets.
func (s *Segment) Key(cluster string, p ident.Partition) string {
	return fmt.Sprintf("%s%020d-%d-%x.segment", Prefix(cluster, p), s.Base, s.Term, s.ID)
}

// ParseKey reads what Key wrote: whose segment it is, and its Base, Term and ID.
func ParseKey(cluster, key string) (ident.Partition, Segment, error) {
	var p ident.Partition
	var s Segment
	bad := fmt.Errorf("%w: %q", ErrKey, key)
	rest, ok := strings.CutPrefix(key, ClusterPrefix(cluster))
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 || len(parts[0]) != 32 {
		return p, s, bad
	}
	topic, err1 := ident.ParseTopicID(parts[0])
	index, err2 := strconv.ParseInt(parts[1], 10, 32)
	name, ok := strings.CutSuffix(parts[2], ".segment")
	fields := strings.Split(name, "-")
	if err1 != nil || err2 != nil || !ok || len(fields) != 3 {
		return p, s, bad
	}
	base, err1 := strconv.ParseInt(fields[0], 10, 64)
	term, err2 := strconv.ParseUint(fields[1], 10, 64)
	id, err3 := hex.DecodeString(fields[2])
	if err1 != nil || err2 != nil || err3 != nil || len(id) != len(s.ID) {
		return p, s, bad
	}
	p = ident.Partition{Topic: topic, Index: int32(index)}
	s.Base, s.Term, s.ID = ident.Offset(base), term, ID(id)
	if s.Key(cluster, p) != key { // one spelling only
		return p, s, bad
	}
	return p, s, nil
}
