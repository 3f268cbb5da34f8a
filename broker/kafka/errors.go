package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/property"
	"github.com/varvelog/varve/internal/record"
)

// errorRow says how clients are told of a domain error.
type errorRow struct {
	domain error
	kafka  *kerr.Error
}

// errorTable is the only translation of domain errors (K2). The first row that
// the error is counts, so what wraps stands above what is wrapped.
var errorTable = []errorRow{
	// Groups. What keeps a coordinator from its partition stands above what the
	// partition says.
	{coordinator.ErrUnavailable, kerr.CoordinatorNotAvailable},
	{coordinator.ErrNotCoordinator, kerr.NotCoordinator},
	{coordinator.ErrLoading, kerr.CoordinatorLoadInProgress},
	{coordinator.ErrTooLarge, kerr.MessageTooLarge},
	{group.ErrInvalidGroup, kerr.InvalidGroupID},
	{group.ErrInvalidRequest, kerr.InvalidRequest},
	{group.ErrSessionTimeout, kerr.InvalidSessionTimeout},
	{group.ErrUnknownMember, kerr.UnknownMemberID},
	{group.ErrMemberIDRequired, kerr.MemberIDRequired},
	{group.ErrFencedInstance, kerr.FencedInstanceID},
	{group.ErrIllegalGeneration, kerr.IllegalGeneration},
	{group.ErrRebalanceInProgress, kerr.RebalanceInProgress},
	{group.ErrInconsistentProtocol, kerr.InconsistentGroupProtocol},
	{group.ErrGroupMaxSize, kerr.GroupMaxSizeReached},
	{group.ErrGroupTooLarge, kerr.MessageTooLarge},
	{group.ErrGroupNotFound, kerr.GroupIDNotFound},
	{group.ErrNonEmptyGroup, kerr.NonEmptyGroup},
	{group.ErrSubscribed, kerr.GroupSubscribedToTopic},
	{group.ErrUnknownTopic, kerr.UnknownTopicOrPartition},
	{group.ErrMetadataTooLarge, kerr.OffsetMetadataTooLarge},
	{group.ErrOverloaded, kerr.CoordinatorNotAvailable},
	{group.ErrLoading, kerr.CoordinatorLoadInProgress},

	// Partitions. What is refused before a proposal for want of room or of a
	// newer image is retriable for every client (D12).
	{partition.ErrDamaged, kerr.KafkaStorageError},
	{partition.ErrTierUnavailable, kerr.KafkaStorageError},
	{partition.ErrTiered, kerr.KafkaStorageError},
	{partition.ErrNotLeader, kerr.NotLeaderForPartition},
	{partition.ErrQueueFull, kerr.NotEnoughReplicas},
	{partition.ErrNoSpace, kerr.NotEnoughReplicas},
	{partition.ErrStaleChain, kerr.NotEnoughReplicas},
	{partition.ErrChainLoading, kerr.NotEnoughReplicas},
	{partition.ErrOutboxFull, kerr.NotEnoughReplicas},
	{partition.ErrChainFailed, kerr.NotEnoughReplicas},
	{partition.ErrOffsetOutOfRange, kerr.OffsetOutOfRange},
	{partition.ErrFenced, kerr.InvalidProducerEpoch},
	{partition.ErrOutOfOrder, kerr.OutOfOrderSequenceNumber},

	// Record batches. Produce from version 3 on rules out what is not magic 2.
	{record.ErrCorrupt, kerr.CorruptMessage},
	{record.ErrTruncated, kerr.CorruptMessage},
	{record.ErrMagic, kerr.InvalidRecord},
	{record.ErrInvalidTimestamp, kerr.InvalidTimestamp},
	{record.ErrInvalidRecord, kerr.InvalidRecord},
	{record.ErrCodec, kerr.UnsupportedCompressionType},
	{record.ErrTooLarge, kerr.MessageTooLarge},
	{record.ErrTransactional, kerr.InvalidTxnState},

	// Cluster metadata.
	{metadata.ErrDamaged, kerr.KafkaStorageError},
	{metadata.ErrConflict, kerr.InvalidUpdateVersion},
	{metadata.ErrLimit, kerr.PolicyViolation},
	{metadata.ErrTopicExists, kerr.TopicAlreadyExists},
	{metadata.ErrTopicCollision, kerr.InvalidTopicException},
	{metadata.ErrInvalidTopicName, kerr.InvalidTopicException},
	{metadata.ErrInvalidTopicID, kerr.InvalidRequest},
	{metadata.ErrUnknownTopic, kerr.UnknownTopicOrPartition},
	{metadata.ErrInvalidPartitions, kerr.InvalidPartitions},
	{metadata.ErrInvalidReplicationFactor, kerr.InvalidReplicationFactor},
	{metadata.ErrInvalidAssignment, kerr.InvalidReplicaAssignment},
	{metadata.ErrInvalidConfig, kerr.InvalidConfig},
	{metadata.ErrInvalidStage, kerr.InvalidConfig},
	{metadata.ErrUnknownStage, kerr.InvalidConfig},
	{metadata.ErrUnknownBroker, kerr.BrokerIDNotRegistered},
	{metadata.ErrInvalidFeature, kerr.FeatureUpdateFailed},
	{metadata.ErrBound, kerr.InvalidRequest},
	{node.ErrNotReady, kerr.NotController},

	// Settings: every refusal of package config is this.
	{property.ErrInvalid, kerr.InvalidConfig},

	// The log below. Partitions name its errors in their own terms; these come
	// from commands for the cluster metadata and from lookups.
	{replog.ErrNotLeader, kerr.NotController},
	{replog.ErrUnknownGroup, kerr.NotController},
	{replog.ErrNoSpace, kerr.NotEnoughReplicas},
	{replog.ErrBusy, kerr.NotEnoughReplicas},
	{replog.ErrParked, kerr.KafkaStorageError},
	{replog.ErrFailed, kerr.KafkaStorageError},
	{replog.ErrDamaged, kerr.KafkaStorageError},
	{wal.ErrFailed, kerr.KafkaStorageError},
	{wal.ErrTooLarge, kerr.MessageTooLarge},
	{storage.ErrBelowStart, kerr.OffsetOutOfRange},
	{storage.ErrBeyondEnd, kerr.OffsetOutOfRange},
	{storage.ErrDamaged, kerr.KafkaStorageError},
}

