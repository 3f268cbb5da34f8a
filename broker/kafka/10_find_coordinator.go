package kafka

// FindCoordinator, versions 0 to 6.
//
// Version 1 has the type of the key, 4 several keys in one request (KIP-699),
// 6 share groups (KIP-932).
//
//   - Groups have no coordinator yet: COORDINATOR_NOT_AVAILABLE, which clients
//     retry.
//   - Transactions and share groups are refused for good with INVALID_REQUEST,
//     so that a producer fails at its start and not after its timeout.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Types of coordinator keys.
const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
	coordinatorShare       = 2
)

// findCoordinatorKeysMax bounds the keys of one request.
const findCoordinatorKeysMax = 10_000

func findCoordinator(h *Handlers, c *Call, q *kmsg.FindCoordinatorRequest) {
	r := kmsg.NewPtrFindCoordinatorResponse()
	err := coordinatorRefusal(q.CoordinatorType)
	code, text := h.code(err), errorText(err)
	if c.Version < 4 {
		r.ErrorCode, r.ErrorMessage = code, text
		r.NodeID, r.Port = -1, -1
		c.Respond(r)
		return
	}
	for i, key := range q.CoordinatorKeys {
		k := kmsg.NewFindCoordinatorResponseCoordinator()
		k.Key, k.NodeID, k.Port = key, -1, -1
		k.ErrorCode, k.ErrorMessage = code, text
		if i >= findCoordinatorKeysMax {
			k.ErrorCode, k.ErrorMessage = kerr.InvalidRequest.Code, nil
		}
		r.Coordinators = append(r.Coordinators, k)
	}
	c.Respond(r)
}

// coordinatorRefusal is why there is no coordinator of a type.
func coordinatorRefusal(kind int8) error {
	switch kind {
	case coordinatorGroup:
		return refuse(kerr.CoordinatorNotAvailable, "consumer groups are not available")
	case coordinatorTransaction:
		return refuse(kerr.InvalidRequest, "transactions are not supported")
	case coordinatorShare:
		return refuse(kerr.InvalidRequest, "share groups are not supported")
	}
	return refuse(kerr.InvalidRequest, "unknown type of coordinator %d", kind)
}
