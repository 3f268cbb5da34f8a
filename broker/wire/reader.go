package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// readAheadBytes is how much of the input is read at once where it is not known
// to be a body: whole small requests, and the start of large ones.
const readAheadBytes = 2 << 10

// sendPart is the part of PressedMax that a client has at least that sends.
const sendPart = 20

// unsupportedBytesMax bounds an ApiVersions frame of a version that is not
// served.
const unsupportedBytesMax = 64 << 10

var (
	// ErrIdle: nothing happened on the connection for Settings.IdleMax, or it
	// never began within HandshakeMax.
	ErrIdle = errors.New("wire: idle connection")
	// ErrSlow: a frame that had begun did not arrive within its time.
	ErrSlow = errors.New("wire: frame did not arrive in time")

	errEnding = errors.New("wire: connection is ending")
)

// read is the reader goroutine: it reads frames and serves them until the
// connection ends, and is the last to close it.
func (c *Conn) read() {
	defer c.s.wg.Done()
	err := c.open()
	for err == nil {
		err = c.readFrame()
		if c.in.Buffered() > 0 {
			// A client that sends requests without end gets one in its turn: else
			// a few hundred of them keep everybody's goroutines waiting for
			// seconds, each for a whole slice of time.
			runtime.Gosched()
		}
	}
	if !c.isEnding() {
		c.reportRead(err)
	}
	if malformed(err) {
		c.end(err)
	}
	if c.discard() {
		err = nil
	}
	c.close(err)
}

// open does what comes before the first frame.
func (c *Conn) open() error {
	if t, ok := c.nc.(*tls.Conn); ok {
		if err := c.nc.SetDeadline(time.Now().Add(c.s.set.HandshakeMax)); err != nil {
			return err
		}
		if err := t.Handshake(); err != nil {
			return fmt.Errorf("%w: %w", errTLS, err)
		}
	}
	if c.s.opener != nil {
		return c.guard(func() error { return c.s.opener.Open(c) })
	}
	return nil
}

// readFrame reads one frame and serves it.
func (c *Conn) readFrame() error {
	if err := c.awaitFrame(); err != nil {
		return err
	}
	if !c.awaitMute() || !c.waitSpace() {
		return errEnding
	}
	if c.in.Buffered() < lengthBytes+prefixBytes && !c.arm(c.s.set.ReadMax) {
		return errEnding
	}
	length, p, err := c.readPrefix()
	if err != nil {
		return err
	}
	limits, known := c.s.set.limits(p)
	unsupported := !known && p.key == keyApiVersions
	if unsupported {
		limits.FrameBytesMax = min(limits.FrameBytesMax, unsupportedBytesMax)
	} else if !known {
		return fmt.Errorf("%w: key %d version %d", ErrUnknownAPI, p.key, p.version)
	}
	if length > limits.FrameBytesMax {
		return fmt.Errorf("%w: API key %d, %d bytes, at most %d", ErrFrameTooLarge, p.key, length, limits.FrameBytesMax)
	}

	// What of the frame fits into the connection's own buffer comes first: nothing
	// is taken for a client that sends it slowly.
	if err := c.awaitStart(length - prefixBytes); err != nil {
		return err
	}
	r := &Request{
		Key: p.key, Version: p.version, CorrelationID: p.correlationID,
		FrameBytes: length, Unsupported: unsupported, Conn: c,
	}
	if limits.AnswerSmall || c.in.Buffered() < length-prefixBytes {
		if !c.awaitReplies(limits.AnswerSmall) {
			return errEnding
		}
		return c.handle(r, limits)
	}
	// A few bytes may ask for much: only some of those are answered at a time, so
	// that the memory of the answers is seen to be gone before all are, and so that
	// they do not keep everybody else's goroutines waiting.
	turn, ok := c.s.turns.take(1, c.stop)
	if !ok {
		return errEnding
	}
	defer c.s.turns.give(turn)
	if !c.awaitReplies(false) {
		return errEnding
	}
	return c.handle(r, limits)
}

