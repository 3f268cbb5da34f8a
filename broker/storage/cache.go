package storage

import (
	"sync/atomic"

	"github.com/varvelog/varve/internal/vfs"
)

// Limits bound what all logs of a broker hold in memory and open. A value of 0
// means the default.
type Limits struct {
	// TailBytes is how many bytes of applied batches stay in memory, with a
	// fixed allowance for each. What is not yet written counts and stays
	// whatever the limit. Default 64 MiB.
	TailBytes int64
	// OpenFiles is how many handles of segment files stay open: one to read a
	// file and one to write it. Files in use are not closed, so that it can be
	// exceeded by the number of concurrent users. Default 1024.
	OpenFiles int
	// IndexBytes is how many bytes of index entries of files stay in memory.
	// Default 32 MiB.
	IndexBytes int64
	// RunBuffers is how many spare buffers for large runs are kept. Each run that
	// is being written has one besides. Default 4.
	RunBuffers int
	// MaxDecompressedBytes bounds what one batch may grow to in a lookup by
	// time. Default: that of package record.
	MaxDecompressedBytes int
	// Alloc makes the buffer of n bytes for a read from a file. It is called
	// from any goroutine, and the buffer belongs to the Chunk, or to a lookup,
	// which drops it. Default make.
	Alloc func(n int) []byte
}

// Cache is what the logs of a broker share: the budget of their tails, open
// files, index entries and buffers. It is safe for concurrent use.
type Cache struct {
	limits  Limits
	tail    atomic.Int64 // bytes in tails
	hits    atomic.Int64 // reads that began in a tail
	misses  atomic.Int64 // reads that began in a file
	files   fileCache
	indexes indexCache
	buffers bufferList
	direct  atomic.Bool // the last run was written direct
}

// NewCache returns an empty cache.
func NewCache(limits Limits) *Cache {
	if limits.TailBytes <= 0 {
		limits.TailBytes = 64 << 20
	}
	if limits.OpenFiles <= 0 {
		limits.OpenFiles = 1024
	}
	if limits.IndexBytes <= 0 {
		limits.IndexBytes = 32 << 20
	}
	if limits.RunBuffers <= 0 {
		limits.RunBuffers = 4
	}
	if limits.Alloc == nil {
		limits.Alloc = func(n int) []byte { return make([]byte, n) }
	}
	c := &Cache{limits: limits}
	c.files.init(limits.OpenFiles)
	c.indexes.init(limits.IndexBytes)
	c.buffers.max = limits.RunBuffers
	return c
}

// CacheStats is what a Cache holds now, and what it did.
type CacheStats struct {
	TailBytes    int64
	TailHits     int64 // reads that the tail answered alone
	TailMisses   int64 // reads that went to a file
	OpenFiles    int
	IndexBytes   int64
	IndexLoads   int64 // index files read
	IndexRebuilt int64 // indexes rebuilt from the segment, as the file was bad
	RunBytes     int64 // buffers of runs, in use and spare
	Direct       bool  // the last run went past the page cache
}

// Stats returns the present figures.
func (c *Cache) Stats() CacheStats {
	s := CacheStats{TailBytes: c.tail.Load(), TailHits: c.hits.Load(), TailMisses: c.misses.Load(), OpenFiles: c.files.open()}
	s.IndexBytes, s.IndexLoads, s.IndexRebuilt = c.indexes.stats()
	s.RunBytes, s.Direct = c.buffers.bytes(), c.direct.Load()
	return s
}

// TailOver returns by how many bytes the tails exceed their budget, at most 0
// if they do not. The owner of idle logs then calls EvictIdle.
func (c *Cache) TailOver() int64 { return c.tail.Load() - c.limits.TailBytes }

// forget drops what is held for a segment that will not be used again. It may
// close a file. Users in flight finish, and leave nothing behind.
func (c *Cache) forget(g *segment) {
	g.gone.Store(true)
	c.indexes.drop(g)
	c.files.drop(g)
}

// acquire returns the buffered handle of a segment's file; release gives it back.
func (c *Cache) acquire(fs vfs.FS, g *segment) (*handle, error) {
	return c.files.acquire(fileID{g: g}, func() (vfs.File, error) { return fs.Open(g.data) })
}

// wrote notes how a run was written. All segments lie on one file system.
func (c *Cache) wrote(direct bool) {
	if c.direct.Load() != direct {
		c.direct.Store(direct)
	}
}

func (c *Cache) release(h *handle) { c.files.release(h) }
