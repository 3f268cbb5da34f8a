package replog

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// Poll does everything that can be done now, and returns the I/O that is ready
// to be performed. The caller runs each task once and gives it to Done.
func (e *Engine) Poll(now time.Time) []Task {
	e.now = now
	if e.err != nil {
		return nil
	}
	e.admit()
	for len(e.ready) > 0 {
		batch := e.ready
		e.ready = nil
		for _, g := range batch {
			g.dirty = false
			g.run()
		}
	}
	e.pacing.admitted = 0 // it is enqueued, or dropped
	e.adopt()
	e.advanceRound()
	var tasks []Task
	for len(e.offers) > 0 && e.running < e.c.TasksMax {
		g := e.offers[0]
		e.offers[0] = nil
		e.offers = e.offers[1:]
		g.offered = false
		if e.groups[g.id] == g {
			tasks = g.work(tasks)
		}
	}
	if e.round != nil {
		e.advanceRound() // all may be flushed by now
	}
	return e.walTasks(e.sharedTasks(tasks))
}

// offer asks the group's machine for work at the next Poll.
func (e *Engine) offer(g *group) {
	if !g.offered {
		g.offered = true
		e.offers = append(e.offers, g)
	}
}

// Tick is to be called about every 100 ms: it looks at free space, tries again
// what failed for want of it, and ends waits that took too long.
func (e *Engine) Tick(now time.Time) {
	e.now = now
	e.look()
	if e.diskFree < e.c.DiskReserve {
		e.garbage = append(e.garbage, e.wal.DropSpares()...)
	}
	e.forced = e.forced || e.starved()
	e.prepareOff, e.removeOff, e.refused = false, false, false
	var kept int64
	for _, g := range e.order {
		if g.failed {
			g.failed = false
			g.own.m.Retry()
			e.offer(g)
		}
		if g.parked == nil && !g.alone() {
			g.tick()
			kept += g.store.bytes
		}
	}
	e.letGo(kept)
	e.admit()
	if e.wanted > 0 {
		e.wal.Turn(e.wanted)
		e.wanted = 0
	}
	e.expire(now)
}

// letGo forgets applied entries that are kept for replicas that lag, if all
// groups together keep too many.
func (e *Engine) letGo(kept int64) {
	for _, g := range e.order {
		if kept <= e.c.KeepBytesMax {
			return
		}
		if g.parked == nil && !g.alone() {
			before := g.store.bytes
			g.store.shrink(g.applied, 0)
			kept -= before - g.store.bytes
		}
	}
}

// adopt goes on with groups that fetch a snapshot's files.
func (e *Engine) adopt() {
	if len(e.adopting) == 0 {
		return
	}
	for _, g := range e.order {
		if e.adopting[g.id] == g {
			g.adopt()
		}
	}
}

// expire drops proposals that waited too long, and all of the same group that
// wait behind them: a producer's later batch must not go on without an earlier
// one.
func (e *Engine) expire(now time.Time) {
	var late []stalled
	hit := map[ident.GroupID]bool{}
	kept := e.stalled[:0]
	for _, s := range e.stalled {
		if now.Before(s.until) && !hit[s.group] {
			kept = append(kept, s)
			continue
		}
		hit[s.group] = true
		late = append(late, s)
		e.stalledBytes -= int64(len(s.p.data))
	}
	clear(e.stalled[len(kept):])
	e.stalled = kept
	for _, s := range late {
		if g := e.groups[s.group]; g != nil {
			g.own.m.Dropped(s.p.token, ErrNoSpace)
		}
	}
}

// look asks the disk how much is free, less what machines still have to write, or
// to apply as followers.
func (e *Engine) look() {
	free, err := e.c.FS.Free()
	if err != nil {
		free = 0
	}
	for _, g := range e.order {
		if u, ok := g.own.m.(interface{ Unwritten() int64 }); ok {
			free -= u.Unwritten()
		}
		if !g.alone() {
			free -= dataBytes(g.unapplied())
		}
	}
	e.diskFree = free
	e.short = e.freeBehind(0) < e.c.DiskReserve
}

// admit lets waiting proposals go on as far as there is space, in order.
func (e *Engine) admit() {
	n := 0
	for n < len(e.stalled) {
		s := e.stalled[n]
		g := e.groups[s.group]
		if g != nil && g.parked == nil && !e.room(s.p, false) {
			break
		}
		n++
		e.stalledBytes -= int64(len(s.p.data))
		switch {
		case g == nil:
		case g.parked != nil:
			g.own.m.Dropped(s.p.token, ErrParked)
		default:
			g.queue = append(g.queue, s.p)
			e.mark(g)
		}
	}
	if n > 0 {
		rest := copy(e.stalled, e.stalled[n:])
		clear(e.stalled[rest:])
		e.stalled = e.stalled[:rest]
	}
}

// work collects the machine's tasks.
func (g *group) work(tasks []Task) []Task {
	flush := g.e.round != nil && g.e.round.flushing[g]
	for {
		t := g.own.m.Work(flush)
		if t == nil {
			break
		}
		g.e.running++
		g.own.tasks++
		tasks = append(tasks, &machineTask{Task: t, g: g, own: g.own, shared: flush && g.e.share(t)})
	}
	if flush && !g.e.round.logged {
		g.e.round.look(g)
	}
	return tasks
}