// handle reads the rest of a frame and serves it.
func (c *Conn) handle(r *Request, limits Limits) error {
	if err := c.readBody(r, r.FrameBytes-prefixBytes, limits); err != nil {
		return err
	}
	if !c.push(r) {
		r.giveBack()
		return errEnding
	}
	return c.serve(r)
}

// awaitFrame waits for the first byte of the next frame.
func (c *Conn) awaitFrame() error {
	wait := c.s.set.IdleMax
	if c.first {
		wait = c.s.set.HandshakeMax
	}
	for c.in.Buffered() == 0 {
		if !c.arm(wait) {
			return errEnding
		}
		_, err := c.in.Peek(1)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if wait = c.idleLeft(); wait <= 0 {
			return ErrIdle
		}
	}
	return nil
}

// idleLeft returns how long the connection may still be idle, after it has been
// for a while.
func (c *Conn) idleLeft() time.Duration {
	switch {
	case c.first:
		return 0
	case c.busy() > 0:
		return c.s.set.IdleMax
	}
	return c.s.set.IdleMax - time.Since(time.Unix(0, c.lastActive.Load()))
}

// awaitMute waits while the connection is muted.
func (c *Conn) awaitMute() bool {
	for {
		until := c.mutedUntil.Load()
		if until == 0 {
			return true
		}
		left := time.Until(time.Unix(0, until))
		if left <= 0 {
			return true
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-c.stop:
			t.Stop()
			return false
		}
	}
}

// arm sets the time by which the next read must end, unless nothing is to be
// read any more.
func (c *Conn) arm(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.closed {
		return false
	}
	return c.nc.SetReadDeadline(time.Now().Add(d)) == nil
}

// readPrefix reads the length of a frame and the start of its header.
func (c *Conn) readPrefix() (length int, p prefix, err error) {
	b, err := c.in.Peek(lengthBytes)
	if err != nil {
		return 0, prefix{}, inFrame(err)
	}
	bytesMax := c.s.set.FrameBytesMax
	if own := c.frameBytesMax.Load(); own > 0 {
		bytesMax = min(bytesMax, int(own))
	}
	_, encrypted := c.nc.(*tls.Conn)
	length, err = parseLength([lengthBytes]byte(b), c.first && !encrypted, bytesMax)
	if err != nil {
		return 0, prefix{}, err
	}
	c.first = false
	if b, err = c.in.Peek(lengthBytes + prefixBytes); err != nil {
		return 0, prefix{}, inFrame(err)
	}
	p = parsePrefix([prefixBytes]byte(b[lengthBytes:]))
	_, _ = c.in.Discard(lengthBytes + prefixBytes) // they are buffered
	return length, p, nil
}

// awaitStart waits for as much of a frame as the connection's buffer takes.
func (c *Conn) awaitStart(n int) error {
	start := min(n, readAheadBytes)
	if c.in.Buffered() >= start {
		return nil
	}
	if !c.arm(c.s.set.ReadMax) {
		return errEnding
	}
	_, err := c.in.Peek(start)
	return inFrame(err)
}

// awaitReplies waits while answers that clients do not take use up the memory
// that there is for them: twice over, for a request whose answer is small.
func (c *Conn) awaitReplies(small bool) bool {
	if c.s.replies.available() || small && c.s.replies.overdrawn() < c.s.replies.total {
		return true
	}
	n, ok := c.s.replies.take(1, c.stop)
	if ok {
		c.s.replies.give(n)
	}
	return ok
}

