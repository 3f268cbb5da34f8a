//go:build clients

package clients

import (
	wire "encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frameMost bounds a request.
const frameMost = 64 << 20

// relay stands between clients and a broker, which tells them its address. It
// passes on what they say and notes which offsets they ask for. It knows only
// partitions: the tests that use it have one topic.
type relay struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool // nil as soon as it is closed
	asked  map[int32]int64   // the last offset that was asked for
	wanted map[int32]int64
	then   func() // nil as soon as it was called
	failed error
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, open: map[net.Conn]bool{}, asked: map[int32]int64{}}
	t.Cleanup(func() {
		r.close()
		if r.failed != nil {
			t.Errorf("a request was not understood: %v", r.failed)
		}
	})
	return r
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// to begins to pass requests on to a broker.
func (r *relay) to(target string) {
	r.target = target
	r.work.Go(func() {
		for {
			c, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { r.serve(c) })
		}
	})
}

func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.open {
		_ = c.Close()
	}
	r.open = nil
	r.mu.Unlock()
	r.work.Wait()
}

// watch forgets what was asked for, and calls then when all wanted offsets have
// been asked for.
func (r *relay) watch(wanted map[int32]int64, then func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.wanted, r.then = map[int32]int64{}, wanted, then
}

// watched ends the watch and returns the last offset asked for, by partition.
func (r *relay) watched() map[int32]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.then = nil
	return maps.Clone(r.asked)
}

// keep makes sure that close closes a connection.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		_ = c.Close()
		return false
	}
	r.open[c] = true
	return true
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	if !r.keep(client) {
		return
	}
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !r.keep(server) {
		return
	}
	r.work.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	for {
		var size [4]byte
		if _, err := io.ReadFull(client, size[:]); err != nil {
			return
		}
		n := wire.BigEndian.Uint32(size[:])
		if n > frameMost {
			return
		}
		frame := make([]byte, 4+n)
		copy(frame, size[:])
		if _, err := io.ReadFull(client, frame[4:]); err != nil {
			return
		}
		if err := r.note(frame[4:]); err != nil {
			r.mu.Lock()
			r.failed = err
			r.mu.Unlock()
		}
		if _, err := server.Write(frame); err != nil {
			return
		}
	}
}

var errHeader = errors.New("a request header that is too short")

// note looks at a request.
func (r *relay) note(raw []byte) error {
	const fixed = 10 // key, version, correlation id, length of the client id
	if len(raw) < fixed {
		return errHeader
	}
	q := kmsg.NewPtrFetchRequest()
	if int16(wire.BigEndian.Uint16(raw)) != q.Key() {
		return nil
	}
	q.SetVersion(int16(wire.BigEndian.Uint16(raw[2:])))
	body := raw[fixed:]
	if n := int(int16(wire.BigEndian.Uint16(raw[fixed-2:]))); n > 0 {
		if len(body) < n {
			return errHeader
		}
		body = body[n:]
	}
	if q.IsFlexible() {
		// No client sends tagged fields in the header.
		if len(body) == 0 || body[0] != 0 {
			return errHeader
		}
		body = body[1:]
	}
	if err := q.ReadFrom(body); err != nil {
		return fmt.Errorf("fetch request, version %d: %w", q.Version, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			r.asked[p.Partition] = p.FetchOffset
		}
	}
	for p, offset := range r.wanted {
		if r.asked[p] != offset {
			return nil
		}
	}
	if r.then != nil {
		r.then()
		r.then = nil
	}
	return nil
}
