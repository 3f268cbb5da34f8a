package sim

import (
	"slices"

	"github.com/varvelog/varve/internal/ident"
)

// checkEpoch: L10. A batch that a leader acknowledged stands in the log under
// that leader's epoch, or under an older one if it was there before (a
// duplicate): never between batches of a newer epoch. What is acknowledged is
// looked at against its neighbours.
func (s *run) checkEpoch(p *part, base ident.Offset, epoch ident.Epoch, duplicate bool) {
	if duplicate {
		return
	}
	if have, ok := p.values[base]; ok && have.epoch < epoch {
		s.fail("L10", "%s: offset %d is acknowledged by the leader of epoch %d, and was read there under epoch %d", p.name, base, epoch, have.epoch)
	}
	i, _ := slices.BinarySearch(p.bases, base)
	for j := i - 1; j >= 0 && j > i-8; j-- {
		if have, ok := p.values[p.bases[j]]; ok && have.epoch > epoch {
			s.fail("L10", "%s: the leader of epoch %d appends at offset %d, behind offset %d of epoch %d", p.name, epoch, base, p.bases[j], have.epoch)
		}
	}
}

// checkEpochs: L10. Along the log, leader epochs never fall: whoever led once
// appends nothing after another led.
func (s *run) checkEpochs(p *part) {
	var bases []ident.Offset
	for base := range p.values { // order: sorted below
		bases = append(bases, base)
	}
	slices.Sort(bases)
	for i := 1; i < len(bases); i++ {
		if a, b := p.values[bases[i-1]], p.values[bases[i]]; a.epoch > b.epoch {
			s.fail("L10", "%s: epoch %d at offset %d stands before epoch %d at offset %d", p.name, a.epoch, bases[i-1], b.epoch, bases[i])
		}
	}
}
