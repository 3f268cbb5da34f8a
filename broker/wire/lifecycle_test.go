package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/invariant"
)

func TestFailClosesAfterTheRepliesBefore(t *testing.T) {
	arrived := make(chan *Request, 3)
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	for i := range int32(3) {
		c.send(keyMetadata, 0, i, []byte("x"))
	}
	a, b, last := get(t, arrived), get(t, arrived), get(t, arrived)
	cause := errors.New("planted")
	echo(last)
	b.Fail(cause)
	echo(a)
	c.expect(0, []byte("x"))
	c.expectClosed()
	get(t, a.Conn.Done())
	if err := a.Conn.Err(); !errors.Is(err, cause) {
		t.Errorf("closed for %v", err)
	}
}

func TestEndAnswersWhatWasRead(t *testing.T) {
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) {
		r.Conn.End(errors.New("authentication failed"))
		r.Reply([]byte("sorry"))
	}))
	c := g.dial()
	c.write(append(frame(keyMetadata, 0, 1, nil), frame(keyMetadata, 0, 2, nil)...))
	c.expect(1, []byte("sorry"))
	c.expectClosed()
}

// A connection that ends while a frame is being read does not serve it.
func TestEndDuringAFrame(t *testing.T) {
	h := &tracker{}
	set := Settings{Now: func() time.Time { // called when the frame is complete
		h.conn.Load().End(nil)
		return time.Unix(1, 0)
	}}
	g := newRig(t, set, h)
	c := g.dial()
	c.send(keyMetadata, 0, 1, nil)
	c.expectClosed()
	if n := h.served.Load(); n != 0 {
		t.Errorf("%d requests were served", n)
	}
}

// A client that leaves drops its waiters; replies after that do no harm.
func TestClientLeaves(t *testing.T) {
	const n = 5
	arrived := make(chan *Request, n)
	hooks := make(chan int, n)
	var done atomic.Int32
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	var reqs []*Request
	for i := range n {
		c.send(keyFetch, 0, int32(i), make([]byte, 10_000))
		r := get(t, arrived)
		cancel := r.Conn.OnClose(func() { hooks <- i })
		if i == 0 {
			cancel()
			cancel()
		}
		reqs = append(reqs, r)
	}
	reqs[3].ReplyThen(func() { done.Add(1) }, reqs[3].Body) // behind the head
	c.nc.Close()
	get(t, reqs[0].Conn.Done())
	for want := 1; want < n; want++ {
		if got := get(t, hooks); got != want {
			t.Errorf("hook %d ran, want %d", got, want)
		}
	}
	g.eventually("the answered request is given back", func() bool { return done.Load() == 1 })
	if taken := g.s.Stats().SmallBytes; taken == 0 {
		t.Error("bodies that a handler still uses are not counted")
	}
	if reqs[1].Conn.OnClose(func() { done.Add(1) }); done.Load() != 2 {
		t.Error("a hook registered after the end did not run")
	}
	reqs[0].Fail(errors.New("late"))
	reqs[1].ReplyThen(func() { done.Add(1) }, reqs[1].Body)
	reqs[2].NoReply()
	reqs[4].Reply(reqs[4].Body)
	if done.Load() != 3 {
		t.Error("the parts of a late reply are not given back")
	}
	g.nothingLeft()
}

func TestSecondAnswerIsIgnored(t *testing.T) {
	if invariant.Enabled {
		return // there it is a violation
	}
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) {
		r.Reply([]byte("first"))
		r.Reply([]byte("second"))
		r.NoReply()
		r.Fail(errors.New("third"))
	}))
	c := g.dial()
	for i := range int32(10) {
		c.send(keyMetadata, 0, i, nil)
		c.expect(i, []byte("first"))
	}
}

// One connection that holds the whole budget of large frames stops others only
// until it lets go, and never those with small frames.
func TestBudgetIsBackpressure(t *testing.T) {
	arrived := make(chan *Request, 10)
	set := Settings{FrameBytesMax: 1 << 20, SmallFrameBytesMax: 64 << 10, MemoryBytes: 1}
	g := newRig(t, set, handlerFunc(func(r *Request) {
		if r.Key == keyProduce {
			arrived <- r
			return
		}
		echo(r)
	}))
	body := make([]byte, 900<<10)
	hog, gone, next := g.dial(), g.dial(), g.dial()
	go func() { _, _ = hog.nc.Write(frame(keyProduce, 0, 1, body)) }()
	held := get(t, arrived)
	_, _ = gone.nc.Write(frame(keyProduce, 0, 2, body)[:4<<10])
	g.eventually("another connection waits", func() bool { return g.s.Stats().Waiting == 1 })
	go func() { _, _ = next.nc.Write(frame(keyProduce, 0, 3, body)) }()
	g.eventually("two connections wait", func() bool { return g.s.Stats().Waiting == 2 })
	go func() { _, _ = hog.nc.Write(frame(keyProduce, 0, 4, body)) }()
	g.eventually("three connections wait", func() bool { return g.s.Stats().Waiting == 3 })

	small := g.dial()
	small.send(keyMetadata, 0, 5, []byte("heartbeat"))
	small.expect(5, []byte("heartbeat"))

	gone.nc.Close() // while it waits: found out when it is its turn
	held.Release()  // without an answer
	r := get(t, arrived)
	if r.CorrelationID != 3 {
		t.Fatalf("request %d is next, want 3", r.CorrelationID)
	}
	r.Reply()
	next.expect(3, nil)
	get(t, arrived).NoReply()
	held.Reply()
	hog.expect(1, nil)
	if got := g.s.Stats().LargeBytes; got > int64(bufferCap(1<<20)) {
		t.Errorf("%d bytes taken", got)
	}
}

