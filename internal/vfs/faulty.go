package vfs

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// OpKind says which method of FS or File an Op is.
type OpKind uint8

// The operations that Faulty asks about.
const (
	OpCreate OpKind = iota + 1
	OpOpen
	OpRename
	OpRemove
	OpMkdirAll
	OpList
	OpSyncDir
	OpFree
	OpLock
	OpRead
	OpWrite
	OpSync
	OpSize
	OpTruncate
	OpPreallocate
	OpClose // of a file; closing a lock is not asked about
	OpSyncAll
)

var opNames = [...]string{
	OpCreate: "create", OpOpen: "open", OpRename: "rename", OpRemove: "remove",
	OpMkdirAll: "mkdir", OpList: "list", OpSyncDir: "sync directory",
	OpFree: "statfs", OpLock: "lock", OpRead: "read", OpWrite: "write",
	OpSync: "sync", OpSize: "stat", OpTruncate: "truncate",
	OpPreallocate: "preallocate", OpClose: "close", OpSyncAll: "sync everything",
}

// String returns the kind as it stands in errors.
func (k OpKind) String() string {
	if int(k) < len(opNames) && opNames[k] != "" {
		return opNames[k]
	}
	return fmt.Sprintf("operation %d", uint8(k))
}

// Op is one call that is about to be made. CreateDirect is an OpCreate and
// OpenDirect an OpOpen.
type Op struct {
	Kind    OpKind
	Name    string // of the file as it was opened; "." for OpFree and OpSyncAll
	NewName string // of OpRename
	Off     int64  // of OpRead and OpWrite, in bytes
	Len     int64  // of OpRead and OpWrite; the size of OpTruncate and OpPreallocate
	N       uint64 // counts all operations of this Faulty from 1
}

// Partial makes a read or write do its first N bytes only and then fail with
// Err; of a direct file N is rounded down to its alignment. For other operations
// it is the error Err.
type Partial struct {
	N   int
	Err error
}

// Error implements error.
func (p *Partial) Error() string { return fmt.Sprintf("after %d bytes: %v", p.N, p.Err) }

// Unwrap returns Err.
func (p *Partial) Unwrap() error { return p.Err }

// Corrupt makes a read or write succeed with one bit wrong: of what was read,
// or of what reaches the file. Bit is taken modulo the number of bits. For other
// operations it is an error.
type Corrupt struct {
	Bit int64
}

// Error implements error.
func (c *Corrupt) Error() string { return fmt.Sprintf("corrupt bit %d", c.Bit) }

// LostSync makes Sync of a file in a Mem fail with Err the way a kernel does
// that drops pages it cannot write: what was unsynced still reads back, but a
// crash loses it, even after a later Sync that succeeds. SyncAll of a Mem loses
// what was unsynced in every file; names are as unsynced as before. Elsewhere it
// is the error Err.
type LostSync struct {
	Err error
}

// Error implements error.
func (l *LostSync) Error() string { return fmt.Sprintf("lost unsynced writes: %v", l.Err) }

// Unwrap returns Err.
func (l *LostSync) Unwrap() error { return l.Err }

// Faulty is an FS that asks before each operation whether to fail it. It is
// safe for concurrent use if the inner FS is.
type Faulty struct {
	inner  FS
	mu     sync.Mutex // guards n and calls of inject
	inject func(Op) error
	n      uint64
}

// NewFaulty wraps inner. Before every operation inject is called, one call at a
// time; it must not use the Faulty. If it returns an error, that is returned,
// wrapped with the operation and the name, and the operation is not done, except
// as Partial, Corrupt and LostSync say, and except Close, which always closes.
// A nil inject injects nothing.
func NewFaulty(inner FS, inject func(Op) error) *Faulty {
	if inject == nil {
		inject = func(Op) error { return nil }
	}
	return &Faulty{inner: inner, inject: inject}
}

// ask returns the injected error as it is.
func (f *Faulty) ask(op Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	op.N = f.n
	return f.inject(op)
}

// check returns the injected error wrapped.
func (f *Faulty) check(op Op) error {
	if err := f.ask(op); err != nil {
		return opError(op.Kind.String(), op.Name, err)
	}
	return nil
}

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) {
	if err := f.check(Op{Kind: OpCreate, Name: name}); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.inner.Create(name))
}

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) {
	if err := f.check(Op{Kind: OpOpen, Name: name}); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.inner.Open(name))
}

// CreateDirect implements FS.
func (f *Faulty) CreateDirect(name string) (File, error) {
	if err := f.check(Op{Kind: OpCreate, Name: name}); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.inner.CreateDirect(name))
}

// OpenDirect implements FS.
func (f *Faulty) OpenDirect(name string) (File, error) {
	if err := f.check(Op{Kind: OpOpen, Name: name}); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.inner.OpenDirect(name))
}

// SyncAll implements FS.
func (f *Faulty) SyncAll() error {
	err := f.check(Op{Kind: OpSyncAll, Name: "."})
	if err == nil {
		return f.inner.SyncAll()
	}
	var lost *LostSync
	if mem, ok := f.inner.(*Mem); ok && errors.As(err, &lost) {
		mem.loseUnsynced()
	}
	return err
}

func (f *Faulty) wrap(name string) func(File, error) (File, error) {
	return func(inner File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &faultyFile{fs: f, inner: inner, name: name}, nil
	}
}

// Rename implements FS.
func (f *Faulty) Rename(oldName, newName string) error {
	if err := f.check(Op{Kind: OpRename, Name: oldName, NewName: newName}); err != nil {
		return err
	}
	return f.inner.Rename(oldName, newName)
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	if err := f.check(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string) error {
	if err := f.check(Op{Kind: OpMkdirAll, Name: name}); err != nil {
		return err
	}
	return f.inner.MkdirAll(name)
}

// List implements FS.
func (f *Faulty) List(dir string) ([]Entry, error) {
	if err := f.check(Op{Kind: OpList, Name: dir}); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.check(Op{Kind: OpSyncDir, Name: dir}); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Free implements FS.
func (f *Faulty) Free() (int64, error) {
	if err := f.check(Op{Kind: OpFree, Name: "."}); err != nil {
		return 0, err
	}
	return f.inner.Free()
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) {
	if err := f.check(Op{Kind: OpLock, Name: name}); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}
