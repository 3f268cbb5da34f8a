package vfs

import (
	"errors"
	"io"
)

// Errors that every implementation returns, wrapped with the operation and the
// name. Match them with errors.Is.
var (
	// ErrNotExist: the file or directory does not exist.
	ErrNotExist = errors.New("vfs: does not exist")
	// ErrExist: Create found a file of that name.
	ErrExist = errors.New("vfs: exists already")
	// ErrNoSpace: the file system is full (ENOSPC or EDQUOT). The write had no
	// effect that may be relied on: bytes of it may or may not be there.
	ErrNoSpace = errors.New("vfs: no space left")
	// ErrLocked: another process, or another Lock of this one, holds the lock.
	ErrLocked = errors.New("vfs: locked")
	// ErrClosed: the file was closed.
	ErrClosed = errors.New("vfs: closed")
)

// FS is one broker's data directory. Names are slash-separated, relative and
// clean; a name that would leave the directory is refused with ErrBadName. The
// directory itself is "." for List, SyncDir and MkdirAll. All methods are safe
// for concurrent use.
type FS interface {
	// Create makes a new file for reading and writing. It fails with ErrExist
	// if the name is taken. The new name is durable only after SyncDir of its
	// directory.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Rename moves a file over newName, replacing the file that stood there.
	// Open handles stay on the files they were opened on. Directories are
	// refused with ErrIsDir. Durable after SyncDir of both directories.
	Rename(oldName, newName string) error
	// Remove unlinks a file or an empty directory. Durable after SyncDir.
	Remove(name string) error
	// MkdirAll makes a directory and its parents. The new directories are
	// durable on return (every parent that changed was synced).
	MkdirAll(name string) error
	// List returns the entries of a directory sorted by name. A directory that
	// does not exist is ErrNotExist.
	List(dir string) ([]Entry, error)
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Free returns how many bytes may still be allocated.
	Free() (int64, error)
	// Lock takes an exclusive advisory lock on name, creating the file if
	// need be, and holds it until the closer is closed or the process ends.
	// It does not wait: a lock that is held is ErrLocked. The file must not be
	// removed or renamed while anyone may want the lock.
	Lock(name string) (io.Closer, error)
}

// Entry is one name in a directory.
type Entry struct {
	Name string // without the directory
	Dir  bool
	Size int64 // of a file, in bytes; 0 for a directory
}

// File is an open file. ReadAt, WriteAt, Size and Sync may be called from
// several goroutines at once; ranges written concurrently must not overlap.
type File interface {
	// ReadAt follows io.ReaderAt: it returns io.EOF if it read less than asked
	// because the file ended.
	io.ReaderAt
	// WriteAt follows io.WriterAt. The bytes are durable only after Sync; until
	// then any part of them, in any order, may be lost in a crash. It does not
	// keep p.
	io.WriterAt
	// Sync makes every write that returned before it was called durable, along
	// with the file's size. After a failed Sync nothing is known about any
	// unsynced write, and calling Sync again proves nothing.
	Sync() error
	// Size returns the file's length in bytes.
	Size() (int64, error)
	// Truncate sets the length. Bytes beyond the old end read as zero.
	// Durable after Sync. It must not overlap other writes to the file.
	Truncate(size int64) error
	// Preallocate makes sure that [0, size) is allocated, so that later writes
	// there do not fail for want of space, and that the file is at least size
	// bytes long. New bytes read as zero. On ErrNoSpace the file is as before.
	// The length is durable after Sync. Where the file system cannot reserve
	// space, only bytes beyond the old end are allocated. It must not overlap
	// other writes to the file. A size of 0 does nothing.
	Preallocate(size int64) error
	// Close releases the file. It does not sync.
	io.Closer
}
