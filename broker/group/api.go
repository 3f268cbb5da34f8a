package group

import (
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// Log is where a shard's records go.
type Log interface {
	// Append adds the records as one unit: all of them or none, in order. The
	// Log may keep the slices and must not change them; neither does the shard.
	// done is called exactly once, on the owner, after Append has returned:
	// with nil when the records are committed, else with the reason why they are
	// not in the log and never will be. Successful appends are reported in the
	// order in which they were made. Where the outcome is not known, because
	// leadership was lost, the owner stops the shard instead and loads a new one.
	// The time that done is given is that of the call: sessions that waited for
	// the records go on from there.
	Append(now time.Time, records []Record, done func(now time.Time, err error))
}

// Record is one record of __consumer_offsets, with the bytes that Kafka writes.
// A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// State is that of a classic group.
type State uint8

// The states of a classic group. A group is Dead when there is none, so that no
// group that is listed or described is ever in it.
const (
	Dead State = iota
	Empty
	PreparingRebalance
	CompletingRebalance
	Stable
)

// String returns Kafka's name of the state.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	}
	return "Dead"
}

// TypeClassic is the type of every group that this package knows, as ListGroups
// filters and answers it.
const TypeClassic = "classic"

// Protocol is one assignor that a member offers, with the metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinRequest is one JoinGroup. The shard copies the metadata that it keeps.
type JoinRequest struct {
	GroupID string
	// MemberID is "" for a member that has none yet.
	MemberID string
	// InstanceID is "" for a dynamic member; the caller refuses an empty one
	// that the request does carry.
	InstanceID   string
	ClientID     string
	ClientHost   string
	ProtocolType string
	// Protocols in the member's order of preference.
	Protocols      []Protocol
	SessionTimeout time.Duration
	// RebalanceTimeout is not positive where the request has none: then it is
	// the session timeout.
	RebalanceTimeout time.Duration
	// RequireMemberID says that the client understands ErrMemberIDRequired
	// (version 4 and later, KIP-394).
	RequireMemberID bool
	// SkipAssignment says that the client understands JoinResponse's flag of
	// that name (version 9 and later, KIP-814).
	SkipAssignment bool
	// Reason is the client's own (KIP-800), for the observer only.
	Reason string
}

// JoinMember is one member as the leader is told of it.
type JoinMember struct {
	MemberID   string
	InstanceID string // "" if none
	Metadata   []byte // for the group's protocol
}

// JoinResponse is the answer to a JoinGroup. With an error only MemberID is set:
// with ErrMemberIDRequired to the id to join with.
type JoinResponse struct {
	MemberID       string
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	// Members is nil except for the leader. Its slices belong to the shard.
	Members []JoinMember
}

// Assignment is what the leader assigns to a member.
type Assignment struct {
	MemberID string
	Data     []byte
}

// SyncRequest is one SyncGroup. The shard copies the assignments.
type SyncRequest struct {
	GroupID    string
	MemberID   string
	InstanceID string
	Generation int32
	// ProtocolType and Protocol are "" where the request has none.
	ProtocolType string
	Protocol     string
	Assignments  []Assignment
}

// SyncResponse is the answer to a SyncGroup; zero with an error.
type SyncResponse struct {
	ProtocolType string
	Protocol     string
	Assignment   []byte // belongs to the shard
}

// HeartbeatRequest is one Heartbeat.
type HeartbeatRequest struct {
	GroupID    string
	MemberID   string
	InstanceID string
	Generation int32
}

// LeaveMember is a member that leaves, or that an administrator removes by its
// instance id alone.
type LeaveMember struct {
	MemberID   string
	InstanceID string
	Reason     string // KIP-800
}

// LeaveRequest is one LeaveGroup: before version 3 with a single member, whose
// error is then the request's.
type LeaveRequest struct {
	GroupID string
	Members []LeaveMember
}

// CommitPartition is one offset to commit.
type CommitPartition struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1 if none
	Metadata    string
}

// CommitTopic are the offsets to commit for one topic.
type CommitTopic struct {
	Topic string
	// TopicID says which topic of that name they are of; zero if not known.
	TopicID    ident.TopicID
	Partitions []CommitPartition
}

// CommitRequest is one OffsetCommit.
type CommitRequest struct {
	GroupID    string
	MemberID   string
	InstanceID string
	// Generation is negative for who is no member of the group, a simple
	// consumer or an administrator.
	Generation int32
	// Retention is what versions 2 to 4 may carry; negative for none. The caller
	// caps what a Duration cannot hold.
	Retention time.Duration
	Topics    []CommitTopic
}

// TopicPartitions names partitions of a topic.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// FetchRequest is one group's part of an OffsetFetch.
type FetchRequest struct {
	GroupID string
	// All asks for every committed offset; Topics is then ignored.
	All    bool
	Topics []TopicPartitions
	// RequireStable asks that offsets with an open transaction be refused. No
	// transaction commits offsets here, so it has no effect.
	RequireStable bool
}

// FetchedOffset is a committed offset, or -1 where there is none.
type FetchedOffset struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1 if none
	Metadata    string
}

// FetchedTopic are the committed offsets of one topic.
type FetchedTopic struct {
	Topic      string
	Partitions []FetchedOffset
}

// DeleteOffsetsRequest is one OffsetDelete.
type DeleteOffsetsRequest struct {
	GroupID string
	Topics  []TopicPartitions
}

// DescribedMember is a member as DescribeGroups shows it.
type DescribedMember struct {
	MemberID   string
	InstanceID string // "" if none
	ClientID   string
	ClientHost string
	// Metadata and Assignment are nil unless the group is Stable. They belong to
	// the shard.
	Metadata   []byte
	Assignment []byte
}

// Description is a group as DescribeGroups shows it.
type Description struct {
	GroupID      string
	State        State
	Generation   int32
	ProtocolType string
	Protocol     string // "" unless the group is Stable
	Members      []DescribedMember
}

// Listed is a group as ListGroups shows it.
type Listed struct {
	GroupID      string
	ProtocolType string
	State        State
}

// EventKind says what happened to a group.
type EventKind uint8

// What an Observe function is told.
const (
	// EventRebalance is the start of a rebalance; Reason says why.
	EventRebalance EventKind = iota + 1
	// EventGeneration is the end of the join phase with members.
	EventGeneration
	// EventStable is a generation whose assignment is committed.
	EventStable
	// EventEmpty is a group that lost its last member.
	EventEmpty
	// EventExpired is a member that was removed because it was silent or did not
	// join or sync in time; Reason says which.
	EventExpired
	// EventLeft is a member that left or was removed by an administrator.
	EventLeft
	// EventAppendFailed is a record that could not be stored; Reason says why.
	EventAppendFailed
	// EventDeleted is a group that is gone.
	EventDeleted
	// EventOffsetsExpired are Count offsets whose retention passed.
	EventOffsetsExpired
)

// Event is told to Config.Observe, for logs and metrics.
type Event struct {
	Kind       EventKind
	GroupID    string
	MemberID   string
	Generation int32
	Count      int
	Reason     string
}
