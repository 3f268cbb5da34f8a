package remote

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
)

// chunk is a piece of an object in memory, or on its way.
type chunk struct {
	id        ChunkID
	n         int
	skipCache bool          // take it from the store only
	born      uint64        // later ones have larger numbers
	done      chan struct{} // closed when data or err is set
	data      []byte        // n bytes; nobody changes them while there are refs
	err       error
	cancel    context.CancelFunc // ends what happens before the download

	verifying sync.Mutex
	verified  atomic.Bool // damage is set
	damage    []extent    // of the object: what in data is not what was committed

	// The table's mutex guards what follows.
	refs      int  // readers, and the flight
	started   bool // the download goes on without readers
	ready     bool // with data
	listed    bool // in the table's map
	fromStore bool
	bad       bool // damaged, and so was the one before
	ahead     bool // read ahead, and nobody used it yet
}

// table holds the chunks in memory and their budget. Chunks without a reference
// stay until others need the memory.
type table struct {
	max      int64
	whole    int // bytes of a whole chunk
	aheadMax int64
	buffers  sync.Pool // of whole chunks, *[]byte

	mu     sync.Mutex
	chunks map[ChunkID]*chunk
	idle   *lru[*chunk, struct{}] // ready, listed and without references
	used   int64                  // bytes of chunks and reservations
	ahead  int64                  // bytes of chunks with ahead set
	queue  list.List              // of *waiter, that wait for memory
	born   uint64
	closed bool

	running *sync.WaitGroup // of flights: one more for each chunk that is made
}

type waiter struct {
	n       int64
	granted chan struct{}
}

func newTable(max int64, whole int) *table {
	t := &table{
		max: max, whole: whole, aheadMax: max / 2,
		chunks: map[ChunkID]*chunk{}, idle: newLRU[*chunk, struct{}](),
	}
	t.buffers.New = func() any { b := make([]byte, whole); return &b }
	return t
}

// cost is what a chunk of n bytes takes: small ones have buffers of their own.
func (t *table) cost(n int) int64 {
	if 2*n <= t.whole {
		return int64(n)
	}
	return int64(t.whole)
}

func (t *table) buffer(n int) []byte {
	if 2*n <= t.whole {
		return make([]byte, n)
	}
	return (*t.buffers.Get().(*[]byte))[:n]
}

func (t *table) recycle(b []byte) {
	if cap(b) == t.whole && 2*len(b) > t.whole {
		b = b[:t.whole]
		t.buffers.Put(&b)
	}
}

// join returns the chunk with a reference for the caller, and makes it if there
// is none. Unless after is 0, only chunks count that come from the store and are
// younger than the one that was born as after. created tells that the caller has to start a flight, which has
// a reference too. The error is ErrClosed.
func (t *table) join(id ChunkID, n int, after uint64) (c *chunk, created bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false, ErrClosed
	}
	if c = t.chunks[id]; c != nil {
		if after == 0 || (c.born > after && (c.skipCache || c.fromStore)) {
			t.ref(c)
			return c, false, nil
		}
		t.unlist(c)
	}
	c = t.add(id, n, after > 0)
	c.refs++
	return c, true, nil
}

// joinAhead makes a chunk for read-ahead, its memory reserved, unless it is
// there or there is no memory to spare; here tells which.
func (t *table) joinAhead(id ChunkID, n int) (c *chunk, here bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.chunks[id] != nil {
		return nil, true
	}
	cost := t.cost(n)
	if t.closed || t.ahead+cost > t.aheadMax || t.queue.Len() > 0 || !t.reclaim(cost) {
		return nil, false
	}
	t.used += cost
	t.ahead += cost
	c = t.add(id, n, false)
	c.ahead, c.started = true, true
	return c, false
}

// hold returns a chunk with a reference if it is in memory and complete.
func (t *table) hold(id ChunkID) *chunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.chunks[id]
	if c == nil || !c.ready {
		return nil
	}
	t.ref(c)
	return c
}

// retain takes another reference to a chunk that the caller holds, for a
// goroutine that Close waits for. It is false if that came first.
func (t *table) retain(c *chunk) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		c.refs++
		t.running.Add(1)
	}
	return !t.closed
}

// listedNow tells whether a chunk is in memory, and whether it is complete.
func (t *table) listedNow(id ChunkID) (here, ready bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.chunks[id]
	return c != nil, c != nil && c.ready
}

// add makes a chunk with the reference of its flight.
func (t *table) add(id ChunkID, n int, skipCache bool) *chunk {
	t.born++
	c := &chunk{id: id, n: n, skipCache: skipCache, born: t.born, done: make(chan struct{}), refs: 1, listed: true}
	t.chunks[id] = c
	t.running.Add(1)
	return c
}

