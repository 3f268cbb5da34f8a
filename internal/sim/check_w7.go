package sim

import (
	"errors"
	"slices"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// checkStale: W7. Alone, a broker never offers its own log a batch of an older
// generation than the log's: what it takes passes the newest chain.
func (s *run) checkStale(b *batch, err error) {
	if s.alone() && errors.Is(err, partition.ErrStaleChain) {
		s.fail("W7", "batch %d to %s is refused for an older generation than the log's", b.id, b.part.name)
	}
}

// checkGenerations: W7. In the order of the log, there is a way to say which
// generation each batch passed, so that they never fall.
func (s *run) checkGenerations(p *part) {
	if !s.chained(p.topic) {
		return
	}
	var bases []ident.Offset
	for base := range p.values { // order: sorted below
		bases = append(bases, base)
	}
	slices.Sort(bases)
	history, at := s.history(p.topic), 0
	for _, base := range bases {
		v := p.values[base]
		b := p.bySum[v.sum]
		for at < len(history) && s.makes(b, history[at]).sum != v.sum {
			at++
		}
		if at == len(history) {
			s.fail("W7", "%s: batch %d at offset %d passed none of the generations %v that those before it leave", p.name, b.id, base, history)
		}
	}
}
