package replog

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// filler is a machine that has to write what it applied once more, as a
// partition writes segments, in runs and with one sync for a checkpoint.
type filler struct {
	counter
	d                                  *slowDisk
	applied, written, synced, captured int64
	marked, busy, syncing              bool
}

const fillerRun = 128 << 10

func (m *filler) Apply(e Entry) error {
	m.applied += int64(len(e.Data))
	if at, ok := e.Token.(time.Duration); ok {
		m.d.answered(at)
	}
	return nil
}

// Dropped is called for what came before the group led.
func (m *filler) Dropped(any, error) { m.d.waiting-- }

func (m *filler) Capture() { m.captured, m.marked = m.applied, true }

func (m *filler) Flushed() (done, stale bool) { return m.synced >= m.captured, false }

func (m *filler) Work(flush bool) Task {
	n := min(m.applied-m.written, fillerRun)
	switch {
	case !m.busy && (n == fillerRun || flush && n > 0):
		m.busy = true
		return &fillerTask{bytes: n}
	case !m.syncing && flush && m.marked && m.written >= m.captured:
		m.syncing, m.marked = true, false
		return &fillerTask{sync: m.written}
	}
	return nil
}

func (m *filler) Worked(t Task, _ error) error {
	f := t.(*fillerTask)
	if f.bytes > 0 {
		m.written, m.busy = m.written+f.bytes, false
	} else {
		m.synced, m.syncing = f.sync, false
	}
	return nil
}

type fillerTask struct{ bytes, sync int64 }

func (t *fillerTask) Do() error    { return nil }
func (t *fillerTask) Share() bool  { return t.bytes == 0 }
func (t *fillerTask) Flush() error { return nil }
func (t *fillerTask) Class() Class {
	if t.bytes > 0 {
		return ClassSegment
	}
	return ClassSync
}

// slowDisk performs an engine's tasks in virtual time: a fixed time for each, and
// a number of bytes a second that all share which are performed at once.
type slowDisk struct {
	e       *Engine
	now     time.Duration
	rate    float64       // bytes a second
	sync    time.Duration // what a sync of the file system takes
	queues  [4][]*slowTask
	flying  []*slowTask
	took    []time.Duration // of every proposal
	pause   time.Duration   // longest time without an answer
	last    time.Duration
	debt    int64 // largest
	waiting int   // proposals without an answer
	idle    int
}

type slowTask struct {
	Task
	left  float64 // bytes
	fixed time.Duration
}

func (d *slowDisk) answered(at time.Duration) {
	d.waiting--
	d.took = append(d.took, d.now-at)
	d.pause, d.last = max(d.pause, d.now-d.last), d.now
}

func (d *slowDisk) clock() time.Time { return time.Unix(1, 0).Add(d.now) }

// hand takes a task and begins what there is a worker for.
func (d *slowDisk) hand(t Task) {
	s := &slowTask{Task: t, fixed: 100 * time.Microsecond}
	switch t := t.(type) {
	case *sharedTask:
		s.fixed = d.sync
	case *commitTask:
		s.left = float64(t.Bytes())
	case *machineTask:
		s.left = float64(t.Task.(*fillerTask).bytes)
	}
	d.queues[t.Class()] = append(d.queues[t.Class()], s)
}

func (d *slowDisk) begin() {
	for class, workers := range [4]int{ClassCommit: 1, ClassPrepare: 1, ClassSegment: 2, ClassSync: 4} {
		for _, s := range d.flying {
			if s.Class() == Class(class) {
				workers--
			}
		}
		n := min(workers, len(d.queues[class]))
		d.flying = append(d.flying, d.queues[class][:n]...)
		d.queues[class] = d.queues[class][n:]
	}
}

