package repair

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// partitionPlan is what becomes of one replica.
type partitionPlan struct {
	in      *inspection
	topic   *metadata.Topic
	id      ident.Partition
	replica ident.ReplicaID
	dir     string
	// replicas is how many the partition has.
	replicas int
	group    *groupPlan
	machine  machineState
	// generation is the highest of a chain that the state or the entries behind it
	// know. The state keeps its own: entries of older ones follow it.
	generation uint64
	report     PartitionReport
}

// look inspects the replica and notes what it finds.
func (p *partitionPlan) look(id ident.GroupID) error {
	in := p.in
	p.group = in.groups[id]
	if p.group == nil || p.group.replica < p.replica {
		if !in.s.Doubt(id) && in.report.Metadata == nil {
			in.report.Whole++
			return nil // nothing was ever written to it
		}
		p.group = &groupPlan{id: id, replica: p.replica, lost: &Loss{FirstIndex: 1, Term: in.raise}}
		in.groups[id] = p.group
	}
	p.machine = machineState{position: storage.EmptyPosition(0)}
	if err := p.restore(); err != nil {
		return err
	}
	if p.report.Problem != "" {
		in.report.Partitions = append(in.report.Partitions, p.report)
		return nil
	}
	check, err := checkFiles(in.fs, p.dir, p.machine.position, p.machine.history())
	if err != nil {
		return err
	}
	p.generation = p.machine.generation
	p.report.Segments, p.report.Holes = check.damage, check.lost
	if mutant.On(mutant.RepairNamesLess) {
		p.report.Holes = nil
	}
	in.plan.rewrites = append(in.plan.rewrites, check.rewrites...)
	p.report.End = int64(p.machine.position.LogEnd)
	if p.group.lost != nil {
		if err := p.salvage(); err != nil {
			return err
		}
	}
	if check.moved {
		p.machine.position = check.position
	}
	lost := append(in.earlier[partitionKey(p.report.TopicID, p.report.Partition)], check.lost...)
	if p.machine.lose(lost) || check.moved {
		p.group.state.machine = p.machine.encode()
		in.moved = true
	}
	if _, tiered := p.topic.Configs.Get("remote.storage.enable"); tiered {
		// Segments may end elsewhere when they are made again. And an older checkpoint
		// knows nothing of those that left the disk since: they count as lost.
		p.report.Uploads = len(check.lost) > 0 || p.group.lost != nil
	}
	in.generation = max(in.generation, p.generation)
	if p.replicas > 1 && (p.group.lost != nil || len(check.rewrites) > 0) {
		in.obstacle("partition %s-%d has %d replicas: a damaged one must come back as a new one", p.topic.Name, p.id.Index, p.replicas)
	}
	if p.report.Lost = p.group.lost; p.group.lost != nil || len(check.damage) > 0 {
		in.report.Partitions = append(in.report.Partitions, p.report)
	} else {
		in.report.Whole++
	}
	return nil
}

// restore reads the state of the replica, or makes one from its files if nothing
// else is left. An error is one of reading the disk.
func (p *partitionPlan) restore() error {
	g := p.group
	if g.state.machine != nil {
		m, err := decodeMachine(g.state.machine)
		if err != nil {
			p.report.Problem = err.Error()
		}
		p.machine = m
		if m.incarnation > 0 {
			p.dir = fmt.Sprintf("%s.%d", p.dir, m.incarnation)
		}
		return nil
	}
	if g.lost == nil || g.lost.FirstIndex > 1 {
		return nil // the log begins with its first entry
	}
	at, epochs, err := rebuiltPosition(p.in.fs, p.dir)
	if err != nil || at.ActiveBase < 0 {
		return err
	}
	p.machine = machineState{position: at, generation: p.topic.ChainGeneration, rest: freshRest(epochs)}
	g.state.machine = p.machine.encode()
	p.report.Rebuilt = true
	return nil
}

// refuse is the way into a log that takes nothing.
type refuse struct{}

func (refuse) Propose([]byte, any, bool) error { return replog.ErrNotLeader }

