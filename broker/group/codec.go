package group

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
)

// The versions that are written: those of every Kafka since 2.3, but for offsets
// with a topic id, which Kafka's tools read since they know flexible versions. Up
// to those, 4, all are read.
const (
	offsetKeyVersion    = 1 // 0 has the same form
	groupKeyVersion     = 2
	offsetValueVersion  = 3
	topicIDValue        = 4 // of an offset that says which topic of its name it is of (KIP-848)
	expiringValue       = 1 // of an offset with an expiry time of its own, and without a topic id
	groupValueVersion   = 3
	newestOffsetVersion = 4
	newestGroupVersion  = 4
)

// The tagged fields of an offset of version 4. The topic's id is Kafka's, the
// others are Varve's own, which Kafka's tools skip; each is 8 bytes.
const (
	topicIDTag = 0
	indexTag   = 1000 // offset.index
	expireTag  = 1001 // offset.expire
)

// memberMinBytes is the least that a member takes in a group's value.
const memberMinBytes = 2 + 2 + 2 + 4 + 4 + 4

// flexibleMemberMinBytes is that of the flexible form.
const flexibleMemberMinBytes = 4 + 4 + 4 + 1 + 1 + 1

// offset is a committed offset.
type offset struct {
	offset   int64
	epoch    int32 // -1 if none
	metadata string
	commit   int64         // ms
	expire   int64         // ms, -1 if it has no expiry time of its own
	topic    ident.TopicID // zero if not known
	// index is that of the cluster metadata in which the topic was when the offset
	// was committed, 0 if not known.
	index uint64
}

// groupKey appends the key of a group's metadata.
func groupKey(dst []byte, id string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: id}
	return k.AppendTo(dst)
}

// offsetKey appends the key of an offset.
func offsetKey(dst []byte, id, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: id, Topic: topic, Partition: partition}
	return k.AppendTo(dst)
}

// offsetKeyBytes is how long a key is.
func offsetKeyBytes(id, topic string) int { return 2 + 2 + len(id) + 2 + len(topic) + 4 }

// appendTo appends the value of the offset's record.
func (o offset) appendTo(dst []byte) []byte {
	if !o.topic.IsZero() {
		return o.appendTagged(dst)
	}
	v := kmsg.OffsetCommitValue{
		Version: offsetValueVersion, Offset: o.offset, LeaderEpoch: o.epoch, Metadata: o.metadata,
		CommitTimestamp: o.commit, ExpireTimestamp: o.expire,
	}
	if o.expire >= 0 {
		v.Version = expiringValue
	}
	return v.AppendTo(dst)
}

// appendTagged appends the form that says which topic the offset is of.
func (o offset) appendTagged(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, topicIDValue)
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.offset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(o.epoch))
	dst = binary.AppendUvarint(dst, uint64(len(o.metadata))+1)
	dst = append(dst, o.metadata...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.commit))
	tags := byte(1)
	if o.index > 0 {
		tags++
	}
	if o.expire >= 0 {
		tags++
	}
	dst = append(dst, tags, topicIDTag, byte(len(o.topic)))
	dst = append(dst, o.topic[:]...)
	if o.index > 0 {
		dst = append(binary.AppendUvarint(dst, indexTag), 8)
		dst = binary.BigEndian.AppendUint64(dst, o.index)
	}
	if o.expire >= 0 {
		dst = append(binary.AppendUvarint(dst, expireTag), 8)
		dst = binary.BigEndian.AppendUint64(dst, uint64(o.expire))
	}
	return dst
}

// valueBytes is how long the value is at most.
func (o offset) valueBytes() int {
	const tagged = 2 + 1 + 8
	return 2 + 8 + 4 + 3 + len(o.metadata) + 8 + 1 + 2 + len(o.topic) + 2*tagged
}

// parsedKey is a key of either kind.
type parsedKey struct {
	isGroup   bool
	group     string
	topic     string
	partition int32
}

// parseKey reads a key. ok is false for a version that is not known, which is
// of another kind of group.
func parseKey(b []byte) (k parsedKey, ok bool, err error) {
	r := reader{b: b}
	switch version := r.int16(); {
	case r.bad:
		return k, false, fmt.Errorf("read key of %d bytes: %w", len(b), ErrCorrupt)
	case version == groupKeyVersion:
		k.isGroup = true
		k.group = string(r.bytes(false, 2))
	case version == 0 || version == offsetKeyVersion:
		k.group = string(r.bytes(false, 2))
		k.topic = string(r.bytes(false, 2))
		k.partition = r.int32()
	default:
		return k, false, nil
	}
	if !r.end() {
		return k, false, fmt.Errorf("read key of %d bytes: %w", len(b), ErrCorrupt)
	}
	return k, true, nil
}

