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
	size := n
	if n > smallBuffer {
		size = max(n, defaultRunBytes)
		if b := l.take(n); b != nil {
			return b
		}
	}
	l.mu.Lock()
	l.held += int64(size)
	l.mu.Unlock()
	return vfs.AlignedBuffer(size)[:n]
}

// take returns n bytes of a spare buffer, nil if there is none of that size.
func (l *bufferList) take(n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := len(l.free)
	if k == 0 || cap(l.free[k-1]) < n {
		return nil
	}
	b := l.free[k-1][:n]
	l.free[k-1] = nil
	l.free = l.free[:k-1]
	return b
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
