package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
)

// hurt is what was done to a stopped data directory.
type hurt struct {
	text []string
	// lone says that it is one flipped bit, which must cost nothing.
	lone bool
}

// target is a file and how much of it may be damaged. That leaves out what
// nothing proves: the last write of the log, which cannot be told from one that
// was torn.
type target struct {
	name  string
	limit int64
	log   bool
	cut   int64 // the least length it may be cut to, 0: it is not cut
}

// damageDirectory damages a stopped data directory at random: one to three files
// of the log, segments and indexes have bits flipped, ranges zeroed or replaced,
// are cut off, or, indexes only, removed.
func damageDirectory(t *testing.T, rng *rand.Rand, dir string) hurt {
	t.Helper()
	targets := slices.Concat(logFiles(t, dir), segmentFiles(t, dir))
	if len(targets) == 0 {
		t.Fatal("there is nothing to damage")
	}
	if rng.IntN(3) == 0 {
		d := targets[pickFile(rng, targets)]
		return hurt{text: []string{flipBit(t, rng, d)}, lone: true}
	}
	var h hurt
	for range 1 + rng.IntN(3) {
		i := pickFile(rng, targets)
		d := targets[i]
		switch kind := rng.IntN(8); {
		case kind == 0:
			h.text = append(h.text, flipBit(t, rng, d))
		case kind < 3:
			h.text = append(h.text, overwrite(t, rng, d, false))
		case kind < 5:
			h.text = append(h.text, overwrite(t, rng, d, true))
		case kind == 5:
			h.text = append(h.text, flipTwo(t, rng, d))
		case strings.HasSuffix(d.name, ".index"):
			must(t, os.Remove(d.name))
			h.text = append(h.text, "removed "+d.name)
			targets = slices.Delete(targets, i, i+1)
		case d.cut > 0:
			size := d.cut + rng.Int64N(d.limit)
			must(t, os.Truncate(d.name, size))
			h.text = append(h.text, fmt.Sprintf("cut %s at %d", d.name, size))
			// A cut takes the proof of what lies before it away.
			targets = slices.Delete(targets, i, i+1)
		}
		if len(targets) == 0 {
			break
		}
	}
	return h
}

// pickFile takes a file of the log as often as any other one.
func pickFile(rng *rand.Rand, targets []target) int {
	logs := slices.IndexFunc(targets, func(d target) bool { return !d.log })
	if logs < 0 {
		logs = len(targets)
	}
	if logs > 0 && (rng.IntN(2) == 0 || logs == len(targets)) {
		return rng.IntN(logs)
	}
	return logs + rng.IntN(len(targets)-logs)
}

// logFiles lists the files of the log with writes in them.
func logFiles(t *testing.T, dir string) []target {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "wal", "*"+wal.Suffix))
	must(t, err)
	slices.Sort(names)
	var out []target
	newest := int64(0) // last write of the newest file
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(t, err)
		f, err := wal.ParseFile(b)
		if err != nil {
			continue
		}
		end, last := int64(wal.FileHeaderBytes), int64(0)
		for {
			w, ok := f.ParseWrite(b[end:], end)
			if !ok {
				break
			}
			last, end = end, end+w.Bytes
		}
		if last == 0 {
			continue
		}
		out = append(out, target{name: name, limit: end, log: true, cut: wal.FileHeaderBytes + wal.WriteHeaderBytes})
		newest = last
	}
	if n := len(out); n > 0 {
		out[n-1].limit = newest
	}
	return out
}

// segmentFiles lists the files of partitions that hold something.
func segmentFiles(t *testing.T, dir string) []target {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "*"))
	must(t, err)
	slices.Sort(names)
	var out []target
	for _, name := range names {
		info, err := os.Stat(name)
		must(t, err)
		if n := info.Size(); n > 0 && (strings.HasSuffix(name, ".log") || strings.HasSuffix(name, ".index")) {
			out = append(out, target{name: name, limit: n, cut: 1})
		}
	}
	return out
}

func flipBit(t *testing.T, rng *rand.Rand, d target) string {
	off, bit := rng.Int64N(d.limit), rng.IntN(8)
	change(t, d.name, off, 1, func(b []byte) { b[0] ^= 1 << bit })
	return fmt.Sprintf("bit %d of byte %d of %s", bit, off, d.name)
}

// flipTwo flips two bits close together, which no checksum tells one by one.
func flipTwo(t *testing.T, rng *rand.Rand, d target) string {
	off := rng.Int64N(max(d.limit-2, 1))
	change(t, d.name, off, 2, func(b []byte) { b[0] ^= 4; b[len(b)-1] ^= 32 })
	return fmt.Sprintf("two bits at %d of %s", off, d.name)
}

// overwrite replaces up to three blocks with zeros or with anything.
func overwrite(t *testing.T, rng *rand.Rand, d target, zeros bool) string {
	off := rng.Int64N(d.limit)
	n := min(1+rng.Int64N(3*wal.Block), d.limit-off)
	what := "random bytes"
	if zeros {
		what = "zeros"
	}
	change(t, d.name, off, int(n), func(b []byte) {
		for i := range b {
			if b[i] = byte(rng.Uint32()); zeros {
				b[i] = 0
			}
		}
	})
	return fmt.Sprintf("%d %s at %d of %s", n, what, off, d.name)
}

// change has f change n bytes of a file.
func change(t *testing.T, name string, off int64, n int, f func(b []byte)) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	b := make([]byte, n)
	got, _ := file.ReadAt(b, off)
	if b = b[:got]; len(b) == 0 {
		return // behind the end
	}
	f(b)
	_, err = file.WriteAt(b, off)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
