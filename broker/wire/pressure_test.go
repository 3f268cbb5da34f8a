package wire

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// long are waits that no test here comes to the end of.
func long(set Settings) Settings {
	set.ReadMax, set.WriteMax, set.IdleMax, set.HandshakeMax = time.Hour, time.Hour, time.Hour, time.Hour
	return set
}

// TestAnnouncedFrameHoldsNoMemory: a connection that announced a large request
// and sent none of it held the whole budget, so that two of them stopped all
// producers for minutes.
func TestAnnouncedFrameHoldsNoMemory(t *testing.T) {
	g := newRig(t, long(Settings{FrameBytesMax: 1 << 20, SmallFrameBytesMax: 64 << 10, MemoryBytes: 1}), handlerFunc(echo))
	for range 10 {
		g.dial().write(lengthOnly(1<<20, keyProduce, 7))
		g.dial().write(lengthOnly(64<<10, keyMetadata, 0))
	}
	c := g.dial()
	body := make([]byte, 900<<10)
	go func() { _, _ = c.nc.Write(frame(keyProduce, 0, 1, body)) }()
	c.expect(1, body)
	body = make([]byte, 60<<10)
	c.send(keyMetadata, 0, 2, body)
	c.expect(2, body)
}

// TestStalledFrameGivesWay: a request that stops arriving is given up once others
// wait for its memory, and not before.
func TestStalledFrameGivesWay(t *testing.T) {
	for name, key := range map[string]int16{"large": keyProduce, "small": keyMetadata} {
		t.Run(name, func(t *testing.T) { stalledFrame(t, key) })
	}
}

func stalledFrame(t *testing.T, key int16) {
	h := &tracker{}
	g := newRig(t, long(Settings{
		FrameBytesMax: 1 << 20, SmallFrameBytesMax: 1 << 20, MemoryBytes: 1, PressedMax: 20 * time.Millisecond,
	}), h)
	stalled := g.dial()
	whole := frame(key, 0, 1, make([]byte, 900<<10))
	stalled.write(whole[:10_000])
	g.eventually("it holds memory", func() bool { s := g.s.Stats(); return s.LargeBytes+s.ArrivingBytes > 900<<10 })
	first := h.conn.Load()
	time.Sleep(100 * time.Millisecond) // long past PressedMax: nobody waits
	if err := first.Err(); err != nil {
		t.Fatalf("given up for %v", err)
	}
	c := g.dial()
	go func() { _, _ = c.nc.Write(whole) }()
	c.reply()
	stalled.expectClosed()
	if err := first.Err(); !errors.Is(err, ErrSlow) {
		t.Errorf("closed for %v", err)
	}
}

// TestUnreadAnswersGiveWay: a client that reads none of its answers is closed
// once they use up the memory of answers, so that others are served.
func TestUnreadAnswersGiveWay(t *testing.T) {
	answer := make([]byte, 32<<20) // more than sockets take
	g := newRig(t, long(Settings{AnswerBytes: 4 << 20, PressedMax: 20 * time.Millisecond}), handlerFunc(func(r *Request) {
		if len(r.Body) > 0 {
			r.Reply(r.Body)
			return
		}
		r.Reply(answer)
	}))
	hog := g.dial()
	hog.send(keyMetadata, 0, 1, nil)
	g.eventually("the answer holds memory", func() bool { return g.s.Stats().AnswerBytes >= 32<<20 })
	c := g.dial()
	c.send(keyMetadata, 0, 1, []byte("served"))
	c.expect(1, []byte("served"))
}

