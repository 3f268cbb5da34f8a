package kafka

import (
	"sync"
	"time"
)

// fetchCall is one Fetch request until it is answered. While it waits it is a
// watcher of all of its partitions and has one deadline; no goroutine and no
// timer is its own.
//
// All but the guarded fields belong to whoever runs it, which is one at a time.
type fetchCall struct {
	h      *Handlers
	c      *Call
	lim    fetchLimits // of the look that is being taken
	asked  fetchLimits
	wait   time.Duration
	least  int64 // bytes that an answer needs to have, and may have at most
	most   int64
	topics []fetchTopic
	parts  []fetchPart

	waiting   bool // it was looked at once, and the deadline runs
	cold      bool // reads from the cold tier were begun, and are waited for
	stopTimer func()
	stopClose func()

	mu      sync.Mutex
	running bool // someone runs it, or will
	woken   bool // look again
	over    bool // the wait is over
	gone    bool // the client has left
}

// start looks at the partitions for the first time, on the pool: what they hold
// may be on disk.
func (f *fetchCall) start() {
	f.running = true
	f.over = f.wait == 0 || len(f.parts) == 0
	f.h.b.Run(f.run)
}

// Notify implements partition.Watcher. Events that come together cost one look.
func (f *fetchCall) Notify() { f.wake(false, false) }

func (f *fetchCall) expire() { f.wake(true, false) }
func (f *fetchCall) leave()  { f.wake(false, true) }

func (f *fetchCall) wake(over, gone bool) {
	f.mu.Lock()
	f.woken = true
	f.over = f.over || over
	f.gone = f.gone || gone
	run := !f.running
	f.running = true
	f.mu.Unlock()
	if run {
		f.h.b.Run(f.run)
	}
}

// run looks until it has answered or nothing new has happened since it looked.
// After the answer running stays set, so that nothing runs it again. It looks when
// there is memory for what it may find, and is woken when there is.
func (f *fetchCall) run() {
	for {
		f.mu.Lock()
		f.woken = false
		over, gone := f.over, f.gone
		f.mu.Unlock()
		if gone || f.closed() {
			f.finish()
			f.c.NoReply()
			return
		}
		if f.reserve() {
			if f.look(over) {
				return
			}
			if !f.cold { // what is being read from the cold tier has its place
				f.c.Unreserve()
			}
		}
		f.mu.Lock()
		if !f.woken {
			f.running = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
	}
}

// reserve takes memory for what a look may find, and limits it to that.
func (f *fetchCall) reserve() bool {
	bytes, ok := f.c.Reserve(f.least, f.most, f.Notify)
	if ok && !f.cold {
		f.lim = f.asked
		f.lim.maxBytes = min(f.lim.maxBytes, int(bytes))
		f.lim.minBytes = min(f.lim.minBytes, f.lim.maxBytes)
	}
	return ok
}

// closed reports whether the connection has closed.
func (f *fetchCall) closed() bool {
	select {
	case <-f.c.Conn.Done():
		return true
	default:
		return false
	}
}

// look answers if there is reason to, and else makes sure that it is woken.
func (f *fetchCall) look(over bool) (answered bool) {
	if f.cold {
		return (over || f.coldDone()) && f.answer(true)
	}
	if !f.waiting {
		if f.answer(over) {
			return true
		}
		if !f.h.waits(f) {
			return f.answer(true)
		}
		f.waiting = true
		f.stopTimer = f.h.b.After(f.wait, f.expire)
		f.stopClose = f.c.Conn.OnClose(f.leave)
		if f.cold {
			return false
		}
	}
	if !over {
		f.watch() // first, so that what comes after the look wakes it
		if !f.grown() {
			return false
		}
	}
	return f.answer(true)
}

// answer reads, and replies if that is enough or the fetch must end: because its
// wait is over, or because enough has come although not all of it fits.
func (f *fetchCall) answer(must bool) bool {
	began := f.h.b.Now()
	r := f.read()
	if f.beginCold() {
		return false
	}
	if !must && !r.failed && r.bytes < f.lim.minBytes {
		return false
	}
	f.observe(&r, began)
	r.fill()
	f.finish()
	self := endpoint{node: f.h.b.NodeID()}
	self.host, self.port = f.h.b.Advertised(f.c.Conn.Listener())
	f.c.Reply(encodeFetch(f.c.Version, f.lim.committed, 0, r.topics, self)...)
	return true
}

func (f *fetchCall) watch() {
	for i := range f.parts {
		if p := f.parts[i].p; p != nil {
			p.Watch(f)
		}
	}
}

// finish ends everything that could wake it.
func (f *fetchCall) finish() {
	if !f.waiting {
		return
	}
	f.h.waited(f)
	f.stopTimer()
	f.stopClose()
	for i := range f.parts {
		if p := f.parts[i].p; p != nil {
			p.Unwatch(f)
		}
	}
}
