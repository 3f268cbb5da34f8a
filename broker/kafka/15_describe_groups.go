package kafka

// DescribeGroups, versions 0 to 6.
//
// Version 1 has throttle time, 3 authorized operations (KIP-430), 4 instance ids
// (KIP-345), 5 is flexible (KIP-482), 6 has GROUP_ID_NOT_FOUND and messages
// (KIP-1043).
//
//   - Before version 6 a group that does not exist is one that is Dead, as in
//     Kafka.
//   - Authorized operations are not computed: they keep their default.

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
)

// groupsPerRequestMax bounds the groups that one request describes or deletes.
const groupsPerRequestMax = 10_000

func describeGroups(h *Handlers, c *Call, q *kmsg.DescribeGroupsRequest) {
	r := kmsg.NewPtrDescribeGroupsResponse()
	r.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(q.Groups))
	all := countdown(len(q.Groups), func() { c.Respond(r) })
	for i, id := range q.Groups {
		answer := &r.Groups[i]
		answer.Default()
		answer.Group = id
		if i >= groupsPerRequestMax {
			answer.ErrorCode = h.code(group.ErrInvalidRequest)
			all()
			continue
		}
		h.withGroup(id, func(_ time.Time, s *group.Shard, err error) {
			var d group.Description
			if err == nil {
				d, err = s.Describe(id)
			}
			h.describeGroup(c.Version, answer, &d, err)
			all()
		})
	}
	all()
}

// describeGroup makes the answer for one group.
func (h *Handlers) describeGroup(version int16, answer *kmsg.DescribeGroupsResponseGroup, d *group.Description, err error) {
	if errors.Is(err, group.ErrGroupNotFound) {
		answer.State = group.Dead.String()
		if version >= 6 {
			answer.ErrorCode = h.code(err)
			text := fmt.Sprintf("Group %.260s not found.", answer.Group)
			answer.ErrorMessage = &text
		}
		return
	}
	if answer.ErrorCode = h.code(err); err != nil {
		return
	}
	answer.State, answer.ProtocolType, answer.Protocol = d.State.String(), d.ProtocolType, d.Protocol
	answer.Members = make([]kmsg.DescribeGroupsResponseGroupMember, len(d.Members))
	for i := range d.Members {
		from, m := &d.Members[i], &answer.Members[i]
		m.MemberID, m.InstanceID, m.ClientID, m.ClientHost = from.MemberID, nullable(from.InstanceID), from.ClientID, from.ClientHost
		m.ProtocolMetadata, m.MemberAssignment = from.Metadata, from.Assignment
	}
}
