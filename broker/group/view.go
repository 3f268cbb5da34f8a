package group

import (
	"slices"
	"strings"
)

// Describe handles one group of a DescribeGroups.
func (s *Shard) Describe(groupID string) (Description, error) {
	g, err := s.existing(groupID)
	if err != nil {
		return Description{}, err
	}
	d := Description{GroupID: g.id, State: g.state, Generation: g.generation, ProtocolType: g.protocolType}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.order {
		v := DescribedMember{MemberID: m.id, InstanceID: m.instance, ClientID: m.client, ClientHost: m.host}
		if g.state == Stable {
			v.Metadata, _ = m.metadata(g.protocol)
			v.Assignment = m.assignment
		}
		d.Members = append(d.Members, v)
	}
	return d, nil
}

// List handles a ListGroups, sorted by id. No states are all states, and no
// types all types; types are compared as Kafka does, whatever their case.
func (s *Shard) List(states []State, types []string) ([]Listed, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	classic := func(t string) bool { return strings.EqualFold(t, TypeClassic) }
	if len(types) > 0 && !slices.ContainsFunc(types, classic) {
		return nil, nil
	}
	var out []Listed
	for _, g := range s.all {
		if len(states) == 0 || slices.Contains(states, g.state) {
			out = append(out, Listed{GroupID: g.id, ProtocolType: g.protocolType, State: g.state})
		}
	}
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.GroupID, b.GroupID) })
	return out, nil
}

// Topics returns the topics that any group has committed offsets of, sorted.
func (s *Shard) Topics() []string {
	seen := map[string]bool{}
	var out []string
	for _, g := range s.all {
		for _, t := range g.sortedTopics() {
			if !seen[t.name] {
				seen[t.name] = true
				out = append(out, t.name)
			}
		}
	}
	slices.Sort(out)
	return out
}
