package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
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
	told      string // why the last attempt failed, as the operator was told

	// To another broker.
	request uint64 // what is asked, 0: nothing
	sent    time.Time
	attempt int
}

// Bounds of one delivery.
const (
	deliverCountMax = 500
	deliverBytesMax = 256 << 10
)

// outboxRoom implements partition.Config.OutboxRoom. What could never be taken
// is refused for good.
func (n *Node) outboxRoom(bytes int64) error {
	most := n.checkpointShare()
	if bytes > most {
		return fmt.Errorf("%w: %d bytes of dead letters or routed records in one batch, at most %d", record.ErrTooLarge, bytes, most)
	}
	for _, d := range n.outboxes { // order: a sum
		_, waiting := d.r.Partition.OutboxDepth()
		bytes += waiting
	}
	if bytes > most {
		return partition.ErrOutboxFull
	}
	return nil
}

// emit delivers what waits in a partition's outbox: in order, one batch at a
// time, trimming the outbox behind it. What cannot be delivered now is tried
// again at the next Tick.
func (n *Node) emit(id ident.Partition, r *Replica) {
	d := n.outboxes[id]
	if n.Replica(id) != r || r.Partition == nil {
		if d != nil && d.r == r {
			delete(n.outboxes, id)
		}
		return // deleted since, or replaced
	}
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
	if _, err := r.Partition.Offsets(); d.busy || len(waiting) == 0 || err != nil || !n.ready.Load() {
		// In flight, all delivered, or not the leader; or the metadata is not
		// replayed: the topic may be deleted by then, and its targets have
		// forgotten what it delivered.
		return
	}
	topic, batch, err := n.sameTarget(waiting)
	if err != nil {
		n.stuck(d, Event{Partition: id, Topic: r.Topic, Err: err, Text: "an emission has no target; the outbox holds it"})
		return
	}
	to, info, ok := n.target(topic, id, d)
	if !ok {
		return
	}
	bytes, err := n.c.Letters.Build(Origin{Topic: r.Topic, Partition: id}, batch, now)
	if err != nil {
		n.stuck(d, Event{Partition: id, Topic: r.Topic, Err: err, Text: "emissions cannot be made into records; the outbox holds them"})
		return
	}
	x := &partition.Delivery{Origin: id, First: batch[0].Position, Last: batch[len(batch)-1].Position, Batch: bytes, AsOf: n.imageVersion()}
	here := n.Replica(to)
	if here == nil || here.Partition == nil || !here.Partition.Leads() {
		n.deliverThere(d, to, info, x)
		return
	}
	if mutant.On(mutant.TrimUndelivered) {
		r.Partition.Trim(x.Last+1, now)
	}
	d.busy = true
	x.Done = func(seen uint64, err error) {
		d.busy = false
		if err == nil {
			failpoint.Hit(failpoint.OutboxLanded)
			d.delivered, d.told = max(d.delivered, seen+1), ""
			n.emit(id, r)
		}
	}
	here.Partition.Deliver(x, now)
}

// stuck tells why an outbox cannot be delivered, unless it was told last time.
func (n *Node) stuck(d *delivery, e Event) {
	if why := e.Err.Error(); why != d.told {
		d.told = why
		n.report(e)
	}
}

// sameTarget returns the first emissions that go to one topic.
func (n *Node) sameTarget(waiting []partition.Emission) (string, []partition.Emission, error) {
	topic, err := n.c.Letters.Target(waiting[0].Data)
	k, bytes := 1, len(waiting[0].Data)
	for ; err == nil && k < len(waiting) && bytes < deliverBytesMax; k++ {
		next, e := n.c.Letters.Target(waiting[k].Data)
		if e != nil || next != topic {
			break
		}
		bytes += len(waiting[k].Data)
	}
	return topic, slices.Clone(waiting[:k]), err
}

// target finds the partition that a partition's emissions to a topic go to: always
// the same one, since it alone knows what was delivered. So partitions that the
// topic got later take none. A topic that does not exist is made, whatever
// auto.create.topics.enable says.
func (n *Node) target(topic string, origin ident.Partition, d *delivery) (ident.Partition, metadata.PartitionInfo, bool) {
	t, ok := n.Image().Topic(topic)
	if !ok {
		n.makeTarget(topic, origin, d)
		return ident.Partition{}, metadata.PartitionInfo{}, false
	}
	among := t.FirstPartitions
	if mutant.On(mutant.TargetMoves) {
		among = int32(len(t.Partitions))
	}
	to := ident.Partition{Topic: t.ID, Index: origin.Index % among}
	return to, t.Partitions[to.Index], true
}

func (n *Node) makeTarget(topic string, origin ident.Partition, d *delivery) {
	from, ok := n.topic(origin.Topic)
	if !ok {
		return // being deleted
	}
	create := metadata.CreateTopic{
		Name: topic, TopicID: n.randomID(), Partitions: int32(len(from.Partitions)),
		ReplicationFactor: int16(len(from.Partitions[0].Replicas)),
		Configs:           []metadata.KV{{Name: "cleanup.policy", Value: "delete"}}, TimeMs: n.now.UnixMilli(),
	}
	if !n.controller.Load() {
		n.makeTargetThere(create) // tried again until the topic is there
		return
	}
	d.busy = true
	done := func(r metadata.Result) {
		d.busy = false
		switch {
		case r.Err == nil:
			n.emit(origin, d.r)
		case errors.Is(r.Err, metadata.ErrTopicExists): // another partition made it meanwhile
		case errors.Is(r.Err, replog.ErrNotLeader), errors.Is(r.Err, ErrNotReady): // another broker is the controller now, and is asked
		default:
			n.stuck(d, Event{Topic: topic, Err: r.Err, Text: "the target of emissions cannot be made; the outbox holds them"})
		}
	}
	if err := n.Image().Check(create); err != nil { // no entry for what will be refused
		done(metadata.Result{Err: err})
		return
	}
	n.Command(create, done)
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

// imageVersion says by which metadata origins are judged; a broker that decides
// alone on that cannot lag.
func (n *Node) imageVersion() uint64 {
	if len(n.c.Peers) < 2 {
		return 0
	}
	return n.Image().Version()
}

// forgetOrigins makes every partition forget what deleted topics delivered to it.
// A deletion is not enough for that: a delivery may have been in flight, and the
// process may have died in between, so upkeep looks again.
func (n *Node) forgetOrigins() {
	if !n.ready.Load() {
		return // the image may lack topics that are yet to be replayed
	}
	image := n.Image()
	exists := func(id ident.TopicID) bool {
		_, ok := image.TopicByID(id)
		return ok
	}
	for t := range image.Topics() {
		n.each(t, func(p *partition.Partition) { p.ForgetOrigins(exists, n.imageVersion(), n.now.UnixMilli()) })
	}
}
