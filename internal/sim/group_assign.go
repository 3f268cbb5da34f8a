package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

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

func encodePlaces(list []place) string {
	var out []string
	for _, at := range list {
		out = append(out, at.name+":"+strconv.Itoa(int(at.index)))
	}
	return strings.Join(out, ",")
}

func decodePlaces(text string) []place {
	var out []place
	for _, field := range strings.Split(text, ",") {
		name, index, ok := strings.Cut(field, ":")
		if n, err := strconv.Atoi(index); ok && err == nil {
			out = append(out, place{name, int32(n)})
		}
	}
	return out
}

// subscription is what a member offers: a subscription of Kafka's consumers,
// with what the member owns as its user data.
func subscription(topics []string, owned []place) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	user := encodePlaces(owned)
	b = binary.BigEndian.AppendUint32(b, uint32(len(user)))
	return append(b, user...)
}

// ownedIn reads the user data of a subscription.
func ownedIn(b []byte) []place {
	at := 6
	for range binary.BigEndian.Uint32(b[2:]) {
		at += 2 + int(binary.BigEndian.Uint16(b[at:]))
	}
	return decodePlaces(string(b[at+4:]))
}

// assign is the leader's work: it spreads the partitions over the members. A
// cooperative one leaves each member what it has, up to its share, and gives
// nobody what another still has. Each assignment has an id of its own.
func (g *simGroup) assign(members []group.JoinMember) []group.Assignment {
	g.w.nextID++
	id := g.w.nextID
	want := g.wanted()
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
		out = append(out, group.Assignment{MemberID: m.MemberID, Data: fmt.Appendf(nil, "%d;%s", id, encodePlaces(given[i]))})
	}
	g.w.s.log("group %s: assignment %d to %d members", g.id, id, len(members))
	return out
}

// decodeAssignment returns an assignment's id and what it gives.
func decodeAssignment(b []byte) (id int, list []place) {
	number, rest, _ := strings.Cut(string(b), ";")
	id, _ = strconv.Atoi(number)
	return id, decodePlaces(rest)
}
