package broker

import (
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
)

// groupHost is the broker as the coordinator of consumer groups sees it.
type groupHost struct{ b *Broker }

var _ coordinator.Host = groupHost{}

func (h groupHost) Ready() bool { return h.b.registered.Load() && h.b.node.Ready() }

func (h groupHost) Image() *metadata.Image { return h.b.node.Image() }

func (h groupHost) Replica(id ident.Partition) *node.Replica { return h.b.node.Replica(id) }

func (h groupHost) Post(f func()) { h.b.owner.post(func(*node.Node) { f() }) }

func (h groupHost) Command(c metadata.Command, done func(metadata.Result)) {
	h.b.owner.post(func(n *node.Node) { n.Command(c, done) })
}

func (h groupHost) Confirm(id ident.Partition, done func(error)) {
	h.b.owner.post(func(n *node.Node) { n.Confirm(id, done) })
}

func (h groupHost) Run(f func()) { h.b.workers.run(f) }

func (h groupHost) After(d time.Duration, f func()) (stop func()) { return h.b.alarms.after(d, f) }

func (h groupHost) Now() time.Time { return h.b.c.Now() }
