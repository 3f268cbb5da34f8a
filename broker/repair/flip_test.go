package repair

import (
	"errors"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// flip changes one bit of a file.
func flip(t testing.TB, fs vfs.FS, name string, off int64, bit int) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// spoil changes two bits of a file, which no checksum tells one by one.
func spoil(t testing.TB, fs vfs.FS, name string, off int64) {
	t.Helper()
	flip(t, fs, name, off, 2)
	flip(t, fs, name, off+1, 5)
}

// files lists every file with its size.
func files(t testing.TB, fs vfs.FS, dir string) map[string]int64 {
	out := map[string]int64{}
	entries, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := dir + "/" + e.Name
		if dir == "." {
			name = e.Name
		}
		if e.Dir {
			for k, v := range files(t, fs, name) {
				out[k] = v
			}
		} else {
			out[name] = e.Size
		}
	}
	return out
}

// copyOf copies what a life knows, onto another disk.
func (l *life) copyOf(t testing.TB, fs vfs.FS) *life {
	c := newLife(t, fs)
	c.parts, c.seed, c.count = l.parts, l.seed+1000, l.count
	for p, acked := range l.acked {
		c.acked[p] = map[ident.Offset]string{}
		for o, v := range acked {
			c.acked[p][o] = v
		}
		c.epoch[p] = l.epoch[p]
	}
	return c
}

// mayLose says whether a report gives up an offset.
func mayLose(r *Report, p ident.Partition, o ident.Offset) bool {
	pr := r.Partition(p.Topic.Hex(), p.Index)
	if pr == nil {
		return false
	}
	if pr.Lost != nil && int64(o) >= pr.End {
		return true
	}
	for _, h := range pr.Holes {
		if int64(o) >= h.First && int64(o) < h.End {
			return true
		}
	}
	return false
}

// judge opens the node, which must succeed, and holds what it serves against
// what was acknowledged and what the report gives up. Then it produces more: no
// offset and epoch may come again.
func (l *life) judge(r *Report) {
	t := l.t
	t.Helper()
	if err := l.open(); err != nil {
		t.Fatalf("the node refuses after the repair: %v", err)
	}
	defer func() { l.n.Close() }()
	for _, p := range l.parts {
		if r.Metadata != nil && l.n.Replica(p) == nil {
			continue
		}
		got, end, err := l.read(p)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		for o, want := range l.acked[p] {
			switch have, ok := got[o]; {
			case ok && have != want:
				t.Errorf("%v: offset %d is %q, was %q", p, o, have, want)
			case ok:
			case !mayLose(r, p, o):
				t.Errorf("%v: offset %d is gone (log end %d), and the report does not say so: %+v", p, o, end, r)
			}
		}
		pr := r.Partition(p.Topic.Hex(), p.Index)
		if pr != nil && pr.Lost != nil {
			if int64(end) != pr.End {
				t.Errorf("%v ends at %d, the report says %d", p, end, pr.End)
			}
			o, _ := l.n.Replica(p).Partition.Offsets()
			if o.LeaderEpoch <= l.epoch[p] {
				t.Errorf("%v lost something and goes on in epoch %d, it had %d", p, o.LeaderEpoch, l.epoch[p])
			}
			for o := range l.acked[p] {
				if o >= end {
					delete(l.acked[p], o)
				}
			}
		}
	}
	for _, p := range l.parts {
		if l.n.Replica(p) != nil {
			l.produce(p, 3, true)
		}
	}
	l.checkpoint()
}

// repaired inspects and repairs until there is nothing to do.
func (l *life) repaired() *Report {
	l.t.Helper()
	r, err := Inspect(l.fs, options(l.seed))
	l.must(err)
	if r.Obstacle != "" {
		return r
	}
	l.must(Repair(l.fs, options(l.seed), r))
	again, err := Inspect(l.fs, options(l.seed))
	l.must(err)
	if again.Needed {
		l.t.Fatalf("still damaged after the repair: %+v", again)
	}
	return r
}

