package partition

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/vfs"
)

// newFaultyHarness makes a harness whose leader's disk asks *inject.
func newFaultyHarness(t testing.TB, inject *func(vfs.Op) error) *harness {
	log := &queue{}
	ask := func(op vfs.Op) error {
		if *inject == nil {
			return nil
		}
		return (*inject)(op)
	}
	h := &harness{site: newSite(t, ask, log), other: newSite(t, nil, &queue{}), log: log, term: 1}
	h.lead()
	return h
}

// do performs one task.
func (h *harness) do(task replog.Task) error {
	return h.p.Worked(task, task.Do())
}

func (h *harness) flushed(done, stale bool) {
	h.t.Helper()
	if d, s := h.p.Flushed(); d != done || s != stale {
		h.t.Fatalf("flushed: done %v, stale %v", d, s)
	}
}

func TestNothingToFlush(t *testing.T) {
	h := newHarness(t)
	for range 3 {
		h.p.Capture()
		h.work(true)
		h.flushed(true, false)
		h.p.Durable()
	}
	if h.p.Work(true) != nil || h.p.Work(false) != nil {
		t.Fatal("work without any")
	}
}

func TestSmallRunsWaitForAFlush(t *testing.T) {
	h := newHarness(t)
	h.fill(3, spec{size: 1000})
	if h.p.Work(false) != nil {
		t.Fatal("a small run is written at once")
	}
	if h.p.Unwritten() == 0 {
		t.Fatal("nothing is unwritten")
	}
	h.fill(1, spec{size: runBytes})
	h.work(false)
	if n := h.p.Unwritten(); n == 0 || n >= runBytes {
		t.Fatalf("%d bytes unwritten", n)
	}
	h.p.Capture()
	h.flushed(false, false)
	h.work(true)
	h.flushed(true, false)
}

// What is applied behind a capture is not in it.
func TestCaptureIsOfItsMoment(t *testing.T) {
	h := newHarness(t)
	h.produce(spec{id: 7})
	h.apply(1)
	h.p.Capture()
	h.produce(spec{id: 7, seq: 1})
	h.produce(spec{id: 8, gen: 9})
	h.deleteRecords(1)
	h.apply(-1)
	h.work(true)
	h.flushed(true, false)
	s, err := decodeSaved(h.p.State())
	if err != nil || s.position.LogEnd != 1 || s.position.LogStart != 0 || s.generation != 0 || len(s.producers.byID) != 1 {
		t.Fatalf("%+v %v", s, err)
	}
}

// A sync that was planned for one capture must not be taken for that of the
// next, although the log ends at the same offset.
func TestSyncOfAnEarlierCapture(t *testing.T) {
	h := newHarness(t)
	h.segments(700)
	h.fill(6, spec{size: 200})
	h.p.Capture()
	var task replog.Task
	for {
		task = h.p.Work(true)
		if task.Class() == replog.ClassSync {
			break
		}
		if err := h.do(task); err != nil {
			t.Fatal(err)
		}
	}
	h.deleteRecords(-1) // a higher start, the same end
	h.apply(-1)
	h.p.Capture()
	if err := h.do(task); err != nil {
		t.Fatal(err)
	}
	h.flushed(false, false)
	h.work(true)
	if done, stale := h.p.Flushed(); !done && stale {
		h.p.Capture()
		h.work(true)
	}
	h.flushed(true, false)
	h.state = h.p.State()
	if s, err := decodeSaved(h.state); err != nil || s.position.LogStart != 6 {
		t.Fatalf("%+v %v", s.position, err)
	}
	h.p.Durable()
	h.work(true)
	h.site.open(h.log)
	if h.p.log.Start() != 6 || h.p.log.End() != 6 {
		t.Fatalf("[%d, %d) after a restart", h.p.log.Start(), h.p.log.End())
	}
}

func TestStaleMark(t *testing.T) {
	h := newHarness(t)
	h.segments(700)
	h.fill(6, spec{size: 200})
	h.p.Capture()
	h.deleteRecords(5) // gives up what was captured and not yet written
	h.apply(-1)
	for task := h.p.Work(true); task != nil; task = h.p.Work(true) {
		if err := h.do(task); err != nil {
			t.Fatal(err)
		}
	}
	h.flushed(false, true)
	if h.p.Work(true) != nil {
		t.Fatal("work for a stale capture")
	}
	h.p.Capture()
	h.work(true)
	h.flushed(true, false)
	h.state, h.tail = h.p.State(), nil
	h.p.Durable()
	h.work(true)
	h.crash(rand.New(rand.NewPCG(1, 1)), h.log)
	h.lead()
	if c, err := h.p.Read(5, 6, 1<<20, true); err != nil || c.Batches != 1 {
		t.Fatalf("%+v %v", c, err)
	}
}

