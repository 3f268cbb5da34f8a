package kafka

import (
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
)

// Bounds of one request to change topics.
const (
	// topicsPerRequestMax bounds the topics that one request creates, deletes
	// or extends.
	topicsPerRequestMax = 1000
	// partitionsPerRequestMax bounds the partitions that one request creates,
	// as Kafka's controller does.
	partitionsPerRequestMax = 10_000
	// adminTimeoutMax bounds how long a change may keep its client waiting,
	// whatever the request says.
	adminTimeoutMax = 5 * time.Minute
	// adminTimeoutUsual holds where the request says nothing.
	adminTimeoutUsual = time.Minute
	// messageMax bounds the text beside an error code, in bytes.
	messageMax = 2000
)

// refusal is an item of a request that is answered with a code of the protocol
// before any other package was asked.
type refusal struct {
	kind *kerr.Error
	text string
}

func (r *refusal) Error() string { return r.text }

// Unwrap returns the protocol's error, which has the code.
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind *kerr.Error, format string, args ...any) error {
	return &refusal{kind: kind, text: fmt.Sprintf(format, args...)}
}

// verdict returns the code and the message of an item's outcome, 0 and nil if
// there is no error.
func verdict(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	text := err.Error()
	if len(text) > messageMax {
		cut := messageMax
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "..."
	}
	return errorCode(err), &text
}

// gate returns the error of every item while the broker does not serve (K4).
func (h *Handlers) gate() error {
	if !h.b.Ready() {
		return node.ErrNotReady
	}
	return nil
}

// errTimedOut stands in every item of an answer until its outcome is known.
var errTimedOut = refuse(kerr.RequestTimedOut, "the change was not applied in time and may be applied yet")

// A gather collects the outcomes of one request's items and answers once, when
// the last has come or the request's time is over.
type gather struct {
	mu   sync.Mutex
	left int
	sent bool
	stop func()
	send func()
}

// newGather returns a gather that calls send, on whichever goroutine brings the
// last outcome, in at most about timeoutMillis. It waits for one settle on its
// own account, so that nothing is sent while items are being added.
func (c *Call) newGather(timeoutMillis int32, send func()) *gather {
	d := adminTimeoutUsual
	if timeoutMillis > 0 {
		d = min(time.Duration(timeoutMillis)*time.Millisecond, adminTimeoutMax)
	}
	g := &gather{left: 1, send: send}
	stop := c.h.b.After(d, g.expire)
	g.mu.Lock()
	g.stop = stop
	g.mu.Unlock()
	return g
}

// add announces one more outcome.
func (g *gather) add() {
	g.mu.Lock()
	g.left++
	g.mu.Unlock()
}

// settle notes one outcome: note, if not nil, writes it into the answer, unless
// that was sent.
func (g *gather) settle(note func()) {
	g.mu.Lock()
	if !g.sent && note != nil {
		note()
	}
	g.left--
	last := g.left == 0 && !g.sent
	g.sent = g.sent || last
	stop := g.stop
	g.mu.Unlock()
	if last {
		stop()
		g.send()
	}
}

// expire answers with what is known.
func (g *gather) expire() {
	g.mu.Lock()
	late := g.sent
	g.sent = true
	g.mu.Unlock()
	if !late {
		g.send()
	}
}

// command proposes a change, or with validateOnly only checks it, and tells the
// gather what became of it.
func (c *Call) command(g *gather, cmd metadata.Command, validateOnly bool, note func(metadata.Result)) {
	if validateOnly {
		note(metadata.Result{Err: c.h.b.Image().Check(cmd)})
		return
	}
	g.add()
	c.h.b.Command(cmd, func(r metadata.Result) { g.settle(func() { note(r) }) })
}

// overrides returns settings as package config takes them.
func overrides(kvs []metadata.KV) []config.KV {
	out := make([]config.KV, len(kvs))
	for i, kv := range kvs {
		out[i] = config.KV(kv)
	}
	return out
}

// repeated returns which of the n keys stand more than once.
func repeated[K comparable](n int, key func(int) K) map[K]bool {
	seen := make(map[K]bool, n)
	for i := range n {
		k := key(i)
		_, again := seen[k]
		seen[k] = again
	}
	return seen
}
