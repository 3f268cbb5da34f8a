package kafka

import (
	"fmt"
	"sync"
	"time"

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
func (h *Handlers) verdict(err error) (int16, *string) { return h.code(err), errorText(err) }

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

// gather returns a gather that waits for n outcomes, at least one. It calls send
// on whichever goroutine brings the last of them, or about when timeoutMillis
// have passed. The answer must be complete by now but for the outcomes.
func (c *Call) gather(timeoutMillis int32, n int, send func()) *gather {
	d := adminTimeoutUsual
	if timeoutMillis > 0 {
		d = min(time.Duration(timeoutMillis)*time.Millisecond, adminTimeoutMax)
	}
	g := &gather{left: n, send: send}
	g.stop = c.h.b.After(d, g.expire)
	return g
}

// settle takes one outcome: note writes it into the answer, unless that was
// sent. Any goroutine may call it.
func (g *gather) settle(note func()) {
	g.mu.Lock()
	if !g.sent {
		note()
	}
	g.left--
	last := g.left == 0 && !g.sent
	g.sent = g.sent || last
	g.mu.Unlock()
	if last {
		g.stop()
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

// change is one command of a request, and where its outcome goes.
type change struct {
	cmd  metadata.Command
	note func(metadata.Result)
}

// change proposes changes, or with validateOnly only checks them, and calls send
// when all are noted.
func (c *Call) change(timeoutMillis int32, validateOnly bool, changes []change, send func()) {
	if validateOnly || len(changes) == 0 {
		img := c.h.b.Image()
		for _, ch := range changes {
			ch.note(metadata.Result{Err: img.Check(ch.cmd)})
		}
		send()
		return
	}
	g := c.gather(timeoutMillis, len(changes), send)
	for _, ch := range changes {
		c.h.b.Command(ch.cmd, func(r metadata.Result) { g.settle(func() { ch.note(r) }) })
	}
}

// overrides returns settings as package config takes them.
func overrides(kvs []metadata.KV) []config.KV {
	out := make([]config.KV, len(kvs))
	for i, kv := range kvs {
		out[i] = config.KV(kv)
	}
	return out
}

// distinct returns the items of a list in the order in which they first stand,
// and those that stand again.
func distinct[T any, K comparable](list []T, key func(*T) K) (first []*T, again map[K]bool) {
	seen := make(map[K]bool, len(list))
	again = map[K]bool{}
	for i := range list {
		k := key(&list[i])
		if seen[k] {
			again[k] = true
			continue
		}
		seen[k] = true
		first = append(first, &list[i])
	}
	return first, again
}
