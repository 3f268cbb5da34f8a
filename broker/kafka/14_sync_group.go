package kafka

// SyncGroup, versions 0 to 5.
//
// Version 1 has throttle time in the answer, 3 instance ids (KIP-345), 4 is
// flexible (KIP-482), 5 names protocol type and protocol, which it must.
//
//   - The answer waits for the leader's; the request's memory is given back
//     meanwhile.
//   - While the group is being loaded the answer is REBALANCE_IN_PROGRESS, as in
//     Kafka: what the member would wait for is lost.

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
)

func syncGroup(h *Handlers, c *Call, q *kmsg.SyncGroupRequest) {
	answer := func(s group.SyncResponse, err error) {
		r := kmsg.NewPtrSyncGroupResponse()
		if r.ErrorCode = h.code(err); err == nil {
			r.ProtocolType, r.Protocol, r.MemberAssignment = &s.ProtocolType, &s.Protocol, s.Assignment
		}
		c.Respond(r)
	}
	instance, err := instanceID(q.InstanceID)
	if err == nil && c.Version >= 5 && (q.ProtocolType == nil || q.Protocol == nil) {
		err = refuse(kerr.InconsistentGroupProtocol, "protocol type or protocol is missing")
	}
	if err != nil {
		answer(group.SyncResponse{}, err)
		return
	}
	s := group.SyncRequest{
		GroupID: q.Group, MemberID: q.MemberID, InstanceID: instance, Generation: q.Generation,
		ProtocolType: orEmpty(q.ProtocolType), Protocol: orEmpty(q.Protocol),
	}
	for i := range q.GroupAssignment {
		s.Assignments = append(s.Assignments, group.Assignment{MemberID: q.GroupAssignment[i].MemberID, Data: q.GroupAssignment[i].MemberAssignment})
	}
	h.withGroup(q.Group, func(now time.Time, shard *group.Shard, err error) {
		if errors.Is(err, coordinator.ErrLoading) {
			err = group.ErrRebalanceInProgress
		}
		if err != nil {
			answer(group.SyncResponse{}, err)
			return
		}
		shard.Sync(now, s, answer)
		// What is kept of the request is a copy.
		s.Assignments, q.GroupAssignment = nil, nil
		c.Release()
	})
}
