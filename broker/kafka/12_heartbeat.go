package kafka

// Heartbeat, versions 0 to 4.
//
// Version 1 has throttle time in the answer, 3 instance ids (KIP-345), 4 is
// flexible (KIP-482).
//
//   - While the group is being loaded there is no error, as in Kafka: clients
//     would not try again.

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
)

func heartbeat(h *Handlers, c *Call, q *kmsg.HeartbeatRequest) {
	answer := func(err error) {
		r := kmsg.NewPtrHeartbeatResponse()
		r.ErrorCode = h.code(err)
		c.Respond(r)
	}
	instance, err := instanceID(q.InstanceID)
	if err != nil {
		answer(err)
		return
	}
	h.withGroup(q.Group, func(now time.Time, s *group.Shard, err error) {
		switch {
		case err == nil:
			err = s.Heartbeat(now, group.HeartbeatRequest{GroupID: q.Group, MemberID: q.MemberID, InstanceID: instance, Generation: q.Generation})
		case errors.Is(err, coordinator.ErrLoading):
			err = nil
		}
		answer(err)
	})
}
