package vfs

import (
	"errors"
	"math"
	"math/bits"

	"golang.org/x/sys/unix"
)

// sync uses fdatasync: it writes the length if that changed, and leaves out the
// times, which would cost a journal commit each.
func (f *osFile) sync() error {
	return f.control("sync", unix.Fdatasync)
}

// allocate makes [0, size) allocated; old is the file's length. Where the file
// system cannot reserve, only what lies beyond old is, by writing zeros.
func (f *osFile) allocate(old, size int64) error {
	err := f.control("preallocate", func(fd int) error {
		return unix.Fallocate(fd, 0, 0, size)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.writeZeros(old, size)
	}
	return err
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
	unit := st.Frsize
	if unit == 0 {
		unit = st.Bsize
	}
	hi, lo := bits.Mul64(st.Bavail, uint64(unit))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64, nil
	}
	return int64(lo), nil
}

func flock(fd int) error {
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
}
