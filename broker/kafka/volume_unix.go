//go:build linux || darwin

package kafka

import (
	"math"
	"syscall"
)

// volume returns how large the volume of a directory is and how much of it may
// still be used, in bytes; -1 and -1 if that is not known. It blocks on disk.
func volume(dir string) (total, usable int64) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1, -1
	}
	size := uint64(s.Bsize)
	if size == 0 || s.Blocks > math.MaxInt64/size || s.Bavail > s.Blocks {
		return -1, -1
	}
	return int64(s.Blocks * size), int64(s.Bavail * size)
}
