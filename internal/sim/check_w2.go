package sim

import (
	"slices"

	"github.com/varvelog/varve/broker/partition"
)

// checkInput: W2. What a chain makes of a batch is a function of the batch and its
// context, so that both must be what the log can repeat: the bytes as they were
// sent, the partition, and the time and the generation that the entry will hold.
// That it is made once, and is the same on every replica and in every replay, is
// P1 and L2; that a module has no other input is for the tests of package wasm.
func (s *run) checkInput(topic string, in partition.ChainInput) {
	p := s.model.part(in.Partition)
	if p == nil {
		s.fail("W2", "a chain of %s is told partition %v, which nobody made", topic, in.Partition)
	}
	b := s.sentAs(p, in.Batch)
	switch {
	case b == nil || !b.same(in.Batch) || in.Header != b.header:
		s.fail("W2", "a chain of %s is given a batch that nobody sent to %s", topic, p.name)
	case !slices.Contains(b.offered, in.Time):
		s.fail("W2", "a chain of %s is told the time %d for batch %d, which came at %d", topic, in.Time, b.id, b.offered)
	}
}
