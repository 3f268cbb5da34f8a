package vfs

import (
	"errors"
	"math"
	"math/bits"
	"os"

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

// makeDirect switches the page cache off for the descriptor if the file system
// has that, and learns the alignment. The flag is set on an open descriptor,
// because open(2) with O_CREAT and O_DIRECT may fail and leave the file behind.
func (f *osFile) makeDirect() error {
	if err := f.setDirect(true); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		return err
	}
	align, err := f.directAlignment()
	if err != nil {
		return err
	}
	if align <= 1 || align > MaxAlignment || align&(align-1) != 0 {
		return f.setDirect(false)
	}
	f.align = align
	return nil
}

func (f *osFile) setDirect(on bool) error {
	return f.control("set direct I/O of", func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			return err
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
		return err
	})
}

// directAlignment asks the kernel for the file's alignment. Where it does not
// say (Linux before 6.1, some file systems), 4 KiB are tried. It returns 0 if
// the file cannot be read direct.
func (f *osFile) directAlignment() (int, error) {
	var st unix.Statx_t
	err := f.control("stat", func(fd int) error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	})
	if err == nil && st.Mask&unix.STATX_DIOALIGN != 0 {
		return int(max(st.Dio_mem_align, st.Dio_offset_align)), nil
	}
	err = f.control("read", func(fd int) error {
		_, err := unix.Pread(fd, AlignedBuffer(MaxAlignment), 0)
		return err
	})
	switch {
	case errors.Is(err, unix.EINVAL):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return MaxAlignment, nil
}

// SyncAll uses syncfs. The descriptor of the root directory is as old as the
// file system, so it reports everything that could not be written since (Linux
// 5.8). It reports that once: it is kept, so that no later call is told that all
// is well. A file system with no metadata to write may end syncfs without
// telling the drive to empty its cache, where direct writes stand; fdatasync,
// of whatever file, always tells it.
func (o *osFS) SyncAll() error {
	o.syncing.Lock()
	defer o.syncing.Unlock()
	if o.syncErr != nil {
		return o.syncErr
	}
	if o.barrier == nil {
		file, err := o.unnamed()
		if err != nil {
			return errors.Join(opError("sync everything", ".", ErrUnsupported), err)
		}
		o.barrier = file
	}
	o.syncErr = o.control("sync everything", unix.Syncfs)
	if o.syncErr == nil {
		o.syncErr = o.barrier.sync()
	}
	return o.syncErr
}

// unnamed makes a file that has no name and goes with its descriptor.
func (o *osFS) unnamed() (*osFile, error) {
	var file *os.File
	err := o.control("make an unnamed file in", func(fd int) error {
		n, err := unix.Openat(fd, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, fileMode)
		if err == nil {
			file = os.NewFile(uintptr(n), "unnamed")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return newOSFile(file, "unnamed")
}
