package wire

import (
	"math/bits"
	"sync"

	"github.com/varvelog/varve/internal/invariant"
)

// Buffers come in classes, four to a doubling, so that at most a fifth of one
// is unused. Larger ones are made to measure and left to the collector.
const (
	bufferBytesMin    = 1 << 10
	bufferBytesPooled = 16 << 20
	bufferClasses     = 4*14 + 1
)

// poison is what released buffers are filled with in builds with the tag
// "invariants", so that a use after release shows.
const poison = 0xDB

// buffersOut counts the buffers that are not given back.
var buffersOut = invariant.NewGauge("buffers of frames")

// A buffer holds the bytes of one frame after the header's prefix.
type buffer struct {
	b     []byte // its capacity is that of its class
	class int    // -1: not pooled
}

// bufferPool hands out buffers. The zero value is ready; it may be used by any
// goroutine. What it keeps, the collector may drop.
type bufferPool struct {
	classes [bufferClasses]sync.Pool
	poison  bool
}

func newBufferPool() *bufferPool { return &bufferPool{poison: invariant.Enabled} }

// get returns a buffer of length n with undefined contents.
func (p *bufferPool) get(n int) *buffer {
	buffersOut.Add(1)
	class, size := bufferClass(n)
	if class < 0 {
		return &buffer{b: make([]byte, n), class: -1}
	}
	if v := p.classes[class].Get(); v != nil {
		buf := v.(*buffer)
		buf.b = buf.b[:n]
		return buf
	}
	return &buffer{b: make([]byte, n, size), class: class}
}

// put takes back a buffer that nothing refers to any more.
func (p *bufferPool) put(buf *buffer) {
	buffersOut.Add(-1)
	if p.poison {
		b := buf.b[:cap(buf.b)]
		for i := range b {
			b[i] = poison
		}
	}
	if buf.class >= 0 {
		p.classes[buf.class].Put(buf)
	}
}

// bufferCap returns the memory that a buffer of length n takes.
func bufferCap(n int) int {
	_, size := bufferClass(n)
	return size
}

// bufferClass returns the smallest class that holds n bytes and the size of its
// buffers, or -1 and n above the largest class.
func bufferClass(n int) (class, size int) {
	if n <= bufferBytesMin {
		return 0, bufferBytesMin
	}
	if n > bufferBytesPooled {
		return -1, n
	}
	octave := bits.Len(uint(n-1)) - 1 // 2^octave < n <= 2^(octave+1)
	quarter := (n - 1 - 1<<octave) >> (octave - 2)
	size = 1<<octave + (quarter+1)<<(octave-2)
	return 4*(octave-10) + quarter + 1, size
}