// parseOffset reads the value of an offset's record.
func parseOffset(b []byte) (offset, error) {
	r := reader{b: b}
	o := offset{epoch: -1, expire: -1}
	version := r.int16()
	if version < 0 || version > newestOffsetVersion {
		return o, fmt.Errorf("read offset of version %d: %w", version, ErrCorrupt)
	}
	flexible := version >= 4
	o.offset = r.int64()
	if version >= 3 {
		o.epoch = r.int32()
	}
	o.metadata = string(r.bytes(flexible, 2))
	o.commit = r.int64()
	if version == expiringValue {
		o.expire = r.int64()
	}
	r.tagged(flexible, func(tag uint32, b []byte) {
		switch {
		case tag == topicIDTag && len(b) != len(o.topic):
			r.bad = true
		case tag == topicIDTag:
			o.topic = ident.TopicID(b)
		case tag == indexTag && len(b) == 8:
			o.index = binary.BigEndian.Uint64(b)
		case tag == expireTag && len(b) == 8:
			o.expire = int64(binary.BigEndian.Uint64(b))
		}
	})
	if !r.end() {
		return o, fmt.Errorf("read offset of %d bytes: %w", len(b), ErrCorrupt)
	}
	o.epoch, o.expire = max(o.epoch, -1), max(o.expire, -1)
	return o, nil
}

// metadataValue is a group's metadata as its record has it.
type metadataValue struct {
	protocolType string
	generation   int32
	protocol     string
	leader       string
	since        int64 // ms, -1 if not known
	members      []memberValue
}

// memberValue is one member in it. The slices alias what was parsed.
type memberValue struct {
	id, instance, client, host string
	rebalance, session         int32 // ms
	subscription, assignment   []byte
}

// parseGroup reads the value of a group's record. The result aliases b.
func parseGroup(b []byte) (metadataValue, error) {
	r := reader{b: b}
	v := metadataValue{since: -1}
	version := r.int16()
	if version < 0 || version > newestGroupVersion {
		return v, fmt.Errorf("read group of version %d: %w", version, ErrCorrupt)
	}
	flexible := version >= 4
	v.protocolType = string(r.bytes(flexible, 2))
	v.generation = r.int32()
	v.protocol = string(r.nullable(flexible, 2))
	v.leader = string(r.nullable(flexible, 2))
	if version >= 2 {
		v.since = r.int64()
	}
	least := memberMinBytes
	if flexible {
		least = flexibleMemberMinBytes
	}
	count := r.array(flexible, least)
	v.members = make([]memberValue, 0, count)
	for range count {
		m := memberValue{id: string(r.bytes(flexible, 2))}
		if version >= 3 {
			m.instance = string(r.nullable(flexible, 2))
		}
		m.client = string(r.bytes(flexible, 2))
		m.host = string(r.bytes(flexible, 2))
		m.rebalance = -1
		if version >= 1 {
			m.rebalance = r.int32()
		}
		m.session = r.int32()
		m.subscription = r.bytes(flexible, 4)
		m.assignment = r.bytes(flexible, 4)
		r.tags(flexible)
		if r.bad {
			break
		}
		if m.rebalance < 0 {
			m.rebalance = m.session
		}
		v.members = append(v.members, m)
	}
	r.tags(flexible)
	if !r.end() {
		return v, fmt.Errorf("read group of %d bytes: %w", len(b), ErrCorrupt)
	}
	return v, nil
}

// appendTo appends the value of the record.
func (v metadataValue) appendTo(dst []byte) []byte {
	k := kmsg.GroupMetadataValue{
		Version: groupValueVersion, ProtocolType: v.protocolType, Generation: v.generation,
		CurrentStateTimestamp: v.since,
		Members:               make([]kmsg.GroupMetadataValueMember, 0, len(v.members)),
	}
	if v.protocol != "" {
		k.Protocol = &v.protocol
	}
	if v.leader != "" {
		k.Leader = &v.leader
	}
	for i := range v.members {
		m := &v.members[i]
		e := kmsg.GroupMetadataValueMember{
			MemberID: m.id, ClientID: m.client, ClientHost: m.host,
			RebalanceTimeoutMillis: m.rebalance, SessionTimeoutMillis: m.session,
			Subscription: m.subscription, Assignment: m.assignment,
		}
		if m.instance != "" {
			e.InstanceID = &m.instance
		}
		k.Members = append(k.Members, e)
	}
	return k.AppendTo(dst)
}

// valueBytes is how long the value is at most.
func (v metadataValue) valueBytes() int {
	n := 2 + 2 + len(v.protocolType) + 4 + 2 + len(v.protocol) + 2 + len(v.leader) + 8 + 4
	for i := range v.members {
		m := &v.members[i]
		n += 2 + len(m.id) + 2 + len(m.instance) + 2 + len(m.client) + 2 + len(m.host) + 8
		n += 4 + len(m.subscription) + 4 + len(m.assignment)
	}
	return n
}
