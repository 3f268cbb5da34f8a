package node

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/vfs"
)

// metaMachine is the cluster metadata as group 0's state machine. Its I/O is the
// renaming and removing of deleted replicas' directories.
type metaMachine struct {
	n    *Node
	core *metadata.Core

	captured []byte

	doomed  map[string]bool // directories of destroyed replicas -> closed
	renamed []string        // renamed, to be removed when the deletion is in a checkpoint
	covered int             // of renamed: how many the captured state covers
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
	m := &metaMachine{n: n, core: core, doomed: map[string]bool{}}
	entries, err := n.c.Engine.FS.List(partitionsDir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Dir && strings.HasSuffix(e.Name, deletedSuffix) {
			m.renamed = append(m.renamed, partitionsDir+"/"+e.Name)
		}
	}
	return m, nil
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
	for _, delta := range r.Deltas {
		m.n.act(delta)
	}
	if c, ok := e.Token.(*command); ok {
		c.done(r)
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
func (m *metaMachine) Lead(uint64) { m.n.ready.Store(true) }

// Unlead implements replog.Machine.
func (m *metaMachine) Unlead() { m.n.ready.Store(false) }

// Parked implements replog.Machine.
func (m *metaMachine) Parked(err error) {
	m.n.ready.Store(false)
	m.n.report(Event{Err: err, Text: "the cluster metadata is damaged; nothing can be served"})
}

// Close implements replog.Machine.
func (m *metaMachine) Close() {}

// doom notes a directory whose replica was destroyed.
func (m *metaMachine) doom(dir string) { m.doomed[dir] = false }

// closed notes that nothing uses a destroyed replica's directory any more.
func (m *metaMachine) closed(dir string) {
	if _, ok := m.doomed[dir]; ok {
		m.doomed[dir] = true
	}
}

// Capture implements replog.Machine.
func (m *metaMachine) Capture() {
	m.captured = m.core.Marshal()
	m.covered = len(m.renamed)
}

// Flushed implements replog.Machine: a checkpoint past a deletion counts only
// when the directory has its new name (N2).
func (m *metaMachine) Flushed() (done, stale bool) {
	if len(m.doomed) == 0 && !m.busy {
		m.covered = len(m.renamed)
		return true, false
	}
	return false, false
}

// State implements replog.Machine.
func (m *metaMachine) State() []byte { return m.captured }

// Durable implements replog.Machine.
func (m *metaMachine) Durable() {
	m.removes = append(m.removes, m.renamed[:m.covered]...)
	m.renamed = append([]string(nil), m.renamed[m.covered:]...)
	m.covered = 0
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
		return &renameTask{fs: m.n.c.Engine.FS, dirs: ready}
	case len(m.removes) > 0:
		m.busy = true
		return &removeDirsTask{fs: m.n.c.Engine.FS, dirs: m.removes}
	}
	return nil
}

// Worked implements replog.Machine.
func (m *metaMachine) Worked(t replog.Task, err error) error {
	m.busy, m.blocked = false, err != nil
	switch t := t.(type) {
	case *renameTask:
		if err != nil {
			return nil
		}
		for _, dir := range t.dirs {
			delete(m.doomed, dir)
		}
		m.renamed = append(m.renamed, t.done...)
	case *removeDirsTask:
		m.removes = t.dirs
	}
	return nil
}

// Retry implements replog.Machine.
func (m *metaMachine) Retry() { m.blocked = false }

// renameTask gives directories of destroyed replicas their last name.
type renameTask struct {
	fs   vfs.FS
	dirs []string
	done []string // new names
}

func (t *renameTask) Do() error {
	t.done = nil
	for _, dir := range t.dirs {
		name := dir + deletedSuffix
		switch err := t.fs.Rename(dir, name); {
		case errors.Is(err, vfs.ErrNotExist): // nothing was ever written, or renamed before a failure
		case err != nil:
			return fmt.Errorf("rename %s: %w", dir, err)
		}
		t.done = append(t.done, name)
	}
	return t.fs.SyncDir(partitionsDir)
}
func (t *renameTask) Class() replog.Class { return replog.ClassSync }

// removeDirsTask removes directories with everything in them. What is left
// after a failure stays in it.
type removeDirsTask struct {
	fs   vfs.FS
	dirs []string
}

func (t *removeDirsTask) Do() error {
	for len(t.dirs) > 0 {
		if err := removeDir(t.fs, t.dirs[0]); err != nil {
			return err
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
