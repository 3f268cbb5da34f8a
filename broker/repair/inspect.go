package repair

import (
	"errors"
	"fmt"
	"sort"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// ErrObstacle: the directory cannot be repaired. Report.Obstacle says why.
var ErrObstacle = errors.New("repair: cannot be repaired")

// Options say whose directory it is.
type Options struct {
	// WAL is as the broker has it; Dir, Directory and Entropy are used.
	WAL wal.Settings
	// Node is the broker's id.
	Node ident.NodeID
}

// plan is what Repair is to do.
type plan struct {
	salvaged *wal.Salvaged
	groups   []wal.RepairedGroup // of the new log
	newLog   bool
	rewrites []rewrite
	copies   []string // files that a broker will cut
	// unfinished are the quarantines of repairs that were cut short.
	unfinished []string
}

// groupPlan is what becomes of one group.
type groupPlan struct {
	id      ident.GroupID
	replica ident.ReplicaID
	state   raftState
	known   bool // the log holds something of it
	hard    raftState
	entries []wal.Entry // above what state has applied, without a gap
	lost    *Loss
	seen    uint64 // highest index that was read
}

// last is the highest index that is kept.
func (g *groupPlan) last() uint64 { return g.state.applied + uint64(len(g.entries)) }

// inspection is Inspect in progress.
type inspection struct {
	fs     vfs.FS
	o      Options
	s      *wal.Salvaged
	report *Report
	plan   *plan

	groups     map[ident.GroupID]*groupPlan
	meta       *groupPlan
	image      *metadata.Image
	raise      uint64 // the term at which groups go on that lost something
	generation uint64 // highest that any partition knows
	moved      bool   // what a checkpoint says of files must change
	chained    []ident.TopicID
	earlier    map[string][]OffsetRange // that unfinished repairs lost, by partition
}

// Inspect reads everything that lies in the directory and says what is damaged
// and what Repair would give up. An error is one of reading the disk; damage is
// none. It blocks for as long as reading takes.
func Inspect(fs vfs.FS, o Options) (*Report, error) {
	s, err := wal.Salvage(fs, o.WAL, appliedIn)
	if err != nil {
		return nil, err
	}
	before, err := readEarlier(fs)
	if err != nil {
		return nil, err
	}
	refused := wal.Check(fs, o.WAL) != nil
	in := &inspection{fs: fs, o: o, s: s, groups: map[ident.GroupID]*groupPlan{}, raise: s.TermAbove(highestTerm(s)),
		report: &Report{Refused: refused, Log: logDamage(s), Partitions: []PartitionReport{}}, plan: &plan{salvaged: s, unfinished: before.dirs}, earlier: before.lost}
	in.report.plan = in.plan
	if refused {
		in.report.Leftover = s.Superseded
	}
	if len(s.Groups) == 0 && !refused {
		return in.report, nil // no broker ever wrote here
	}
	for _, g := range s.Groups {
		in.group(g)
	}
	if in.openMetadata(); in.report.Obstacle == "" {
		err = in.partitions()
	}
	in.finish()
	return in.report, err
}

// highestTerm is the highest one that a state in the checkpoint says: groups have
// terms of their own, and appends behind it may be lost.
func highestTerm(s *wal.Salvaged) (term uint64) {
	for _, g := range s.Groups {
		if st, err := decodeRaftState(g.State); err == nil {
			term = max(term, st.term, st.appliedTerm)
		}
	}
	return term
}

// obstacle notes why nothing can be done, the first time.
func (in *inspection) obstacle(format string, args ...any) {
	if in.report.Obstacle == "" {
		in.report.Obstacle = fmt.Sprintf(format, args...)
	}
}

// group finds out how far a group's log goes without a gap.
func (in *inspection) group(g *wal.SalvagedGroup) {
	p := &groupPlan{id: g.ID, replica: g.Replica, known: true}
	in.groups[g.ID] = p
	var err error
	if p.state, err = decodeRaftState(g.State); err != nil {
		in.obstacle("the state of group %d in a checkpoint does not decode although its checksum is right: %v", g.ID, err)
		return
	}
	p.hard = hardState(&p.state, g)
	next, term := p.state.applied+1, p.state.appliedTerm
	for _, e := range g.Entries {
		if e.Index >= next && e.Term < term {
			break // of before a snapshot: terms never fall along a log
		}
		p.seen = max(p.seen, e.Index)
		switch {
		case e.Index == next:
			p.entries = append(p.entries, e)
			next, term = next+1, e.Term
		case e.Index > next && p.lost == nil:
			p.lost = &Loss{FirstIndex: next, Certain: true}
		}
	}
	switch {
	case p.lost != nil:
		p.lost.Entries = p.seen - p.lost.FirstIndex + 1
	case in.s.Doubt(g.ID):
		p.lost = &Loss{FirstIndex: next}
	}
	if p.lost == nil {
		return
	}
	p.lost.Term = in.raise
	if len(p.state.voters) > 1 {
		in.obstacle("group %d has %d voters: a replica that lost entries must come back as a new one", g.ID, len(p.state.voters))
	}
}

// hardState combines what a checkpoint and the records behind it say, as the
// engine does.
func hardState(st *raftState, g *wal.SalvagedGroup) raftState {
	h := raftState{term: st.term, vote: st.vote, commit: max(st.commit, st.applied, g.Commit)}
	switch {
	case g.Term > h.term:
		h.term, h.vote = g.Term, g.Vote
	case g.Term == h.term && h.vote == 0:
		h.vote = g.Vote
	}
	return h
}

// openMetadata applies what is left of group 0, to know what the other groups
// are.
func (in *inspection) openMetadata() {
	g := in.groups[ident.MetadataGroup]
	if g == nil || g.lost != nil && g.state.machine == nil && len(g.entries) == 0 {
		in.obstacle("nothing is left of the cluster metadata (group 0): which topics there are is not known; restore the directory from a copy")
		return
	}
	core, err := metadata.New("")
	if err == nil && g.state.machine != nil {
		err = core.Restore(g.state.machine)
	}
	for i := 0; i < len(g.entries) && err == nil; i++ {
		e := &g.entries[i]
		if len(e.Data) == 0 {
			continue
		}
		var d entry.Entry
		if d, err = entry.Parse(e.Data); err == nil {
			if r := core.Apply(e.Index, e.Term, d.Payload); errors.Is(r.Err, metadata.ErrDamaged) {
				err = r.Err
			}
		}
	}
	if err != nil {
		in.obstacle("the cluster metadata (group 0) cannot be read: %v", err)
		return
	}
	in.meta, in.image = g, core.Image()
	if g.lost != nil {
		in.report.Metadata = &MetadataLoss{Loss: *g.lost}
	}
}

// partitions looks at every replica that the metadata place on this broker.
func (in *inspection) partitions() error {
	for t := range in.image.Topics() {
		for i, info := range t.Partitions {
			rep, ok := info.On(in.o.Node)
			if !ok {
				continue
			}
			id := ident.Partition{Topic: t.ID, Index: int32(i)}
			p := &partitionPlan{in: in, topic: t, id: id, replica: rep.ID, dir: fmt.Sprintf("partitions/%s.%d", id.Dir(), rep.ID), replicas: len(info.Replicas)}
			p.report = PartitionReport{Topic: t.Name, TopicID: t.ID.Hex(), Partition: id.Index, Group: uint64(info.Group)}
			if err := p.look(info.Group); err != nil {
				return fmt.Errorf("inspect %s-%d: %w", t.Name, i, err)
			}
		}
	}
	return nil
}

// finish names groups, sorts, and plans the new log.
func (in *inspection) finish() {
	r := in.report
	for i := range r.Log {
		for _, g := range r.Log[i].Groups {
			r.Log[i].Names = append(r.Log[i].Names, in.name(ident.GroupID(g)))
		}
	}
	sort.SliceStable(r.Partitions, func(i, j int) bool {
		a, b := &r.Partitions[i], &r.Partitions[j]
		return a.Topic < b.Topic || a.Topic == b.Topic && a.Partition < b.Partition
	})
	in.plan.newLog = len(r.Log) > 0 || in.moved || r.Metadata != nil
	r.Needed = r.Refused || in.plan.newLog || len(in.plan.rewrites) > 0
	for i := range r.Partitions {
		in.plan.newLog = in.plan.newLog || r.Partitions[i].Lost != nil
		r.Needed = r.Needed || r.Partitions[i].Lost != nil
	}
	if r.Obstacle != "" {
		r.Needed = true
		return
	}
	if in.plan.newLog {
		in.newLog()
	}
}

func (in *inspection) name(g ident.GroupID) string {
	if g == ident.MetadataGroup {
		return "cluster metadata"
	}
	if in.image != nil {
		if id, ok := in.image.PartitionOf(g); ok {
			if t, ok := in.image.TopicByID(id.Topic); ok {
				return fmt.Sprintf("%s-%d", t.Name, id.Index)
			}
		}
	}
	return fmt.Sprintf("group %d", g)
}
