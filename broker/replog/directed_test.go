package replog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// quiet is a driver without random events.
func quiet(t testing.TB) *driver {
	t.Helper()
	d := newDriver(1)
	d.mem = vfs.NewMem(vfs.MemOptions{})
	d.fs = vfs.NewFaulty(d.mem, nil)
	return d
}

// boot opens the engine on the driver's disk and starts nothing.
func (d *driver) boot(t testing.TB, c Config) {
	t.Helper()
	d.o.restart()
	d.tasks, d.ended = nil, nil
	clear(d.toys)
	d.fs = c.FS
	if err := d.fs.MkdirAll("toy"); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.e, _, err = Open(c, d.now); err != nil {
		t.Fatal(err)
	}
}

// big has room for everything that a test writes.
func (d *driver) big() Config {
	c := DefaultConfig(d.mem)
	c.WAL.FirstFileBytes, c.WAL.Entropy = 64<<20, d.entropy.Uint64
	return c
}

// work performs everything until nothing is left, without ticks.
func (d *driver) work() {
	for {
		d.poll()
		if len(d.tasks) == 0 {
			return
		}
		for len(d.tasks) > 0 {
			d.do(0)
			d.done(0)
		}
	}
}

func (d *driver) must(t testing.TB, id ident.GroupID) *toy {
	t.Helper()
	d.want[id] = ident.ReplicaID(id)
	if err := d.start(id); err != nil {
		t.Fatal(err)
	}
	return d.toys[id]
}

func (d *driver) offer(id ident.GroupID, n int) (uint64, error) {
	k, data := d.o.data(n, false)
	d.o.open[k] = true
	err := d.e.Propose(id, data, token{k, false}, false)
	if err != nil {
		delete(d.o.open, k)
	}
	return k, err
}

func (d *driver) check(t testing.TB) {
	t.Helper()
	if d.o.first != "" {
		t.Fatal(d.o.first)
	}
}

func TestCommitOnlyAppendsCauseNoWrite(t *testing.T) {
	d := quiet(t)
	d.boot(t, d.big())
	m := d.must(t, 1)
	d.work()
	before := d.e.Stats().Commits
	for range 1000 {
		if _, err := d.offer(1, 100); err != nil {
			t.Fatal(err)
		}
		d.work()
	}
	if n := d.e.Stats().Commits - before; n != 1000 || m.index != 1001 {
		t.Fatalf("%d group commits for 1000 proposals, %d applied", n, m.index)
	}
	d.check(t)
}

func TestGroupsShareCommits(t *testing.T) {
	d := quiet(t)
	d.boot(t, d.big())
	const groups = 3300
	for id := ident.GroupID(1); id <= groups; id++ {
		d.must(t, id)
	}
	d.work()
	if n := d.e.Stats().Commits; n > 4 {
		t.Fatalf("%d commits to start %d groups", n, groups)
	}
	before := d.e.Stats()
	for id := ident.GroupID(1); id <= groups; id++ {
		if _, err := d.offer(id, 200); err != nil {
			t.Fatal(err)
		}
	}
	d.work()
	after := d.e.Stats()
	if n := after.Commits - before.Commits; n != 1 || after.CommitRecords-before.CommitRecords != groups {
		t.Fatalf("%d commits, %d records", n, after.CommitRecords-before.CommitRecords)
	}
	for range 100 {
		d.tick()
		d.work()
	}
	if d.e.Stats().Commits != after.Commits {
		t.Fatal("idle groups write")
	}
	d.check(t)
}

func TestFailedSyncIsForEver(t *testing.T) {
	d := quiet(t)
	c := d.big()
	fail := false
	c.FS = vfs.NewFaulty(d.mem, func(op vfs.Op) error {
		if fail && op.Kind == vfs.OpSync {
			fail = false
			return &vfs.LostSync{Err: errInjected}
		}
		return nil
	})
	d.boot(t, c)
	m := d.must(t, 1)
	d.work()
	if _, err := d.offer(1, 100); err != nil {
		t.Fatal(err)
	}
	d.poll()
	if _, err := d.offer(1, 100); err != nil {
		t.Fatal(err)
	}
	fail = true
	d.work()
	h := d.o.group(m.name)
	if !errors.Is(d.e.Err(), ErrFailed) || !errors.Is(d.e.Err(), errInjected) || m.index != 1 {
		t.Fatalf("%v, %d applied", d.e.Err(), m.index)
	}
	if h.drops != 2 || !errors.Is(h.refused, ErrFailed) {
		t.Fatalf("%d dropped with %v", h.drops, h.refused)
	}
	if _, err := d.offer(1, 100); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	d.tick()
	if tasks := d.e.Poll(d.now); len(tasks) != 0 {
		t.Fatal("a failed engine has work")
	}
	d.check(t)
}

