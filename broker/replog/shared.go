package replog

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// sharing is the sync that machines share. Their tasks wait in held, written,
// until none that belongs to the round is still on its way; then one sync of the
// file system covers them all. What is held while that sync runs waits for
// another one: it may have been written too late.
type sharing struct {
	held    []*machineTask // written, in the order in which they ended
	running bool
	off     bool // the file system does not offer it
}

// sharedTask syncs the file system for tasks that are written.
type sharedTask struct {
	fs    vfs.FS
	tasks []*machineTask
	each  bool // there is no sync of everything; each task made its own
	err   error
}

// Do syncs everything at once, or, where that is not possible, one by one.
func (t *sharedTask) Do() error {
	t.err = t.fs.SyncAll()
	if !errors.Is(t.err, vfs.ErrUnsupported) {
		return t.err
	}
	t.each, t.err = true, nil
	for _, m := range t.tasks {
		m.err = m.Task.(SharedSync).Flush()
	}
	return nil
}

// Class implements Task.
func (t *sharedTask) Class() Class { return ClassSync }

// share asks a task that a round waits for to leave its sync to the engine.
func (e *Engine) share(t Task) bool {
	if e.sharing.off || e.c.SyncEach || e.round == nil || e.round.logged {
		return false
	}
	s, ok := t.(SharedSync)
	return ok && s.Share()
}

// leave ends the use of a machine. Its tasks do not wait for the shared sync any
// more, which may be waiting for a group that waits for its end.
func (e *Engine) leave(o *owned) {
	o.gone = true
	if o.tasks == 0 {
		o.m.Close()
	}
	kept, mine := []*machineTask(nil), []*machineTask(nil)
	for _, t := range e.sharing.held {
		if t.own == o {
			mine = append(mine, t)
		} else {
			kept = append(kept, t)
		}
	}
	e.sharing.held = kept
	for _, t := range mine {
		e.report(t)
	}
}

// hold keeps a task that is written until it is synced, unless nobody is left who
// wants to know.
func (e *Engine) hold(t *machineTask) {
	if t.own.gone {
		e.report(t)
		return
	}
	if r := e.round; r != nil && !t.own.held && t.own == t.g.own && r.flushing[t.g] {
		r.waiting--
	}
	t.own.held = true
	e.sharing.held = append(e.sharing.held, t)
	e.offer(t.g)
}

// sharedTasks adds the shared sync if there is something to sync and nothing
// that may join it is still being written.
func (e *Engine) sharedTasks(tasks []Task) []Task {
	s := &e.sharing
	if s.running || len(s.held) == 0 {
		return tasks
	}
	if r := e.round; r != nil && !r.logged && r.waiting > 0 && !mutant.On(mutant.SharedSyncEarly) {
		return tasks
	}
	t := &sharedTask{fs: e.c.FS, tasks: s.held}
	s.held, s.running = nil, true
	return append(tasks, t)
}

// shared takes the end of a shared sync and gives the tasks that it covered back
// to their machines.
func (e *Engine) shared(t *sharedTask) {
	s := &e.sharing
	s.running, s.off = false, s.off || t.each
	if t.err != nil {
		e.fail(fmt.Errorf("sync of the file system: %w", t.err))
		return
	}
	if mutant.On(mutant.SharedSyncEarly) {
		t.tasks, s.held = append(t.tasks, s.held...), nil
	}
	e.stats.SharedSyncs++
	for _, m := range t.tasks {
		if r := e.round; r != nil && m.own.held && m.own == m.g.own && r.flushing[m.g] {
			r.waiting++
		}
		m.own.held = false
		e.report(m)
	}
}
