package remote

import (
	"bytes"
	"sync"
)

// ChunkID names a range of an object for ever: objects are immutable, and their
// keys are used once.
type ChunkID struct {
	Object [16]byte // from cluster, partition, base, term and upload id
	Offset int64    // in the object
}

// Cache keeps chunks beyond a Reader's memory. It holds only what can be lost:
// its methods return no errors, and forget a chunk instead. All methods may be
// called from any goroutine and may block on disk, but on nothing else.
type Cache interface {
	// Get fills into with a chunk of exactly that length, verified, or returns
	// false.
	Get(id ChunkID, into []byte) bool
	// Has tells whether Get is likely to find the chunk. It does no I/O, apart
	// from opening the cache the first time.
	Has(id ChunkID) bool
	// Put keeps a copy of data, replacing what is there.
	Put(id ChunkID, data []byte)
	// Drop forgets a chunk.
	Drop(id ChunkID)
	// Expire forgets what was not used for the cache's maximum age; a bounded
	// number of chunks in one call. It does not open the cache.
	Expire()
	// Stats returns counters. It does not open the cache.
	Stats() CacheStats
	// Close releases the cache, which stays for the next one where it can. Calls
	// after it find and keep nothing.
	Close()
}

// CacheStats counts what a Cache did since it was made.
type CacheStats struct {
	Bytes     int64 // that the chunks take
	Chunks    int64
	Evictions int64 // chunks that left for want of space or for their age
	Errors    int64 // failures of the disk or the index, and damaged chunks
}

// noCache keeps nothing.
type noCache struct{}

func (noCache) Get(ChunkID, []byte) bool { return false }
func (noCache) Has(ChunkID) bool         { return false }
func (noCache) Put(ChunkID, []byte)      {}
func (noCache) Drop(ChunkID)             {}
func (noCache) Expire()                  {}
func (noCache) Stats() CacheStats        { return CacheStats{} }
func (noCache) Close()                   {}

// memoryCache is a Cache in memory.
type memoryCache struct {
	max int64

	mu     sync.Mutex
	chunks *lru[ChunkID, []byte]
	stats  CacheStats
	closed bool
}

// NewMemoryCache returns a Cache of at most max bytes in memory, for tests and
// simulations. It knows no age.
func NewMemoryCache(max int64) Cache {
	return &memoryCache{max: max, chunks: newLRU[ChunkID, []byte]()}
}

func (m *memoryCache) Get(id ChunkID, into []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.chunks.get(id)
	if !ok || len(data) != len(into) {
		return false
	}
	copy(into, data)
	return true
}

func (m *memoryCache) Has(id ChunkID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.chunks.peek(id) != nil
}

func (m *memoryCache) Put(id ChunkID, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := int64(len(data))
	m.chunks.remove(id)
	if m.closed || n > m.max {
		return
	}
	for m.chunks.cost+n > m.max {
		oldest, _, _ := m.chunks.oldest()
		m.chunks.remove(oldest)
		m.stats.Evictions++
	}
	m.chunks.put(id, bytes.Clone(data), n)
}

func (m *memoryCache) Drop(id ChunkID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chunks.remove(id)
}

func (m *memoryCache) Expire() {}

func (m *memoryCache) Stats() CacheStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Bytes, s.Chunks = m.chunks.cost, int64(m.chunks.len())
	return s
}

func (m *memoryCache) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.chunks = newLRU[ChunkID, []byte]()
}
