package repair

import (
	"sort"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
)

// paddingMax bounds the empty entries with which group 0 is brought to an index
// that it had.
const paddingMax = 1 << 20

// newLog plans what the new log holds.
func (in *inspection) newLog() {
	ids := make([]ident.GroupID, 0, len(in.groups))
	for id := range in.groups { // order: sorted below
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	if in.report.Metadata != nil {
		in.padMetadata()
	}
	for _, id := range ids {
		g := in.groups[id]
		_, named := in.image.PartitionOf(id)
		if in.report.Metadata != nil && id != ident.MetadataGroup && !named {
			// Its id may be given away again.
			in.report.Metadata.Groups = append(in.report.Metadata.Groups, uint64(id))
			continue
		}
		if named {
			in.forgetOrigins(g)
		}
		in.plan.groups = append(in.plan.groups, g.repaired(in.raise))
	}
}

// padMetadata brings group 0 behind everything that partitions know of it:
// generations of chains are indexes of its log, and must not go back (W7). It
// also takes producer ids that may have been given away in what is lost.
func (in *inspection) padMetadata() {
	g := in.meta
	for b := range in.image.Brokers() {
		c := metadata.AllocateProducerIDs{ExpectVersion: in.image.Version(), Count: metadata.MaxProducerIDBlock, By: b.NodeID}
		payload, err := c.Append(nil)
		if err == nil {
			g.add(in.raise, entry.Build(entry.Command, 0, nil, payload))
		}
		break
	}
	for n := 0; g.last() < max(g.seen, in.generation) && n < paddingMax; n++ {
		g.add(in.raise, nil)
	}
}

// forgetOrigins lets a partition take again what others' outboxes deliver whose
// positions went back.
func (in *inspection) forgetOrigins(g *groupPlan) {
	for _, topic := range in.chained {
		term := g.hard.term
		if g.lost != nil {
			term = in.raise
		}
		g.add(term, partition.NewForget(topic, 0, 0))
	}
}

// add appends an entry to what the group keeps.
func (g *groupPlan) add(term uint64, data []byte) {
	g.entries = append(g.entries, wal.Entry{Index: g.last() + 1, Term: term, Data: data})
}

// repaired is the group's part of the new log. One that lost something goes on
// at a term that it never had (L2).
func (g *groupPlan) repaired(raise uint64) wal.RepairedGroup {
	st := g.state
	st.term, st.vote = g.hard.term, g.hard.vote
	if g.lost != nil {
		st.term, st.vote = raise, uint64(g.replica)
	}
	commit := min(g.hard.commit, g.last())
	return wal.RepairedGroup{ID: g.id, Replica: g.replica, State: st.encode(), Term: st.term, Vote: st.vote,
		Commit: max(commit, st.applied), Entries: g.entries}
}