func TestParksOnlyItsGroup(t *testing.T) {
	for _, panics := range []bool{false, true} {
		d := quiet(t)
		d.boot(t, d.big())
		m1, m2 := d.must(t, 1), d.must(t, 2)
		d.work()
		m1.poison, m1.panics = []byte("poison"), panics
		if err := d.e.Propose(1, []byte("poison pill, quite"), nil, false); err != nil {
			t.Fatal(err)
		}
		if _, err := d.offer(1, 50); err != nil {
			t.Fatal(err)
		}
		if _, err := d.offer(2, 50); err != nil {
			t.Fatal(err)
		}
		d.work()
		if !(m1.parked != nil && m2.parked == nil && m1.index == 1 && m2.index == 2 && d.e.Err() == nil && d.e.Stats().Parked == 1) {
			t.Fatalf("parked %v %v, applied %d %d", m1.parked, m2.parked, m1.index, m2.index)
		}
		if h := d.o.group(m1.name); h.drops != 1 || !errors.Is(h.refused, ErrParked) {
			t.Fatalf("%d dropped, %v", h.drops, h.refused)
		}
		if _, err := d.offer(1, 50); !errors.Is(err, ErrParked) {
			t.Fatal(err)
		}
		d.e.Checkpoint()
		d.work()
		if d.e.Checkpointing() {
			t.Fatal("a parked group holds the checkpoint")
		}
		d.check(t)
	}
}

// writeApplied makes a log whose hard state has a commit index far below what a
// checkpoint has applied, and ends the process.
func writeApplied(t *testing.T, d *driver) {
	t.Helper()
	d.boot(t, d.big())
	d.must(t, 1)
	d.work()
	for range 20 {
		if _, err := d.offer(1, 100); err != nil {
			t.Fatal(err)
		}
	}
	d.work()
	d.e.Checkpoint()
	d.work()
	d.e.Close()
	d.mem = d.mem.Crash(d.rng, vfs.CrashOptions{})
}

func TestCommitBelowApplied(t *testing.T) {
	d := quiet(t)
	writeApplied(t, d)
	d.boot(t, d.big())
	m := d.must(t, 1)
	d.work()
	if m.index != 22 || !m.leads {
		t.Fatalf("applied %d", m.index)
	}
	d.check(t)
}

func TestWaitingGroupIsCarried(t *testing.T) {
	d := quiet(t)
	d.boot(t, d.big())
	m := d.must(t, 1)
	d.must(t, 2)
	d.work()
	for range 20 {
		if _, err := d.offer(1, 3000); err != nil {
			t.Fatal(err)
		}
		d.work()
	}
	index := m.index
	for life := range 3 {
		d.e.Close()
		d.mem = d.mem.Crash(d.rng, vfs.CrashOptions{})
		d.boot(t, d.big())
		d.must(t, 2)
		d.work()
		for range 2 {
			if _, err := d.offer(2, 3000); err != nil {
				t.Fatal(err)
			}
			d.e.Checkpoint()
			d.work()
			if d.e.Checkpointing() {
				t.Fatalf("life %d: no checkpoint", life)
			}
		}
	}
	m = d.must(t, 1)
	d.work()
	if m.index != index+1 || !m.leads {
		t.Fatalf("%d applied, %d were", m.index, index)
	}
	d.check(t)
}

func TestDestroyedIsGone(t *testing.T) {
	for _, waiting := range []bool{false, true} {
		for _, checkpoint := range []bool{false, true} {
			d := quiet(t)
			d.boot(t, d.big())
			d.must(t, 1)
			d.must(t, 2)
			d.work()
			d.e.Checkpoint()
			d.work()
			if waiting {
				d.e.Close()
				d.mem = d.mem.Kill()
				d.boot(t, d.big())
			}
			d.e.Destroy(1)
			delete(d.want, 1)
			d.work()
			if checkpoint {
				d.e.Checkpoint()
				d.work()
			}
			d.e.Close()
			d.mem = d.mem.Crash(d.rng, vfs.CrashOptions{})
			d.boot(t, d.big())
			if w := d.e.Waiting(); len(w) != 1 || w[0] != 2 {
				t.Fatalf("recovered %v, want group 2", w)
			}
			d.check(t)
		}
	}
}