// setCancel sets what ends the flight of a chunk that join created.
func (t *table) setCancel(c *chunk, cancel context.CancelFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.cancel = cancel
}

func (t *table) ref(c *chunk) {
	if c.refs == 0 {
		t.idle.remove(c)
	}
	c.refs++
	t.noLongerAhead(c)
}

func (t *table) noLongerAhead(c *chunk) {
	if c.ahead {
		c.ahead = false
		t.ahead -= t.cost(c.n)
	}
}

// start tells that the download begins, which then goes on whether or not
// anybody waits. It is false if the last reader has left.
func (t *table) start(c *chunk) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.started = true
	return c.listed || c.refs > 1
}

// publish ends a flight, with data whose memory was reserved, or an error. The
// flight keeps its reference.
func (t *table) publish(c *chunk, data []byte, fromStore bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.data, c.err, c.ready, c.fromStore = data, err, err == nil, fromStore
	if err != nil {
		t.unlist(c)
		t.noLongerAhead(c)
	}
	close(c.done)
}

// release gives a reference back.
func (t *table) release(c *chunk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.refs--
	switch {
	case c.refs == 1 && !c.started && !c.ready && c.err == nil:
		// Only the flight is left, and it still waits.
		t.unlist(c)
		if c.cancel != nil {
			c.cancel()
		}
	case c.refs > 0:
	case c.listed:
		t.idle.put(c, struct{}{}, t.cost(c.n))
		t.grant()
	default:
		t.free(c)
		t.grant()
	}
}

// unlist makes the chunk unknown to those who come. Who has it keeps it.
func (t *table) unlist(c *chunk) {
	if !c.listed {
		return
	}
	c.listed = false
	delete(t.chunks, c.id)
	if c.ready && c.refs == 0 {
		t.idle.remove(c)
		t.free(c)
	}
}

// drop unlists a chunk, unless it is younger than the one that was born as seen;
// then it returns false.
func (t *table) drop(id ChunkID, seen uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.chunks[id]
	if c != nil && c.born > seen {
		return false
	}
	if c != nil {
		t.unlist(c)
		t.grant()
	}
	return true
}

// condemn notes that a chunk is not worth keeping beyond memory.
func (t *table) condemn(id ChunkID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.chunks[id]; c != nil {
		c.bad = true
	}
}

// good tells whether a chunk is worth keeping, as far as is known.
func (t *table) good(c *chunk) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.listed && !c.bad
}

// free gives the memory of a chunk back that nobody refers to.
func (t *table) free(c *chunk) {
	t.noLongerAhead(c)
	if c.data != nil {
		t.used -= t.cost(c.n)
		t.recycle(c.data)
		c.data = nil
	}
}

// reserve takes memory for a chunk of n bytes. It waits in order of arrival.
func (t *table) reserve(ctx context.Context, n int) error {
	cost := t.cost(n)
	t.mu.Lock()
	if t.queue.Len() == 0 && t.reclaim(cost) {
		t.used += cost
		t.mu.Unlock()
		return nil
	}
	w := &waiter{n: cost, granted: make(chan struct{})}
	e := t.queue.PushBack(w)
	t.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.granted:
		t.used -= cost
	default:
		t.queue.Remove(e)
	}
	t.grant()
	return ctx.Err()
}

// unreserve gives the memory of a buffer back that became no chunk.
func (t *table) unreserve(b []byte, n int) {
	t.recycle(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used -= t.cost(n)
	t.grant()
}

// grant gives memory to those who wait for it.
func (t *table) grant() {
	for e := t.queue.Front(); e != nil; e = t.queue.Front() {
		w := e.Value.(*waiter)
		if !t.reclaim(w.n) {
			return
		}
		t.used += w.n
		t.queue.Remove(e)
		close(w.granted)
	}
}

// reclaim drops idle chunks until n bytes fit, and tells whether they do.
func (t *table) reclaim(n int64) bool {
	for t.used+n > t.max {
		c, _, ok := t.idle.oldest()
		if !ok {
			return false
		}
		t.unlist(c)
	}
	return true
}

// shrink drops idle chunks until they take at most max bytes.
func (t *table) shrink(max int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.idle.cost > max {
		c, _, _ := t.idle.oldest()
		t.unlist(c)
	}
	t.grant()
}

// close lets no flight begin any more. It tells whether it was the first.
func (t *table) close() (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = !t.closed
	t.closed = true
	return first
}

// begin adds a goroutine to those that Close waits for, unless it came first.
func (t *table) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.running.Add(1)
	}
	return !t.closed
}

// bytes returns how much memory is in use.
func (t *table) bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}
