package replog

import (
	"errors"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// sharing is a driver with so many toys, each with something to flush, and what
// its disk was asked.
type sharingRig struct {
	*driver
	toys  []*toy
	all   int                // syncs of the file system
	files int                // syncs of toys' files
	fail  func(vfs.Op) error // nil: nothing does
}

func newSharingRig(t *testing.T, groups int) *sharingRig {
	d := quiet(t)
	d.o.share, d.noSyncAll = true, false
	r := &sharingRig{driver: d}
	c := d.big()
	c.FS = vfs.NewFaulty(d.mem, func(op vfs.Op) error {
		switch {
		case op.Kind == vfs.OpSyncAll:
			r.all++
		case op.Kind == vfs.OpSync && strings.HasPrefix(op.Name, "toy/"):
			r.files++
		}
		if r.fail != nil {
			return r.fail(op)
		}
		return nil
	})
	d.boot(t, c)
	for id := 1; id <= groups; id++ {
		r.toys = append(r.toys, d.must(t, ident.GroupID(id)))
	}
	d.work()
	r.write(t)
	return r
}

// write has every group apply something.
func (r *sharingRig) write(t *testing.T) {
	for id := range r.toys {
		if _, err := r.offer(ident.GroupID(id+1), 1000); err != nil {
			t.Fatal(err)
		}
	}
	r.work()
}

func TestOneSyncForAllGroups(t *testing.T) {
	r := newSharingRig(t, 5)
	r.e.Checkpoint()
	r.work()
	if r.e.Checkpointing() || r.all != 1 || r.files != 0 || r.e.Stats().SharedSyncs != 1 {
		t.Fatalf("%d syncs of everything, %d of files, %+v", r.all, r.files, r.e.Stats())
	}
	for _, m := range r.toys {
		if s := m.segs[0]; s.synced != s.length() {
			t.Fatalf("%s: %d bytes of %d are durable", m.name, s.synced, s.length())
		}
	}
	r.check(t)
}

// The sync does not begin before the last of the groups has written, however
// late that is, and the checkpoint is not logged before it ended.
func TestSharedSyncWaitsForTheLastWrite(t *testing.T) {
	r := newSharingRig(t, 3)
	r.e.Checkpoint()
	for r.e.round == nil || len(r.e.sharing.held) < 2 {
		r.poll()
		for i := 0; i < len(r.tasks); {
			if m, ok := r.tasks[i].(*machineTask); ok && m.g.id == 3 {
				i++ // what belongs to the third group stays behind
				continue
			}
			r.do(i)
		}
		for len(r.ended) > 0 {
			r.done(0)
		}
	}
	r.poll()
	if r.all != 0 || r.e.round.logged {
		t.Fatal("synced before everything was written")
	}
	for r.all == 0 {
		for len(r.tasks) > 0 {
			r.do(0)
		}
		if r.all > 0 {
			break
		}
		for len(r.ended) > 0 {
			r.done(0)
		}
		r.poll()
	}
	if len(r.e.sharing.held) != 0 || r.e.round.logged {
		t.Fatal("logged before the sync has ended")
	}
	for len(r.ended) > 0 {
		r.done(0)
	}
	r.work()
	if r.e.Checkpointing() || r.all != 1 {
		t.Fatalf("%d syncs, round %v", r.all, r.e.round)
	}
	r.check(t)
}

// Where there is no sync of everything each file is synced, and it is not asked
// for again.
func TestWithoutSyncOfEverything(t *testing.T) {
	r := newSharingRig(t, 4)
	r.fail = func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncAll {
			return vfs.ErrUnsupported
		}
		return nil
	}
	for range 3 {
		r.e.Checkpoint()
		r.work()
		r.write(t)
	}
	if r.e.Checkpointing() || r.all != 1 || r.files != 12 {
		t.Fatalf("%d syncs of everything, %d of files", r.all, r.files)
	}
	r.check(t)
}

func TestFailedSharedSyncIsForEver(t *testing.T) {
	r := newSharingRig(t, 4)
	r.fail = func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncAll {
			return &vfs.LostSync{Err: errInjected}
		}
		return nil
	}
	r.e.Checkpoint()
	r.work()
	if !errors.Is(r.e.Err(), ErrFailed) || !errors.Is(r.e.Err(), errInjected) || r.all != 1 {
		t.Fatalf("%v after %d syncs", r.e.Err(), r.all)
	}
	if tasks := r.e.Poll(r.now); len(tasks) != 0 {
		t.Fatal("a failed engine has work")
	}
}

// A group that is destroyed while its task waits for the shared sync neither
// holds the others up nor waits for it: what it waits for may wait for it. While
// the sync runs, which may use its files, it is not closed.
func TestDestroyWhileHeld(t *testing.T) {
	r := newSharingRig(t, 3)
	r.e.Checkpoint()
	for len(r.e.sharing.held) < 3 {
		r.poll()
		for len(r.tasks) > 0 {
			r.do(0)
		}
		for len(r.ended) > 0 && len(r.e.sharing.held) < 3 {
			r.done(0)
		}
	}
	r.e.Destroy(1)
	delete(r.want, 1)
	if !r.toys[0].closed || len(r.e.sharing.held) != 2 {
		t.Fatalf("closed %v, %d tasks wait", r.toys[0].closed, len(r.e.sharing.held))
	}
	r.poll()
	r.e.Destroy(2)
	delete(r.want, 2)
	if !r.e.sharing.running || r.toys[1].closed {
		t.Fatal("closed while a sync of it may run")
	}
	r.work()
	for len(r.tasks) > 0 {
		r.do(0)
		r.done(0)
	}
	r.work()
	if !r.toys[1].closed || r.e.Checkpointing() || r.all != 1 {
		t.Fatalf("closed %v, %d syncs", r.toys[1].closed, r.all)
	}
}

// SyncEach asks nobody to share.
func TestSyncEach(t *testing.T) {
	r := newSharingRig(t, 3)
	r.e.c.SyncEach = true
	r.e.Checkpoint()
	r.work()
	if r.all != 0 || r.files != 3 || r.e.Checkpointing() {
		t.Fatalf("%d syncs of everything, %d of files", r.all, r.files)
	}
}
