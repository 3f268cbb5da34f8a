//go:build failpoints

package failpoint

import (
	"path"
	"strings"
	"sync"

	"github.com/varvelog/varve/internal/vfs"
)

// faultFS is a data directory whose operations are places to die, and fail as
// the control file says.
type faultFS struct {
	vfs.FS // for what changes nothing

	// life is held for reading by each operation that changes the disk, and for
	// good by the one that dies.
	life    sync.RWMutex
	undo    *undo // nil: dying loses nothing
	trouble *trouble

	mu   sync.Mutex
	open map[*faultFile]struct{}
}

// FS returns the file system of the data directory root, whose operations are
// places to die.
func FS(fs vfs.FS, root string) vfs.FS {
	f := &faultFS{FS: fs, open: map[*faultFile]struct{}{}}
	if armed.power || control != "" {
		f.undo = newUndo(root)
	}
	f.trouble = newTrouble(control, root)
	disk.Store(f)
	f.trouble.start()
	return f
}

// freeze waits for the operations in hand and keeps all others from beginning.
func (f *faultFS) freeze() { f.life.Lock() }

func (f *faultFS) powerLoss(seed uint64) error { return f.undo.powerLoss(seed) }

// change performs one operation that changes the disk.
func (f *faultFS) change(c call, do func() error) error {
	point := c.class() + "." + c.op
	Hit(Name(point + ".before"))
	if err := f.guarded(c, do); err != nil {
		return err
	}
	Hit(Name(point + ".after"))
	return nil
}

func (f *faultFS) guarded(c call, do func() error) error {
	f.life.RLock()
	defer f.life.RUnlock()
	if err := f.trouble.check(c); err != nil {
		switch c.op {
		case "sync":
			f.undo.failedSync(c.name, c.class() == classWAL)
		case "syncall":
			f.undo.failedSyncAll()
		}
		return err
	}
	return do()
}

// call is one operation.
type call struct {
	op   string
	name string
	to   string // of rename
	end  int64  // where the file ends after it, if that is beyond its end
}

// class names what an operation works on.
func (c call) class() string {
	parts := strings.Split(c.name, "/")
	base := path.Base(c.name)
	switch {
	case c.op == "syncall":
		return classAll
	case parts[0] == "wal":
		return classWAL
	case parts[0] == "cache":
		return classChunk
	case strings.HasPrefix(parts[0], "quarantine"):
		return classQuarantine
	case c.name == "." || strings.HasPrefix(base, "meta.properties"):
		return classMeta
	case parts[0] == "partitions" && (len(parts) == 1 || strings.HasSuffix(base, ".deleted")):
		return classMark
	case parts[0] == "partitions" && len(parts) == 2 && c.op != "syncdir":
		return classPartition
	case parts[0] == "partitions" && strings.Contains(base, ".index"):
		return classIndex
	case parts[0] == "partitions":
		return classSegment
	}
	return classOther
}

func (f *faultFS) Create(name string) (vfs.File, error) { return f.create(name, f.FS.Create) }

func (f *faultFS) CreateDirect(name string) (vfs.File, error) {
	return f.create(name, f.FS.CreateDirect)
}

func (f *faultFS) create(name string, create func(string) (vfs.File, error)) (file vfs.File, err error) {
	err = f.change(call{op: "create", name: name}, func() error {
		inner, err := create(name)
		if err == nil {
			f.undo.created(name)
			f.trouble.sized(name, 0)
			file = f.opened(inner, name)
		}
		return err
	})
	return file, err
}

func (f *faultFS) Open(name string) (vfs.File, error) { return f.openWith(name, f.FS.Open) }

func (f *faultFS) OpenDirect(name string) (vfs.File, error) {
	return f.openWith(name, f.FS.OpenDirect)
}

func (f *faultFS) openWith(name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return f.opened(inner, name), nil
}

func (f *faultFS) opened(inner vfs.File, name string) *faultFile {
	file := &faultFile{File: inner, fs: f, name: name}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[file] = struct{}{}
	return file
}

// follow gives open files the name that their file has now. One that lost its
// name to another has none.
func (f *faultFS) follow(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file := range f.open { // order: each is looked at by itself
		switch file.name {
		case to:
			file.name = ""
		case from:
			file.name = to
		}
	}
}

func (f *faultFS) Rename(oldName, newName string) error {
	return f.change(call{op: "rename", name: oldName, to: newName}, func() error {
		link := f.undo.losing(newName)
		err := f.FS.Rename(oldName, newName)
		f.undo.renamed(oldName, newName, link, err)
		if err == nil {
			f.trouble.renamed(oldName, newName)
			f.follow(oldName, newName)
		}
		return err
	})
}

func (f *faultFS) Remove(name string) error {
	return f.change(call{op: "remove", name: name}, func() error {
		link := f.undo.losing(name)
		err := f.FS.Remove(name)
		f.undo.removed(name, link, err)
		if err == nil {
			f.trouble.removed(name)
		}
		return err
	})
}

func (f *faultFS) MkdirAll(name string) error {
	return f.change(call{op: "mkdir", name: name}, func() error {
		synced := map[string]int{}
		for dir := name; dir != "."; dir = path.Dir(dir) {
			synced[path.Dir(dir)] = f.undo.beginSyncDir(path.Dir(dir))
		}
		err := f.FS.MkdirAll(name)
		if err == nil {
			for dir, n := range synced { // order: each is looked at by itself
				f.undo.syncedNames(dir, n)
			}
		}
		return err
	})
}

func (f *faultFS) SyncDir(dir string) error {
	return f.change(call{op: "syncdir", name: dir}, func() error {
		n := f.undo.beginSyncDir(dir)
		err := f.FS.SyncDir(dir)
		if err == nil {
			f.undo.syncedNames(dir, n)
		}
		return err
	})
}

func (f *faultFS) SyncAll() error {
	return f.change(call{op: "syncall", name: "."}, func() error {
		mark := f.undo.beginSyncAll()
		err := f.FS.SyncAll()
		if err == nil {
			f.undo.syncedAll(mark)
		}
		return err
	})
}

func (f *faultFS) Free() (int64, error) {
	free, err := f.FS.Free()
	if err != nil {
		return free, err
	}
	return f.trouble.free(free), nil
}
