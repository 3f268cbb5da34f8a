package storage

import (
	"sync"
	"unsafe"
)

// smallBuffer is the size up to which a run's buffer is made for it and left to
// the garbage collector.
const smallBuffer = 64 << 10

// alignedBuffer returns n bytes whose address is a multiple of the block size,
// so that a direct write can take them.
func alignedBuffer(n int) []byte {
	b := make([]byte, n+blockSize)
	skip := 0
	if over := uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (blockSize - 1); over != 0 {
		skip = blockSize - int(over)
	}
	return b[skip : skip+n : skip+n]
}

// bufferList keeps a few large aligned buffers for runs.
type bufferList struct {
	mu   sync.Mutex
	max  int
	free [][]byte
}

// get returns n aligned bytes of any content.
func (l *bufferList) get(n int) []byte {
	if n > smallBuffer {
		l.mu.Lock()
		if k := len(l.free); k > 0 && cap(l.free[k-1]) >= n {
			b := l.free[k-1][:n]
			l.free = l.free[:k-1]
			l.mu.Unlock()
			return b
		}
		l.mu.Unlock()
		return alignedBuffer(max(n, defaultRunBytes))[:n]
	}
	return alignedBuffer(n)
}

// put takes back what get returned.
func (l *bufferList) put(b []byte) {
	if cap(b) < defaultRunBytes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) < l.max {
		l.free = append(l.free, b[:cap(b)])
	}
}
