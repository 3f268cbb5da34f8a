//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// pollEvery is how often the control file is read.
const pollEvery = 5 * time.Millisecond

// trouble is what the disk does. The control file has a line for each:
//
//	capacity BYTES      the data directory holds no more; Free follows it
//	readonly            every change fails with EROFS
//	fail OP CLASS       each OP (sync, write, ...) on a CLASS (wal, segment, ...)
//	                    fails with EIO; a sync loses what was not synced
//	die                 the process dies at once
//
// An empty file, or none, is a disk without trouble. What was read is written to
// a file of the same name with ".seen" added.
type trouble struct {
	control string

	mu       sync.Mutex
	text     string
	capacity int64 // -1: as much as there is
	readonly bool
	fail     map[[2]string]bool
	sizes    map[string]int64
	used     int64
}

func newTrouble(control, root string) *trouble {
	t := &trouble{control: control, capacity: -1, sizes: map[string]int64{}}
	if control == "" {
		return t
	}
	_ = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // what cannot be seen takes no space
		}
		if info, err := e.Info(); err == nil {
			rel, _ := filepath.Rel(root, name)
			t.sized(filepath.ToSlash(rel), info.Size())
		}
		return nil
	})
	return t
}

// start reads the control file, now and from now on.
func (t *trouble) start() {
	if t.control == "" {
		return
	}
	t.poll()
	go func() {
		for range time.Tick(pollEvery) {
			t.poll()
		}
	}()
}

func (t *trouble) poll() {
	b, err := os.ReadFile(t.control)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	t.mu.Lock()
	same := string(b) == t.text
	t.mu.Unlock()
	if same {
		return
	}
	if err := t.obey(string(b)); err != nil {
		fmt.Fprintf(os.Stderr, "failpoint: %s: %v\n", t.control, err)
	}
	seen := t.control + ".seen"
	if os.WriteFile(seen+".tmp", b, 0o600) == nil {
		_ = os.Rename(seen+".tmp", seen) // whoever waits for it waits in vain
	}
}

// obey takes the content of the control file.
func (t *trouble) obey(text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text, t.capacity, t.readonly, t.fail = text, -1, false, map[[2]string]bool{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "readonly" && len(f) == 1:
			t.readonly = true
		case f[0] == "die" && len(f) == 1:
			go die("control")
		case f[0] == "fail" && len(f) == 3:
			t.fail[[2]string{f[1], f[2]}] = true
		case f[0] == "capacity" && len(f) == 2:
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return err
			}
			t.capacity = n
		default:
			return fmt.Errorf("line %q is not understood", line)
		}
	}
	return nil
}

// check reports what the disk says to an operation that changes it.
func (t *trouble) check(c call) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.readonly && c.op != "sync" && c.op != "syncdir" && c.op != "syncall": // a sync of nothing succeeds
		return fmt.Errorf("%s %q: %w", c.op, c.name, syscall.EROFS)
	case t.fail[[2]string{c.op, c.class()}]:
		return fmt.Errorf("%s %q: %w", c.op, c.name, syscall.EIO)
	case t.capacity < 0:
		return nil
	case c.op == "create" && t.used >= t.capacity,
		c.end > t.sizes[c.name] && t.used+c.end-t.sizes[c.name] > t.capacity:
		return fmt.Errorf("%s %q: %w: %w", c.op, c.name, vfs.ErrNoSpace, syscall.ENOSPC)
	}
	return nil
}

// free returns what is left, which is not more than the real disk has.
func (t *trouble) free(most int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.capacity < 0 {
		return most
	}
	return min(most, max(t.capacity-t.used, 0))
}

func (t *trouble) sized(name string, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used += size - t.sizes[name]
	t.sizes[name] = size
}

func (t *trouble) grown(name string, size int64) {
	t.mu.Lock()
	old := t.sizes[name]
	t.mu.Unlock()
	if size > old {
		t.sized(name, size)
	}
}

func (t *trouble) removed(name string) {
	t.sized(name, 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sizes, name)
}

func (t *trouble) renamed(from, to string) {
	t.mu.Lock()
	size := t.sizes[from]
	t.mu.Unlock()
	t.removed(from)
	t.sized(to, size)
}