func TestNoSpaceIsTriedAgain(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpCreate, vfs.OpMkdirAll, vfs.OpTruncate} {
		for nth := 1; nth <= 4; nth++ {
			var inject func(vfs.Op) error
			h := newFaultyHarness(t, &inject)
			h.segments(1500)
			h.fill(12, spec{size: 500})
			inject = vfs.FailNth(kind, "partitions", nth, vfs.ErrNoSpace)
			h.p.Capture()
			failed := false
			for task := h.p.Work(true); task != nil; task = h.p.Work(true) {
				err := task.Do()
				failed = failed || err != nil
				if err := h.p.Worked(task, err); err != nil {
					t.Fatalf("%v %d: %v", kind, nth, err)
				}
			}
			if failed {
				h.flushed(false, false)
				h.p.Retry()
				h.site.work(true)
			}
			h.flushed(true, false)
			inject = nil
			h.same()
		}
	}
}

func TestFailedSyncIsFatal(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpSync, vfs.OpSyncDir} {
		var inject func(vfs.Op) error
		h := newFaultyHarness(t, &inject)
		h.fill(3, spec{size: 500})
		inject = vfs.FailNth(kind, "partitions", 1, errors.New("test: I/O error"))
		h.p.Capture()
		var fatal error
		for task := h.p.Work(true); task != nil && fatal == nil; task = h.p.Work(true) {
			fatal = h.do(task)
		}
		if !errors.Is(fatal, storage.ErrSyncFailed) {
			t.Fatalf("%v: %v", kind, fatal)
		}
		h.p.Retry()
		if task := h.p.Work(true); task != nil {
			t.Fatalf("%v: a failed sync is tried again", kind)
		}
		h.flushed(false, false)
	}
}

// Removing goes on where it failed, and nothing else waits for it but until the
// next Retry.
func TestRemoveFails(t *testing.T) {
	var inject func(vfs.Op) error
	h := newFaultyHarness(t, &inject)
	h.segments(700)
	h.fill(12, spec{size: 200})
	h.same()
	before := h.files()
	h.deleteRecords(-1)
	h.apply(-1)
	removed := 0
	inject = func(op vfs.Op) error {
		if op.Kind == vfs.OpRemove && strings.HasSuffix(op.Name, ".log") {
			if removed++; removed == 2 {
				return errors.New("test: busy")
			}
		}
		return nil
	}
	h.checkpoint()
	if n := h.files(); n >= before || n <= 2 {
		t.Fatalf("%d files of %d", n, before)
	}
	if h.p.Work(true) != nil {
		t.Fatal("tried again without Retry")
	}
	h.p.Retry()
	h.site.work(true)
	if n := h.files(); n > 2 {
		t.Fatalf("%d files are left", n)
	}
}

// Files that were given up behind a capture wait for the next one (P6).
func TestGarbageBehindACapture(t *testing.T) {
	h := newHarness(t)
	h.segments(700)
	h.fill(9, spec{size: 200})
	h.same()
	before := h.files()
	h.p.Capture()
	h.deleteRecords(-1)
	h.apply(-1)
	h.work(true)
	h.flushed(true, false)
	h.state = h.p.State()
	h.p.Durable()
	h.work(true)
	if n := h.files(); n != before {
		t.Fatalf("%d files of %d: the checkpoint names those that went", n, before)
	}
	h.p.Capture()
	h.work(true)
	h.flushed(true, false)
	if n := h.files(); n < before {
		t.Fatalf("%d files of %d before the checkpoint is durable", n, before)
	}
	h.p.Durable()
	h.work(true)
	if n := h.files(); n > 2 {
		t.Fatalf("%d files are left", n)
	}
	// A capture that another replaces gives up its garbage with that one.
	h.fill(9, spec{size: 200})
	h.checkpoint()
	before = h.files()
	h.deleteRecords(-1)
	h.apply(-1)
	h.p.Capture()
	h.checkpoint()
	if n := h.files(); n >= before || n > 2 {
		t.Fatalf("%d files of %d", n, before)
	}
}

// A file that is written while its segment is given up goes with the checkpoint
// that gave it up, though nothing is applied afterwards.
func TestGarbageInUseAtACapture(t *testing.T) {
	h := newHarness(t)
	h.segments(700)
	h.fill(3, spec{size: 200})
	writing := h.p.Work(true)
	h.deleteRecords(-1)
	h.apply(-1)
	h.p.Capture()
	if err := writing.Do(); err != nil {
		t.Fatal(err)
	}
	h.p.Durable()
	if task := h.p.Work(true); task != nil {
		if _, ok := task.(*removeTask); ok {
			t.Fatal("a file is removed that is being written")
		}
	}
	if err := h.p.Worked(writing, nil); err != nil {
		t.Fatal(err)
	}
	h.work(true)
	list, err := h.fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Name == "00000000000000000000.log" {
			t.Fatalf("the file is left: %v", list)
		}
	}
}
