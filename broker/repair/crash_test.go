package repair

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/vfs"
)

var errPower = errors.New("power lost")

// TestCrashAtEveryOperation cuts the power before each operation of a repair, in
// turn, and lets unsynced writes survive or not. Then a broker refuses as before,
// or parks what was parked, or everything is repaired; and a second repair ends
// as the first would have.
func TestCrashAtEveryOperation(t *testing.T) {
	l, fs := damagedBoth(t)
	want, err := Inspect(fs, options(1))
	l.must(err)
	if !want.Refused || len(want.plan.rewrites) == 0 || want.Obstacle != "" {
		t.Fatalf("the damage is not what the test wants: %+v", want)
	}
	done := false
	for cut := 1; !done; cut++ {
		for seed := range uint64(3) {
			disk := clone(t, fs)
			left := cut
			faulty := vfs.NewFaulty(disk, func(op vfs.Op) error {
				if left--; left <= 0 {
					return errPower
				}
				return nil
			})
			r, err := Inspect(disk, options(seed))
			l.must(err)
			err = Repair(faulty, options(seed), r)
			if done = err == nil; !done && !errors.Is(err, errPower) {
				t.Fatalf("cut %d: %v", cut, err)
			}
			how := vfs.CrashOptions{Keep: float64(seed) / 2, Tear: true, Reorder: true}
			after := disk.Crash(rand.New(rand.NewPCG(seed, uint64(cut))), how)
			c := l.copyOf(t, after)
			c.opensOrRefuses(want)
			c = l.copyOf(t, after)
			c.settle()
			c.judge(want)
			if t.Failed() {
				t.Fatalf("cut %d, seed %d", cut, seed)
			}
		}
	}
}

// settle repairs if that is needed.
func (l *life) settle() {
	l.t.Helper()
	r, err := Inspect(l.fs, options(l.seed))
	l.must(err)
	if r.Obstacle != "" {
		l.t.Fatalf("after a crash: %s", r.Obstacle)
	}
	l.must(Repair(l.fs, options(l.seed), r))
}

// opensOrRefuses opens the node on a copy and reads: nothing is served that
// differs from what was acknowledged.
func (l *life) opensOrRefuses(want *Report) {
	t := l.t
	t.Helper()
	l.fs = clone(t, l.fs)
	err := l.open()
	if errors.Is(err, wal.ErrCorrupt) {
		return
	}
	l.must(err)
	defer l.n.Close()
	for _, p := range l.parts {
		got, _, err := l.read(p)
		if err != nil {
			continue // parked
		}
		for o, v := range l.acked[p] {
			if have, ok := got[o]; ok && have != v || !ok && !mayLose(want, p, o) {
				t.Errorf("%v: offset %d is %q, was %q", p, o, have, v)
			}
		}
	}
}

// damagedBoth is a directory whose log is damaged, so that one partition loses
// entries, and a segment of another one.
func damagedBoth(t testing.TB) (*life, *vfs.Mem) {
	l, fs := history(t)
	hit := l.parts[0]
	for off := int64(4096); ; off += 97 {
		name := newestLog(t, fs)
		disk := clone(t, fs)
		spoil(t, disk, name, off)
		r, err := Inspect(disk, options(1))
		l.must(err)
		if p := r.Partition(hit.Topic.Hex(), hit.Index); r.Refused && p != nil && p.Lost != nil && p.Lost.Certain && r.Metadata == nil {
			seg := segmentName("partitions/"+l.parts[2].Dir()+".18", 0, dataSuffix)
			spoil(t, disk, seg, 500)
			return l, disk
		}
	}
}

// newestLog is the name of the newest file of the log that holds a write.
func newestLog(t testing.TB, fs vfs.FS) string {
	t.Helper()
	entries, err := fs.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if name := "wal/" + entries[i].Name; len(writes(t, fs, name)) > 0 {
			return name
		}
	}
	t.Fatal("the log is empty")
	return ""
}

// writes returns the writes of the last use of a file of the log.
func writes(t testing.TB, fs vfs.FS, name string) []wal.WriteInfo {
	t.Helper()
	b, err := vfs.ReadFile(fs, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	f, err := wal.ParseFile(b)
	if err != nil {
		return nil
	}
	var out []wal.WriteInfo
	for off := int64(wal.FileHeaderBytes); off < int64(len(b)); {
		w, ok := f.ParseWrite(b[off:], off)
		if !ok {
			break
		}
		out = append(out, w)
		off += w.Bytes
	}
	return out
}

// TestNewLogCountsAtOneStroke: the new log counts from its commit on, with the
// old files still there, and not before.
func TestNewLogCountsAtOneStroke(t *testing.T) {
	l, fs := damagedBoth(t)
	r, err := Inspect(fs, options(1))
	l.must(err)
	log, err := r.plan.salvaged.Prepare(fs, walSettings(5).Entropy, r.plan.groups)
	l.must(err)
	if err := wal.Check(fs, walSettings(1)); !errors.Is(err, wal.ErrCorrupt) {
		t.Fatalf("before the commit: %v", err)
	}
	l.must(log.Commit())
	if err := wal.Check(fs, walSettings(1)); err != nil {
		t.Fatalf("after the commit: %v", err)
	}
}
