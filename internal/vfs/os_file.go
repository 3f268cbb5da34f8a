package vfs

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// osFile is one open regular file. os.File makes it safe for concurrent use,
// including Close; system calls that os.File does not offer go through its
// raw connection, which keeps the descriptor from being reused meanwhile.
type osFile struct {
	f    *os.File
	conn syscall.RawConn
	name string
	// align is the Alignment: 1, or more if the descriptor is direct.
	align int
}

func newOSFile(f *os.File, name string) (*osFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, ErrIsDir
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &osFile{f: f, conn: conn, name: name, align: 1}, nil
}

// control runs a system call on the descriptor, again if it was interrupted.
func (f *osFile) control(op string, call func(fd int) error) error {
	var err error
	cerr := f.conn.Control(func(fd uintptr) {
		for {
			if err = call(int(fd)); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	if cerr != nil { // the only reason Control has to fail
		return opError(op, f.name, ErrClosed)
	}
	return osError(op, f.name, err)
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if err := checkAligned(p, off, f.align); err != nil {
		return 0, opError("read", f.name, err)
	}
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF || n%f.align != 0 {
		// Direct I/O stops between two multiples only where the file ends; the
		// call that os.File makes behind that place may be refused as misaligned.
		return n, io.EOF
	}
	return n, osError("read", f.name, err)
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	if err := checkAligned(p, off, f.align); err != nil {
		return 0, opError("write", f.name, err)
	}
	n, err := f.f.WriteAt(p, off)
	return n, osError("write", f.name, err)
}

func (f *osFile) Sync() error {
	return f.sync()
}

func (f *osFile) Alignment() int { return f.align }

func (f *osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, osError("stat", f.name, err)
	}
	return info.Size(), nil
}

func (f *osFile) Truncate(size int64) error {
	if size < 0 {
		return opError("truncate", f.name, ErrInvalid)
	}
	return osError("truncate", f.name, f.f.Truncate(size))
}

func (f *osFile) Preallocate(size int64) error {
	if size < 0 {
		return opError("preallocate", f.name, ErrInvalid)
	}
	old, err := f.Size()
	if err != nil || size == 0 {
		return err
	}
	err = f.allocate(old, size)
	if err == nil {
		return nil
	}
	// What a failed allocation left behind the old end goes away again.
	if now, serr := f.Size(); serr == nil && now > old {
		return errors.Join(err, f.Truncate(old))
	}
	return err
}

// zeroChunkBytes is how much writeZeros writes at a time.
const zeroChunkBytes = 256 << 10

// writeZeros allocates [from, to) by writing it, aligned or not.
func (f *osFile) writeZeros(from, to int64) (err error) {
	if from >= to {
		return nil
	}
	if f.align > 1 {
		if err := f.setDirect(false); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.setDirect(true)) }()
	}
	zeros := make([]byte, min(zeroChunkBytes, to-from))
	for from < to {
		n, err := f.f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return osError("write", f.name, err)
		}
		from += int64(n)
	}
	return nil
}

func (f *osFile) Close() error {
	return osError("close", f.name, f.f.Close())
}
