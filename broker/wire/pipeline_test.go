package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Requests answered in any order are replied to in theirs.
func TestRepliesKeepTheOrderOfRequests(t *testing.T) {
	const rounds, n = 20, 50
	arrived := make(chan *Request, n)
	g := newRig(t, Settings{InFlightMax: n}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		var all []byte
		for i := range n {
			all = append(all, frame(keyMetadata, int16(i%13), int32(i), fmt.Appendf(nil, "round %d request %d", round, i))...)
		}
		c.write(all)
		var reqs []*Request
		for range n {
			reqs = append(reqs, get(t, arrived))
		}
		for i, r := range reqs {
			if r.CorrelationID != int32(i) || r.ClientID != "test" || r.Conn.Listener() != "PLAINTEXT" {
				t.Fatalf("request %d has correlation id %d, client id %q", i, r.CorrelationID, r.ClientID)
			}
		}
		rnd.Shuffle(n, func(i, j int) { reqs[i], reqs[j] = reqs[j], reqs[i] })
		for _, r := range reqs {
			go func() { r.Reply(r.Body[:3], nil, r.Body[3:]) }()
		}
		for i := range n {
			want := fmt.Appendf(nil, "round %d request %d", round, i)
			if i%13 >= 9 { // a flexible reply has tagged fields: none
				want = append([]byte{0}, want...)
			}
			c.expect(int32(i), want)
		}
	}
}

func TestNoReplyDoesNotStall(t *testing.T) {
	g := newRig(t, Settings{InFlightMax: 3}, handlerFunc(func(r *Request) {
		if r.Key == keyProduce {
			r.NoReply()
			return
		}
		echo(r)
	}))
	c := g.dial()
	for i := range int32(20) {
		for range 10 {
			c.send(keyProduce, 8, i, []byte("records"))
		}
		c.send(keyMetadata, 1, i, []byte("ping"))
		c.expect(i, []byte("ping"))
	}
}

func TestInFlightMaxStopsReading(t *testing.T) {
	const n = 4
	arrived := make(chan *Request, 100)
	g := newRig(t, Settings{InFlightMax: n}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	for i := range int32(3 * n) {
		c.send(keyMetadata, 1, i, nil)
	}
	var held []*Request
	for range n {
		held = append(held, get(t, arrived))
	}
	// The reader is at the limit: it waits, and nothing more has come.
	conn := held[0].Conn
	g.eventually("the reader waits", func() bool { return conn.busy() == n })
	if len(arrived) != 0 {
		t.Fatalf("%d requests beyond the limit", len(arrived))
	}
	for i := n - 1; i > 0; i-- {
		held[i].Reply() // behind the head: frees nothing
	}
	if len(arrived) != 0 || conn.busy() != n {
		t.Fatalf("%d requests beyond the limit, %d in flight", len(arrived), conn.busy())
	}
	held[0].Reply()
	for i := range int32(3 * n) {
		if i >= n {
			get(t, arrived).Reply()
		}
		c.expect(i, nil)
	}
}

func TestLargeAndManyParts(t *testing.T) {
	var released atomic.Int32
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) {
		body := bytes.Clone(r.Body)
		r.Release()
		r.Release()
		parts := [][]byte{}
		for len(body) > 0 {
			k := min(len(body), 1000)
			parts = append(parts, body[:k])
			body = body[k:]
		}
		r.ReplyThen(func() { released.Add(1) }, parts...)
		clear(parts) // the slice is not kept
	}))
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	c := g.dial()
	for i := range int32(3) {
		go func() { _, _ = c.nc.Write(frame(keyProduce, 7, i, want)) }()
		c.expect(i, want)
	}
	g.eventually("parts are given back", func() bool { return released.Load() == 3 })
}

func TestApiVersions(t *testing.T) {
	type seen struct {
		version     int16
		unsupported bool
		body        string
		clientID    string
	}
	got := make(chan seen, 1)
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) {
		got <- seen{r.Version, r.Unsupported, string(r.Body), r.ClientID}
		r.Conn.SetSoftware("lib", "1.2")
		r.Reply([]byte("answer"))
	}))
	raw := func(version uint16, rest string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
		b = binary.BigEndian.AppendUint16(b, keyApiVersions)
		b = binary.BigEndian.AppendUint16(b, version)
		return append(binary.BigEndian.AppendUint32(b, 9), rest...)
	}
	for _, tc := range []struct {
		name  string
		frame []byte
		want  seen
	}{
		{"v0", frame(keyApiVersions, 0, 9, nil), seen{0, false, "", "test"}},
		{"v4", frame(keyApiVersions, 4, 9, []byte("body")), seen{4, false, "body", "test"}},
		{"v5", frame(keyApiVersions, 5, 9, []byte("body")), seen{5, true, "", "test"}},
		{"v99, another header", raw(99, "\x7f\xff???"), seen{99, true, "", ""}},
		{"v32767, no header", raw(32767, ""), seen{32767, true, "", ""}},
		{"v-1", raw(0xffff, "\x00\x01a"), seen{-1, true, "", "a"}},
	} {
		c := g.dial()
		c.write(tc.frame)
		if s := get(t, got); s != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, s, tc.want)
		}
		c.expect(9, []byte("answer")) // never a tagged header
	}
}

func TestMuteAnswersFirst(t *testing.T) {
	var served atomic.Int32
	muted := make(chan *Conn, 1)
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) {
		served.Add(1)
		if string(r.Body) == "hour" {
			r.Conn.Mute(time.Hour)
			muted <- r.Conn
		}
		r.Conn.Mute(time.Millisecond) // does not shorten it
		echo(r)
	}))
	c, other := g.dial(), g.dial()
	for i := range int32(5) {
		c.send(keyMetadata, 0, i, []byte("short"))
		c.expect(i, []byte("short"))
	}
	c.send(keyMetadata, 0, 5, []byte("hour"))
	c.expect(5, []byte("hour"))
	c.send(keyMetadata, 0, 6, []byte("never"))
	for i := range int32(20) { // others go on
		other.send(keyMetadata, 0, i, nil)
		other.expect(i, nil)
	}
	get(t, muted).End(nil)
	c.expectClosed()
	if n := served.Load(); n != 26 {
		t.Errorf("%d requests were served, want 26", n)
	}
}

// Connections without writev take the other path of the writer.
func TestOverPipe(t *testing.T) {
	l := newPipeListener()
	g := newRigOn(t, Settings{}, handlerFunc(echo), l)
	nc := l.dial(t)
	c := newClient(t, nc)
	body := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	for i := range int32(5) {
		go func() {
			_, _ = nc.Write(append(frame(keyMetadata, 0, 2*i, []byte("small")), frame(keyMetadata, 0, 2*i+1, body)...))
		}()
		c.expect(2*i, []byte("small"))
		c.expect(2*i+1, body)
	}
	nc.Close()
	g.nothingLeft()
}

// A pipeListener accepts the other ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   atomic.Bool
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	if l.once.CompareAndSwap(false, true) {
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial(t testing.TB) net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	t.Cleanup(func() { ours.Close() })
	return ours
}
