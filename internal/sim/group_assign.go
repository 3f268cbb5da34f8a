package sim

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
)

// place is a partition by its topic's name, as groups know it.
type place struct {
	name  string
	index int32
}

func placeOf(p *part) place { return place{p.topic.name, p.id.Index} }

func comparePlaces(a, b place) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return int(a.index - b.index)
}

// part returns the partition of a topic that exists, or nil.
func (w *groupWorld) part(at place) *part {
	for _, p := range w.s.model.parts() {
		if placeOf(p) == at {
			return p
		}
	}
	return nil
}

// subscription is what a member offers: a subscription of Kafka's consumers of
// version 1, with what the member owns.
func subscription(topics []string, owned []place) []byte {
	m := kmsg.ConsumerMemberMetadata{Version: 1, Topics: topics}
	for _, at := range owned {
		m.OwnedPartitions = append(m.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: at.name, Partitions: []int32{at.index}})
	}
	return m.AppendTo(nil)
}

// ownedIn reads what a member owns from its subscription.
func ownedIn(b []byte) []place {
	var m kmsg.ConsumerMemberMetadata
	var out []place
	if m.ReadFrom(b) == nil {
		for _, t := range m.OwnedPartitions {
			for _, p := range t.Partitions {
				out = append(out, place{t.Topic, p})
			}
		}
	}
	return out
}

// assign is the leader's work: it spreads the partitions over the members. A
// cooperative one leaves each member what it has, up to its share, and gives
// nobody what another still has. Each assignment has an id of its own.
func (g *simGroup) assign(members []group.JoinMember) []group.Assignment {
	g.w.nextID++
	id := g.w.nextID
	want := g.wanted()
	g.assigned[id] = slices.Clone(want)
	slices.SortFunc(want, comparePlaces)
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b group.JoinMember) int { return strings.Compare(a.MemberID, b.MemberID) })
	claims := map[place]int{}
	if g.cooperative {
		for _, m := range members {
			for _, at := range ownedIn(m.Metadata) {
				claims[at]++
			}
		}
	}
	share := (len(want) + len(members) - 1) / len(members)
	given := make([][]place, len(members))
	free := slices.Clone(want)
	for i, m := range members {
		if !g.cooperative {
			break
		}
		for _, at := range ownedIn(m.Metadata) {
			k := slices.Index(free, at)
			if k < 0 || claims[at] > 1 {
				continue
			}
			free = slices.Delete(free, k, k+1)
			if len(given[i]) < share { // else it is given up first
				given[i] = append(given[i], at)
			}
		}
	}
	for i := 0; len(free) > 0; i = (i + 1) % len(members) {
		if len(given[i]) < share {
			given[i] = append(given[i], free[0])
			free = free[1:]
		}
	}
	var out []group.Assignment
	for i, m := range members {
		out = append(out, group.Assignment{MemberID: m.MemberID, Data: encodeAssignment(id, given[i])})
	}
	g.w.s.log("group %s: assignment %d to %d members", g.id, id, len(members))
	return out
}

// encodeAssignment makes an assignment of Kafka's consumers. Its id is the user
// data.
func encodeAssignment(id int, list []place) []byte {
	m := kmsg.ConsumerMemberAssignment{UserData: strconv.AppendInt(nil, int64(id), 10)}
	for _, at := range list {
		m.Topics = append(m.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: at.name, Partitions: []int32{at.index}})
	}
	return m.AppendTo(nil)
}

// decodeAssignment returns an assignment's id and what it gives.
func decodeAssignment(b []byte) (id int, list []place) {
	var m kmsg.ConsumerMemberAssignment
	if m.ReadFrom(b) != nil {
		return 0, nil // none
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			list = append(list, place{t.Topic, p})
		}
	}
	id, _ = strconv.Atoi(string(m.UserData))
	return id, list
}
