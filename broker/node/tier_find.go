package node

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// ErrObjectGone: the manifest names an object that is not in the store, or has
// another length there. What it held stays on the local disk, if it is there.
var ErrObjectGone = errors.New("node: an object of the cold tier is gone")

// ErrSearch: the object store does not tell whether objects are there.
var ErrSearch = errors.New("node: objects of the cold tier cannot be looked for")

// findMax bounds how many objects of a partition are looked for at a time.
const findMax = 100

// find looks for the objects of segments that local retention would take, so that
// it may (S1).
func (n *Node) find(id ident.Partition, r *Replica) {
	topic, ok := n.topic(id.Topic)
	if n.c.Tier.Tier == nil || !ok || !n.ready.Load() || n.Replica(id) != r {
		return
	}
	c := n.copyOf(id, r)
	defer n.idle(id, c)
	if c.finding {
		return
	}
	segments := r.Partition.Unfound(n.now.UnixMilli(), n.c.Plan(topic).Upkeep.Tier, findMax)
	if len(segments) == 0 {
		c.gone = nil
		return
	}
	c.finding = true
	n.c.Tier.Tier.Find(id, segments, func(found int, err error) {
		c.finding = false
		if n.Replica(id) == r {
			r.Partition.Found(segments[:found])
			n.objectsFound(id, c, segments[found:], err)
		}
		n.idle(id, c)
	})
}

// objectsFound takes the answer of a search that ended before these segments.
func (n *Node) objectsFound(id ident.Partition, c *copying, rest []manifest.Segment, err error) {
	if topic, ok := n.topic(id.Topic); ok { // as it is configured now
		c.r.Partition.Evict(n.now.UnixMilli(), n.c.Plan(topic).Upkeep.Tier)
	}
	switch {
	case err != nil:
		n.stopsEviction(id, c, fmt.Errorf("%w: %w", ErrSearch, err))
		return
	case len(rest) == 0, !names(c.r.Partition, &rest[0]):
		c.gone = nil
		n.find(id, c.r)
		return
	}
	// A leader that was replaced without having heard of it may name what its
	// successor has deleted.
	c.finding = true
	n.Confirm(id, func(err error) {
		c.finding = false
		if s := &rest[0]; err == nil && n.Replica(id) == c.r && names(c.r.Partition, s) {
			n.stopsEviction(id, c, fmt.Errorf("%w: that of the offsets from %d to %d (upload %x)", ErrObjectGone, s.Base, s.End-1, s.ID))
		}
		n.idle(id, c)
	})
}

// stopsEviction tells, once, what keeps segments on the local disk.
func (n *Node) stopsEviction(id ident.Partition, c *copying, err error) {
	// What a store says of its trouble may differ from time to time.
	same := c.gone != nil && (c.gone.Error() == err.Error() || errors.Is(c.gone, ErrSearch) && errors.Is(err, ErrSearch))
	if !same {
		n.report(Event{Partition: id, Topic: c.r.Topic, Err: err, Text: "local retention stops: what is not found in the cold tier stays on local disk"})
	}
	c.gone = err
}

// names reports whether the manifest still names an object: retention may have
// taken it while it was looked for.
func names(p *partition.Partition, s *manifest.Segment) bool {
	list := p.Tiered()
	i, ok := list.Find(s.Base)
	return ok && list.At(i).ID == s.ID
}
