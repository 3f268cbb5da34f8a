package broker

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/kafka"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// backend is the broker as the API handlers see it.
type backend struct{ *Broker }

var _ kafka.Backend = backend{}

func (b *Broker) nodeID() ident.NodeID { return ident.NodeID(b.s.NodeID) }

// advertised returns where clients of the i-th listener are to connect.
func (b *Broker) advertised(i int) (string, int32) {
	a := b.s.Advertised[i]
	port := a.Port
	if port == 0 {
		if t, ok := b.listeners[i].Addr().(*net.TCPAddr); ok {
			port = t.Port
		}
	}
	return a.Host, int32(port)
}

func (b backend) Ready() bool { return b.registered.Load() && b.node.Ready() }

func (b backend) Image() *metadata.Image { return b.node.Image() }

func (b backend) NodeID() ident.NodeID { return b.nodeID() }

func (b backend) Advertised(listener string) (string, int32) {
	for i, l := range b.s.Advertised {
		if l.Name == listener {
			return b.advertised(i)
		}
	}
	return b.advertised(0)
}

func (b backend) Config() *config.Broker { return b.settings() }

func (b backend) Topic(t *metadata.Topic) *config.Topic { return b.topics.get(t, b.settings()) }

func (b backend) Replica(id ident.Partition) *node.Replica { return b.node.Replica(id) }

// Produce hands all batches of a request to the owner as one event.
func (b backend) Produce(batches []kafka.Batch) {
	b.owner.post(func(*node.Node) {
		for i := range batches {
			if a := batches[i].Append; a != nil {
				batches[i].Partition.Produce(a)
			} else {
				batches[i].Partition.Refused(batches[i].Refused)
			}
		}
	})
}

func (b backend) DeleteRecords(p *partition.Partition, r *partition.StartRequest) {
	b.owner.post(func(*node.Node) { p.DeleteRecords(r, b.c.Now().UnixMilli()) })
}

func (b backend) Command(c metadata.Command, done func(metadata.Result)) {
	b.owner.post(func(n *node.Node) { n.Command(c, done) })
}

func (b backend) ProducerID(done func(int64, error)) { b.ids.take(b, done) }

func (b backend) Groups() *coordinator.Coordinator { return b.groups }

func (b backend) Run(f func()) { b.workers.run(f) }

func (b backend) RunCold(f func(context.Context)) bool { return b.tier.run(b.tier.readers, f) }

func (b backend) RunLookup(f func(context.Context)) bool { return b.tier.run(b.tier.lookups, f) }

func (b backend) Cold() kafka.ColdLog { return b.tier }

func (b backend) After(d time.Duration, f func()) (stop func()) { return b.alarms.after(d, f) }

func (b backend) Now() time.Time { return b.c.Now() }

// producerIDs hands out producer ids of a block that the cluster metadata gave
// to this broker. Ids of a block that a restart cuts short are never given out.
type producerIDs struct {
	mu        sync.Mutex
	next, end int64
	waiting   []func(int64, error)
}

// producerIDBlock is how many ids are taken at a time, as in Kafka.
const producerIDBlock = 1000

func (p *producerIDs) take(b backend, done func(int64, error)) {
	p.mu.Lock()
	if p.next < p.end {
		id := p.next
		p.next++
		p.mu.Unlock()
		done(id, nil)
		return
	}
	p.waiting = append(p.waiting, done)
	first := len(p.waiting) == 1
	p.mu.Unlock()
	if first {
		p.refill(b)
	}
}

// refill takes a new block and serves who waits.
func (p *producerIDs) refill(b backend) {
	b.Command(metadata.AllocateProducerIDs{By: b.nodeID(), Count: producerIDBlock}, func(r metadata.Result) {
		p.mu.Lock()
		waiting := p.waiting
		p.waiting = nil
		if r.Err == nil {
			p.next, p.end = r.ProducerIDs.First, r.ProducerIDs.First+int64(r.ProducerIDs.Count)
		}
		ids := make([]int64, 0, len(waiting))
		for range waiting {
			if p.next < p.end {
				ids = append(ids, p.next)
				p.next++
			}
		}
		p.mu.Unlock()
		for i, done := range waiting {
			switch {
			case r.Err != nil:
				done(-1, r.Err)
			case i < len(ids):
				done(ids[i], nil)
			default:
				p.take(b, done)
			}
		}
	})
}