// full opens a small engine whose disk has no room for clients.
func full(t *testing.T) (*driver, *toy, func(bool)) {
	t.Helper()
	d := quiet(t)
	d.mem = vfs.NewMem(vfs.MemOptions{Capacity: 4 << 20})
	d.fs = d.mem
	d.boot(t, d.config())
	m := d.must(t, 1)
	d.work()
	return d, m, func(on bool) {
		if !on {
			d.setBallast(false)
			return
		}
		f, err := d.mem.Create("ballast")
		if err != nil {
			t.Fatal(err)
		}
		free, _ := d.mem.Free()
		if err := f.Preallocate(free - 256*kib); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

func TestStalledGoOnInOrder(t *testing.T) {
	d, m, ballast := full(t)
	ballast(true)
	d.tick()
	for range 5 {
		if _, err := d.offer(1, 1000); err != nil {
			t.Fatal(err)
		}
	}
	d.work()
	if s := d.e.Stats(); m.index != 1 || s.Waiting != 5000 {
		t.Fatalf("%d applied, %d bytes wait", m.index, s.Waiting)
	}
	ballast(false)
	d.tick()
	d.work()
	if s := d.e.Stats(); m.index != 6 || s.Waiting != 0 || len(d.o.open) != 0 {
		t.Fatalf("%d applied, %d bytes wait", m.index, s.Waiting)
	}
	d.check(t)
}

func TestStalledExpireAndAreBounded(t *testing.T) {
	d, m, ballast := full(t)
	ballast(true)
	d.tick()
	n := 0
	for ; ; n++ {
		_, err := d.offer(1, 1000)
		if errors.Is(err, ErrBusy) {
			break
		}
		if err != nil || n > 100 {
			t.Fatalf("%d: %v", n, err)
		}
	}
	if n != 64*kib/1000 {
		t.Fatalf("%d proposals of 1000 bytes wait", n)
	}
	for range 19 {
		d.tick()
		d.work()
	}
	if h := d.o.group(m.name); h.drops != 0 {
		t.Fatal("dropped too early")
	}
	d.tick()
	if h := d.o.group(m.name); h.drops != n || !errors.Is(h.refused, ErrNoSpace) || d.e.Stats().Waiting != 0 {
		t.Fatalf("%d dropped with %v", h.drops, h.refused)
	}
	d.check(t)
}

func TestDestroyAnswersStalled(t *testing.T) {
	d, m, ballast := full(t)
	ballast(true)
	d.tick()
	if _, err := d.offer(1, 1000); err != nil {
		t.Fatal(err)
	}
	d.e.Destroy(1)
	if d.o.group(m.name).drops != 1 || d.e.Stats().Waiting != 0 {
		t.Fatal("a proposal of a destroyed group has no outcome")
	}
	d.check(t)
}

// A file that cannot be unlinked must go before a newer one does: a gap in the
// log is damage.
func TestFailedUnlinkLeavesNoGap(t *testing.T) {
	d := quiet(t)
	c := d.config()
	fail := true
	c.FS = vfs.NewFaulty(d.mem, func(op vfs.Op) error {
		if fail && op.Name == "wal/0000000000000002.wal" && op.Kind == vfs.OpRemove {
			return errInjected
		}
		return nil
	})
	d.boot(t, c)
	d.must(t, 1)
	d.work()
	for range 60 {
		if _, err := d.offer(1, 4000); err != nil {
			t.Fatal(err)
		}
		d.work()
		d.tick()
	}
	d.e.Close()
	fail = false
	d.mem = d.mem.Crash(d.rng, vfs.CrashOptions{})
	c.FS = d.mem
	d.boot(t, c)
	d.must(t, 1)
	d.work()
	d.check(t)
}

// A vote that no entry follows survives checkpoints that carry the group's last
// state: terms never go back.
func TestTermIsCarried(t *testing.T) {
	g := &group{e: &Engine{}}
	l, _, err := wal.Open(vfs.NewMem(vfs.MemOptions{}), quiet(t).config().WAL)
	if err != nil {
		t.Fatal(err)
	}
	g.e.wal = l
	old := state{term: 3, vote: 1, applied: 7, appliedTerm: 3, machine: []byte("m")}
	g.last = wal.GroupState{State: old.encode()}
	g.logged.Term, g.logged.Vote = 9, 2
	st, err := decodeState(g.carry().State)
	if err != nil || st.term != 9 || st.vote != 2 || st.applied != 7 || string(st.machine) != "m" {
		t.Fatalf("carried %+v, %v", st, err)
	}
	if st, err := decodeState(g.last.State); err != nil || st.term != 3 {
		t.Fatal("the state of a checkpoint in the making was changed")
	}
}

func TestTimeIsAnArgument(t *testing.T) {
	d, _, ballast := full(t)
	ballast(true)
	d.now = time.Unix(0, 0)
	d.e.Tick(d.now)
	if _, err := d.offer(1, 10); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(2*time.Second - 1)
	d.e.Tick(d.now)
	if len(d.o.open) != 1 {
		t.Fatal(fmt.Sprint("expired early: ", d.o.open))
	}
}
