//go:build unix && !linux

package vfs

import (
	"errors"
	"math"
	"math/bits"

	"golang.org/x/sys/unix"
)

// sync uses os.File.Sync, which on macOS asks the drive to empty its cache
// (F_FULLFSYNC); fsync alone does not there.
func (f *osFile) sync() error {
	return osError("sync", f.name, f.f.Sync())
}

// allocate writes zeros beyond old, the file's length; holes before it stay.
func (f *osFile) allocate(old, size int64) error {
	return f.writeZeros(old, size)
}

// statfsFree returns how many bytes an unprivileged process may still allocate.
func statfsFree(fd int) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Fstatfs(fd, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, err
		}
	}
	hi, lo := bits.Mul64(uint64(max(st.Bavail, 0)), uint64(st.Bsize))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64, nil
	}
	return int64(lo), nil
}

func flock(fd int) error {
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
}

// makeDirect leaves the file buffered.
func (f *osFile) makeDirect() error { return nil }

// setDirect is never called for a buffered file.
func (f *osFile) setDirect(bool) error { return nil }

// SyncAll has no system call to use.
func (o *osFS) SyncAll() error { return opError("sync everything", ".", ErrUnsupported) }
