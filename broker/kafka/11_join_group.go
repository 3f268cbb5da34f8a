package kafka

// JoinGroup, versions 0 to 9.
//
// Version 1 has a rebalance timeout, 2 throttle time in the answer, 4
// MEMBER_ID_REQUIRED (KIP-394), 5 instance ids (KIP-345), 6 is flexible
// (KIP-482), 7 names the protocol type, 8 has a reason (KIP-800), 9 tells a
// leader that its group needs no new assignment (KIP-814).
//
// Gaps: none. The answer waits for the group; the request's memory is given back
// meanwhile.

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
)

func joinGroup(h *Handlers, c *Call, q *kmsg.JoinGroupRequest) {
	answer := func(j group.JoinResponse, err error) {
		r := kmsg.NewPtrJoinGroupResponse()
		if r.ErrorCode = h.code(err); err != nil {
			r.Generation, r.MemberID = -1, q.MemberID
			if j.MemberID != "" {
				r.MemberID = j.MemberID
			}
			if c.Version < 7 {
				r.Protocol = new(string)
			}
			c.Respond(r)
			return
		}
		r.Generation, r.MemberID, r.LeaderID = j.Generation, j.MemberID, j.Leader
		r.ProtocolType, r.Protocol, r.SkipAssignment = &j.ProtocolType, &j.Protocol, j.SkipAssignment
		r.Members = make([]kmsg.JoinGroupResponseMember, len(j.Members))
		for i := range j.Members {
			m := &r.Members[i]
			m.MemberID, m.InstanceID, m.ProtocolMetadata = j.Members[i].MemberID, nullable(j.Members[i].InstanceID), j.Members[i].Metadata
		}
		c.Respond(r)
	}
	instance, err := instanceID(q.InstanceID)
	if err != nil {
		answer(group.JoinResponse{}, err)
		return
	}
	j := group.JoinRequest{
		GroupID: q.Group, MemberID: q.MemberID, InstanceID: instance, ClientID: c.ClientID, ClientHost: clientHost(c),
		ProtocolType: q.ProtocolType, SessionTimeout: milliseconds(q.SessionTimeoutMillis),
		RebalanceTimeout: milliseconds(q.RebalanceTimeoutMillis),
		RequireMemberID:  c.Version >= 4, SkipAssignment: c.Version >= 9, Reason: orEmpty(q.Reason),
	}
	for i := range q.Protocols {
		j.Protocols = append(j.Protocols, group.Protocol{Name: q.Protocols[i].Name, Metadata: q.Protocols[i].Metadata})
	}
	h.withGroup(q.Group, func(now time.Time, s *group.Shard, err error) {
		if err != nil {
			answer(group.JoinResponse{}, err)
			return
		}
		s.Join(now, j, answer)
		// What is kept of the request is a copy.
		j.Protocols, q.Protocols = nil, nil
		c.Release()
	})
}