// readBody takes memory for the rest of the frame, reads it and parses the rest
// of the header. If it fails it has given the memory back.
//
// A client that announces a frame and sends nothing of it holds no memory: its
// start has come. What is charged beyond the frame's own bytes is taken
// when they are there, from a budget that no frame on its way draws on.
func (c *Conn) readBody(r *Request, n int, limits Limits) error {
	r.budget = c.s.arriving
	if limits.FrameBytesMax > c.s.set.SmallFrameBytesMax {
		r.budget = c.s.large
	}
	charge, ok := r.budget.take(int64(bufferCap(n)), c.stop)
	if !ok {
		return errEnding
	}
	r.charge = charge
	r.buf = c.s.buffers.get(n)
	err := c.fill(r)
	if err == nil && r.budget != c.s.large {
		err = c.chargeDecoded(r, n, limits.MemoryFactor)
	}
	if err != nil {
		r.giveBack()
	}
	return err
}

// chargeDecoded moves the charge of a frame that has arrived to the budget of
// those that are handled.
func (c *Conn) chargeDecoded(r *Request, n, factor int) error {
	decoded := int64(bufferCap(n)) + int64(n)*int64(factor-1)
	to := c.s.small
	if decoded > to.total {
		to = c.s.large
	}
	charge, ok := to.take(decoded, c.stop)
	if !ok {
		return errEnding
	}
	r.budget.give(r.charge)
	r.budget, r.charge = to, charge
	return nil
}

// receive reads all of b. The client has ReadMax and what BytesPerSecondMin adds;
// while others wait for the memory, it has less (Settings.PressedMax).
func (c *Conn) receive(b []byte, from *budget) error {
	if c.in.Buffered() >= len(b) {
		_, err := io.ReadFull(c.in, b)
		return err
	}
	began, most := time.Now(), c.s.set.transfer(c.s.set.ReadMax, int64(len(b)))
	armed := time.Duration(0)
	for n := 0; n < len(b); {
		if since := time.Since(began); since >= armed {
			waiters := from.waiters()
			if since >= most || waiters > 0 && since > c.s.set.pressed(waiters, int64(len(b)), from.total, int64(n), sendPart) {
				return ErrSlow
			}
			armed = min(since+c.s.set.PressedMax/sendPart, most)
			if !c.arm(armed - since) {
				return errEnding
			}
		}
		m, err := c.in.Read(b[n:])
		n += m
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return inFrame(err)
		}
	}
	return nil
}

func (c *Conn) fill(r *Request) error {
	b := r.buf.b
	if err := c.receive(b, r.budget); err != nil {
		return err
	}
	c.s.counters.read.Add(uint64(lengthBytes + r.FrameBytes))
	r.Received = c.s.set.Now()
	id, body, err := parseRest(b, flexible(r.Key, r.Version), c.s.set.ClientIDBytesMax)
	if r.Unsupported {
		body, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("API key %d version %d: %w", r.Key, r.Version, err)
	}
	if c.lastClientID != string(id) {
		c.lastClientID = string(id)
	}
	r.ClientID, r.Body = c.lastClientID, body
	return nil
}

// serve runs the ordered stage.
func (c *Conn) serve(r *Request) error {
	err := c.guard(func() error {
		c.s.handler.Serve(r)
		return nil
	})
	if err != nil && r.answered.CompareAndSwap(false, true) {
		r.fail(err)
	}
	return err
}

// guard turns a panic of the handler into an error, so that it costs one
// connection.
func (c *Conn) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errHandler, v)
			c.s.report.line(reportPanic, "handler panicked", c, "error", v, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// discard throws input away while the connection ends in order, until its
// client closes or the time is over. It returns false at once if the connection
// does not end in order.
func (c *Conn) discard() bool {
	c.mu.Lock()
	if !c.ending || c.closed {
		c.mu.Unlock()
		return false
	}
	if !c.lingering {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.s.set.IdleMax))
	}
	c.mu.Unlock()
	for {
		if _, err := c.in.Discard(readAheadBytes); err != nil {
			return true
		}
	}
}

// inFrame names an error that interrupted a frame.
func inFrame(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSlow
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// malformed reports whether the client sent what it must not, or its handler
// failed: the replies before that are still written.
func malformed(err error) bool {
	for _, target := range []error{
		ErrFrameLength, ErrFrameTooLarge, ErrForeignProtocol, ErrUnknownAPI, ErrBadHeader, errHandler,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
