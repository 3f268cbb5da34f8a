package group

import (
	"slices"
	"strings"
)

// Snapshot returns all committed state as records, sorted by group, topic and
// partition: what a compacted log would hold. Replayed into an empty shard they
// give what the whole log would. The caller must not change them.
//
// A log may be rewritten with them, that is they are appended and everything
// before them is dropped, only if Pending is 0 and nothing else is appended until
// they are: an append in flight would lie before them and be forgotten.
func (s *Shard) Snapshot() []Record {
	groups := slices.Clone(s.all)
	slices.SortFunc(groups, func(a, b *group) int { return strings.Compare(a.id, b.id) })
	var out []Record
	for _, g := range groups {
		if g.saved != nil {
			out = append(out, Record{Key: groupKey(nil, g.id), Value: g.saved})
		}
		for _, t := range g.sortedTopics() {
			for _, p := range t.sorted() {
				if e := t.parts[p]; e.committed {
					out = append(out, Record{
						Key:   offsetKey(make([]byte, 0, offsetKeyBytes(g.id, t.name)), g.id, t.name, p),
						Value: e.value.appendTo(make([]byte, 0, e.value.valueBytes())),
					})
				}
			}
		}
	}
	return out
}
