package sim

import (
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// checkOneValue: L2. What is read at an offset is what was always read there,
// and one broker never replaces what it once showed under another epoch.
func (s *run) checkOneValue(p *part, h record.Header, b *batch, sum uint64) {
	v := value{epoch: ident.Epoch(h.LeaderEpoch), sum: sum, last: ident.Offset(h.LastOffset())}
	base := ident.Offset(h.BaseOffset)
	have, ok := p.values[base]
	if !ok {
		p.values[base] = v
		return
	}
	if have != v {
		s.fail("L2", "%s: offset %d held batch %d of epoch %d, and now holds batch %d of epoch %d",
			p.name, base, p.bySum[have.sum].id, have.epoch, b.id, v.epoch)
	}
}
