package vfs

import (
	"errors"
	"fmt"
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
	// ErrUnsupported: the operating system or file system cannot do this.
	ErrUnsupported = errors.New("vfs: not supported here")
	// ErrMisaligned: offset, length or memory address of a read or write of a
	// direct file is no multiple of its Alignment. Nothing was read or written.
	// It matches ErrInvalid as well.
	ErrMisaligned = fmt.Errorf("%w: direct I/O is not aligned", ErrInvalid)
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
	// CreateDirect is Create for a file whose reads and writes go past the page
	// cache where the file system has that. Where it has not, the file is a
	// buffered one like Create's; File.Alignment tells. Direct and buffered
	// handles of one file see each other's writes, but mixing them is slow, and
	// they must not be used on one range at the same time.
	CreateDirect(name string) (File, error)
	// OpenDirect is Open for such a file.
	OpenDirect(name string) (File, error)
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
	// SyncAll makes everything durable that was done before it was called: the
	// bytes and lengths of all files, and all names, of the whole file system
	// that holds the directory, so it also waits for what others wrote there. It
	// does what a Sync of every file and a SyncDir of every directory would. An
	// error says that some unsynced write, not necessarily of this process, was
	// lost: then all that is known of a failed Sync is known of every file. It is
	// ErrUnsupported, and nothing was done, where the system offers no such call
	// that waits and reports errors: then sync one by one.
	SyncAll() error
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
	// because the file ended. Of a direct file offset, len(p) and the address of
	// p must be multiples of Alignment, else it is ErrMisaligned; the file may
	// end anywhere, so an aligned read over its end returns a count that is not a
	// multiple, and io.EOF. What p holds behind the count is undefined.
	io.ReaderAt
	// WriteAt follows io.WriterAt. The bytes are durable only after Sync; until
	// then any part of them, in any order, may be lost in a crash. That is so for
	// a direct file too: its bytes have left the page cache, not the cache of the
	// drive. It does not keep p. Of a direct file the same must be aligned as for
	// ReadAt, so it grows by whole multiples of Alignment only.
	io.WriterAt
	// Alignment returns what offset, length and memory address of ReadAt and
	// WriteAt must be multiples of: 1 for a buffered file, else a power of two of
	// at most MaxAlignment. It never changes while the file is open.
	Alignment() int
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
