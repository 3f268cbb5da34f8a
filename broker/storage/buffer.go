package storage

import (
	"sync"

	"github.com/varvelog/varve/internal/vfs"
)

// smallBuffer is the size up to which a run's buffer is made for it and left to
// the garbage collector.
const smallBuffer = 64 << 10

// bufferList keeps a few large buffers for runs, aligned as direct writes want
// them, and counts all that are in use.
type bufferList struct {
	mu   sync.Mutex
	max  int
	free [][]byte
	held int64 // bytes of all buffers, in use and free
}

// get returns n aligned bytes of any content.
func (l *bufferList) get(n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > smallBuffer {
		if k := len(l.free); k > 0 && cap(l.free[k-1]) >= n {
			b := l.free[k-1][:n]
			l.free[k-1] = nil
			l.free = l.free[:k-1]
			return b
		}
	}
	size := n
	if n > smallBuffer {
		size = max(n, defaultRunBytes)
	}
	l.held += int64(size)
	return vfs.AlignedBuffer(size)[:n]
}

// put takes back what get returned.
func (l *bufferList) put(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(b) >= defaultRunBytes && len(l.free) < l.max {
		l.free = append(l.free, b[:cap(b)])
		return
	}
	l.held -= int64(cap(b))
}

// bytes returns the size of all buffers.
func (l *bufferList) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}
