package kafka

// InitProducerId, versions 0 to 5.
//
// Version 3 lets a producer name the id and epoch that it has (KIP-360).
//
//   - A producer without a transactional id gets a new id at epoch 0, also if it
//     names one, as in Kafka: nothing is kept of it that could be bumped.
//   - A transactional id is refused with INVALID_REQUEST, which clients do not
//     retry: there are no transactions yet.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

func initProducerID(h *Handlers, c *Call, q *kmsg.InitProducerIDRequest) {
	answer := func(id int64, epoch int16, code int16) {
		r := kmsg.NewPtrInitProducerIDResponse()
		r.ProducerID, r.ProducerEpoch, r.ErrorCode = id, epoch, code
		c.Respond(r)
	}
	named, hasEpoch := false, false
	if c.Version >= 3 {
		named, hasEpoch = q.ProducerID != record.NoProducerID, q.ProducerEpoch != record.NoProducerEpoch
	}
	if q.TransactionalID != nil || named != hasEpoch {
		answer(record.NoProducerID, record.NoProducerEpoch, kerr.InvalidRequest.Code)
		return
	}
	if err := h.gate(); err != nil {
		answer(record.NoProducerID, record.NoProducerEpoch, h.coordinatorCode(err))
		return
	}
	h.b.ProducerID(func(id int64, err error) {
		if err != nil {
			answer(record.NoProducerID, record.NoProducerEpoch, h.coordinatorCode(err))
			return
		}
		answer(id, 0, 0)
	})
}
