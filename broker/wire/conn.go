package wire

import (
	"bufio"
	"container/list"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is one client's connection. Its methods may be called from any
// goroutine.
type Conn struct {
	// State belongs to the handler. It is not locked: use it in Open and Serve,
	// which never run at the same time for one connection.
	State any

	s        *Server
	nc       net.Conn
	id       uint64
	listener string
	ip       admission

	// The reader's own.
	in           *bufio.Reader
	lastClientID string
	first        bool // no frame has arrived yet

	// The writer's own.
	out     net.Buffers
	outKept net.Buffers // the start of out's array
	plain   *bufio.Writer

	software      atomic.Pointer[[2]string]
	frameBytesMax atomic.Int64
	mutedUntil    atomic.Int64 // Unix nanoseconds
	lastActive    atomic.Int64 // Unix nanoseconds
	done          chan struct{}
	stop          chan struct{} // closed when the connection ends or closes

	mu        sync.Mutex
	cause     error
	hooks     list.List // of func()
	ending    bool      // nothing is read any more, queued replies are written
	lingering bool      // all is written, the client is to close
	closed    bool
	queue
}

func newConn(s *Server, nc net.Conn, listener string, id uint64) *Conn {
	c := &Conn{
		s: s, nc: nc, id: id, listener: listener, first: true,
		in:   bufio.NewReaderSize(nc, readAheadBytes),
		done: make(chan struct{}),
		stop: make(chan struct{}),
	}
	c.queue.init(s.set.InFlightMax, &c.mu)
	c.lastActive.Store(time.Now().UnixNano())
	return c
}

// ID is a number that no other connection of this server has had.
func (c *Conn) ID() uint64 { return c.id }

// Listener is the name under which the listener was served.
func (c *Conn) Listener() string { return c.listener }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// TLS returns the state of the TLS connection, complete from Open on, and false
// on a plaintext listener.
func (c *Conn) TLS() (tls.ConnectionState, bool) {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return tls.ConnectionState{}, false
	}
	return t.ConnectionState(), true
}

// SetSoftware keeps the client's software name and version (KIP-511). The
// handler has checked them.
func (c *Conn) SetSoftware(name, version string) { c.software.Store(&[2]string{name, version}) }

// Software returns what SetSoftware was given, or two empty strings.
func (c *Conn) Software() (name, version string) {
	if p := c.software.Load(); p != nil {
		return p[0], p[1]
	}
	return "", ""
}

// SetFrameBytesMax bounds the frames of this connection below what the settings
// allow, such as before it is authenticated. It holds from the next frame that
// is read; 0 lifts it.
func (c *Conn) SetFrameBytesMax(n int) { c.frameBytesMax.Store(int64(n)) }

// Mute stops reading requests until d from now, while replies are written as
// usual: a throttle (KIP-219). A later end of an earlier call stands.
func (c *Conn) Mute(d time.Duration) {
	until := time.Now().Add(d).UnixNano()
	for {
		old := c.mutedUntil.Load()
		if old >= until || c.mutedUntil.CompareAndSwap(old, until) {
			return
		}
	}
}

// Done is closed when the connection has closed.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection ended, or nil if it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// OnClose registers f to be called once when the connection has closed, on any
// goroutine; at once, by the caller, if it has already. F must not block. Cancel
// withdraws f; it may be called more than once, and f may still be running when
// it returns.
func (c *Conn) OnClose(f func()) (cancel func()) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		f()
		return func() {}
	}
	e := c.hooks.PushBack(f)
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hooks.Remove(e)
	}
}

// End closes the connection in order: nothing is read from now on, the requests
// that were read are answered, then it closes. Err will return err.
func (c *Conn) End(err error) { c.end(err) }

func (c *Conn) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.closed {
		return
	}
	c.ending = true
	c.cause = cause
	close(c.stop)
	c.wakeAll()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
}

// close closes the connection at once. The first cause of end or close counts.
func (c *Conn) close(cause error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	if !c.ending {
		c.cause = cause
		close(c.stop)
	}
	cause = c.cause
	waiting := c.reserving()
	dropped := c.drop()
	c.wakeAll()
	var hooks []func()
	for e := c.hooks.Front(); e != nil; e = e.Next() {
		hooks = append(hooks, e.Value.(func()))
	}
	c.hooks.Init()
	c.mu.Unlock()

	close(c.done)
	for _, granted := range waiting {
		granted()
	}
	for _, r := range dropped {
		r.finish()
	}
	for _, f := range hooks {
		f()
	}
	_ = c.nc.Close()
	c.s.forget(c)
	c.s.log.Debug("connection closed", "conn", c, "error", cause)
}

// LogValue gives a connection's attributes in log lines.
func (c *Conn) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("id", c.id),
		slog.String("listener", c.listener),
		slog.String("remote", c.nc.RemoteAddr().String()),
	)
}
