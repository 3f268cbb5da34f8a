package node

// TierCopies is how many partitions are remembered for nothing.
func (n *Node) TierCopies() int {
	k := 0
	for id, c := range n.tier.copies {
		if n.Replica(id) == nil && !c.busy && !c.discarding && !c.waiting && n.now.Sub(c.retry) > 200e6 {
			k++
		}
	}
	return k
}
