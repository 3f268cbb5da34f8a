package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestHTTPConnectionsAreBounded: what comes beyond the bound is closed, and one
// that closes makes room for another.
func TestHTTPConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &fewConns{Listener: inner, open: make(chan struct{}, 2)}
	accepted := make(chan net.Conn, 10)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	defer (<-accepted).Close()
	third := dial()
	_ = third.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection beyond the bound stays open: %v", err)
	}
	if err := errors.Join(first.Close(), first.Close()); err == nil || len(l.open) != 1 {
		t.Errorf("closed twice: %v; %d are counted, want 1", err, len(l.open))
	}
	dial()
	(<-accepted).Close()
	if len(l.open) != 1 || len(accepted) != 0 {
		t.Errorf("%d are counted, want 1", len(l.open))
	}
	if err := inner.Close(); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
