package node

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/partition"
)

// Times of watching over it.
const (
	producersLookEvery = time.Second
	producersTellEvery = time.Minute
)

// shedProducers forgets the producers that were silent for longest, before
// producer.id.expiration.ms, when there are more than checkpoints have room for:
// else produce would stop for everybody. What is lost is that a very late retry of
// theirs is known for a duplicate.
func (n *Node) shedProducers() {
	if n.now.Sub(n.producersLooked) < producersLookEvery {
		return
	}
	n.producersLooked = n.now
	most := n.checkpointShare()
	total := int64(0)
	var holders []*partition.Partition
	n.mu.RLock()
	for _, r := range n.partitions { // order: sorted below
		if r.Partition != nil && r.Partition.ProducerBytes() > 0 {
			total += r.Partition.ProducerBytes()
			holders = append(holders, r.Partition)
		}
	}
	n.mu.RUnlock()
	if total <= most {
		return
	}
	slices.SortFunc(holders, func(a, b *partition.Partition) int {
		return cmp.Or(cmp.Compare(b.ProducerBytes(), a.ProducerBytes()), comparePartitions(a.ID(), b.ID()))
	})
	excess := total - most + most/8
	for _, p := range holders {
		if excess <= 0 {
			break
		}
		excess -= p.ShedProducers(n.now.UnixMilli(), max(excess, 1))
	}
	if n.now.Sub(n.producersTold) >= producersTellEvery {
		n.producersTold = n.now
		n.report(Event{
			Err:  fmt.Errorf("the state of idempotent producers takes %d bytes, at most %d", total, most),
			Text: "producers are forgotten before producer.id.expiration.ms; fewer short-lived producers, a shorter expiration or a larger wal.file.bytes avoid it",
		})
	}
}
