package repair

import (
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/vfs"
)

// TestCutLog cuts the newest file of a log off, anywhere behind its first write,
// also in its last one: the length shows that something is missing, and the
// report names all that is.
func TestCutLog(t *testing.T) {
	for _, build := range []func(testing.TB) (*life, *vfs.Mem){history, bareHistory} {
		l, fs := build(t)
		name := newestLog(t, fs)
		all := writes(t, fs, name)
		end := int64(wal.FileHeaderBytes)
		for _, w := range all {
			end += w.Bytes
		}
		lost := 0
		for size := int64(wal.FileHeaderBytes + wal.WriteHeaderBytes); size < end+2*wal.Block; size += 1500 {
			c := l.copyOf(t, clone(t, fs))
			cut(t, c.fs, name, size)
			r, err := Inspect(c.fs, options(c.seed))
			c.must(err)
			if !r.Refused {
				t.Fatalf("cut at %d of %d: %+v", size, end, r)
			}
			if r.Obstacle != "" {
				continue // the only checkpoint is cut off
			}
			if r.Loses() {
				lost++
			}
			if c.judge(c.repaired()); t.Failed() {
				t.Fatalf("cut at %d of %d", size, end)
			}
		}
		if lost == 0 {
			t.Error("nothing was ever lost")
		}
	}
}
