package partition

import (
	"errors"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// runBytes is what makes a segment write worth while between checkpoints.
const runBytes = 1 << 20

// work is the I/O of a partition: runs of its log, the sync of what a
// checkpoint captured, and the removal of files that a checkpoint gave up.
type work struct {
	mark     storage.Mark
	rest     []byte            // the captured state without the position
	marked   bool              // a capture is not yet durable
	stale    bool              // and never will be
	position *storage.Position // of the capture, once it is durable
	syncing  bool
	plan     *storage.Sync // of what is captured now; nil if it has none yet

	pending  []storage.Garbage // given up by what was captured
	garbage  []storage.Garbage // given up by a durable checkpoint
	removing bool
	blocked  bool         // something failed; wait for Retry
	idleAt   ident.Offset // the log end when idleness was looked at last
}

// Capture implements replog.Machine.
func (p *Partition) Capture() {
	w := &p.ckpt
	w.mark, w.rest = p.log.Mark(), p.encodeRest()
	w.marked, w.stale, w.position, w.plan = true, false, nil, nil
	w.pending = append(w.pending, p.log.TakeGarbage()...)
}

// Flushed implements replog.Machine.
func (p *Partition) Flushed() (done, stale bool) { return p.ckpt.position != nil, p.ckpt.stale }

// State implements replog.Machine.
func (p *Partition) State() []byte { return encodeSaved(p.incarnation, *p.ckpt.position, p.ckpt.rest) }

// Durable implements replog.Machine.
func (p *Partition) Durable() {
	w := &p.ckpt
	w.garbage = append(w.garbage, w.pending...)
	w.pending = nil
}

// Work implements replog.Machine.
func (p *Partition) Work(flush bool) replog.Task {
	w := &p.ckpt
	if w.blocked {
		return nil
	}
	least := int64(runBytes)
	if flush {
		least = 1
	}
	if run, ok := p.log.NextRun(least); ok {
		return &runTask{log: p.log, run: run}
	}
	if p.adoption != nil {
		if t := p.adoption.work(); t != nil {
			return t
		}
	}
	if t := p.syncWork(); t != nil {
		return t
	}
	if free := w.free(); len(free) > 0 {
		w.removing = true
		return &removeTask{fs: p.c.FS, garbage: free}
	}
	return nil
}

// free takes the garbage that may be removed now. What a run or a sync still
// uses is left until that has ended.
func (w *work) free() (free []storage.Garbage) {
	if w.removing {
		return nil
	}
	var used []storage.Garbage
	for _, g := range w.garbage {
		if g.Busy() {
			used = append(used, g)
		} else {
			free = append(free, g)
		}
	}
	w.garbage = used
	return free
}

// syncWork plans the sync of what was captured, once all of it is written.
func (p *Partition) syncWork() replog.Task {
	w := &p.ckpt
	if !w.marked || w.syncing || w.stale || !p.log.Reached(w.mark) {
		return nil
	}
	s, err := p.log.PlanSync(w.mark)
	switch {
	case errors.Is(err, storage.ErrStaleMark):
		w.stale = true
		return nil
	case err != nil:
		return nil
	}
	w.syncing, w.plan = true, s
	if s.Idle() {
		p.synced(s, nil)
		return nil
	}
	return &syncTask{sync: s}
}

// synced ends a sync. One that was planned for an earlier capture says nothing
// about this one, even if the log ends where it did.
func (p *Partition) synced(s *storage.Sync, err error) {
	w := &p.ckpt
	w.syncing = false
	p.log.SyncDone(s, err)
	if err == nil && s == w.plan {
		at := s.Position()
		w.position, w.marked = &at, false
	}
}

// EvictIdle drops from memory what is in files, if nothing was appended since it
// was called last.
func (p *Partition) EvictIdle() {
	if end := p.log.End(); end != p.ckpt.idleAt {
		p.ckpt.idleAt = end
		return
	}
	p.log.EvictIdle()
}

// Worked implements replog.Machine.
func (p *Partition) Worked(t replog.Task, err error) error {
	w := &p.ckpt
	if err != nil {
		w.blocked = true
	}
	switch t := t.(type) {
	case *runTask:
		t.log.RunDone(t.run, err)
		if a := t.adopt; a != nil {
			a.running--
			if a.dead {
				p.bury(a)
			} else {
				p.pull()
			}
		}
	case *syncTask:
		p.synced(t.sync, err)
		if errors.Is(err, storage.ErrSyncFailed) {
			return err
		}
	case *removeTask:
		w.removing = false
		w.garbage = append(t.garbage, w.garbage...)
	}
	return nil
}

// Retry implements replog.Machine.
func (p *Partition) Retry() { p.ckpt.blocked = false }

// runTask writes one run of a segment.
type runTask struct {
	log   *storage.Log
	run   *storage.Run
	adopt *adoption // nil: of the partition's own log
}

func (t *runTask) Do() error           { return t.log.DoRun(t.run) }
func (t *runTask) Class() replog.Class { return replog.ClassSegment }

// syncTask makes what was captured durable. Where segments are written direct
// it shares one sync of the file system with all other partitions.
type syncTask struct {
	sync   *storage.Sync
	shared bool
}

// Share implements replog.SharedSync. What is written through the page cache is
// synced file by file: a sync of the whole file system would wait for all of it.
func (t *syncTask) Share() bool {
	t.shared = t.sync.Direct() && !mutant.On(mutant.CheckpointBeforeSync)
	return t.shared
}

// Flush implements replog.SharedSync.
func (t *syncTask) Flush() error { return t.sync.Flush() }

func (t *syncTask) Do() error {
	if t.shared {
		return t.sync.Write()
	}
	if mutant.On(mutant.CheckpointBeforeSync) {
		return t.sync.Write()
	}
	return t.sync.Do()
}
func (t *syncTask) Class() replog.Class { return replog.ClassSync }

// removeTask unlinks files, in order. What is left after a failure stays in it.
type removeTask struct {
	fs      vfs.FS
	garbage []storage.Garbage
}

func (t *removeTask) Do() error {
	for len(t.garbage) > 0 {
		if err := t.garbage[0].Remove(t.fs); err != nil {
			return err
		}
		t.garbage = t.garbage[1:]
	}
	return nil
}
func (t *removeTask) Class() replog.Class { return replog.ClassSync }
