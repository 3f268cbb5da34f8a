package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// traceKept is how many of the last lines a failed run shows, without those that
// only say that a task was done.
const traceKept = 200

// taskDone begins what is noted of a task of a broker.
const taskDone = "task: class"

// trace is the record of a run: a hash of everything that happened, the last
// lines, and all of them if someone wants to see them.
type trace struct {
	hash  uint64
	last  []string // more than are shown, see keep
	out   io.Writer
	start time.Time
}

func (t *trace) mix(s string) {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(t.hash >> (8 * i))
	}
	h.Write(b[:])
	io.WriteString(h, s)
	t.hash = h.Sum64()
}

// line notes what happened.
func (t *trace) line(now time.Time, format string, args ...any) {
	s := fmt.Sprintf("%12.6f ", now.Sub(t.start).Seconds()) + fmt.Sprintf(format, args...)
	t.mix(s)
	if !strings.Contains(s, taskDone) {
		t.keep(s)
	}
	if t.out != nil {
		fmt.Fprintln(t.out, s)
	}
}

// keep adds a line to the last ones. It holds up to twice as many, so that few are
// moved.
func (t *trace) keep(s string) {
	if len(t.last) == 2*traceKept {
		n := copy(t.last, t.last[traceKept:])
		t.last = t.last[:n]
	}
	t.last = append(t.last, s)
}

// tail returns the last lines.
func (t *trace) tail() []string { return t.last[max(len(t.last)-traceKept, 0):] }

// op notes an operation of the broker on its disk, in the hash only.
func (t *trace) op(op vfs.Op) {
	h := t.hash
	for i := range len(op.Name) {
		h = (h ^ uint64(op.Name[i])) * 1099511628211
	}
	for _, v := range [...]uint64{uint64(op.Kind), uint64(op.Off), uint64(op.Len)} {
		h = (h ^ v) * 1099511628211
	}
	t.hash = h
}