// A shutdown frees those who wait for memory.
func TestShutdownWhileWaitingForMemory(t *testing.T) {
	arrived := make(chan *Request, 10)
	set := Settings{FrameBytesMax: 64 << 10, SmallFrameBytesMax: 32 << 10, MemoryBytes: 1}
	g := newRig(t, set, handlerFunc(func(r *Request) { arrived <- r }))
	a, b := g.dial(), g.dial()
	a.send(keyProduce, 0, 1, make([]byte, 60<<10))
	held := get(t, arrived)
	b.send(keyProduce, 0, 2, make([]byte, 60<<10))
	g.eventually("the other waits", func() bool { return g.s.Stats().Waiting == 1 })
	ended := make(chan error, 1)
	go func() { ended <- g.s.Shutdown(context.Background()) }()
	b.expectClosed()
	held.Reply()
	a.expect(1, nil)
	a.expectClosed()
	if err := get(t, ended); err != nil {
		t.Error(err)
	}
}

func TestShutdownDrains(t *testing.T) {
	const n = 8
	arrived := make(chan *Request, n)
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) { arrived <- r }))
	idle := g.dial()
	idle.send(keyMetadata, 0, 1, nil)
	get(t, arrived).Reply()
	idle.expect(1, nil)
	var clients []*client
	var reqs []*Request
	for i := range int32(n) {
		c := g.dial()
		c.send(keyMetadata, 0, i, []byte("x"))
		clients = append(clients, c)
		reqs = append(reqs, get(t, arrived))
	}
	ended := make(chan error, 1)
	go func() { ended <- g.s.Shutdown(context.Background()) }()
	idle.expectClosed()
	if _, err := net.Dial("tcp", g.addr); err == nil {
		t.Error("a new connection is accepted")
	}
	select {
	case err := <-ended:
		t.Fatalf("shut down with requests in flight: %v", err)
	default:
	}
	for i, r := range reqs {
		echo(r)
		clients[i].expect(int32(i), []byte("x"))
		clients[i].expectClosed()
	}
	if err := get(t, ended); err != nil {
		t.Error(err)
	}
	if err := g.s.Serve("again", newPipeListener()); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	arrived := make(chan *Request, 1)
	g := newRig(t, Settings{}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	c.send(keyMetadata, 0, 1, nil)
	r := get(t, arrived)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown returned %v", err)
	}
	c.expectClosed()
	echo(r)
}

func TestManyIdleConnections(t *testing.T) {
	const n = 1000
	g := newRig(t, Settings{}, handlerFunc(echo))
	var clients []*client
	for i := range int32(n) {
		c := g.dial()
		c.send(keyMetadata, 0, i, []byte("hello"))
		clients = append(clients, c)
	}
	for i, c := range clients {
		c.expect(int32(i), []byte("hello"))
	}
	if got := g.s.Stats(); got.Connections != n {
		t.Errorf("%d connections, want %d", got.Connections, n)
	}
	for i, c := range clients {
		if i%2 == 0 {
			c.nc.Close()
		}
	}
	g.eventually("half of them are gone", func() bool { return g.s.Stats().Connections == n/2 })
}

// Clients that come, send, and go at any point leave nothing behind.
func TestChurn(t *testing.T) {
	g := newRig(t, Settings{InFlightMax: 4, MemoryBytes: 1, FrameBytesMax: 64 << 10, SmallFrameBytesMax: 16 << 10},
		handlerFunc(func(r *Request) {
			if r.CorrelationID%3 == 0 {
				go func() { r.Reply(r.Body) }()
				return
			}
			echo(r)
		}))
	body := bytes.Repeat([]byte("abc"), 15_000)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 30 {
				nc, err := net.Dial("tcp", g.addr)
				if err != nil {
					t.Error(err)
					return
				}
				go func() { _, _ = io.CopyN(io.Discard, nc, int64(i*10_000)) }()
				for j := range int32(i % 7) {
					f := frame(keyProduce, 9, j, body)
					if worker%2 == 0 && j == 5 {
						f = f[:i*1000]
					}
					_, _ = nc.Write(f)
				}
				nc.Close()
			}
		}()
	}
	wg.Wait()
	g.nothingLeft()
}
