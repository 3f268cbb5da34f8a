package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/internal/invariant"
)

// A Handler serves the requests of all connections.
type Handler interface {
	// Serve is the ordered stage: it is called on the connection's reader
	// goroutine, one request at a time, in order, and by several connections at
	// once. It must not wait for disk, replicas or the object store. It answers
	// through req, now or later, from any goroutine, exactly once, also if the
	// connection closes before: that is what frees the request's memory. If it
	// panics, the connection is closed and the broker goes on.
	Serve(req *Request)
}

// An Opener is a Handler that wants to see connections before their first
// request. Open is called on the reader goroutine after the TLS handshake; it
// may set State and SetFrameBytesMax. An error closes the connection.
type Opener interface {
	Open(c *Conn) error
}

// A Request is one frame that arrived, until it is answered. Its fields are the
// handler's; its methods may be called from any goroutine.
type Request struct {
	Key, Version  int16
	CorrelationID int32
	// ClientID is empty if the client sent null.
	ClientID string
	// Body is what follows the header. It is valid until Release is called or,
	// without that, the reply has been written: later it is reused.
	Body []byte
	// FrameBytes is the length of the whole frame without its length field.
	FrameBytes int
	// Received is when the frame was complete.
	Received time.Time
	// Unsupported says that this is an ApiVersions request of a version that is
	// not served. Body is empty and ClientID may be; the reply must be a body
	// of version 0 (KIP-511).
	Unsupported bool
	Conn        *Conn

	// Memory, given back once.
	released atomic.Bool
	buf      *buffer
	budget   *budget
	charge   int64
	answer   answerMemory

	// The answer: written by whoever wins answered, read under Conn.mu once
	// ready is set.
	answered atomic.Bool
	ready    bool // guarded by Conn.mu
	failed   bool
	headLen  int // 0: there is no reply
	bytes    int64
	done     func()
	head     [lengthBytes + 5]byte
	inline   [4][]byte
	parts    [][]byte
}

// Reply answers with a response body, without frame length and header. The
// bytes of the parts are borrowed until they are written or the connection has
// closed, and must not change; the slice of parts is not kept. It does not
// block.
func (r *Request) Reply(parts ...[]byte) { r.reply(nil, parts) }

// ReplyThen is Reply, and calls done once as soon as the parts are no longer
// needed, on any goroutine. Done must not block.
func (r *Request) ReplyThen(done func(), parts ...[]byte) { r.reply(done, parts) }

func (r *Request) reply(done func(), parts [][]byte) {
	if !r.claim() {
		if done != nil {
			done()
		}
		return
	}
	r.done = done
	size := int64(4)
	tagged := !r.Unsupported && taggedReply(r.Key, r.Version)
	if tagged {
		size++
	}
	r.headLen = lengthBytes + int(size)
	for _, p := range parts {
		size += int64(len(p))
	}
	if size > math.MaxInt32 {
		r.fail(fmt.Errorf("wire: reply of %d bytes to API key %d", size, r.Key))
		return
	}
	binary.BigEndian.PutUint32(r.head[0:], uint32(size))
	binary.BigEndian.PutUint32(r.head[4:], uint32(r.CorrelationID))
	r.bytes = lengthBytes + size
	r.parts = append(r.inline[:0], parts...)
	r.chargeAnswer()
	r.Conn.answer(r)
}

// NoReply answers without a response: a Produce with acks=0, or a request whose
// client has left.
func (r *Request) NoReply() {
	if r.claim() {
		r.Conn.answer(r)
	}
}

// Fail closes the connection after the replies to the requests before this one.
// The connection is not read any more from now on.
func (r *Request) Fail(err error) {
	if err == nil {
		err = errors.New("wire: request failed")
	}
	if r.claim() {
		r.fail(err)
	}
}

func (r *Request) fail(err error) {
	r.failed, r.headLen = true, 0
	r.Conn.s.report.line(reportFailed, "request failed", r.Conn, "api_key", r.Key, "api_version", r.Version, "error", err)
	r.Conn.end(err) // first, so that it is the cause
	r.Conn.answer(r)
}

// claim takes the right to answer, which exists once.
func (r *Request) claim() bool {
	if r.answered.CompareAndSwap(false, true) {
		return true
	}
	if invariant.Enabled {
		invariant.Fail("request %d of API key %d is answered once", r.CorrelationID, r.Key)
	}
	r.Conn.s.report.line(reportTwice, "request answered twice", r.Conn, "api_key", r.Key, "api_version", r.Version)
	return false
}

// Release gives the memory of Body back before the request is answered. The
// caller keeps no slice of it. Further calls do nothing.
func (r *Request) Release() {
	r.Body = nil
	r.giveBack()
}

// ReleaseBody gives the memory of Body back, but not the share of the budget: for
// as long as a copy of it exists. The caller keeps no slice of it. Release then
// gives the share back. It must not be called at the same time as Release.
func (r *Request) ReleaseBody() {
	if r.buf != nil {
		r.Body = nil
		r.Conn.s.buffers.put(r.buf)
		r.buf = nil
	}
}

// Grow charges the request for n bytes more, and reports false if they are not
// free. It does not wait, and must not be called after or at the same time as
// Release.
func (r *Request) Grow(n int64) bool {
	if !r.budget.more(n) {
		return false
	}
	r.charge += n
	return true
}

func (r *Request) giveBack() {
	if !r.released.CompareAndSwap(false, true) {
		return
	}
	if r.buf != nil {
		r.Conn.s.buffers.put(r.buf)
	}
	r.budget.give(r.charge)
	r.buf = nil
}

// finish is called once for an answered request: its reply is written, or will
// never be.
func (r *Request) finish() {
	r.giveBack()
	r.giveAnswerBack()
	clear(r.inline[:])
	r.parts = nil
	if done := r.done; done != nil {
		r.done = nil
		done()
	}
}
