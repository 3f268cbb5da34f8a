package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// lengthOnly is a frame that announces n bytes and begins with key and version.
func lengthOnly(n uint32, key, version uint16) []byte {
	b := binary.BigEndian.AppendUint32(nil, n)
	b = binary.BigEndian.AppendUint16(b, key)
	b = binary.BigEndian.AppendUint16(b, version)
	return append(b, 0, 0, 0, 1)
}

func TestMalformedInputClosesTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		err  error
		log  string
	}{
		{"negative length", lengthOnly(0xffffffff, 3, 0), ErrFrameLength, "bad frame length"},
		{"zero length", lengthOnly(0, 3, 0), ErrFrameLength, "bad frame length"},
		{"length alone", []byte{0, 0, 0, 7}, ErrFrameLength, "bad frame length"},
		{"2 GiB", lengthOnly(0x7fffffff, 0, 7), ErrFrameTooLarge, "too large"},
		{"above the limit of Produce", lengthOnly(100<<20+1, 0, 7), ErrFrameTooLarge, "too large"},
		{"above the limit of others", lengthOnly(4<<20+1, 3, 0), ErrFrameTooLarge, "API key 3"},
		{"large ApiVersions of an unknown version", lengthOnly(64<<10+1, 18, 99), ErrFrameTooLarge, "API key 18"},
		{"unknown key", frame(1000, 0, 1, nil), ErrUnknownAPI, "key 1000"},
		{"negative key", frame(-1, 0, 1, nil), ErrUnknownAPI, "key -1"},
		{"unknown version", frame(keyFetch, 13, 1, nil), ErrUnknownAPI, "version 13"},
		{"negative version", frame(keyFetch, -1, 1, nil), ErrUnknownAPI, "version -1"},
		{"ControlledShutdown v0", frame(keyControlledShutdown, 0, 1, nil), ErrUnknownAPI, "key 7"},
		{"client id past the end", append(lengthOnly(10, 3, 0), 0, 9), ErrBadHeader, "client id of 9"},
		{"no client id", lengthOnly(8, 3, 0), ErrBadHeader, "no client id"},
		{"TLS hello", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), ErrForeignProtocol, "TLS handshake on a plaintext"},
		{"HTTP", []byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), ErrForeignProtocol, "HTTP request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := &tracker{}
			g := newRig(t, Settings{}, h)
			c := g.dial()
			c.write(tc.b)
			c.expectClosed()
			g.eventually("the connection is gone", func() bool { return g.s.Stats().Connections == 0 })
			if err := h.conn.Load().Err(); !errors.Is(err, tc.err) {
				t.Errorf("closed for %v, want %v", err, tc.err)
			}
			if log := g.log.String(); strings.Count(log, "malformed request") != 1 || !strings.Contains(log, tc.log) {
				t.Errorf("log %q, want one line with %q", log, tc.log)
			}
			if n := h.served.Load(); n != 0 {
				t.Errorf("%d requests were served", n)
			}
		})
	}
}

// A tracker echoes and remembers the last connection.
type tracker struct {
	conn   atomic.Pointer[Conn]
	served atomic.Int32
}

func (h *tracker) Open(c *Conn) error { h.conn.Store(c); return nil }
func (h *tracker) Serve(r *Request)   { h.served.Add(1); echo(r) }

// What came before malformed input is answered before the connection closes.
func TestRepliesBeforeMalformedInput(t *testing.T) {
	arrived := make(chan *Request, 2)
	g := newRig(t, Settings{LingerMax: patience}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	b := append(frame(keyMetadata, 0, 1, []byte("a")), frame(keyMetadata, 0, 2, []byte("b"))...)
	b = append(b, lengthOnly(0xfffffffe, 0, 0)...)
	c.write(append(b, make([]byte, 100_000)...)) // and unread bytes, which must cause no reset
	first, second := get(t, arrived), get(t, arrived)
	g.eventually("the reader has seen it", func() bool { return first.Conn.Err() != nil })
	echo(second)
	echo(first)
	c.expect(1, []byte("a"))
	c.expect(2, []byte("b"))
	c.expectClosed()
}

func TestLogLinesAreLimited(t *testing.T) {
	now := time.Unix(1000, 0) // stands still
	g := newRig(t, Settings{Now: func() time.Time { return now }}, handlerFunc(echo))
	for range 20 {
		c := g.dial()
		c.write([]byte("GET / HTTP/1.1\r\n\r\n"))
		c.expectClosed()
	}
	if n := strings.Count(g.log.String(), "\n"); n != 1 {
		t.Errorf("%d log lines for 20 connections:\n%s", n, g.log)
	}
}

func TestSlowClientsAreClosed(t *testing.T) {
	whole := frame(keyMetadata, 0, 1, make([]byte, 5000))
	short := Settings{ReadMax: 50 * time.Millisecond, HandshakeMax: 50 * time.Millisecond, IdleMax: 50 * time.Millisecond}
	for _, tc := range []struct {
		name string
		b    []byte
		err  error
	}{
		{"nothing", nil, ErrIdle},
		{"half a length", whole[:2], ErrSlow},
		{"half a prefix", whole[:9], ErrSlow},
		{"half a body", whole[:3000], ErrSlow},
		{"idle after a request", frame(keyMetadata, 0, 1, nil), ErrIdle},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := &tracker{}
			g := newRig(t, short, h)
			c := g.dial()
			c.write(tc.b)
			if _, err := io.Copy(io.Discard, c.nc); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			if err := h.conn.Load().Err(); !errors.Is(err, tc.err) {
				t.Errorf("closed for %v, want %v", err, tc.err)
			}
			g.nothingLeft()
		})
	}
}

