package kafka

// ListGroups, versions 0 to 5.
//
// Version 1 has throttle time, 3 is flexible (KIP-482), 4 filters by state
// (KIP-518), 5 by type (KIP-848).
//
//   - Only the groups that this broker coordinates are listed, as in Kafka. The
//     answer waits until those of all its partitions are loaded.
//   - Every group is of type classic.

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
)

func listGroups(h *Handlers, c *Call, q *kmsg.ListGroupsRequest) {
	var found []group.Listed
	answer := func(err error) {
		r := kmsg.NewPtrListGroupsResponse()
		r.ErrorCode = h.code(err)
		r.Groups = make([]kmsg.ListGroupsResponseGroup, len(found))
		for i := range found {
			g := &r.Groups[i]
			g.Group, g.ProtocolType = found[i].GroupID, found[i].ProtocolType
			g.GroupState, g.GroupType = found[i].State.String(), group.TypeClassic
		}
		c.Respond(r)
	}
	if !h.b.Ready() {
		answer(coordinator.ErrLoading)
		return
	}
	states := statesNamed(q.StatesFilter)
	h.b.Groups().All(func(_ time.Time, shards []*group.Shard, err error) {
		for _, s := range shards {
			part, bad := s.List(states, q.TypesFilter)
			if found = append(found, part...); err == nil {
				err = bad
			}
		}
		h.b.Run(func() { answer(err) }) // it may be long
	})
}

// statesNamed are the states of a filter, whose names no letter case tells apart.
// A name that is none stands for a state that no listed group is in.
func statesNamed(names []string) []group.State {
	var out []group.State
	for _, name := range names {
		state := group.Dead
		for _, s := range []group.State{group.Empty, group.PreparingRebalance, group.CompletingRebalance, group.Stable} {
			if strings.EqualFold(name, s.String()) {
				state = s
			}
		}
		out = append(out, state)
	}
	return out
}
