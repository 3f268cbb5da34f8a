package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// Peer is one voter of group 0.
type Peer struct {
	Node    ident.NodeID
	Replica ident.ReplicaID
}

// ErrFrame: a frame from another broker that makes no sense.
var ErrFrame = errors.New("node: frame from another broker does not decode")

// errPeer: the other broker could not do it.
var errPeer = errors.New("node: refused by the other broker")

// Kinds of frames between brokers, the first byte of each.
const (
	frameRaft      = 1 // a message between replicas of a group
	framePull      = 2 // a replica wants a piece of another one's log
	framePiece     = 3 // and gets it
	frameDeliver   = 4 // emissions for a partition that is led there
	frameDelivered = 5 // what became of them
	frameTarget    = 6 // a topic that emissions need, for the controller
)

// pullAgain is when the answer to a question to another broker is taken for
// lost.
const pullAgain = time.Second

// Receive takes a frame from another broker. An error means that it was not
// understood; nothing was done then.
func (n *Node) Receive(from ident.NodeID, frame []byte) error {
	if len(frame) == 0 {
		return ErrFrame
	}
	r := frameReader{b: frame[1:]}
	switch frame[0] {
	case frameRaft:
		m, err := replog.ParseMessage(frame[1:])
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFrame, err)
		}
		if node, ok := n.nodeOf(m.Group, m.From()); ok && node == from {
			n.engine.Step(m)
		}
		return nil
	case framePull:
		return n.pulled(from, &r)
	case framePiece:
		return n.piece(from, &r)
	case frameDeliver:
		return n.deliverHere(from, &r)
	case frameDelivered:
		return n.deliveredThere(&r)
	case frameTarget:
		return n.makeTargetHere(&r)
	}
	return fmt.Errorf("%w: kind %d", ErrFrame, frame[0])
}

// nodeOf returns the broker that a replica is on.
func (n *Node) nodeOf(g ident.GroupID, r ident.ReplicaID) (ident.NodeID, bool) {
	if g == ident.MetadataGroup {
		for _, p := range n.c.Peers {
			if p.Replica == r {
				return p.Node, true
			}
		}
		return 0, false
	}
	id, ok := n.groups[g]
	if !ok {
		return 0, false
	}
	if rep := n.Replica(id); rep != nil {
		for _, x := range rep.Info.Replicas {
			if x.ID == r {
				return x.Node, true
			}
		}
	}
	return 0, false
}

// sendRaft hands a message between replicas to the network.
func (n *Node) sendRaft(m replog.Message) {
	to, ok := n.nodeOf(m.Group, m.To())
	if !ok || n.c.Send == nil {
		return
	}
	if frame, err := m.Append([]byte{frameRaft}); err == nil {
		n.c.Send(to, frame)
		if mutant.On(mutant.FrameReused) {
			frame[len(frame)-1]++
		}
	}
}

// pull asks another replica of a partition for a piece of its log.
func (n *Node) pull(id ident.Partition, info metadata.PartitionInfo, from ident.ReplicaID, at, until ident.Offset) {
	to, ok := n.nodeOf(info.Group, from)
	if !ok || n.c.Send == nil {
		return
	}
	b := appendPartition([]byte{framePull}, id)
	b = appendInts(b, int64(from), int64(at), int64(until))
	n.c.Send(to, b)
}

// pulled answers pull. A piece that cannot be had ends the other's attempt.
func (n *Node) pulled(from ident.NodeID, r *frameReader) error {
	id, replica, at, until := r.partition(), r.int(), r.int(), r.int()
	if r.bad {
		return ErrFrame
	}
	rep := n.Replica(id)
	if rep == nil || rep.Partition == nil {
		return nil
	}
	if mine, ok := rep.Info.On(n.c.ID); !ok || int64(mine.ID) != replica {
		return nil
	}
	c, err := rep.Partition.Copy(ident.Offset(at), ident.Offset(until))
	b := appendPartition([]byte{framePiece}, id)
	b = appendInts(b, replica, at, until, int64(c.Next), flag(c.Ended), flag(err != nil))
	n.c.Send(from, append(b, c.Batches...))
	return nil
}

// piece takes the answer.
func (n *Node) piece(from ident.NodeID, r *frameReader) error {
	id, replica, at, until, next, ended, failed := r.partition(), r.int(), r.int(), r.int(), r.int(), r.int(), r.int()
	if r.bad {
		return ErrFrame
	}
	rep := n.Replica(id)
	if rep == nil || rep.Partition == nil {
		return nil
	}
	if node, ok := n.nodeOf(rep.Info.Group, ident.ReplicaID(replica)); !ok || node != from {
		return nil
	}
	var err error
	if failed != 0 {
		err = errPeer
	}
	rep.Partition.Take(ident.ReplicaID(replica), partition.Copied{
		From: ident.Offset(at), Until: ident.Offset(until), Next: ident.Offset(next), Ended: ended != 0, Batches: r.b,
	}, err)
	n.engine.Wake(rep.Info.Group)
	return nil
}

