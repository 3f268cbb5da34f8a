package sim

import "github.com/varvelog/varve/internal/ident"

// checkStart: C4. When a consumer begins at a committed offset, all that is
// before it in the log has been processed.
func (g *simGroup) checkStart(at place, p *part, offset int64) {
	_, _, o, ok := g.w.borders(p)
	if !ok {
		return
	}
	g.checkProcessed(at, p, o.LogStart, ident.Offset(offset))
}

// skips: C4. An offset is told that is behind the one that was committed: what is
// between would not be processed.
func (g *simGroup) skips(at place, offset int64, c *attempt) {
	g.w.s.fail("C4", "group %s: %s-%d is at %d by commit %d, which was of %d", g.id, at.name, at.index, offset, c.id, c.offset)
}

// checkProcessed: C4. A group has processed every acknowledged batch with an
// offset in [from, until) that can still be read.
func (g *simGroup) checkProcessed(at place, p *part, from, until ident.Offset) {
	s := g.w.s
	done := g.processed[at]
	if g.processedOf[at] != p {
		done = nil
	}
	for _, base := range p.ackedIn(from, until) {
		if b := p.acked[base]; !done[int64(base)] && !s.mayVanish(b) && !p.mayBeSkipped(base) {
			s.fail("C4", "group %s: batch %d at offset %d of %s was skipped: [%d, %d) counts as processed", g.id, b.id, base, p.name, from, until)
		}
	}
}

// checkAllProcessed: C4. A group has processed all there is.
func (g *simGroup) checkAllProcessed() {
	for _, at := range g.wanted() {
		p := g.w.part(at)
		_, _, o, ok := g.w.borders(p)
		if !ok {
			g.w.s.fail("V1", "%s does not serve", p.name)
		}
		g.checkProcessed(at, p, o.LogStart, o.HighWatermark)
	}
}
