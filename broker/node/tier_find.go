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

// findMax bounds how many objects of a partition are looked for at a time.
const findMax = 100

// find looks for the objects of segments that local retention would take, so that
// it may (S1).
func (n *Node) find(id ident.Partition, r *Replica) {
	topic, ok := n.topic(id.Topic)
	if n.c.Tier.Tier == nil || !ok || !n.ready.Load() || n.Replica(id) != r {
		return
	}
	now, plan := n.now.UnixMilli(), n.c.Plan(topic).Upkeep.Tier
	c := n.tier.copies[id]
	if c != nil && c.r == r && c.finding {
		return
	}
	segments := r.Partition.Unfound(now, plan, findMax)
	if len(segments) == 0 {
		if c != nil {
			c.gone = nil
			n.idle(id, c)
		}
		return
	}
	c = n.copyOf(id, r)
	c.finding = true
	n.c.Tier.Tier.Find(id, segments, func(found int, err error) {
		c.finding = false
		if n.Replica(id) == r {
			r.Partition.Found(segments[:found])
			n.objectsFound(id, c, plan, segments[found:], err)
		}
		n.idle(id, c)
	})
}

// objectsFound takes the answer of a search that ended before these segments.
func (n *Node) objectsFound(id ident.Partition, c *copying, plan partition.TierPlan, rest []manifest.Segment, err error) {
	c.r.Partition.Evict(n.now.UnixMilli(), plan)
	switch {
	case err != nil: // it is tried again
		return
	case len(rest) == 0, !names(c.r.Partition, &rest[0]):
		c.gone = nil
		n.find(id, c.r)
		return
	}
	// A leader that was replaced without having heard of it may name what its
	// successor has deleted.
	n.Confirm(id, func(err error) {
		if err == nil && n.Replica(id) == c.r && names(c.r.Partition, &rest[0]) {
			n.objectGone(id, c, &rest[0])
		}
	})
}

// objectGone tells, once, that an object is gone.
func (n *Node) objectGone(id ident.Partition, c *copying, s *manifest.Segment) {
	gone := fmt.Errorf("%w: that of the offsets from %d to %d (upload %x)", ErrObjectGone, s.Base, s.End-1, s.ID)
	if c.gone == nil || c.gone.Error() != gone.Error() {
		n.report(Event{Partition: id, Topic: c.r.Topic, Err: gone, Text: "local retention stops here: what is not in the cold tier stays on local disk"})
	}
	c.gone = gone
}

// names reports whether the manifest still names an object: retention may have
// taken it while it was looked for.
func names(p *partition.Partition, s *manifest.Segment) bool {
	list := p.Tiered()
	i, ok := list.Find(s.Base)
	return ok && list.At(i).ID == s.ID
}
