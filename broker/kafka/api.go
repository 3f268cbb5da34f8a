package kafka

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/wire"
)

// Handlers serve every API key.
type Handlers struct {
	b        Backend
	log      *slog.Logger
	observer Observer // nil: nobody is told
	turns    turns

	mu      sync.Mutex
	fetches map[*fetchCall]struct{} // that wait
	ended   bool                    // Drain was called
}

// New returns the handlers of a broker.
func New(b Backend, log *slog.Logger) *Handlers {
	return &Handlers{b: b, log: log, fetches: map[*fetchCall]struct{}{}, turns: newTurns(runtime.GOMAXPROCS(0))}
}

// Drain ends the waits of all fetches, now and from now on, so that a shutdown
// need not wait for them.
func (h *Handlers) Drain() {
	h.mu.Lock()
	h.ended = true
	waiting := make([]*fetchCall, 0, len(h.fetches))
	for f := range h.fetches {
		waiting = append(waiting, f)
	}
	h.mu.Unlock()
	for _, f := range waiting {
		f.expire()
	}
}

// waits notes that a fetch waits, and reports whether it may.
func (h *Handlers) waits(f *fetchCall) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.fetches[f] = struct{}{}
	}
	return !h.ended
}

func (h *Handlers) waited(f *fetchCall) {
	h.mu.Lock()
	delete(h.fetches, f)
	h.mu.Unlock()
}

// api is one row of the table.
type api struct {
	key, min, max int16
	serve         func(*Handlers, *Call)
}

// Call is one request on its way to its answer.
type Call struct {
	*wire.Request
	h *Handlers
}

// on makes a row whose request kmsg decodes.
func on[Q any, P interface {
	*Q
	kmsg.Request
}](min, max int16, f func(*Handlers, *Call, P)) api {
	key := P(new(Q)).Key()
	return api{key: key, min: min, max: max, serve: func(h *Handlers, c *Call) {
		q := P(new(Q))
		if err := decode(c, q); err != nil {
			c.Fail(err)
			return
		}
		f(h, c, q)
	}}
}

// decode reads a request's body, once its counts are known to be true (K3).
func decode(c *Call, q kmsg.Request) error {
	if err := checkShape(c.Key, c.Version, c.Body); err != nil {
		return err
	}
	q.SetVersion(c.Version)
	if err := q.ReadFrom(c.Body); err != nil {
		return fmt.Errorf("decode %s version %d: %w", kmsg.NameForKey(c.Key), c.Version, err)
	}
	return nil
}

// raw makes a row that reads the request's body itself.
func raw(key, min, max int16, f func(*Handlers, *Call)) api {
	return api{key: key, min: min, max: max, serve: f}
}

// Serve implements wire.Handler.
func (h *Handlers) Serve(r *wire.Request) {
	a, ok := table[r.Key]
	if !ok || !r.Unsupported && (r.Version < a.min || r.Version > a.max) {
		r.Fail(fmt.Errorf("kafka: API key %d version %d is not served", r.Key, r.Version))
		return
	}
	a.serve(h, &Call{Request: r, h: h})
}

// Known says what the wire may read of a key and version: what is in the table.
// What a request decodes to may be much larger than its frame, so all but
// Produce, which is read in place, are charged for it (K3).
func Known(key, version int16) wire.Limits {
	a, ok := table[key]
	if !ok || version < a.min || version > a.max {
		return wire.Limits{}
	}
	l := wire.Limits{Known: true, MemoryFactor: decodeFactor}
	switch key {
	case produceKey:
		l.MemoryFactor, l.AnswerSmall = 1, true
	case fetchKey, heartbeatKey, offsetCommitKey:
		l.AnswerSmall = true
	}
	return l
}

// table is apis by key. It is filled by init because handlers refer to it.
var table = map[int16]api{}

func init() {
	for _, a := range apis() {
		table[a.key] = a
	}
}

// decodeFactor is how much larger than its bytes a decoded request may be once
// its shape was checked: what kmsg makes of four bytes, a topic of Metadata with
// a tagged field that nobody knows, measured at 96 times (TestCheapestElements).
const decodeFactor = 100

const (
	produceKey      = 0
	fetchKey        = 1
	offsetCommitKey = 8
	heartbeatKey    = 12
)

// apis is the table: every key and version that is served (K1).
func apis() []api {
	return slices.Concat(dataAPIs(), adminAPIs(), groupAPIs())
}