// machineTask remembers whose task it is.
type machineTask struct {
	Task
	g      *group
	own    *owned
	shared bool // it leaves its sync to the engine
	err    error
}

func (t *machineTask) Do() error {
	t.err = t.Task.Do()
	return t.err
}

// commitTask is one group commit.
type commitTask struct {
	w   *wal.Write
	err error
}

func (t *commitTask) Do() error {
	t.err = t.w.Do()
	return t.err
}
func (t *commitTask) Class() Class { return ClassCommit }

// Records and Bytes are the size of the commit, for metrics.
func (t *commitTask) Records() int { return t.w.Records() }
func (t *commitTask) Bytes() int64 { return t.w.Bytes() }

// prepareTask makes the next write-ahead log file.
type prepareTask struct {
	p   *wal.Prepare
	err error
}

func (t *prepareTask) Do() error {
	t.err = t.p.Do()
	return t.err
}
func (t *prepareTask) Class() Class { return ClassPrepare }

// removeTask unlinks write-ahead log files, in order.
type removeTask struct {
	fs    vfs.FS
	dir   string
	files []wal.Garbage
	done  int
}

func (t *removeTask) Do() error {
	for _, f := range t.files {
		err := f.Remove()
		if errors.Is(err, vfs.ErrNotExist) { // removed, and then the sync failed
			err = t.fs.SyncDir(t.dir)
		}
		if err != nil {
			return err
		}
		t.done++
	}
	return nil
}
func (t *removeTask) Class() Class { return ClassPrepare }

// walTasks returns what the write-ahead log has to do.
func (e *Engine) walTasks(tasks []Task) []Task {
	// A new file must not take the space that segments need: what is applied
	// could then not be written, so no checkpoint would ever free anything.
	// One that is used again takes none.
	again := e.wal.Spares() > 0
	spare := again || e.diskFree-e.c.WAL.FileBytes >= e.c.DiskReserve/2
	if !e.prepareOff && (spare || e.wal.Short()) {
		if p := e.wal.Prepare(); p != nil {
			if !again {
				e.diskFree -= e.c.WAL.FileBytes
			}
			tasks = append(tasks, &prepareTask{p: p})
		}
	}
	if w := e.wal.Next(); w != nil {
		e.stats.Commits++
		e.stats.CommitRecords += uint64(w.Records())
		e.stats.CommitBytes += uint64(w.Bytes())
		tasks = append(tasks, &commitTask{w: w})
	}
	if len(e.garbage) > 0 && !e.removing && !e.removeOff {
		e.removing = true
		tasks = append(tasks, &removeTask{fs: e.c.FS, dir: e.c.WAL.Dir, files: e.garbage})
		e.garbage = nil
	}
	return tasks
}

// Done takes a task whose Do returned.
func (e *Engine) Done(now time.Time, t Task) {
	e.now = now
	switch t := t.(type) {
	case *commitTask:
		if err := e.wal.Done(t.w, t.err, e.release); err != nil {
			e.fail(err)
		}
	case *prepareTask:
		if !e.wal.PrepareDone(t.p, t.err) {
			e.prepareOff = true
		}
	case *removeTask:
		e.removing = false
		for _, f := range t.files[:t.done] {
			e.wal.Removed(f)
		}
		if t.done < len(t.files) {
			// Tried again, before anything newer: a gap would look like damage.
			e.garbage = append(t.files[t.done:], e.garbage...)
			e.removeOff = true
		}
	case *machineTask:
		e.worked(t)
	case *sharedTask:
		e.shared(t)
	}
}

// worked takes a machine's task that was performed.
func (e *Engine) worked(t *machineTask) {
	e.running--
	if t.shared && t.err == nil {
		e.hold(t)
		return
	}
	e.report(t)
}

// report gives a machine's task back to it.
func (e *Engine) report(t *machineTask) {
	g := t.g
	t.own.tasks--
	if t.own.gone {
		if t.own.tasks == 0 {
			t.own.m.Close()
		}
		return
	}
	g.failed = g.failed || t.err != nil
	if err := g.own.m.Worked(t.Task, t.err); err != nil {
		e.fail(err)
	}
	e.offer(g)
}

// release takes the token of a record that is durable now.
func (e *Engine) release(token any) {
	switch t := token.(type) {
	case *appendToken:
		t.g.durable(t)
	case *pieceToken:
		t.r.durable(t)
	}
}

// Stats counts what the engine did since it was opened.
type Stats struct {
	Commits, CommitRecords, CommitBytes uint64 // group commits
	Checkpoints                         uint64
	SharedSyncs                         uint64 // syncs of the whole file system
	PacedBytes                          uint64 // of proposals that waited because the debt had grown
	Debt                                int64  // bytes to replay after a crash now
	Waiting                             int64  // bytes of proposals that wait for space
	Groups, Parked                      int

	// States of other replicas: those that were begun to be fetched, of these those
	// that gave way to a newer one or were gone on with, those that were given up,
	// and those that were taken over.
	AdoptionsBegun, AdoptionsExtended, AdoptionsAbandoned, Adoptions uint64
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Debt, s.Waiting, s.Groups = e.wal.Debt(), e.stalledBytes, len(e.order)
	for _, g := range e.order {
		if g.parked != nil {
			s.Parked++
		}
	}
	return s
}
