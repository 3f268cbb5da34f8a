package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
)

const copyBytes = 1 << 20

var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

func (s *fileStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Info, error) {
	if err := checkPut(key, size, fileObjectBytesMax); err != nil {
		return Info{}, err
	}
	if err := s.ready(ctx, "put", key); err != nil {
		return Info{}, err
	}
	if o.IfAbsent {
		// Spares the writing; what decides is the link below.
		if _, err := s.root.Lstat(key); err == nil {
			return Info{}, s.exists(key)
		}
	}
	temp := tempDir + "/" + rand.Text()
	info, err := s.writeTemp(ctx, temp, key, body, size)
	if err != nil {
		return Info{}, err
	}
	if err := s.publish(temp, key, o); err != nil {
		_ = s.root.Remove(temp) // best effort: the next Open removes it
		return Info{}, err
	}
	return info, nil
}

// writeTemp writes the body to a new file and makes its content durable.
func (s *fileStore) writeTemp(ctx context.Context, temp, key string, body io.ReaderAt, size int64) (Info, error) {
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return Info{}, s.fail("put", key, noDir(err))
	}
	info, err := s.fill(ctx, f, key, body, size)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = s.fail("put", key, cerr)
	}
	if err != nil {
		_ = s.root.Remove(temp) // best effort: the next Open removes it
		return Info{}, err
	}
	return info, nil
}

func (s *fileStore) fill(ctx context.Context, f *os.File, key string, body io.ReaderAt, size int64) (Info, error) {
	buf := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buf)
	for off := int64(0); off < size; {
		if err := s.ready(ctx, "put", key); err != nil {
			return Info{}, err
		}
		n, err := body.ReadAt(buf[:min(copyBytes, size-off)], off)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return Info{}, bodyError(key, err)
		}
		// A short read with an error shows the error again at its place.
		if _, err := f.Write(buf[:n]); err != nil {
			return Info{}, s.fail("put", key, err)
		}
		off += int64(n)
		if err := s.at("write"); err != nil {
			return Info{}, s.fail("put", key, err)
		}
	}
	if err := s.at("sync"); err != nil {
		return Info{}, s.fail("put", key, err)
	}
	if err := syncData(f); err != nil {
		return Info{}, s.fail("put", key, err)
	}
	st, err := f.Stat()
	if err != nil {
		return Info{}, s.fail("put", key, err)
	}
	return fileInfo(st), nil
}

// publish gives a finished file its name, durably.
func (s *fileStore) publish(temp, key string, o PutOptions) error {
	dir := path.Dir(key)
	for try := 0; ; try++ {
		if err := s.ensureDir(dir); err != nil {
			return s.fail("put", key, err)
		}
		if err := s.at("name"); err != nil {
			return s.fail("put", key, err)
		}
		var err error
		if o.IfAbsent {
			err = s.root.Link(temp, key)
		} else {
			err = s.root.Rename(temp, key)
		}
		switch {
		case err == nil:
			return s.finish(temp, key, o)
		case errors.Is(err, fs.ErrExist):
			return s.exists(key)
		case errors.Is(err, fs.ErrNotExist) && try == 0:
			s.forgetDirs() // someone else removed one
			continue
		}
		return s.fail("put", key, noDir(err))
	}
}

// finish makes a name durable. A new name that cannot be made so is taken back,
// since a second put would meet it and say that the object is there.
func (s *fileStore) finish(temp, key string, o PutOptions) error {
	err := s.at("sync directory")
	if err == nil {
		err = s.syncDir(path.Dir(key))
	}
	if err != nil {
		if o.IfAbsent {
			_ = s.root.Remove(key) // the error says that it may be there
		}
		return s.fail("put", key, noDir(err))
	}
	if o.IfAbsent {
		_ = s.root.Remove(temp) // a second name of the object: the next Open removes it
	}
	return nil
}

// exists answers a conditional put of a name that is taken. Before anyone acts
// on it the name is made durable, which its writer may not have done yet.
func (s *fileStore) exists(key string) error {
	st, err := s.root.Lstat(key)
	if err == nil && st.IsDir() {
		return newError("put", key, ErrInvalid, "other keys are below it")
	}
	if err := s.syncDir(path.Dir(key)); err != nil {
		return s.fail("put", key, noDir(err))
	}
	return newError("put", key, ErrConflict, "")
}

// ensureDir makes a directory below the root and its parents, and makes their
// names durable, those that it finds as well: another put may just have made
// them.
func (s *fileStore) ensureDir(dir string) error {
	if s.dirKnown(dir) {
		return nil
	}
	parent := "."
	for name := range strings.SplitSeq(dir, "/") {
		child := path.Join(parent, name)
		if err := s.root.Mkdir(child, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
			return noDir(err)
		}
		if err := s.syncDir(parent); err != nil {
			return noDir(err)
		}
		parent = child
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dirs) >= dirsKnownMax {
		clear(s.dirs)
		s.dirs["."] = struct{}{}
	}
	s.dirs[dir] = struct{}{}
	return nil
}

func (s *fileStore) dirKnown(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.dirs[dir]
	return ok
}

func (s *fileStore) forgetDirs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.dirs)
	s.dirs["."] = struct{}{}
}

func (s *fileStore) syncDir(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// errNoDir is a store's directory that is gone under it.
var errNoDir = errors.New("a directory was removed by someone else")

type noDirError struct{ error }

func (e noDirError) Unwrap() error { return nil }

// noDir keeps a missing directory from looking like a missing object.
func noDir(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return noDirError{errNoDir}
	}
	return err
}
