package sim

import (
	"time"

	"github.com/varvelog/varve/broker/group"
)

// preparing is a join phase that was seen.
type preparing struct {
	shard      *group.Shard
	generation int32
	since      time.Time
}

// checkRebalance: C3. The join phase of a rebalance ends after the longest
// rebalance timeout, or twice that if nobody is left but static members.
func (g *simGroup) checkRebalance() {
	w := g.w
	if g.simple || g.at == nil || !g.at.lives() || g.at.server.frozen {
		g.preparing = preparing{}
		return
	}
	h := w.coordinator(g.at)
	if h == nil {
		return
	}
	g.at.touch()
	h.core.Do(g.at.server.now(), g.id, func(_ time.Time, s *group.Shard, err error) {
		if err != nil {
			g.preparing = preparing{}
			return
		}
		d, err := s.Describe(g.id)
		if err != nil || d.State != group.PreparingRebalance {
			g.preparing = preparing{}
			return
		}
		if p := g.preparing; p.shard != s || p.generation != d.Generation {
			g.preparing = preparing{s, d.Generation, w.s.now}
			return
		}
		limit := 2*max(g.rebalance, w.plan.initialDelay) + time.Second
		if age := w.s.now.Sub(g.preparing.since); age > limit {
			w.s.fail("C3", "group %s prepares for the generation after %d for %v; it may take %v", g.id, d.Generation, age, limit)
		}
	})
	h.advance()
}