// step lets time go on until a task has ended, and reports it.
func (d *slowDisk) step(t *testing.T) {
	d.begin()
	moving := 0
	for _, s := range d.flying {
		if s.fixed == 0 {
			moving++
		}
	}
	next := time.Duration(1 << 60)
	for _, s := range d.flying {
		if s.fixed > 0 {
			next = min(next, s.fixed)
		} else {
			next = min(next, time.Duration(s.left*float64(moving)/d.rate*1e9)+1)
		}
	}
	if d.idle++; len(d.flying) == 0 { // new proposals may come now
		if d.idle > 10 {
			t.Fatalf("nothing is performed and nobody is answered at %v: %+v, %d stalled", d.now, d.e.Stats(), len(d.e.stalled))
		}
		return
	}
	d.idle = 0
	d.now += next
	kept := d.flying[:0]
	var ended []*slowTask
	for _, s := range d.flying {
		if s.fixed > 0 {
			s.fixed -= next
		} else {
			s.left -= float64(next) / 1e9 * d.rate / float64(moving)
		}
		if s.fixed == 0 && s.left <= 0 {
			ended = append(ended, s)
		} else {
			kept = append(kept, s)
		}
	}
	d.flying = kept
	for _, s := range ended {
		if err := s.Do(); err != nil {
			t.Fatal(err)
		}
		d.e.Done(d.clock(), s.Task)
	}
}

// saturate has clients keep so many proposals outstanding for some virtual time.
func saturate(t *testing.T, paced bool, outstanding int, sync time.Duration) *slowDisk {
	const groups, size = 16, 16 << 10
	d := &slowDisk{rate: 100e6, sync: sync}
	c := DefaultConfig(null{vfs.NewMem(vfs.MemOptions{})})
	k := uint64(0)
	c.WAL.Entropy = func() uint64 { k++; return k }
	c.WAL.FirstFileBytes, c.WAL.FileBytes, c.WAL.BytesMax, c.WAL.ReserveBytes = 4<<20, 8<<20, 32<<20, 1<<20
	c.WaitBytesMax = 8 << 20
	e, _, err := Open(c, d.clock())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d.e = e
	if !paced {
		e.pacing.bound = 1 << 60
	}
	for id := 1; id <= groups; id++ {
		open := func([]byte) (Machine, error) { return &filler{d: d}, nil }
		if err := e.Start(Spec{ID: ident.GroupID(id), Replica: 1, Voters: []ident.ReplicaID{1}}, open); err != nil {
			t.Fatal(err)
		}
	}
	data := bytes.Repeat([]byte{7}, size)
	tick := 100 * time.Millisecond
	for n := 0; d.now < 4*time.Second; {
		for ; d.waiting < outstanding; n++ {
			d.waiting++
			if err := e.Propose(ident.GroupID(1+n%groups), data, d.now, false); err != nil {
				t.Fatal(err)
			}
		}
		if d.now >= tick {
			e.Tick(d.clock())
			tick = d.now + 100*time.Millisecond
		}
		for _, task := range e.Poll(d.clock()) {
			d.hand(task)
		}
		d.debt = max(d.debt, e.Stats().Debt)
		if err := e.Err(); err != nil {
			t.Fatal(err)
		}
		d.step(t)
	}
	slices.Sort(d.took)
	return d
}

func (d *slowDisk) quantile(q float64) time.Duration { return d.took[int(float64(len(d.took)-1)*q)] }

// On a disk that clients saturate, that has to take everything twice, and whose
// syncs are slow, clients meet a wall: nobody is answered until a checkpoint is
// complete. The pace takes it away, and where there is none it costs nothing.
func TestPaceTakesTheWallAway(t *testing.T) {
	for _, c := range []struct {
		outstanding int
		sync        time.Duration
		wall        bool
	}{
		{16, 50 * time.Millisecond, false},
		{128, 200 * time.Millisecond, false},
		{512, 50 * time.Millisecond, false},
		{512, 200 * time.Millisecond, true},
	} {
		wall, pace := saturate(t, false, c.outstanding, c.sync), saturate(t, true, c.outstanding, c.sync)
		for _, d := range []*slowDisk{wall, pace} {
			t.Logf("%d outstanding, sync of %v: %d answers, p50 %v, p99 %v, longest pause %v, debt up to %d MiB", c.outstanding, c.sync,
				len(d.took), d.quantile(.5), d.quantile(.99), d.pause, d.debt>>20)
		}
		if c.wall && (wall.pause < 2*pace.pause || wall.quantile(.99) < pace.quantile(.99)*3/2 || len(wall.took) > len(pace.took)) {
			t.Errorf("%d outstanding, sync of %v: the wall stands", c.outstanding, c.sync)
		}
		if len(pace.took) < len(wall.took)*19/20 || pace.quantile(.99) > wall.quantile(.99)*5/4 || pace.debt > wall.debt {
			t.Errorf("%d outstanding, sync of %v: the pace costs something", c.outstanding, c.sync)
		}
	}
}
