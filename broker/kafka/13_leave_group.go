package kafka

// LeaveGroup, versions 0 to 5.
//
// Version 1 has throttle time in the answer, 3 several members, with instance
// ids (KIP-345), 4 is flexible (KIP-482), 5 has reasons (KIP-800).
//
// Gaps: none.

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
)

func leaveGroup(h *Handlers, c *Call, q *kmsg.LeaveGroupRequest) {
	l := group.LeaveRequest{GroupID: q.Group}
	if c.Version < 3 {
		l.Members = []group.LeaveMember{{MemberID: q.MemberID}}
	}
	var refusal error
	for i := range q.Members {
		m := &q.Members[i]
		instance, err := instanceID(m.InstanceID)
		if err != nil {
			refusal = err
		}
		l.Members = append(l.Members, group.LeaveMember{MemberID: m.MemberID, InstanceID: instance, Reason: orEmpty(m.Reason)})
	}
	answer := func(errs []error, err error) {
		r := kmsg.NewPtrLeaveGroupResponse()
		if err == nil && c.Version < 3 && len(errs) > 0 {
			err = errs[0]
		}
		if r.ErrorCode = h.code(err); err == nil && c.Version >= 3 {
			r.Members = make([]kmsg.LeaveGroupResponseMember, len(q.Members))
			for i := range q.Members {
				m := &r.Members[i]
				m.MemberID, m.InstanceID = q.Members[i].MemberID, q.Members[i].InstanceID
				if i < len(errs) {
					m.ErrorCode = h.code(errs[i])
				}
			}
		}
		c.Respond(r)
	}
	if refusal != nil {
		answer(nil, refusal)
		return
	}
	h.withGroup(q.Group, func(now time.Time, s *group.Shard, err error) {
		if err != nil {
			answer(nil, err)
			return
		}
		s.Leave(now, l, answer)
	})
}