// lookupError returns the protocol's error for err: its own if err is one, else
// that of the table, else nil.
func lookupError(err error) *kerr.Error {
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return k
	}
	for i := range errorTable {
		if errors.Is(err, errorTable[i].domain) {
			return errorTable[i].kafka
		}
	}
	return nil
}

// kafkaError returns the protocol's error for err, nil for nil. What the table
// does not know is a mistake of ours: it is logged, and the client is told
// UNKNOWN_SERVER_ERROR.
func (h *Handlers) kafkaError(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	if k := lookupError(err); k != nil {
		return k
	}
	h.log.Error("error without a Kafka code", "error", err)
	return kerr.UnknownServerError
}

// code is the number of kafkaError, 0 for nil.
func (h *Handlers) code(err error) int16 {
	if k := h.kafkaError(err); k != nil {
		return k.Code
	}
	return 0
}

// readCode is code for the outcome of reading a log: what the table does not
// know is a failed disk, which clients may try again.
func (h *Handlers) readCode(err error) int16 {
	if err == nil || lookupError(err) != nil {
		return h.code(err)
	}
	h.log.Error("read failed", "error", err)
	return kerr.KafkaStorageError.Code
}

// coordinatorCode is code for requests that clients send to a coordinator: what
// tells others to look for the controller tells them to try again.
func (h *Handlers) coordinatorCode(err error) int16 {
	switch k := h.kafkaError(err); k {
	case nil:
		return 0
	case kerr.NotController, kerr.NotEnoughReplicas, kerr.KafkaStorageError:
		return kerr.CoordinatorLoadInProgress.Code
	default:
		return k.Code
	}
}

// messageBytesMax bounds an error message in a response.
const messageBytesMax = 1024

// errorText returns the message that goes with an error, nil for nil.
func errorText(err error) *string {
	if err == nil {
		return nil
	}
	s := err.Error()
	if len(s) > messageBytesMax {
		s = s[:messageBytesMax]
	}
	return &s
}
