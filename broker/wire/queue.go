package wire

import "sync"

// A write takes ready replies up to these bounds, so that the requests of a
// batch are given back while later ones are still being answered.
const (
	writeReplies  = 64
	writeBytesMax = 1 << 20
)

// queue has the requests of a connection in order of arrival. Its fields are
// guarded by the connection's mutex, which both conditions use.
type queue struct {
	ring     []*Request
	head     int
	queued   int   // in the ring: read, and not yet taken by the writer
	inFlight int   // queued, or being written
	owed     int64 // bytes of answers that were not reserved and are not yet written

	space sync.Cond // the reader waits for inFlight to fall
	ready sync.Cond // the writer waits for the head to be ready
}

func (q *queue) init(inFlightMax int, mu *sync.Mutex) {
	q.ring = make([]*Request, inFlightMax)
	q.space.L, q.ready.L = mu, mu
}

func (q *queue) wakeAll() {
	q.space.Broadcast()
	q.ready.Broadcast()
}

// pop removes the head.
func (q *queue) pop() *Request {
	r := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.queued--
	return r
}

// drop empties the queue and returns the requests that are answered. Those that
// are not find out when they are.
func (q *queue) drop() (answered []*Request) {
	for q.queued > 0 {
		if r := q.pop(); r.ready {
			answered = append(answered, r)
		}
	}
	return answered
}

// waitSpace blocks while the connection has as many requests in flight as it
// may, or its client has taken so little of their answers that others may have to
// wait for the memory, and returns whether it is still to be read.
func (c *Conn) waitSpace() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for (c.inFlight == len(c.ring) || c.owed > c.s.replies.total/owedPart) && !c.ending && !c.closed {
		c.space.Wait()
	}
	return !c.ending && !c.closed
}

// push adds a request at the end, unless the connection is ending or closed.
// Only the reader calls it, after waitSpace.
func (c *Conn) push(r *Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.closed {
		return false
	}
	c.ring[(c.head+c.queued)%len(c.ring)] = r
	c.queued++
	c.inFlight++
	return true
}

// answer marks a request as answered. If its connection has closed that is the
// end of it.
func (c *Conn) answer(r *Request) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		r.ready = true
		if c.queued > 0 && c.ring[c.head] == r {
			c.ready.Signal()
		}
	}
	c.mu.Unlock()
	if closed {
		r.finish()
	}
}

// take blocks until the head is ready and appends what is ready to batch. Last
// says that nothing is to be written after it. Ok is false if the connection
// has closed.
func (c *Conn) take(batch []*Request) (_ []*Request, last, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && !(c.queued > 0 && c.ring[c.head].ready) && !(c.ending && c.queued == 0) {
		c.ready.Wait()
	}
	if c.closed {
		return batch, false, false
	}
	bytes := int64(0)
	for c.queued > 0 && c.ring[c.head].ready && len(batch) < writeReplies && bytes < writeBytesMax {
		r := c.pop()
		batch = append(batch, r)
		bytes += r.bytes
		if r.failed {
			return batch, true, true
		}
	}
	return batch, c.ending && c.queued == 0, true
}

// written ends the requests of a batch.
func (c *Conn) written(batch []*Request) {
	c.mu.Lock()
	c.inFlight -= len(batch)
	c.space.Signal()
	c.mu.Unlock()
	for _, r := range batch {
		r.finish()
	}
	clear(batch)
	c.reserveFirst()
}

// isEnding reports whether nothing is to be read any more.
func (c *Conn) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// busy returns the number of requests in flight.
func (c *Conn) busy() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}
