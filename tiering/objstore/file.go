package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/varvelog/varve/internal/failpoint"
)

const (
	// tempDir holds objects that are being written. No key begins with a dot.
	tempDir  = ".tmp"
	lockName = tempDir + "/lock"
	// fileObjectBytesMax is where file systems end that Varve runs on.
	fileObjectBytesMax = 1 << 40
	dirsKnownMax       = 4096
)

// fileStore is a Store in a directory: the object a/b is the file a/b. A file is
// written in tempDir, synced, and then given its name; so under a key there is
// always a whole object.
//
// Every open store holds a shared lock on lockName. Whoever opens a store that
// nobody else has open removes what a crash left in tempDir.
type fileStore struct {
	root   *os.Root
	lock   *os.File
	closed atomic.Bool

	mu   sync.Mutex
	dirs map[string]struct{} // directories known to be durable; none is ever removed by a store

	// step is nil, except in tests that stop a call at one of its steps.
	step func(name string) error
}

func openFile(u *url.URL) (Store, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, fmt.Errorf("the URL names a host; a directory has three slashes: %w", ErrInvalid)
	}
	if u.RawQuery != "" || !strings.HasPrefix(u.Path, "/") {
		return nil, fmt.Errorf("the URL needs an absolute directory and nothing more: %w", ErrInvalid)
	}
	dir := filepath.Clean(filepath.FromSlash(u.Path))
	if err := makeDirs(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, classifyFile("open", "", err)
	}
	s := &fileStore{root: root, dirs: map[string]struct{}{".": {}}}
	if err := s.begin(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// makeDirs makes a directory and its parents, durably.
func makeDirs(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDirs(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return classifyFile("make directory", "", err)
	}
	d, err := os.Open(parent)
	if err != nil {
		return classifyFile("open directory", "", err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return classifyFile("sync directory", "", err)
	}
	return nil
}

// begin takes the lock, and cleans up if nobody else holds it.
func (s *fileStore) begin() error {
	if err := s.root.Mkdir(tempDir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return classifyFile("make directory", tempDir, err)
	}
	lock, err := s.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return classifyFile("open lock", lockName, err)
	}
	s.lock = lock
	err = flock(lock, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		if err := s.removeTemps(); err != nil {
			return err
		}
	case !errors.Is(err, unix.EWOULDBLOCK):
		return classifyFile("lock", lockName, err)
	}
	// Waits only for another Open that is cleaning up.
	if err := flock(lock, unix.LOCK_SH); err != nil {
		return classifyFile("lock", lockName, err)
	}
	return nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *fileStore) removeTemps() error {
	d, err := s.root.Open(tempDir)
	if err != nil {
		return classifyFile("open directory", tempDir, err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			if tempDir+"/"+name == lockName {
				continue
			}
			if err := s.root.Remove(tempDir + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return classifyFile("remove", tempDir, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return classifyFile("list", tempDir, err)
		}
	}
}

// ready says whether a call may begin or go on.
func (s *fileStore) ready(ctx context.Context, op, key string) error {
	if s.closed.Load() {
		return newError(op, key, ErrClosed, "")
	}
	return contextError(ctx, op, key)
}

func (s *fileStore) fail(op, key string, err error) error {
	if s.closed.Load() {
		return newError(op, key, ErrClosed, "")
	}
	return classifyFile(op, key, err)
}

// at is a test's chance to stop a call, or the process.
func (s *fileStore) at(step string) error {
	switch step {
	case "write":
		failpoint.Hit(failpoint.TierPutWrite)
	case "sync":
		failpoint.Hit(failpoint.TierPutSync)
	case "name":
		failpoint.Hit(failpoint.TierPutName)
	case "sync directory":
		failpoint.Hit(failpoint.TierPutDir)
	}
	if s.step == nil {
		return nil
	}
	return s.step(step)
}

func (s *fileStore) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	if err := checkRange(key, off, len(into)); err != nil {
		return err
	}
	if err := s.ready(ctx, "get", key); err != nil {
		return err
	}
	f, err := s.open(key)
	if err != nil {
		return s.fail("get", key, missing(err))
	}
	defer f.Close()
	n, err := f.ReadAt(into, off)
	if err == nil && len(into) > 0 {
		return nil
	}
	if err != nil && err != io.EOF {
		return s.fail("get", key, missing(err))
	}
	st, err := f.Stat()
	switch {
	case err != nil:
		return s.fail("get", key, err)
	case !st.Mode().IsRegular():
		return newError("get", key, ErrNotFound, "not a file")
	case n < len(into) || off > st.Size():
		return shortError(key, off, len(into), st.Size())
	}
	return nil
}

// open opens an object for reading, and does not wait if it is a pipe.
func (s *fileStore) open(key string) (*os.File, error) {
	return s.root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

func (s *fileStore) Head(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	if err := s.ready(ctx, "head", key); err != nil {
		return Info{}, err
	}
	st, err := s.root.Stat(key)
	if err != nil {
		return Info{}, s.fail("head", key, missing(err))
	}
	if !st.Mode().IsRegular() {
		return Info{}, newError("head", key, ErrNotFound, "not a file")
	}
	return fileInfo(st), nil
}

// fileInfo makes an ETag of what differs between two files under one name.
func fileInfo(st fs.FileInfo) Info {
	var inode uint64
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		inode = sys.Ino
	}
	etag := strconv.FormatUint(inode, 16) + "-" + strconv.FormatInt(st.ModTime().UnixNano(), 16) +
		"-" + strconv.FormatInt(st.Size(), 16)
	return Info{Size: st.Size(), ETag: etag, Modified: st.ModTime()}
}

func (s *fileStore) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	var first error
	changed := map[string]struct{}{}
	for _, key := range keys {
		if first = s.ready(ctx, "delete", key); first != nil {
			break
		}
		if first = s.remove(key); first != nil {
			break
		}
		changed[path.Dir(key)] = struct{}{}
	}
	// order: each directory is synced, whichever comes first.
	for dir := range changed {
		if err := s.syncDir(dir); err != nil && missing(err) != errMissing && first == nil {
			first = s.fail("delete", dir, err)
		}
	}
	return first
}

func (s *fileStore) remove(key string) error {
	failpoint.Hit(failpoint.TierDelete)
	st, err := s.root.Lstat(key)
	if err == nil && st.IsDir() {
		return nil // there is no object of that name
	}
	if err == nil {
		err = s.root.Remove(key)
	}
	if err != nil && missing(err) != errMissing {
		return s.fail("delete", key, err)
	}
	return nil
}

// Close gives the lock back; calls under way may fail with ErrClosed.
func (s *fileStore) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.root.Close()
	if s.lock != nil {
		if lerr := s.lock.Close(); err == nil {
			err = lerr
		}
	}
	if err != nil {
		return classifyFile("close", "", err)
	}
	return nil
}

// errMissing is a key of which there is no file.
var errMissing = fs.ErrNotExist

// missing makes errMissing of the other ways in which a system says that there
// is no file of that name: a parent that is a file, a name that is a directory
// or a pipe.
func missing(err error) error {
	for _, no := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.EISDIR, unix.ESPIPE, unix.ENXIO} {
		if errors.Is(err, no) {
			return errMissing
		}
	}
	return err
}

// classifyFile makes an error of the package out of the system's.
func classifyFile(op, key string, err error) error {
	kind, detail := ErrUnavailable, err.Error()
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrClosed):
		kind = ErrClosed
	case errors.Is(err, fs.ErrNotExist):
		kind, detail = ErrNotFound, ""
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		kind = ErrDenied
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EFBIG):
		kind = ErrInvalid
	case !errors.As(err, &errno):
		kind = ErrDenied // os.Root: the path leaves the directory
	}
	return newError(op, key, kind, detail)
}
