//go:build failpoints

package failpoint

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
)

// nameChange is an unsynced change of a directory.
type nameChange struct {
	op   string // create, rename, remove, rmdir
	name string
	to   string    // of rename
	link string    // to what lost its name, if anything did
	fu   *fileUndo // its unsynced writes
}

// created notes a new file.
func (u *undo) created(name string) { u.changed(nameChange{op: "create", name: name}) }

func (u *undo) changed(c nameChange) {
	dir := path.Dir(name(c))
	if u == nil || !tracked(dir) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dirs[dir] = append(u.dirs[dir], c)
}

// name is the name that a change is about.
func name(c nameChange) string {
	if c.op == "rename" {
		return c.to
	}
	return c.name
}

// losing keeps what is about to lose its name, and returns a link to it.
func (u *undo) losing(name string) string {
	if u == nil || !tracked(path.Dir(name)) {
		return ""
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keep(name)
}

// renamed notes a rename; link is what losing returned for the new name. One
// between directories counts as durable.
func (u *undo) renamed(from, to, link string, err error) {
	if u == nil {
		return
	}
	if err != nil {
		u.drop(nameChange{link: link})
		return
	}
	u.mu.Lock()
	c := nameChange{op: "rename", name: from, to: to, link: link, fu: u.files[to]}
	delete(u.files, to)
	if fu := u.files[from]; fu != nil {
		u.files[to] = fu
		delete(u.files, from)
	}
	u.mu.Unlock()
	if path.Dir(from) != path.Dir(to) {
		u.drop(c)
		return
	}
	u.changed(c)
}

// removed notes a removal; link is what losing returned.
func (u *undo) removed(name, link string, err error) {
	if u == nil {
		return
	}
	c := nameChange{op: "remove", name: name, link: link}
	if err != nil {
		u.drop(c)
		return
	}
	if link == "" {
		c.op = "rmdir"
	}
	u.mu.Lock()
	c.fu = u.files[name]
	delete(u.files, name)
	u.mu.Unlock()
	if !tracked(path.Dir(name)) {
		u.drop(c)
		return
	}
	u.changed(c)
}

// drop lets go of what a change held on to.
func (u *undo) drop(c nameChange) {
	if c.link != "" {
		_ = os.Remove(c.link) // it only takes space
	}
	if c.fu != nil {
		_ = c.fu.f.Close() // nothing was written through it
	}
}

// beginSyncDir returns how many changes of a directory there are, for syncedNames.
func (u *undo) beginSyncDir(dir string) int {
	if u == nil {
		return 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.dirs[dir])
}

// syncedNames forgets the first n changes of a directory, which are durable.
func (u *undo) syncedNames(dir string, n int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	changes := u.dirs[dir]
	n = min(n, len(changes)) // another sync may have been first
	for _, c := range changes[:n] {
		u.drop(c)
		if c.op == "rmdir" {
			u.forget(c.name)
		}
	}
	if u.dirs[dir] = changes[n:]; len(u.dirs[dir]) == 0 {
		delete(u.dirs, dir)
	}
}

// forget drops what was done in a directory that is gone for good. The caller
// holds the mutex.
func (u *undo) forget(dir string) {
	for _, c := range u.dirs[dir] {
		u.drop(c)
	}
	delete(u.dirs, dir)
}

// takeBackNames loses the changes of a directory behind a random one.
func (u *undo) takeBackNames(dir string, rng *rand.Rand) error {
	changes := u.dirs[dir]
	kept := rng.IntN(len(changes) + 1)
	switch rng.IntN(3) {
	case 0:
		kept = 0
	case 1:
		kept = len(changes)
	}
	var errs []error
	for i := len(changes) - 1; i >= kept; i-- {
		errs = append(errs, u.revert(changes[i], rng))
	}
	return errors.Join(errs...)
}

func (u *undo) revert(c nameChange, rng *rand.Rand) error {
	switch c.op {
	case "create":
		err := os.Remove(u.path(c.name))
		if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "not a directory") {
			return nil
		}
		return err
	case "rmdir":
		return os.Mkdir(u.path(c.name), 0o750)
	case "rename":
		if err := os.Rename(u.path(c.to), u.path(c.name)); err != nil {
			return err
		}
	}
	if c.link == "" {
		return nil
	}
	back := c.name
	if c.op == "rename" {
		back = c.to
	}
	if c.fu != nil {
		if err := c.fu.takeBack(rng); err != nil {
			return err
		}
	}
	return os.Rename(c.link, u.path(back))
}