// TestFlipAnyBit flips one bit anywhere but in the last write: then either everything acknowledged is
// served, or the damage is seen, named and repaired, and nothing is lost.
func TestFlipAnyBit(t *testing.T) {
	for name, build := range map[string]func(testing.TB) (*life, *vfs.Mem){"one file": history, "many files": longHistory, "no checkpoint": bareHistory} {
		t.Run(name, func(t *testing.T) {
			l, fs := build(t)
			flipRounds(t, l, fs, 120)
		})
	}
}

func flipRounds(t *testing.T, l *life, fs *vfs.Mem, rounds int) {
	rng := rand.New(rand.NewPCG(1, 2))
	last := newestLog(t, fs)
	var logs, others []string
	for name := range files(t, fs, ".") {
		if strings.HasPrefix(name, "wal/") {
			logs = append(logs, name)
		} else {
			others = append(others, name)
		}
	}
	sort.Strings(logs)
	sort.Strings(others)
	stats := map[string]int{}
	for round := range rounds {
		names := logs
		if rng.IntN(4) == 0 {
			names = others
		}
		name := names[rng.IntN(len(names))]
		off, ok := someByte(t, fs, rng, name, name == last)
		if !ok {
			continue
		}
		bit := rng.IntN(8)
		disk := clone(t, fs)
		flip(t, disk, name, off, bit)
		where := "segment"
		if strings.HasPrefix(name, "wal/") {
			where = "log"
		}
		stats[where+": "+l.copyOf(t, disk).flipped(name)]++
		if t.Failed() {
			t.Fatalf("round %d: bit %d of byte %d of %s", round, bit, off, name)
		}
	}
	t.Log(stats)
}

// someByte chooses a byte of a file, in a log mostly one of a write: behind it is
// nothing but padding. Of the file that ends the log it is none of the last write,
// which nothing proves.
func someByte(t *testing.T, fs vfs.FS, rng *rand.Rand, name string, last bool) (int64, bool) {
	if !strings.HasPrefix(name, "wal/") || rng.IntN(4) == 0 && !last {
		live := liveBytes(t, fs, name)
		return rng.Int64N(max(live, 1)), live > 0
	}
	all := writes(t, fs, name)
	if last {
		all = all[:len(all)-1]
	}
	if len(all) == 0 || rng.IntN(8) == 0 {
		return rng.Int64N(80), true // of the file's header
	}
	off := int64(wal.FileHeaderBytes)
	for n := rng.IntN(len(all)); n > 0; n-- {
		off += all[0].Bytes
		all = all[1:]
	}
	return off + rng.Int64N(wal.WriteHeaderBytes+all[0].Length), true
}

// flipped judges a directory with one wrong bit and says what became of it.
func (l *life) flipped(name string) string {
	t := l.t
	r, err := Inspect(l.fs, options(l.seed))
	l.must(err)
	err = l.open()
	switch {
	case errors.Is(err, wal.ErrCorrupt):
		if !r.Refused || !r.Needed {
			t.Fatalf("the node refuses (%v), and the report finds nothing", err)
		}
	case err != nil:
		t.Fatalf("open: %v", err)
	default:
		if r.Refused {
			t.Fatalf("the node opens, and the report says that it refuses: %+v", r)
		}
		seen := false
		for _, p := range l.parts {
			got, _, err := l.read(p)
			if err != nil {
				if !errors.Is(err, storage.ErrDamaged) {
					t.Fatal(err)
				}
				seen = true
				continue
			}
			for o, want := range l.acked[p] {
				if have, ok := got[o]; !ok || have != want {
					t.Errorf("%v: offset %d is %q, was %q, and nobody noticed (%s)", p, o, have, want, name)
				}
			}
		}
		l.n.Close()
		if !seen {
			return "served"
		}
		// The node wrote since: what it wrote is in the log.
		r, err = Inspect(l.fs, options(l.seed))
		l.must(err)
		if !r.Needed {
			t.Fatalf("a partition cannot be read, and the report finds nothing: %+v", r)
		}
	}
	r = l.repaired()
	if r.Obstacle != "" || r.Loses() {
		t.Errorf("one wrong bit costs something: %+v", r)
		return "loss"
	}
	l.judge(r)
	if !r.Refused {
		return "parked, no loss"
	}
	return "no loss"
}
