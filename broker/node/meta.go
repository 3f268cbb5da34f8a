package node

import (
	"errors"
	"fmt"
	"sort"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// metaMachine is the cluster metadata as group 0's state machine. Its I/O is the
// marking and removing of deleted replicas' directories.
type metaMachine struct {
	n    *Node
	core *metadata.Core

	captured []byte
	adopted  []byte // another broker's state, to be taken over

	doomed  map[string]bool // directories of destroyed replicas -> closed
	marked  []string        // marked, to be removed when the deletion is in a checkpoint
	reminds map[string]bool // to be marked only: their deletion is yet to be applied again
	covered map[string]bool // directories whose deletion is in the captured state
	removes []string        // may be removed now

	busy    bool
	blocked bool
}

// openMeta restores the metadata, or begins a new cluster's.
func openMeta(n *Node, state []byte) (*metaMachine, error) {
	id := n.c.ClusterID
	if state != nil {
		id = ""
	}
	core, err := metadata.New(id)
	if err != nil {
		return nil, err
	}
	if state != nil {
		if err := core.Restore(state); err != nil {
			return nil, err
		}
	}
	m := &metaMachine{n: n, core: core, doomed: map[string]bool{}, reminds: map[string]bool{}}
	m.findMarked()
	return m, nil
}

// findMarked finds the marks that an earlier life left. A replica that the image
// still names is not taken: its deletion will be applied again.
func (m *metaMachine) findMarked() {
	named := m.named(m.core.Image())
	for _, replica := range m.n.found.replicas() {
		for _, d := range m.n.found[replica] {
			if d.marked && !named[replica] {
				m.marked = append(m.marked, d.path)
			}
		}
	}
}

// named returns the replicas that an image places on this broker, by the name of
// their first directory.
func (m *metaMachine) named(image *metadata.Image) map[string]bool {
	named := map[string]bool{}
	for t := range image.Topics() {
		for i, info := range t.Partitions {
			if rep, ok := info.On(m.n.c.ID); ok {
				named[replicaDir(ident.Partition{Topic: t.ID, Index: int32(i)}, rep.ID)] = true
			}
		}
	}
	return named
}

// Apply implements replog.Machine.
func (m *metaMachine) Apply(e replog.Entry) error {
	if len(e.Data) == 0 {
		return nil
	}
	d, err := entry.Parse(e.Data)
	if err != nil {
		return err
	}
	if d.Kind != entry.Command {
		return fmt.Errorf("%w: %v in group 0", metadata.ErrDamaged, d.Kind)
	}
	r := m.core.Apply(e.Index, e.Term, d.Payload)
	if errors.Is(r.Err, metadata.ErrDamaged) {
		return r.Err
	}
	var started []*replicaMachine
	for _, delta := range r.Deltas {
		if s := m.n.act(delta); s != nil {
			started = append(started, s)
		}
	}
	if c, ok := e.Token.(*command); ok {
		whenLed(started, func() { c.done(r) })
	}
	return nil
}

// Dropped implements replog.Machine.
func (m *metaMachine) Dropped(token any, err error) {
	if c, ok := token.(*command); ok {
		c.done(metadata.Result{Err: err})
	}
}

// Lead implements replog.Machine.
func (m *metaMachine) Lead(uint64) {
	m.n.controller.Store(true)
	m.n.ready.Store(true)
	m.n.emitAll()
}

// Unlead implements replog.Machine.
func (m *metaMachine) Unlead() {
	m.n.controller.Store(false)
	m.n.ready.Store(false)
}

// Follow implements replog.Follower.
func (m *metaMachine) Follow() {
	m.n.ready.Store(true)
	m.n.emitAll()
}

// Parked implements replog.Machine.
func (m *metaMachine) Parked(err error) {
	m.n.controller.Store(false)
	m.n.ready.Store(false)
	m.n.report(Event{Err: err, Text: "the cluster metadata is damaged; nothing can be served"})
}

// Close implements replog.Machine.
func (m *metaMachine) Close() {}

// doom notes a directory whose replica was destroyed, and is in use until closed.
func (m *metaMachine) doom(dir string) {
	m.doomed[dir] = false
	delete(m.reminds, dir)
}

// doomUnused notes one that nothing uses.
func (m *metaMachine) doomUnused(dir string) {
	m.doom(dir)
	m.closed(dir)
}

// remind has the directory of a replica that was destroyed in an earlier life
// marked before a checkpoint counts: that lets the write-ahead log forget it.
func (m *metaMachine) remind(dir string) {
	m.doomUnused(dir)
	m.reminds[dir] = true
}

// closed notes that nothing uses a destroyed replica's directory any more. A
// checkpoint may wait for its mark, and for nothing else.
func (m *metaMachine) closed(dir string) {
	if _, ok := m.doomed[dir]; ok {
		m.doomed[dir] = true
		m.n.engine.Wake(ident.MetadataGroup)
	}
}

// Capture implements replog.Machine.
func (m *metaMachine) Capture() {
	m.captured = m.core.Marshal()
	m.covered = map[string]bool{}
	for _, dir := range m.marked {
		m.covered[dir] = true
	}
	for dir := range m.doomed { // order: a set
		m.covered[dir] = true
	}
}

// Flushed implements replog.Machine: a checkpoint past a deletion counts only
// when the directory has its mark (N2).
func (m *metaMachine) Flushed() (done, stale bool) {
	return len(m.doomed) == 0 && !m.busy, false
}

// State implements replog.Machine.
func (m *metaMachine) State() []byte { return m.captured }

// Durable implements replog.Machine.
func (m *metaMachine) Durable() {
	var later []string
	for _, dir := range m.marked {
		if m.covered[dir] {
			m.removes = append(m.removes, dir)
		} else {
			later = append(later, dir)
		}
	}
	m.marked, m.covered = later, nil
}

// Work implements replog.Machine.
func (m *metaMachine) Work(bool) replog.Task {
	if m.busy || m.blocked {
		return nil
	}
	var ready []string
	for dir, closed := range m.doomed { // order: sorted below
		if closed {
			ready = append(ready, dir)
		}
	}
	sort.Strings(ready)
	switch {
	case len(ready) > 0:
		m.busy = true
		return &markTask{fs: m.n.c.Engine.FS, dirs: ready}
	case len(m.removes) > 0:
		m.busy = true
		t := &removeDirsTask{fs: m.n.c.Engine.FS, dirs: m.removes}
		m.removes = nil
		return t
	}
	return nil
}

// Worked implements replog.Machine.
func (m *metaMachine) Worked(t replog.Task, err error) error {
	m.busy, m.blocked = false, err != nil
	switch t := t.(type) {
	case *markTask:
		if err != nil {
			return nil
		}
		for _, dir := range t.dirs {
			delete(m.doomed, dir)
			if m.reminds[dir] {
				delete(m.reminds, dir)
			} else {
				m.marked = append(m.marked, dir)
			}
		}
	case *removeDirsTask:
		m.removes = append(t.dirs, m.removes...) // what is left, and what came meanwhile
	}
	return nil
}

// unused has directories removed that nothing names any more.
func (m *metaMachine) unused(dirs ...string) {
	if len(dirs) > 0 {
		m.removes = append(m.removes, dirs...)
		m.n.engine.Wake(ident.MetadataGroup)
	}
}

// Retry implements replog.Machine.
func (m *metaMachine) Retry() { m.blocked = false }

// markTask marks directories of destroyed replicas: beside each it makes an
// empty file of its name with deletedSuffix.
type markTask struct {
	fs   vfs.FS
	dirs []string
}

func (t *markTask) Do() error {
	for _, dir := range t.dirs {
		f, err := t.fs.Create(dir + deletedSuffix)
		switch {
		case errors.Is(err, vfs.ErrExist): // made before a failure, or by an earlier life
			continue
		case err == nil:
			err = f.Close()
		}
		if err != nil {
			return fmt.Errorf("mark %s as deleted: %w", dir, err)
		}
	}
	return t.fs.SyncDir(partitionsDir)
}
func (t *markTask) Class() replog.Class { return replog.ClassSync }

// removeDirsTask removes directories with everything in them, and then their
// marks.
type removeDirsTask struct {
	fs   vfs.FS
	dirs []string // without what is removed already
}

func (t *removeDirsTask) Do() error {
	for _, dir := range t.dirs {
		if err := removeDir(t.fs, dir); err != nil {
			return err
		}
	}
	// A mark must not go before the directory that it is for.
	if err := t.fs.SyncDir(partitionsDir); err != nil {
		return err
	}
	for len(t.dirs) > 0 {
		if err := t.fs.Remove(t.dirs[0] + deletedSuffix); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return fmt.Errorf("remove mark of %s: %w", t.dirs[0], err)
		}
		t.dirs = t.dirs[1:]
	}
	return nil
}
func (t *removeDirsTask) Class() replog.Class { return replog.ClassSync }

// removeDir removes a replica's directory. One that does not exist is removed.
func removeDir(fs vfs.FS, dir string) error {
	entries, err := fs.List(dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := fs.Remove(dir + "/" + e.Name); err != nil {
			return fmt.Errorf("remove %s/%s: %w", dir, e.Name, err)
		}
	}
	if err := fs.Remove(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}