// salvage applies what is left of the group's log to a partition without files,
// to know where it ends, and adds the batches that its files hold behind that.
func (p *partitionPlan) salvage() error {
	g := p.group
	var state []byte
	if g.state.machine != nil {
		bare := p.machine
		bare.position = storage.EmptyPosition(p.machine.position.LogEnd)
		state = bare.encode()
	}
	fs := vfs.NewMem(vfs.MemOptions{})
	scratch, err := partition.Open(partition.Config{ID: p.id, FS: fs, Dir: "scratch", Cache: storage.NewCache(storage.Limits{}), Log: refuse{}}, state)
	if err != nil {
		p.report.Problem = err.Error()
		return nil
	}
	defer scratch.Close()
	for i := range g.entries {
		e := &g.entries[i]
		p.generations(e.Data)
		if err := scratch.Apply(replog.Entry{Index: e.Index, Term: e.Term, Data: e.Data}); err != nil {
			p.report.Problem = fmt.Sprintf("entry %d cannot be applied: %v", e.Index, err)
			return nil
		}
	}
	scratch.Lead(p.in.raise)
	if err := p.recover(scratch); err != nil {
		return err
	}
	o, err := scratch.Offsets()
	if err != nil {
		return err
	}
	p.report.End = int64(o.HighWatermark)
	if n := len(g.entries); n > 0 && mutant.On(mutant.RepairLosesMore) {
		g.entries = g.entries[:n-1]
	}
	if p.topic.ChainGeneration > 0 {
		p.report.Letters = true
		if n := len(p.in.chained); n == 0 || p.in.chained[n-1] != p.topic.ID {
			p.in.chained = append(p.in.chained, p.topic.ID)
		}
	}
	return nil
}

// generations notes the chain generation of an entry with a batch.
func (p *partitionPlan) generations(data []byte) {
	d, err := entry.Parse(data)
	if err == nil && (d.Kind == entry.Batch || d.Kind == entry.Chained) && len(d.Header) >= 8 {
		p.generation = max(p.generation, binary.LittleEndian.Uint64(d.Header))
	}
}

// recover takes batches from the replica's files that were applied, and whose
// entries are lost: those that follow what is left without a hole.
func (p *partitionPlan) recover(scratch *partition.Partition) error {
	at := &p.machine.position
	files, err := listSegments(p.in.fs, p.dir)
	if err != nil {
		return err
	}
	end, err := scratch.Offsets()
	if err != nil {
		return err
	}
	next, left := end.HighWatermark, false
	for _, f := range files {
		if f.size < 0 || f.base < at.ActiveBase || at.ActiveBase < 0 && at.LogEnd > f.base {
			continue
		}
		from := int64(0)
		if f.base == at.ActiveBase {
			from = at.ActiveBytes
		}
		took, rest, err := p.recoverFile(scratch, f, from, next)
		if err != nil {
			return err
		}
		next, left = took, left || rest
		if left {
			p.in.plan.copies = append(p.in.plan.copies, f.name)
		}
	}
	return nil
}

// recoverFile is recover for one file. rest says that whole batches are left
// that cannot be taken.
func (p *partitionPlan) recoverFile(scratch *partition.Partition, f dirFile, from int64, next ident.Offset) (ident.Offset, bool, error) {
	if f.size <= from {
		return next, false, nil
	}
	file, err := p.in.fs.Open(f.name)
	if err != nil {
		return next, false, err
	}
	defer file.Close()
	tail := &tailReader{file: file, from: from}
	s := scanner{file: tail, at: from, limit: f.size - from, floor: f.base, ceil: -1, open: true}
	scan, err := s.scan()
	if err != nil {
		return next, false, err
	}
	for _, b := range scan.batches {
		switch base := ident.Offset(b.header.BaseOffset); {
		case base < next:
			continue // its entry is left
		case base > next:
			return next, true, nil
		}
		batch := make([]byte, b.header.Size())
		if _, err := tail.ReadAt(batch, b.pos); err != nil {
			return next, false, err
		}
		b.fix(batch)
		header := binary.LittleEndian.AppendUint64(nil, p.generation)
		data := entry.Build(entry.Batch, max(b.header.MaxTimestamp, 0), append(header, 0), batch)
		e := wal.Entry{Index: p.group.last() + 1, Term: p.termOf(b.header.LeaderEpoch), Data: data}
		if err := scratch.Apply(replog.Entry{Index: e.Index, Term: e.Term, Data: e.Data}); err != nil {
			return next, true, nil
		}
		o, err := scratch.Offsets()
		if err != nil || int64(o.HighWatermark) != b.header.LastOffset()+1 {
			return next, true, errors.Join(err)
		}
		p.group.entries = append(p.group.entries, e)
		p.report.Recovered++
		next = o.HighWatermark
	}
	return next, false, nil
}

// termOf is the term of the entry of a batch that its file still has: the one that
// it was appended at, so that it keeps its leader epoch, unless that cannot follow
// what is left of the log.
func (p *partitionPlan) termOf(epoch int32) uint64 {
	last := p.group.state.appliedTerm
	if n := len(p.group.entries); n > 0 {
		last = p.group.entries[n-1].Term
	}
	if term := uint64(max(epoch, 0)); term >= last && term < p.in.raise {
		return term
	}
	return p.in.raise
}

// tailReader reads a file from a position on.
type tailReader struct {
	file vfs.File
	from int64
}

// ReadAt implements io.ReaderAt.
func (r *tailReader) ReadAt(b []byte, off int64) (int, error) { return r.file.ReadAt(b, r.from+off) }
