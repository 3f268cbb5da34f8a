package kafka

// FindCoordinator, versions 0 to 6.
//
// Version 1 has the type of the key, 4 several keys in one request (KIP-699),
// 6 share groups (KIP-932).
//
//   - The coordinator of a group is the broker that leads its partition of
//     __consumer_offsets; the first request makes that topic, and its answer
//     waits for it. Until the partition can be led: COORDINATOR_NOT_AVAILABLE.
//   - Transactions and share groups are refused for good with INVALID_REQUEST,
//     so that a producer fails at its start and not after its timeout.

import (
	"sync/atomic"

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
	keys := q.CoordinatorKeys
	if c.Version < 4 {
		keys = []string{q.CoordinatorKey}
	}
	found := make([]kmsg.FindCoordinatorResponseCoordinator, len(keys))
	all := countdown(len(keys), func() { answerFind(c, found) })
	host, port := h.b.Advertised(c.Conn.Listener())
	refusal := h.coordinatorRefusal(q.CoordinatorType)
	for i, key := range keys {
		k := &found[i]
		k.Key, k.NodeID, k.Port = key, -1, -1
		note := func(err error) {
			if k.ErrorCode, k.ErrorMessage = h.findCode(err), errorText(err); err == nil {
				k.NodeID, k.Host, k.Port = int32(h.b.NodeID()), host, port
			}
			all()
		}
		switch {
		case i >= findCoordinatorKeysMax:
			note(refuse(kerr.InvalidRequest, "more than %d keys", findCoordinatorKeysMax))
		case refusal != nil:
			note(refusal)
		default:
			h.b.Groups().Find(key, note)
		}
	}
	all()
}

// countdown returns a function that calls done when it was called n times, and
// once more by whoever hands out the n.
func countdown(n int, done func()) func() {
	var left atomic.Int64
	left.Store(int64(n) + 1)
	return func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
}

func answerFind(c *Call, found []kmsg.FindCoordinatorResponseCoordinator) {
	r := kmsg.NewPtrFindCoordinatorResponse()
	if c.Version >= 4 {
		r.Coordinators = found
	} else {
		k := &found[0]
		r.ErrorCode, r.ErrorMessage = k.ErrorCode, k.ErrorMessage
		r.NodeID, r.Host, r.Port = k.NodeID, k.Host, k.Port
	}
	c.Respond(r)
}

// coordinatorRefusal is why there is no coordinator of a type.
func (h *Handlers) coordinatorRefusal(kind int8) error {
	switch kind {
	case coordinatorGroup:
		return h.gate()
	case coordinatorTransaction:
		return refuse(kerr.InvalidRequest, "transactions are not supported")
	case coordinatorShare:
		return refuse(kerr.InvalidRequest, "share groups are not supported")
	}
	return refuse(kerr.InvalidRequest, "unknown type of coordinator %d", kind)
}

// findCode is the code of FindCoordinator: whatever keeps a coordinator away,
// clients are to ask again.
func (h *Handlers) findCode(err error) int16 {
	switch k := h.kafkaError(err); k {
	case nil:
		return 0
	case kerr.InvalidRequest:
		return k.Code
	default:
		return kerr.CoordinatorNotAvailable.Code
	}
}