// TestReserve: answers wait for memory in order; each connection holds that of one
// answer.
func TestReserve(t *testing.T) {
	type asked struct {
		r       *Request
		granted chan struct{}
	}
	arrived := make(chan asked, 10)
	reserve := func(a asked, least, most int64) (int64, bool) {
		return a.r.Reserve(least, most, func() { a.granted <- struct{}{} })
	}
	g := newRig(t, long(Settings{AnswerBytes: 1 << 20}), handlerFunc(func(r *Request) {
		arrived <- asked{r, make(chan struct{}, 1)}
	}))
	total := g.s.reserved.total
	c, d := g.dial(), g.dial()
	c.send(keyFetch, 0, 1, nil)
	c.send(keyFetch, 0, 2, nil)
	first, second := get(t, arrived), get(t, arrived)
	if _, ok := reserve(second, 1000, 1000); ok {
		t.Fatal("the second of a connection need not wait for the first")
	}
	if n, ok := reserve(first, 1000, total); !ok || n != total/16 {
		t.Fatalf("%d %v, want a sixteenth of %d", n, ok, total)
	}
	first.r.Unreserve()
	if n, ok := reserve(first, total, total); !ok || n != total {
		t.Fatalf("%d %v, want all of %d", n, ok, total)
	}
	d.send(keyFetch, 0, 3, nil)
	other := get(t, arrived)
	if _, ok := reserve(other, 2000, 5000); ok {
		t.Fatal("there is nothing left")
	}
	if s := g.s.Stats(); s.AnswersWaiting != 1 || s.AnswerBytes != total {
		t.Errorf("%+v", s)
	}
	first.r.Reply(make([]byte, 100))
	get(t, other.granted)
	get(t, second.granted)
	if n, ok := reserve(other, 0, 0); !ok || n < 2000 {
		t.Errorf("%d %v", n, ok)
	}
	if n, ok := reserve(second, 0, 0); !ok || n < 1000 {
		t.Errorf("%d %v", n, ok)
	}
	other.r.Reply([]byte("other"))
	second.r.NoReply()
	c.expect(1, make([]byte, 100))
	d.expect(3, []byte("other"))
	g.eventually("all is given back", func() bool { return g.s.Stats().AnswerBytes == 0 })
}

// TestReserveOfLeavingClient: a wait for memory ends with its connection.
func TestReserveOfLeavingClient(t *testing.T) {
	arrived := make(chan *Request, 10)
	g := newRig(t, long(Settings{AnswerBytes: 1 << 20}), handlerFunc(func(r *Request) { arrived <- r }))
	total := g.s.reserved.total
	c, d := g.dial(), g.dial()
	c.send(keyFetch, 0, 1, nil)
	holds := get(t, arrived)
	if _, ok := holds.Reserve(total, total, func() {}); !ok {
		t.Fatal("not held")
	}
	d.send(keyFetch, 0, 1, nil)
	d.send(keyFetch, 0, 2, nil)
	var told atomic.Int32
	a, b := get(t, arrived), get(t, arrived)
	for _, r := range []*Request{a, b} {
		if _, ok := r.Reserve(1, 1, func() { told.Add(1) }); ok {
			t.Fatal("held")
		}
	}
	d.nc.Close()
	g.eventually("both are told", func() bool { return told.Load() == 2 })
	a.NoReply()
	b.Reply([]byte("nobody reads this"))
	if s := g.s.Stats(); s.AnswersWaiting != 0 || s.AnswerBytes != total {
		t.Errorf("%+v", s)
	}
	c.nc.Close()
	<-holds.Conn.Done()
	holds.NoReply()
}

// TestReleaseBodyKeepsTheCharge, which Release ends, and Grow adds to.
func TestReleaseBodyKeepsTheCharge(t *testing.T) {
	arrived := make(chan *Request, 1)
	g := newRig(t, Settings{FrameBytesMax: 1 << 20, SmallFrameBytesMax: 64 << 10, MemoryBytes: 1}, handlerFunc(func(r *Request) { arrived <- r }))
	c := g.dial()
	c.send(keyProduce, 0, 1, make([]byte, 100<<10))
	r := get(t, arrived)
	had := g.s.Stats().LargeBytes
	r.ReleaseBody()
	if !r.Grow(1000) || r.Grow(1<<30) {
		t.Error("Grow takes what is there, and no more")
	}
	if got := g.s.Stats().LargeBytes; got != had+1000 {
		t.Errorf("%d bytes, want %d", got, had+1000)
	}
	r.Release()
	if got := g.s.Stats().LargeBytes; got != 0 {
		t.Errorf("%d bytes", got)
	}
	r.Reply()
	c.expect(1, nil)
}
