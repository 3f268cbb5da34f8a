package node

import (
	"fmt"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// start opens the broker's replica of a partition, if it has one, and returns
// its machine, or nil.
func (n *Node) start(id ident.Partition, topic string, info metadata.PartitionInfo) *replicaMachine {
	rep, ok := info.On(n.c.ID)
	if !ok || n.destroyed(id, info.Group, rep.ID) {
		return nil
	}
	var machine *replicaMachine
	dir := replicaDir(id, rep.ID)
	r := &Replica{Topic: topic, Info: info}
	spec := replog.Spec{ID: info.Group, Replica: rep.ID}
	for _, v := range info.Replicas {
		spec.Voters = append(spec.Voters, v.ID)
	}
	err := n.engine.Start(spec, func(state []byte) (replog.Machine, error) {
		c := partition.Config{
			ID: id, FS: n.c.Engine.FS, Dir: dir, Cache: n.cache,
			Log: groupProposer{n, info.Group}, QueueBytesMax: n.c.QueueBytesMax,
			OutboxBytesMax: n.c.OutboxBytesMax, OutboxRoom: n.outboxRoom, Run: n.c.RunChain, Entropy: n.c.Entropy,
		}
		if len(info.Replicas) > 1 {
			c.Pull = func(from ident.ReplicaID, at, until ident.Offset) { n.pull(id, info, from, at, until) }
			c.TakeDisk, c.FinishDisk = n.engine.TakeDisk, n.engine.FinishDisk
			c.Unused = func(dir string) { n.meta.unused(dir) }
			c.Incarnation = n.found.highest(dir)
		}
		p, err := partition.Open(c, state)
		if err != nil {
			return nil, err
		}
		r.Partition = p
		machine = &replicaMachine{Partition: p, n: n, r: r, id: id}
		if c.Pull != nil {
			machine.unused = n.found.others(dir, p.Incarnation())
		}
		return machine, nil
	})
	if err != nil {
		machine = nil
		r.Partition, r.Err = nil, fmt.Errorf("%w: %w", partition.ErrDamaged, err)
		n.report(Event{Partition: id, Topic: topic, Err: err, Text: "partition cannot be opened; its requests are answered with a storage error"})
	}
	n.mu.Lock()
	n.partitions[id] = r
	n.mu.Unlock()
	n.groups[info.Group] = id
	if r.Partition != nil {
		n.equip(id, r.Partition)
	}
	return machine
}

// destroyed reports whether a replica was destroyed in an earlier life by a
// deletion that is yet to be applied again. It has lost its log and its vote, and
// must not begin again. The write-ahead log says so for a while, and the mark of
// its directory from then on.
func (n *Node) destroyed(id ident.Partition, g ident.GroupID, r ident.ReplicaID) bool {
	dir, several := replicaDir(id, r), len(n.c.Peers) > 1
	if several && n.found.marked(dir) {
		return true
	}
	gone := n.gone[wal.Replica{Group: g, ID: r}]
	if gone && several {
		n.meta.remind(dir)
	}
	return gone
}

// equip gives a partition that was just opened the settings and the chain of its
// topic.
func (n *Node) equip(id ident.Partition, p *partition.Partition) {
	if t, ok := n.topic(id.Topic); ok {
		p.Configure(n.c.Plan(t).Settings, n.now.UnixMilli())
		n.joinChain(t, p)
	}
}

// topic finds a topic. It is asked while group 0 is being opened too.
func (n *Node) topic(id ident.TopicID) (*metadata.Topic, bool) {
	if n.meta == nil {
		return nil, false
	}
	return n.Image().TopicByID(id)
}

// act does what a metadata command asks of this broker. It returns the replica
// that was started if it will lead without anybody else.
func (n *Node) act(d metadata.Delta) *replicaMachine {
	switch d := d.(type) {
	case metadata.PartitionAdded:
		if m := n.start(d.Partition, d.Topic, d.Info); len(d.Info.Replicas) == 1 {
			return m
		}
	case metadata.ChainChanged:
		n.chain(d.Topic)
	case metadata.TopicDeleted:
		delete(n.chains, d.Topic.ID)
		n.forgetOrigins()
		n.dropLate(d.Topic)
		n.destroyAll(d.Topic)
	case metadata.TopicConfigsChanged:
		n.configure(d.Topic)
	case metadata.BrokerConfigsChanged:
		n.Reconfigure()
	}
	return nil
}

// Reconfigure asks Plan again for every topic.
func (n *Node) Reconfigure() {
	for t := range n.Image().Topics() {
		n.configure(t)
	}
}

// configure passes a topic's settings to its partitions.
func (n *Node) configure(t *metadata.Topic) {
	plan := n.c.Plan(t)
	for i := range t.Partitions {
		r := n.Replica(ident.Partition{Topic: t.ID, Index: int32(i)})
		if r != nil && r.Partition != nil {
			r.Partition.Configure(plan.Settings, n.now.UnixMilli())
		}
	}
}

// destroyAll ends the replicas of a topic that was deleted (N2).
func (n *Node) destroyAll(t *metadata.Topic) {
	var there directories // a replica that adopted nothing has one, which is known
	if len(t.Partitions[0].Replicas) > 1 {
		var err error
		if there, err = listDirectories(n.c.Engine.FS); err != nil {
			n.report(Event{Topic: t.Name, Err: err, Text: "what a deleted topic has copied of other brokers may stay on disk"})
		}
	}
	for i, info := range t.Partitions {
		n.destroy(ident.Partition{Topic: t.ID, Index: int32(i)}, info, there)
	}
}

// destroy ends a replica whose topic was deleted.
func (n *Node) destroy(id ident.Partition, info metadata.PartitionInfo, there directories) {
	rep, ok := info.On(n.c.ID)
	if !ok {
		return
	}
	r := n.Replica(id)
	n.mu.Lock()
	delete(n.partitions, id)
	n.mu.Unlock()
	delete(n.groups, info.Group)
	delete(n.outboxes, id)
	dir := replicaDir(id, rep.ID)
	uses := ""
	if r != nil && r.Partition != nil {
		uses = r.Partition.Dir()
		if !mutant.On(mutant.DirectoryKept) {
			n.meta.doom(uses)
		}
	} else {
		n.meta.doomUnused(dir)
	}
	n.engine.Destroy(info.Group)
	for _, d := range there[dir] {
		if d.path != uses {
			n.meta.doomUnused(d.path)
		}
	}
}

// replicaMachine is a partition as the engine sees it in a node: it tells the
// node what an operator must know, and when its files may go.
type replicaMachine struct {
	*partition.Partition
	n      *Node
	r      *Replica
	id     ident.Partition
	unused []string // directories of the replica that the next checkpoint does not name
	failed bool     // its last task failed
	led    []func() // called when it leads, or never will
	saved  bool     // a durable checkpoint names its directory
	closed bool
	next   *replicaMachine // that took another replica's state over; nil: none did
}

// whenLed calls f once every one of the replicas leads, or never will.
func whenLed(machines []*replicaMachine, f func()) {
	left := 1
	one := func() {
		if left--; left == 0 {
			f()
		}
	}
	for _, m := range machines {
		left++
		m.led = append(m.led, one)
	}
	one()
}

// Lead implements replog.Machine.
func (m *replicaMachine) Lead(term uint64) {
	m.Partition.Lead(term)
	m.release()
	m.n.emit(m.id, m.r)
	m.n.emitAll() // this one may be what others wait for
}

// Apply implements replog.Machine.
func (m *replicaMachine) Apply(e replog.Entry) error {
	if err := m.Partition.Apply(e); err != nil {
		return err
	}
	if _, bytes := m.Partition.OutboxDepth(); bytes > 0 || m.n.outboxes[m.id] != nil {
		m.n.emit(m.id, m.r)
	}
	return nil
}

func (m *replicaMachine) release() {
	waiting := m.led
	m.led = nil
	for _, f := range waiting {
		f()
	}
}

// Worked implements replog.Machine.
func (m *replicaMachine) Worked(t replog.Task, err error) error {
	if err != nil && !m.failed {
		m.n.report(Event{Partition: m.id, Topic: m.r.Topic, Err: err, Text: "disk work of a partition failed and is tried again; nothing acknowledged is lost"})
	}
	m.failed = err != nil
	if err := m.Partition.Worked(t, err); err != nil {
		return err
	}
	m.n.copy(m.id, m.r) // a closed segment may be in its file now
	return nil
}

// Parked implements replog.Machine.
func (m *replicaMachine) Parked(err error) {
	m.Partition.Parked(err)
	m.release()
	if m.n.Replica(m.id) == m.r { // not because it is being destroyed
		m.n.report(Event{Partition: m.id, Topic: m.r.Topic, Err: err, Text: "partition met damage and is parked"})
	}
}

// Close implements replog.Machine.
func (m *replicaMachine) Close() {
	m.Partition.Close()
	m.n.meta.closed(m.Dir())
	if m.closed = true; m.next != nil {
		m.next.left(m.Dir())
	}
}

// left tells that nothing writes to an earlier directory of the replica any more,
// which may go when a checkpoint names another one: a run that came late would
// make it again.
func (m *replicaMachine) left(dir string) {
	for m.next != nil {
		m = m.next
	}
	if m.saved || m.closed {
		m.n.meta.unused(dir)
	} else {
		m.unused = append(m.unused, dir)
	}
}

// Durable implements replog.Machine: what an adoption left behind may go when the
// checkpoint that names the new directory is durable.
func (m *replicaMachine) Durable() {
	m.Partition.Durable()
	m.n.meta.unused(m.unused...)
	m.unused, m.saved = nil, true
}

// Switch implements replog.Adopter. Readers of the old replica end by
// themselves.
func (m *replicaMachine) Switch() (replog.Machine, error) {
	p, err := m.Partition.Switch()
	if err != nil {
		return nil, err
	}
	r := &Replica{Topic: m.r.Topic, Info: m.r.Info, Partition: p}
	next := &replicaMachine{Partition: p, n: m.n, r: r, id: m.id, unused: m.unused}
	m.next, m.unused = next, nil
	m.n.mu.Lock()
	m.n.partitions[m.id] = r
	m.n.mu.Unlock()
	delete(m.n.outboxes, m.id)
	m.n.equip(m.id, p)
	return next, nil
}
