package wasm

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A region is the memory of one instance: a mapping outside the Go heap that
// never moves. It implements wazero's LinearMemory.
type region struct {
	mem   []byte
	image *snapshot // what it is attached to
}

// A window is the part of an instance's memory that frames go to.
type window struct {
	at, size int
	image    []byte // its bytes in the image; nil if they are all zero
}

// mapped counts the bytes of all regions of the process, for the leak checks.
var mapped atomic.Int64

const anonymous = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE

// newRegion maps size bytes of zeros, size being a positive multiple of
// PageBytes. Nothing is resident before it is touched.
func newRegion(size int) (*region, error) {
	ptr, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, anonymous)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of guest memory: %w", size, os.NewSyscallError("mmap", err))
	}
	mapped.Add(int64(size))
	r := &region{mem: unsafe.Slice((*byte)(ptr), size)}
	r.advise()
	return r, nil
}

// Reallocate gives wazero the memory. It has its final size from the start, so
// any other size is refused.
func (r *region) Reallocate(size uint64) []byte {
	if size != uint64(len(r.mem)) {
		return nil
	}
	return r.mem
}

// Free does nothing: wazero calls it when it closes an instance, and not in
// every case. The instance's owner calls unmap.
func (r *region) Free() {}

// unmap gives the memory back. Nothing may touch it any more; calling it again
// does nothing.
func (r *region) unmap() error {
	if r.mem == nil {
		return nil
	}
	ptr, size := unsafe.Pointer(unsafe.SliceData(r.mem)), uintptr(len(r.mem))
	r.mem = nil
	mapped.Add(-int64(size))
	return os.NewSyscallError("munmap", unix.MunmapPtr(ptr, size))
}

// remap replaces n bytes at offset by another mapping.
func (r *region) remap(offset, n int, fd int, flags int) error {
	if n == 0 {
		return nil
	}
	at := unsafe.Pointer(&r.mem[offset])
	_, err := unix.MmapPtr(fd, 0, at, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	return os.NewSyscallError("mmap", err)
}

// usedPrefix returns how many bytes of mem, in whole pages, reach up to the last
// byte that is not zero.
func usedPrefix(mem []byte) int {
	end := len(mem)
	for end > 0 {
		page := mem[end-PageBytes : end]
		if !isZero(page) {
			return end
		}
		end -= PageBytes
	}
	return 0
}

func isZero(page []byte) bool {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(page))), len(page)/8)
	for _, w := range words {
		if w != 0 {
			return false
		}
	}
	return true
}
