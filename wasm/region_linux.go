//go:build linux

package wasm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Setting back is copy-on-write: the image lies in an unnamed file that every
// instance maps privately, and dropping the private pages shows the image again.
const resetIsLazy = true

// A snapshot is the memory part of an image, in an unnamed file.
type snapshot struct {
	file   *os.File
	prefix int
}

// newSnapshot copies what of mem is not zero.
func newSnapshot(mem []byte) (*snapshot, error) {
	s := &snapshot{prefix: usedPrefix(mem)}
	if s.prefix == 0 {
		return s, nil
	}
	fd, err := unix.MemfdCreate("varve-plugin-image", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create image: %w", os.NewSyscallError("memfd_create", err))
	}
	s.file = os.NewFile(uintptr(fd), "plugin image")
	if _, err := s.file.Write(mem[:s.prefix]); err != nil {
		_ = s.file.Close()
		return nil, fmt.Errorf("write image: %w", err)
	}
	return s, nil
}

// close gives the image back; mappings of it stay valid.
func (s *snapshot) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

func (r *region) advise() {
	// One touched byte shall cost one page of 4 KiB, not one of 2 MiB. A kernel
	// without huge pages refuses, which is as good.
	_ = unix.Madvise(r.mem, unix.MADV_NOHUGEPAGE)
}

// attach makes the region show the snapshot, whatever it held.
func (r *region) attach(s *snapshot) error {
	if s.prefix > 0 {
		if err := r.remap(0, s.prefix, int(s.file.Fd()), unix.MAP_PRIVATE); err != nil {
			return fmt.Errorf("map image: %w", err)
		}
	}
	r.image = s
	return r.reset(window{}, 0)
}

var osPage = os.Getpagesize()

// reset drops what was written since attach. The first n bytes of the window are
// written back instead, in whole pages: the next call will fill them again, and
// copying is ten times cheaper than faulting pages in.
func (r *region) reset(w window, n int) error {
	from := (w.at + osPage - 1) &^ (osPage - 1)
	to := min((w.at+n+osPage-1)&^(osPage-1), (w.at+w.size)&^(osPage-1))
	if from >= to {
		return drop(r.mem)
	}
	if w.image == nil {
		clear(r.mem[from:to])
	} else {
		copy(r.mem[from:to], w.image[from-w.at:])
	}
	if err := drop(r.mem[:from]); err != nil {
		return err
	}
	return drop(r.mem[to:])
}

func drop(mem []byte) error {
	if len(mem) == 0 {
		return nil
	}
	if err := unix.Madvise(mem, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("reset guest memory: %w", os.NewSyscallError("madvise", err))
	}
	return nil
}
