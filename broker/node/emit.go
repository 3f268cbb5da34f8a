package node

import (
	"encoding/binary"
	"slices"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// Letters turns emissions into records of their targets.
type Letters interface {
	// Target returns the name of the topic that an emission goes to.
	Target(emission []byte) (topic string, err error)
	// Build makes one record batch of emissions that one partition of a topic
	// emitted. now is in ms.
	Build(origin Origin, emissions []partition.Emission, now int64) ([]byte, error)
}

// Origin is where emissions come from.
type Origin struct {
	Topic     string
	Partition ident.Partition
}

// delivery is how far a partition's outbox is delivered.
type delivery struct {
	r         *Replica
	delivered uint64 // everything below is in its target
	busy      bool   // a delivery, or the making of a topic, is in flight
}

// Bounds of one delivery.
const (
	deliverCountMax = 500
	deliverBytesMax = 256 << 10
)

// emit delivers what waits in a partition's outbox: in order, one batch at a
// time, trimming the outbox behind it. What cannot be delivered now is tried
// again at the next Tick.
func (n *Node) emit(id ident.Partition, r *Replica) {
	if n.Replica(id) != r || r.Partition == nil {
		delete(n.outboxes, id)
		return // deleted since
	}
	d := n.outboxes[id]
	if d == nil {
		if count, _ := r.Partition.OutboxDepth(); count == 0 {
			return
		}
		d = &delivery{r: r}
		n.outboxes[id] = d
	}
	waiting := r.Partition.Outbox(deliverCountMax)
	if len(waiting) == 0 {
		delete(n.outboxes, id)
		return
	}
	now := n.now.UnixMilli()
	if waiting[0].Position < d.delivered {
		r.Partition.Trim(d.delivered, now)
	}
	for len(waiting) > 0 && waiting[0].Position < d.delivered {
		waiting = waiting[1:]
	}
	if _, err := r.Partition.Offsets(); d.busy || len(waiting) == 0 || err != nil {
		return // in flight, all delivered, or not the leader
	}
	topic, batch := n.sameTarget(waiting)
	target, ok := n.target(topic, id, d)
	if !ok {
		return
	}
	bytes, err := n.c.Letters.Build(Origin{Topic: r.Topic, Partition: id}, batch, now)
	if err != nil {
		n.report(Event{Partition: id, Topic: r.Topic, Err: err, Text: "emissions cannot be made into records; the outbox holds them"})
		return
	}
	d.busy = true
	target.Deliver(&partition.Delivery{
		Origin: id, First: batch[0].Position, Last: batch[len(batch)-1].Position, Batch: bytes,
		Done: func(seen uint64, err error) {
			d.busy = false
			if err == nil {
				d.delivered = max(d.delivered, seen+1)
				n.emit(id, r)
			}
		},
	}, now)
}

// sameTarget returns the first emissions that go to one topic.
func (n *Node) sameTarget(waiting []partition.Emission) (string, []partition.Emission) {
	topic, err := n.c.Letters.Target(waiting[0].Data)
	k, bytes := 1, len(waiting[0].Data)
	for ; err == nil && k < len(waiting) && bytes < deliverBytesMax; k++ {
		next, e := n.c.Letters.Target(waiting[k].Data)
		if e != nil || next != topic {
			break
		}
		bytes += len(waiting[k].Data)
	}
	return topic, slices.Clone(waiting[:k])
}

// target finds the partition that a partition's emissions to a topic go to. A
// topic that does not exist is made, whatever auto.create.topics.enable says.
func (n *Node) target(topic string, origin ident.Partition, d *delivery) (*partition.Partition, bool) {
	t, ok := n.Image().Topic(topic)
	if !ok {
		n.makeTarget(topic, origin, d)
		return nil, false
	}
	to := n.Replica(ident.Partition{Topic: t.ID, Index: origin.Index % int32(len(t.Partitions))})
	if to == nil || to.Partition == nil {
		return nil, false
	}
	return to.Partition, true
}

func (n *Node) makeTarget(topic string, origin ident.Partition, d *delivery) {
	from, ok := n.topic(origin.Topic)
	if !ok {
		return // being deleted
	}
	d.busy = true
	var id ident.TopicID
	binary.LittleEndian.PutUint64(id[:], n.c.Entropy())
	binary.LittleEndian.PutUint64(id[8:], n.c.Entropy())
	n.Command(metadata.CreateTopic{
		Name: topic, TopicID: id, Partitions: int32(len(from.Partitions)), ReplicationFactor: 1,
		Configs: []metadata.KV{{Name: "cleanup.policy", Value: "delete"}}, TimeMs: n.now.UnixMilli(),
	}, func(r metadata.Result) {
		d.busy = false
		if r.Err != nil {
			n.report(Event{Topic: topic, Err: r.Err, Text: "the target of emissions cannot be made; the outbox holds them"})
			return
		}
		n.emit(origin, d.r)
	})
}

// emitAll tries every outbox that holds something, in a fixed order.
func (n *Node) emitAll() {
	ids := make([]ident.Partition, 0, len(n.outboxes))
	for id := range n.outboxes { // order: sorted below
		ids = append(ids, id)
	}
	slices.SortFunc(ids, comparePartitions)
	for _, id := range ids {
		n.emit(id, n.outboxes[id].r)
	}
}

func comparePartitions(a, b ident.Partition) int {
	if c := slices.Compare(a.Topic[:], b.Topic[:]); c != 0 {
		return c
	}
	return int(a.Index) - int(b.Index)
}

// forgetOrigin tells every partition that a deleted topic delivered to.
func (n *Node) forgetOrigin(t *metadata.Topic) {
	for other := range n.Image().Topics() {
		n.each(other, func(p *partition.Partition) {
			if p.HasOrigin(t.ID) {
				p.Forget(t.ID, n.now.UnixMilli())
			}
		})
	}
}
