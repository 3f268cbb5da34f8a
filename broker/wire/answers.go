package wire

// answerMemory is what a request holds for its answer: memory that it reserved
// before it made it, or what it is charged when it has it.
type answerMemory struct {
	// Guarded by Conn.mu. What is held is the handler's until it answers.
	state       reservationState
	least, most int64
	granted     func()
	waiter      *budgetWaiter
	held        int64

	unreserved int64 // charged to the server's replies
}

// owedPart is the part of the memory of answers that were not reserved that a
// connection may owe to be read further.
const owedPart = 8

type reservationState uint8

const (
	reservationNone    reservationState = iota
	reservationInLine                   // its connection has answers to write before
	reservationWaiting                  // for memory
	reservationHeld
)

// Reserve takes memory for an answer before it is made: at most most bytes and
// at least least. It returns how much the answer may have, which is held until
// Unreserve is called or the answer is written. An answer that is larger after
// all is charged for what it is.
//
// If it returns false the request waits: until the answers before it on its
// connection are written, so that a client that reads nothing holds the memory of
// one answer, and then for the memory, first come, first served. Granted is then
// called, on any goroutine, and the caller asks again; also when the connection
// closes. It must not block. One goroutine at a time calls Reserve and Unreserve,
// and none does after the answer.
func (r *Request) Reserve(least, most int64, granted func()) (bytes int64, ok bool) {
	c, a := r.Conn, &r.answer
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case a.state == reservationHeld:
		return a.held, true
	case a.state != reservationNone:
		return 0, false
	case c.closed: // the answer will be thrown away
		return least, true
	}
	a.state, a.least, a.most, a.granted = reservationInLine, least, max(least, most), granted
	return a.held, c.isFirst(r) && r.takeReservation()
}

// Unreserve gives back what Reserve took.
func (r *Request) Unreserve() {
	c, a := r.Conn, &r.answer
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.state == reservationHeld {
		c.s.reserved.give(a.held)
		a.state, a.held = reservationNone, 0
	}
}

// isFirst reports whether the answer to r is the next to be written and none is
// being written. The caller holds the lock.
func (c *Conn) isFirst(r *Request) bool {
	return c.queued > 0 && c.ring[c.head] == r && c.inFlight == c.queued
}

// takeReservation takes the memory, or begins to wait for it. The caller holds
// the lock.
func (r *Request) takeReservation() bool {
	a := &r.answer
	// The budget's lock is held when it grants, and the connection's comes before.
	n, w := r.Conn.s.reserved.takeSome(a.least, a.most, func() { go r.onGranted() })
	if w != nil {
		a.state, a.waiter = reservationWaiting, w
		return false
	}
	a.state, a.held = reservationHeld, n
	return true
}

func (r *Request) onGranted() {
	c, a := r.Conn, &r.answer
	c.mu.Lock()
	if a.state != reservationWaiting { // its connection has closed
		c.mu.Unlock()
		return
	}
	a.state, a.held, a.waiter = reservationHeld, min(a.least, c.s.reserved.total), nil
	granted := a.granted
	c.mu.Unlock()
	granted()
}

// reserveFirst lets the request whose answer is next reserve its memory, if it
// wants to.
func (c *Conn) reserveFirst() {
	c.mu.Lock()
	var granted func()
	if c.queued > 0 {
		if r := c.ring[c.head]; r.answer.state == reservationInLine && c.isFirst(r) && r.takeReservation() {
			granted = r.answer.granted
		}
	}
	c.mu.Unlock()
	if granted != nil {
		granted()
	}
}

// reserving ends all waits for memory of a connection that is closing, and
// returns whom to tell. The caller holds the lock, and the queue is not dropped.
func (c *Conn) reserving() (granted []func()) {
	for i := range c.queued {
		r := c.ring[(c.head+i)%len(c.ring)]
		if r.endWait() {
			granted = append(granted, r.answer.granted)
		}
	}
	return granted
}

// endWait ends a wait for memory, and reports whether there was one. The caller
// holds the lock.
func (r *Request) endWait() bool {
	a := &r.answer
	switch a.state {
	case reservationInLine:
	case reservationWaiting:
		r.Conn.s.reserved.cancel(a.waiter)
	default:
		return false
	}
	a.state, a.waiter = reservationNone, nil
	return true
}

// chargeAnswer charges an answer for what it is.
func (r *Request) chargeAnswer() {
	c, a := r.Conn, &r.answer
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.state != reservationHeld {
		r.endWait()
		a.unreserved = r.bytes
		c.owed += r.bytes
		c.s.replies.charge(r.bytes)
		return
	}
	if r.bytes > a.held {
		c.s.reserved.charge(r.bytes - a.held)
	} else {
		c.s.reserved.give(a.held - r.bytes)
	}
	a.held = r.bytes
}

// giveAnswerBack is called once for an answered request, when its answer is
// written or never will be.
func (r *Request) giveAnswerBack() {
	c, a := r.Conn, &r.answer
	if a.unreserved > 0 {
		c.s.replies.give(a.unreserved)
		c.mu.Lock()
		c.owed -= a.unreserved
		c.space.Signal()
		c.mu.Unlock()
		a.unreserved = 0
	}
	if a.granted == nil { // it never reserved anything
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.endWait()
	if a.state == reservationHeld {
		c.s.reserved.give(a.held)
	}
	a.state, a.held = reservationNone, 0
}
