package kafka

// DeleteGroups, versions 0 to 2.
//
// Version 2 is flexible (KIP-482).
//
// Gaps: none.

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
)

func deleteGroups(h *Handlers, c *Call, q *kmsg.DeleteGroupsRequest) {
	r := kmsg.NewPtrDeleteGroupsResponse()
	r.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(q.Groups))
	all := countdown(len(q.Groups), func() { c.Respond(r) })
	for i, id := range q.Groups {
		answer := &r.Groups[i]
		answer.Group = id
		note := func(err error) {
			answer.ErrorCode = h.code(err)
			all()
		}
		if i >= groupsPerRequestMax {
			note(group.ErrInvalidRequest)
			continue
		}
		h.withGroup(id, func(now time.Time, s *group.Shard, err error) {
			if err != nil {
				note(err)
				return
			}
			s.DeleteGroup(now, id, note)
		})
	}
	all()
}
