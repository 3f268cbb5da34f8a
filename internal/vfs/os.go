package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

const (
	fileMode = 0o640
	dirMode  = 0o750
)

// osFS is a directory of the operating system's file system. The two handles
// are safe for concurrent use.
type osFS struct {
	root *os.Root
	dir  *os.File // the root directory itself, for statfs and syncfs

	syncing sync.Mutex // one SyncAll at a time; guards what follows
	barrier *osFile    // an unnamed file, made by the first SyncAll
	syncErr error      // of the first SyncAll that failed
}

// OS returns the file system of the directory root, which it makes, with its
// parents, if it is missing; new directories are durable on return. Nothing
// outside root can be reached through it, even by symbolic links. Only regular
// files can be opened. The result also implements io.Closer, which releases the
// handle on root; open files stay usable.
func OS(root string) (FS, error) {
	if err := makeRoot(root); err != nil {
		return nil, osError("make data directory", root, err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, osError("open data directory", root, err)
	}
	dir, err := r.Open(".")
	if err != nil {
		return nil, errors.Join(osError("open data directory", root, err), r.Close())
	}
	return &osFS{root: r, dir: dir}, nil
}

// makeRoot makes root and its missing parents, from the top, and syncs the
// parent of each one it made.
func makeRoot(root string) error {
	var missing []string
	for p := filepath.Clean(root); ; p = filepath.Dir(p) {
		_, err := os.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || p == filepath.Dir(p) {
			return err
		}
		missing = append(missing, p)
	}
	for _, p := range slices.Backward(missing) {
		if err := os.Mkdir(p, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		parent, err := os.Open(filepath.Dir(p))
		if err != nil {
			return err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Close releases the handles on the root directory.
func (o *osFS) Close() error {
	o.syncing.Lock()
	defer o.syncing.Unlock()
	var err error
	if o.barrier != nil {
		err = o.barrier.Close()
	}
	return errors.Join(err, o.dir.Close(), o.root.Close())
}

func (o *osFS) Create(name string) (File, error) {
	return o.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (o *osFS) Open(name string) (File, error) {
	return o.open("open", name, os.O_RDWR)
}

func (o *osFS) CreateDirect(name string) (File, error) {
	f, err := o.Create(name)
	return asDirect(f, err)
}

func (o *osFS) OpenDirect(name string) (File, error) {
	f, err := o.Open(name)
	return asDirect(f, err)
}

// asDirect makes an open file direct if the file system has that.
func asDirect(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	if err := f.(*osFile).makeDirect(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (o *osFS) open(op, name string, flag int) (File, error) {
	if err := checkFile(op, name); err != nil {
		return nil, err
	}
	// O_NONBLOCK: opening a pipe that was put there must not hang.
	f, err := o.root.OpenFile(name, flag|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return nil, osError(op, name, err)
	}
	file, err := newOSFile(f, name)
	if err != nil {
		return nil, errors.Join(osError(op, name, err), f.Close())
	}
	return file, nil
}

func (o *osFS) Rename(oldName, newName string) error {
	if err := errors.Join(checkFile("rename", oldName), checkFile("rename to", newName)); err != nil {
		return err
	}
	info, err := o.root.Lstat(oldName)
	if err != nil {
		return osError("rename", oldName, err)
	}
	if info.IsDir() {
		return opError("rename", oldName, ErrIsDir)
	}
	if err := o.root.Rename(oldName, newName); err != nil {
		// rename(2) of a file over a directory may also say "exists".
		if to, serr := o.root.Lstat(newName); serr == nil && to.IsDir() {
			return opError("rename to", newName, ErrIsDir)
		}
		return osError("rename", oldName+" to "+newName, err)
	}
	return nil
}

func (o *osFS) Remove(name string) error {
	if err := checkFile("remove", name); err != nil {
		return err
	}
	return osError("remove", name, o.root.Remove(name))
}

func (o *osFS) MkdirAll(name string) error {
	if err := checkDir("mkdir", name); err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	for end := 0; end < len(name); end++ {
		if next := strings.IndexByte(name[end:], '/'); next >= 0 {
			end += next
		} else {
			end = len(name)
		}
		if err := o.mkdir(name[:end]); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes one directory and syncs its parent even if it was there, because
// whoever made it may have died before syncing.
func (o *osFS) mkdir(name string) error {
	err := o.root.Mkdir(name, dirMode)
	if errors.Is(err, fs.ErrExist) {
		info, serr := o.root.Stat(name)
		if serr != nil {
			return osError("mkdir", name, serr)
		}
		if !info.IsDir() {
			return opError("mkdir", name, ErrNotDir)
		}
	} else if err != nil {
		return osError("mkdir", name, err)
	}
	return o.SyncDir(path.Dir(name))
}

func (o *osFS) List(dir string) ([]Entry, error) {
	if err := checkDir("list", dir); err != nil {
		return nil, err
	}
	d, err := o.openDir("list", dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, osError("list", dir, err)
	}
	slices.Sort(names)
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		info, err := o.root.Lstat(path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, osError("list", path.Join(dir, name), err)
		}
		e := Entry{Name: name, Dir: info.IsDir()}
		if !e.Dir {
			e.Size = info.Size()
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (o *osFS) SyncDir(dir string) error {
	if err := checkDir("sync directory", dir); err != nil {
		return err
	}
	d, err := o.openDir("sync directory", dir)
	if err != nil {
		return err
	}
	return osError("sync directory", dir, errors.Join(d.Sync(), d.Close()))
}

func (o *osFS) openDir(op, dir string) (*os.File, error) {
	d, err := o.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, osError(op, dir, err)
	}
	return d, nil
}

func (o *osFS) Free() (free int64, err error) {
	err = o.control("statfs", func(fd int) (err error) {
		free, err = statfsFree(fd)
		return err
	})
	return free, err
}

// control runs a system call on the descriptor of the root directory, again if
// it was interrupted.
func (o *osFS) control(op string, call func(fd int) error) error {
	conn, err := o.dir.SyscallConn()
	if err != nil {
		return osError(op, ".", err)
	}
	return (&osFile{f: o.dir, conn: conn, name: "."}).control(op, call)
}

func (o *osFS) Lock(name string) (io.Closer, error) {
	f, err := o.open("lock", name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	file := f.(*osFile)
	err = file.control("lock", func(fd int) error { return flock(fd) })
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// osError maps an error of package os or syscall to the package's sentinels,
// keeping the cause. A nil error stays nil.
func osError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	cause := err
	switch {
	case errors.As(err, &pathErr):
		cause = pathErr.Err
	case errors.As(err, &linkErr):
		cause = linkErr.Err
	}
	if s := sentinelOf(err); s != nil {
		return fmt.Errorf("%s %q: %w: %w", op, name, s, cause)
	}
	return opError(op, name, cause)
}

func sentinelOf(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ErrNoSpace
	case errors.Is(err, syscall.ENOTEMPTY): // before ErrExist, which it also matches
		return ErrNotEmpty
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotExist
	case errors.Is(err, fs.ErrExist):
		return ErrExist
	case errors.Is(err, os.ErrClosed):
		return ErrClosed
	case errors.Is(err, syscall.EISDIR):
		return ErrIsDir
	case errors.Is(err, syscall.ENOTDIR):
		return ErrNotDir
	case errors.Is(err, syscall.EFBIG):
		return ErrTooLarge
	case errors.Is(err, syscall.EWOULDBLOCK):
		return ErrLocked
	}
	return nil
}