// deliverThere sends emissions to a broker that has a replica of the target: to
// another one at each attempt, since only the leader takes them.
func (n *Node) deliverThere(d *delivery, target ident.Partition, info metadata.PartitionInfo, x *partition.Delivery) {
	to := info.Replicas[d.attempt%len(info.Replicas)].Node
	d.attempt++
	if n.c.Send == nil || to == n.c.ID {
		return
	}
	n.requests++
	d.request, d.sent, d.busy = n.requests, n.now, true
	b := appendInts([]byte{frameDeliver}, int64(d.request))
	b = appendPartition(appendPartition(b, target), x.Origin)
	b = appendInts(b, int64(x.First), int64(x.Last))
	n.c.Send(to, append(b, x.Batch...))
}

// deliverHere takes emissions from another broker.
func (n *Node) deliverHere(from ident.NodeID, r *frameReader) error {
	request, target, origin, first, last := r.int(), r.partition(), r.partition(), r.int(), r.int()
	if h, err := record.ParseHeader(r.b); r.bad || err != nil || h.Size() != len(r.b) || !record.VerifyCRC(r.b) || first < 0 || last < first {
		return ErrFrame
	}
	answer := func(seen uint64, err error) {
		b := appendPartition([]byte{frameDelivered}, origin)
		n.c.Send(from, appendInts(b, request, int64(seen), flag(err != nil)))
	}
	rep := n.Replica(target)
	if rep == nil || rep.Partition == nil {
		answer(0, errPeer)
		return nil
	}
	if _, ok := n.topic(origin.Topic); !ok {
		// Deleted, and perhaps forgotten by its targets; or this broker does not
		// know it yet.
		answer(0, errPeer)
		return nil
	}
	x := &partition.Delivery{Origin: origin, First: uint64(first), Last: uint64(last), Batch: r.b, AsOf: n.imageVersion(), Done: answer}
	rep.Partition.Deliver(x, n.now.UnixMilli())
	return nil
}

// deliveredThere takes the answer. One that was asked in an earlier life, when
// requests were counted from the beginning too, says what is true of its origin,
// and nothing of another.
func (n *Node) deliveredThere(r *frameReader) error {
	origin, request, seen, failed := r.partition(), r.int(), r.int(), r.int()
	if r.bad || seen < 0 {
		return ErrFrame
	}
	d := n.outboxes[origin]
	if d == nil || !d.busy || d.request == 0 || d.request != uint64(request) {
		return nil
	}
	d.request, d.busy = 0, false
	if failed == 0 {
		d.attempt-- // that one leads
		d.delivered, d.told = max(d.delivered, uint64(seen)+1), ""
		n.emit(origin, d.r)
	}
	return nil
}

// makeTargetThere asks the controller, whoever it is, for a topic.
func (n *Node) makeTargetThere(c metadata.CreateTopic) {
	payload, err := c.Append(nil)
	if err != nil {
		return
	}
	for _, p := range n.c.Peers {
		if p.Node != n.c.ID && n.c.Send != nil {
			n.c.Send(p.Node, append([]byte{frameTarget}, payload...))
		}
	}
}

func (n *Node) makeTargetHere(r *frameReader) error {
	c, err := metadata.Decode(r.b)
	create, ok := c.(metadata.CreateTopic)
	if err != nil || !ok {
		return ErrFrame
	}
	if n.controller.Load() && n.Image().Check(create) == nil {
		n.Command(create, func(metadata.Result) {})
	}
	return nil
}

// tickPeers asks again what was not answered.
func (n *Node) tickPeers() {
	if len(n.c.Peers) < 2 {
		return
	}
	for _, d := range n.outboxes { // order: each by itself
		if d.request != 0 && n.now.Sub(d.sent) >= pullAgain {
			d.request, d.busy = 0, false
		}
	}
	if n.now.Sub(n.pullsLooked) < pullAgain {
		return
	}
	n.pullsLooked = n.now
	for t := range n.Image().Topics() {
		n.each(t, func(p *partition.Partition) { p.Pulling() })
	}
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendPartition(b []byte, id ident.Partition) []byte {
	return binary.LittleEndian.AppendUint32(append(b, id.Topic[:]...), uint32(id.Index))
}

func appendInts(b []byte, values ...int64) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// frameReader reads a frame's fields; bad tells that it was too short.
type frameReader struct {
	b   []byte
	bad bool
}

func (r *frameReader) int() int64 {
	if len(r.b) < 8 {
		r.bad = true
		return 0
	}
	v := int64(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

func (r *frameReader) partition() (id ident.Partition) {
	if len(r.b) < 20 {
		r.bad = true
		return id
	}
	copy(id.Topic[:], r.b)
	id.Index = int32(binary.LittleEndian.Uint32(r.b[16:]))
	r.b = r.b[20:]
	return id
}
