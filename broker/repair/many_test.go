package repair

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/vfs"
)

// bareHistory is a log that is needed whole: there was no checkpoint behind its
// beginning.
func bareHistory(t testing.TB) (*life, *vfs.Mem) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l := newLife(t, fs)
	l.must(l.open())
	l.create("orders", 2)
	l.create("payments", 2)
	for round := range 30 {
		for i, p := range l.parts {
			if (round+i)%3 != 0 {
				l.produce(p, 1+round%7, round%2 == 0)
			}
		}
		if round == 12 {
			l.create("late", 1)
		}
		if round == 10 || round == 20 {
			l.n.Close()
			l.must(l.open())
		}
	}
	l.n.Close()
	return l, fs
}

// hurt damages a file in one of several ways, below an offset.
func hurt(t testing.TB, fs vfs.FS, rng *rand.Rand, name string, limit int64) string {
	off := rng.Int64N(limit)
	switch rng.IntN(5) {
	case 0, 1:
		flip(t, fs, name, off, rng.IntN(8))
		return fmt.Sprintf("bit of byte %d of %s", off, name)
	case 2:
		n := min(int(limit-off), 1+rng.IntN(6000))
		wipe(t, fs, name, off, n)
		return fmt.Sprintf("%d zeros at %d of %s", n, off, name)
	case 3:
		off &^= wal.Block - 1
		n := min(limit-off, wal.Block*(1+rng.Int64N(3)))
		wipe(t, fs, name, off, int(n))
		return fmt.Sprintf("blocks at %d of %s up to %d", off, name, off+n)
	}
	n := min(int(limit-off), 1+rng.IntN(5000))
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d random bytes at %d of %s", n, off, name)
}

// TestManyDamages damages a log in several places, as long as the end of it still
// proves what was durable: then what the report gives up is all that is gone.
func TestManyDamages(t *testing.T) {
	stats := map[string]int{}
	for kind, build := range []func(testing.TB) (*life, *vfs.Mem){bareHistory, history, longHistory} {
		l, fs := build(t)
		last := newestLog(t, fs)
		var names []string
		for name := range files(t, fs, "wal") {
			if strings.HasSuffix(name, wal.Suffix) && len(writes(t, fs, name)) > 1 {
				names = append(names, name)
			}
		}
		sort.Strings(names)
		for round := range 80 {
			rng := rand.New(rand.NewPCG(uint64(kind), uint64(round)))
			disk := clone(t, fs)
			var did []string
			for range 1 + rng.IntN(3) {
				name := names[rng.IntN(len(names))]
				all := writes(t, fs, name)
				if name == last { // the last write proves all before it
					all = all[:len(all)-1]
				}
				limit := int64(wal.FileHeaderBytes)
				for _, w := range all {
					limit += w.Bytes
				}
				did = append(did, hurt(t, disk, rng, name, limit))
			}
			c := l.copyOf(t, disk)
			stats[c.manyDamaged()]++
			if t.Failed() {
				t.Fatalf("history %d, round %d: %s", kind, round, strings.Join(did, "; "))
			}
		}
	}
	t.Log(stats)
}

func (l *life) manyDamaged() string {
	r, err := Inspect(l.fs, options(l.seed))
	l.must(err)
	if r.Obstacle != "" {
		return "obstacle"
	}
	if r.Needed {
		r = l.repaired()
	}
	l.judge(r)
	switch {
	case !r.Needed:
		return "nothing"
	case r.Metadata != nil:
		return "metadata lost"
	case r.Loses():
		return "loss"
	}
	return "no loss"
}
