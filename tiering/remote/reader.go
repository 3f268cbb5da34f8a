package remote

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/tiering/objstore"
)

// writesMax bounds how many chunks are written to the cache at once, which take at
// most half of the memory.
const writesMax = 64

// idleShare is the part of the memory that Expire leaves to chunks that nobody
// uses: one in so many.
const idleShare = 8

// Reader reads the batches of segments that are in an object store. It is safe
// for concurrent use.
type Reader struct {
	store      objstore.Store
	cluster    string
	clusterSum [8]byte
	o          Options

	base    context.Context // of all flights
	stop    context.CancelFunc
	running sync.WaitGroup // Add under the table's mutex, while it is not closed

	table      *table
	tails      *tails
	streams    *streams
	failures   *failures
	slots      chan struct{} // downloads
	aheadSlots chan struct{} // those of them that nobody waits for
	writes     chan struct{} // to the cache
	n          counters
}

type counters struct {
	memoryHits, cacheHits, misses, readAhead, notKept atomic.Int64
	storeBytes, storeErrors, damaged                  atomic.Int64
}

// Stats counts what a Reader did since it was made. The numbers are taken one
// after the other, not at one instant.
type Stats struct {
	MemoryHits  int64 // chunks that were in memory, or on their way there
	CacheHits   int64 // chunks that came from the Cache
	Misses      int64 // downloads, those of ReadAhead included
	ReadAhead   int64 // downloads that no reader waited for when they began
	StoreBytes  int64 // downloaded
	StoreErrors int64 // downloads that failed
	Damaged     int64 // chunks and tails that were not what was committed
	NotKept     int64 // downloads that the Cache was too slow for
	HeldBytes   int64 // memory of chunks, in use or for the next read
	TailBytes   int64 // memory of parsed tails
	Cache       CacheStats
}

// New returns a Reader of the segments of a cluster. The store stays the
// caller's; it must live until Close returned. New does no I/O and starts
// nothing.
func New(store objstore.Store, cluster string, o Options) *Reader {
	o = o.normal()
	r := &Reader{
		store: store, cluster: cluster, o: o,
		table:      newTable(o.MemoryBytes, o.ChunkBytes),
		tails:      newTails(o.TailBytes),
		streams:    newStreams(o.Streams, o.StreamAge, o.ReadAheadChunks),
		failures:   newFailures(o.FailureAge),
		slots:      make(chan struct{}, o.Downloads),
		aheadSlots: make(chan struct{}, (3*o.Downloads+3)/4),
		writes:     make(chan struct{}, min(writesMax, o.MemoryBytes/int64(2*o.ChunkBytes))),
	}
	r.table.running = &r.running
	sum := sha256.Sum256([]byte(cluster))
	r.clusterSum = [8]byte(sum[:])
	r.base, r.stop = context.WithCancel(context.Background())
	return r
}

// Close cancels the downloads, waits until they have ended, and closes the
// Cache. Reads that wait, and calls that come later, fail with ErrClosed. A
// second Close waits too and does nothing else.
func (r *Reader) Close() {
	first := r.table.close()
	r.stop()
	r.running.Wait()
	if first {
		r.o.Cache.Close()
	}
}

// Expire lets go of what was not used for long: chunks in the Cache that are
// older than its maximum age, such as those of deleted topics, and most of the
// memory that no read uses. The caller calls it now and then, such as every ten
// seconds. It may block on disk.
func (r *Reader) Expire() {
	r.table.shrink(r.o.MemoryBytes / idleShare)
	r.o.Cache.Expire()
}

// Stats returns counters.
func (r *Reader) Stats() Stats {
	return Stats{
		MemoryHits: r.n.memoryHits.Load(), CacheHits: r.n.cacheHits.Load(), Misses: r.n.misses.Load(),
		ReadAhead: r.n.readAhead.Load(), StoreBytes: r.n.storeBytes.Load(), StoreErrors: r.n.storeErrors.Load(),
		Damaged: r.n.damaged.Load(), NotKept: r.n.notKept.Load(),
		HeldBytes: r.table.bytes(), TailBytes: r.tails.bytes(), Cache: r.o.Cache.Stats(),
	}
}

// failures remembers damage that a second download did not mend.
type failures struct {
	age time.Duration
	mu  sync.Mutex
	at  *lru[ChunkID, time.Time]
}

// failuresMax bounds what is remembered.
const failuresMax = 1024

func newFailures(age time.Duration) *failures {
	return &failures{age: age, at: newLRU[ChunkID, time.Time]()}
}

func (f *failures) add(id ChunkID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at.put(id, now, 1)
	if f.at.len() > failuresMax {
		oldest, _, _ := f.at.oldest()
		f.at.remove(oldest)
	}
}

func (f *failures) recent(id ChunkID, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.at.peek(id)
	return at != nil && now.Sub(*at) < f.age
}
