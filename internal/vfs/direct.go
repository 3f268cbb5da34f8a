package vfs

import "unsafe"

// MaxAlignment is the largest Alignment of a direct file, and the alignment in
// memory that AlignedBuffer gives: a file system that asks for more is used
// buffered.
const MaxAlignment = 4096

// AlignedBuffer returns n zero bytes the first of which has an address that is a
// multiple of MaxAlignment, as direct files want it. The capacity is n, so
// appending moves to memory that is not aligned.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n+MaxAlignment-1)
	skip := 0
	if odd := address(b) % MaxAlignment; odd != 0 {
		skip = int(MaxAlignment - odd)
	}
	return b[skip : skip+n : skip+n]
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// checkAligned refuses a read or write that a file of that Alignment cannot do.
func checkAligned(p []byte, off int64, align int) error {
	if off < 0 {
		return ErrInvalid
	}
	mask := uint64(align - 1)
	if (uint64(off)|uint64(len(p)))&mask != 0 || len(p) > 0 && uint64(address(p))&mask != 0 {
		return ErrMisaligned
	}
	return nil
}
