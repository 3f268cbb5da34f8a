package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds what a test waits for something that must happen.
const patience = 20 * time.Second

// Keys that the test handlers know. Metadata is flexible from version 9 on.
const (
	keyFetch    = 1
	keyMetadata = 3
)

func knownAll(key, version int16) Limits {
	return Limits{Known: version <= 12 && (key != keyApiVersions || version <= 4)}
}

type handlerFunc func(*Request)

func (f handlerFunc) Serve(r *Request) { f(r) }

func echo(r *Request) { r.Reply(r.Body) }

// A rig is a server on a loopback listener.
type rig struct {
	t    testing.TB
	s    *Server
	addr string
	log  *logBuffer
}

// newRig serves h until the test ends, and then checks that nothing is left.
func newRig(t testing.TB, set Settings, h Handler) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newRigOn(t, set, h, l)
}

func newRigOn(t testing.TB, set Settings, h Handler, l net.Listener) *rig {
	t.Helper()
	if set.Known == nil {
		set.Known = knownAll
	}
	if set.LingerMax == 0 {
		set.LingerMax = 10 * time.Millisecond // most clients here never close
	}
	g := &rig{t: t, addr: l.Addr().String(), log: &logBuffer{}}
	g.s = NewServer(set, h, slog.New(slog.NewTextHandler(g.log, nil)))
	served := make(chan error, 1)
	go func() { served <- g.s.Serve("PLAINTEXT", l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = g.s.Shutdown(ctx)
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		g.nothingLeft()
	})
	return g
}

// nothingLeft checks that no goroutine, connection or budget is held.
func (g *rig) nothingLeft() {
	g.t.Helper()
	g.eventually("all goroutines end", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !strings.Contains(string(stacks), "wire.(*Conn)")
	})
	g.eventually("everything is given back", func() bool { return g.s.Stats() == Stats{} })
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	if len(g.s.perIP) != 0 || len(g.s.conns) != 0 {
		g.t.Errorf("server still counts %v, %d connections", g.s.perIP, len(g.s.conns))
	}
}

func (g *rig) eventually(what string, f func() bool) {
	g.t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.t.Errorf("waited in vain: %s (%+v)", what, g.s.Stats())
			return
		}
	}
}

func (g *rig) dial() *client {
	g.t.Helper()
	nc, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { nc.Close() })
	return newClient(g.t, nc)
}

// A client speaks the protocol byte by byte.
type client struct {
	t  testing.TB
	nc net.Conn
}

func newClient(t testing.TB, nc net.Conn) *client {
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, nc: nc}
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(key, version int16, correlation int32, body []byte) {
	c.t.Helper()
	c.write(frame(key, version, correlation, body))
}

// reply reads one response and returns its correlation id and what follows.
func (c *client) reply() (int32, []byte) {
	c.t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		c.t.Fatalf("read a reply: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:4])-4)
	if _, err := io.ReadFull(c.nc, b); err != nil {
		c.t.Fatalf("read a reply: %v", err)
	}
	return int32(binary.BigEndian.Uint32(head[4:])), b
}

// expect reads one response and compares it.
func (c *client) expect(correlation int32, rest []byte) {
	c.t.Helper()
	id, b := c.reply()
	if id != correlation || !bytes.Equal(b, rest) {
		c.t.Fatalf("reply %d with %d bytes %.40q, want %d with %d bytes %.40q", id, len(b), b, correlation, len(rest), rest)
	}
}

// expectClosed checks that nothing more comes and the connection closes.
func (c *client) expectClosed() {
	c.t.Helper()
	var b [1]byte
	n, err := c.nc.Read(b[:])
	if n != 0 || err == nil {
		c.t.Fatalf("read another byte, %#x, want a closed connection", b[0])
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("the connection stays open")
	}
}

// frame builds a request with client id "test".
func frame(key, version int16, correlation int32, body []byte) []byte {
	b := make([]byte, 4, 32+len(body))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = append(b, 0, 4, 't', 'e', 's', 't')
	if flexible(key, version) {
		b = append(b, 1, 7, 2, 'x', 'y') // a tagged field that nobody knows
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// get takes the next value or gives up.
func get[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
