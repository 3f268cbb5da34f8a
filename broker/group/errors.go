package group

import "errors"

// What a request can fail with, beside the reason that a Log or Stop gives. The
// comment names the protocol's own word for it.
var (
	// ErrInvalidGroup says that a group id is empty or too long
	// (INVALID_GROUP_ID).
	ErrInvalidGroup = errors.New("group id is empty or too long")
	// ErrInvalidRequest says that a field is out of its bounds
	// (INVALID_REQUEST).
	ErrInvalidRequest = errors.New("request field out of bounds")
	// ErrSessionTimeout says that a session timeout is outside of what the
	// broker allows (INVALID_SESSION_TIMEOUT).
	ErrSessionTimeout = errors.New("session timeout out of range")
	// ErrUnknownMember says that the group has no such member
	// (UNKNOWN_MEMBER_ID).
	ErrUnknownMember = errors.New("unknown member")
	// ErrMemberIDRequired comes with the id to join with, KIP-394
	// (MEMBER_ID_REQUIRED).
	ErrMemberIDRequired = errors.New("member id required")
	// ErrFencedInstance says that another member has the instance id, KIP-345
	// (FENCED_INSTANCE_ID).
	ErrFencedInstance = errors.New("instance id is fenced")
	// ErrIllegalGeneration says that a request belongs to another generation
	// (ILLEGAL_GENERATION).
	ErrIllegalGeneration = errors.New("illegal generation")
	// ErrRebalanceInProgress asks a member to join again
	// (REBALANCE_IN_PROGRESS).
	ErrRebalanceInProgress = errors.New("rebalance in progress")
	// ErrInconsistentProtocol says that a member's protocols do not fit the
	// group's (INCONSISTENT_GROUP_PROTOCOL).
	ErrInconsistentProtocol = errors.New("inconsistent group protocol")
	// ErrGroupMaxSize says that the group is full (GROUP_MAX_SIZE_REACHED).
	ErrGroupMaxSize = errors.New("group has its maximum size")
	// ErrGroupTooLarge says that a group's metadata would not fit into one
	// record, or its members' metadata into their bound (MESSAGE_TOO_LARGE, or
	// as Kafka answers a join or a sync: UNKNOWN_SERVER_ERROR).
	ErrGroupTooLarge = errors.New("group metadata is too large")
	// ErrGroupNotFound says that there is no such group (GROUP_ID_NOT_FOUND).
	// Before version 9 an offset commit answers ILLEGAL_GENERATION instead.
	ErrGroupNotFound = errors.New("group not found")
	// ErrNonEmptyGroup says that the group has members (NON_EMPTY_GROUP).
	ErrNonEmptyGroup = errors.New("group is not empty")
	// ErrSubscribed says that members of the group are subscribed to the topic
	// (GROUP_SUBSCRIBED_TO_TOPIC).
	ErrSubscribed = errors.New("group is subscribed to the topic")
	// ErrMetadataTooLarge says that an offset's metadata is too long
	// (OFFSET_METADATA_TOO_LARGE).
	ErrMetadataTooLarge = errors.New("offset metadata is too large")
	// ErrUnknownTopic says that the topic of an offset is gone, or not known yet.
	// It is retriable (UNKNOWN_TOPIC_OR_PARTITION).
	ErrUnknownTopic = errors.New("topic of the offset is not known")
	// ErrOverloaded says that the shard holds as much state as it may. It is
	// retriable (COORDINATOR_NOT_AVAILABLE).
	ErrOverloaded = errors.New("group coordinator is full")
	// ErrLoading says that Start was not called yet
	// (COORDINATOR_LOAD_IN_PROGRESS).
	ErrLoading = errors.New("group coordinator is loading")
	// ErrCorrupt says that a record cannot be what this package, or Kafka,
	// wrote.
	ErrCorrupt = errors.New("corrupt group record")
)