// A connection is not idle while a request waits, however long.
func TestWaitingForAReplyIsNotIdle(t *testing.T) {
	arrived := make(chan *Request, 1)
	g := newRig(t, Settings{IdleMax: 5 * time.Millisecond}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	c.send(keyFetch, 0, 1, nil)
	r := get(t, arrived)
	select {
	case <-r.Conn.Done():
		t.Fatal("closed while a request waited")
	case <-time.After(60 * time.Millisecond):
	}
	r.Reply([]byte("x"))
	c.expect(1, []byte("x"))
	c.expectClosed()
}

// A client that does not read holds its replies for a bounded time.
func TestClientThatDoesNotRead(t *testing.T) {
	h := &tracker{}
	done := make(chan struct{}, 64)
	big := make([]byte, 8<<20)
	g := newRig(t, Settings{AnswerBytes: 4 << 30, WriteMax: 50 * time.Millisecond, BytesPerSecondMin: 1 << 40},
		opener{h.Open, func(r *Request) { r.ReplyThen(func() { done <- struct{}{} }, big) }})
	c := g.dial()
	for i := range int32(8) {
		c.send(keyFetch, 0, i, nil)
	}
	for range 8 {
		get(t, done)
	}
	get(t, h.conn.Load().Done())
	g.nothingLeft()
}

// An opener is a handler made of two functions.
type opener struct {
	open  func(*Conn) error
	serve func(*Request)
}

func (o opener) Open(c *Conn) error { return o.open(c) }
func (o opener) Serve(r *Request)   { o.serve(r) }

func TestFrameLimitOfOneConnection(t *testing.T) {
	g := newRig(t, Settings{}, opener{
		func(c *Conn) error { c.SetFrameBytesMax(1000); return nil },
		func(r *Request) {
			if string(r.Body) == "authenticate" {
				r.Conn.SetFrameBytesMax(0)
			}
			echo(r)
		},
	})
	c := g.dial()
	c.send(keyProduce, 0, 1, make([]byte, 1000))
	c.expectClosed()
	c = g.dial()
	c.send(keyMetadata, 0, 1, []byte("authenticate"))
	c.expect(1, []byte("authenticate"))
	c.send(keyProduce, 0, 2, make([]byte, 100_000))
	c.expect(2, make([]byte, 100_000))
}

func TestOpenRefuses(t *testing.T) {
	g := newRig(t, Settings{}, opener{func(*Conn) error { return errors.New("no") }, echo})
	c := g.dial()
	c.expectClosed()
}

func TestConnectionLimits(t *testing.T) {
	for _, tc := range []struct {
		set  Settings
		name string
	}{
		{Settings{ConnectionsMax: 3}, "max.connections"},
		{Settings{ConnectionsMax: -1, ConnectionsMaxPerIP: 3}, "max.connections.per.ip"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, tc.set, handlerFunc(echo))
			var open []*client
			for i := range int32(3) {
				c := g.dial()
				c.send(keyMetadata, 0, i, nil)
				c.expect(i, nil)
				open = append(open, c)
			}
			g.dial().expectClosed()
			if !strings.Contains(g.log.String(), "setting="+tc.name) {
				t.Errorf("log %q does not name %s", g.log, tc.name)
			}
			open[0].nc.Close()
			g.eventually("a place is free", func() bool { return g.s.Stats().Connections == 2 })
			c := g.dial()
			c.send(keyMetadata, 0, 7, nil)
			c.expect(7, nil)
		})
	}
}

// failingListener fails a few times, as when file descriptors are used up.
type failingListener struct {
	net.Listener
	left atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: fmt.Errorf("accept: %w", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsPass(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &failingListener{Listener: inner}
	l.left.Store(3)
	g := newRigOn(t, Settings{}, handlerFunc(echo), l)
	c := g.dial()
	c.send(keyMetadata, 0, 1, nil)
	c.expect(1, nil)
	if !strings.Contains(g.log.String(), "accept failed") {
		t.Errorf("log %q", g.log)
	}
}

func TestHandlerPanicCostsOneConnection(t *testing.T) {
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) {
		if string(r.Body) == "panic" {
			panic("planted")
		}
		echo(r)
	}))
	other, c := g.dial(), g.dial()
	c.write(append(frame(keyMetadata, 0, 1, []byte("a")), frame(keyMetadata, 0, 2, []byte("panic"))...))
	c.expect(1, []byte("a"))
	c.expectClosed()
	other.send(keyMetadata, 0, 3, nil)
	other.expect(3, nil)
	if !strings.Contains(g.log.String(), "planted") {
		t.Errorf("log %q", g.log)
	}
}
