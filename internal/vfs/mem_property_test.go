package vfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// model is what must survive, kept beside a Mem.
type model struct {
	synced map[string][]byte // durable content of durable names
	now    map[string][]byte
}

// step does one random operation on a file that has a durable name.
func (w *model) step(t *testing.T, m *Mem, files map[string]File, rng *rand.Rand, touched map[string][]bool) {
	name := string(rune('a' + rng.IntN(3)))
	f := files[name]
	if rng.IntN(4) == 0 {
		must(t, f.Sync())
		w.synced[name] = bytes.Clone(w.now[name])
		touched[name] = nil
		return
	}
	data := fill(byte(1+rng.IntN(255)), 1+rng.IntN(3*pageSize))
	off := rng.IntN(6 * pageSize)
	writeAt(t, f, data, int64(off))
	end := off + len(data)
	if end > len(w.now[name]) {
		w.now[name] = append(w.now[name], make([]byte, end-len(w.now[name]))...)
	}
	copy(w.now[name][off:], data)
	fresh := touched[name]
	if end > len(fresh) {
		fresh = append(fresh, make([]bool, end-len(fresh))...)
	}
	for i := off; i < end; i++ {
		fresh[i] = true
	}
	touched[name] = fresh
}

// Whatever is synced survives every crash, byte by byte, across several crashes;
// bytes written since are allowed to differ, others are not.
func TestCrashKeepsSynced(t *testing.T) {
	for seed := range uint64(300) {
		rng := seeded(seed)
		m := NewMem(MemOptions{})
		w := &model{synced: map[string][]byte{}, now: map[string][]byte{}}
		files := map[string]File{}
		for _, name := range []string{"a", "b", "c"} {
			files[name] = durableFile(t, m, name, nil)
		}
		for range 3 {
			touched := map[string][]bool{}
			for range 20 {
				w.step(t, m, files, rng, touched)
			}
			m = m.Crash(rng, CrashOptions{Keep: rng.Float64(), Tear: rng.IntN(2) == 0, Reorder: rng.IntN(2) == 0})
			for _, name := range []string{"a", "b", "c"} {
				got := readBack(t, m, name)
				want, unsynced := w.synced[name], touched[name]
				if len(got) < len(want) {
					t.Fatalf("seed %d: %s has %d bytes, %d were synced", seed, name, len(got), len(want))
				}
				for i, b := range got {
					fresh := i < len(unsynced) && unsynced[i]
					if i < len(want) && b != want[i] && !fresh {
						t.Fatalf("seed %d: %s differs at %d, which was synced", seed, name, i)
					}
					if i >= len(want) && b != 0 && !fresh {
						t.Fatalf("seed %d: %s has an invented byte at %d", seed, name, i)
					}
				}
				w.synced[name], w.now[name] = got, bytes.Clone(got)
				var err error
				files[name], err = m.Open(name)
				must(t, err)
			}
		}
	}
}

// randomDisk does random operations of every kind.
func randomDisk(t *testing.T, m *Mem, rng *rand.Rand) {
	for _, d := range []string{"d", "e"} {
		must(t, m.MkdirAll(d))
	}
	pick := func() string { return fmt.Sprintf("%c/%c", 'd'+rune(rng.IntN(2)), 'a'+rune(rng.IntN(6))) }
	for range 80 {
		name := pick()
		f, err := m.Open(name)
		if err != nil {
			f = create(t, m, name)
		}
		switch rng.IntN(8) {
		case 0:
			must(t, m.Remove(name))
		case 1:
			must(t, m.Rename(name, pick()))
		case 2:
			must(t, m.SyncDir("d"))
		case 3:
			must(t, f.Sync())
		case 4:
			must(t, f.Truncate(rng.Int64N(3*pageSize)))
		default:
			writeAt(t, f, fill(byte(rng.Uint32()), 1+rng.IntN(2*pageSize)), rng.Int64N(4*pageSize))
		}
		must(t, f.Close())
	}
}

func TestCrashIsDeterministic(t *testing.T) {
	different := map[uint64]bool{}
	for seed := range uint64(50) {
		run := func(crashSeed uint64) (before, after uint64) {
			m := NewMem(MemOptions{})
			randomDisk(t, m, seeded(seed))
			before = m.Digest()
			return before, m.Crash(seeded(crashSeed), harsh).Digest()
		}
		before, after := run(seed)
		for range 3 {
			if b, a := run(seed); b != before || a != after {
				t.Fatalf("seed %d: digests %x %x, then %x %x", seed, before, after, b, a)
			}
		}
		_, other := run(seed + 1000)
		different[after], different[other] = true, true
	}
	if len(different) < 90 {
		t.Errorf("100 crashes gave only %d different disks", len(different))
	}
}

// With nothing unsynced, and with everything kept, a crash changes nothing; the
// space it counts anew is what was counted before.
func TestCrashOfEverything(t *testing.T) {
	for seed := range uint64(100) {
		m := NewMem(MemOptions{Capacity: 1 << 30})
		randomDisk(t, m, seeded(seed))
		before, used := m.Digest(), m.used
		m = m.Kill()
		if m.Digest() != before || m.used != used {
			t.Fatalf("seed %d: Kill changed the disk: used %d, then %d", seed, used, m.used)
		}
		m = m.Crash(seeded(seed), CrashOptions{Keep: 1, Tear: true, Reorder: true})
		if m.Digest() != before || m.used != used {
			t.Fatalf("seed %d: keeping everything changed the disk: used %d, then %d", seed, used, m.used)
		}
		m = m.Crash(seeded(seed), CrashOptions{})
		if m.Digest() != before || m.used != used {
			t.Fatalf("seed %d: what survived a crash is not durable", seed)
		}
	}
}
