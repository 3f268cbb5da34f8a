package sim

import "github.com/varvelog/varve/internal/ident"

// checkOrder: L5. In [from, until), all of which was read, an idempotent
// producer's batches follow one another: epochs do not fall, each begins at
// sequence 0, and sequences have no gap.
func (s *run) checkOrder(p *part, from, until ident.Offset) {
	type state struct {
		epoch int16
		next  int32
	}
	last := map[int64]state{}
	for at := from; at < until; {
		v, ok := p.values[at]
		if !ok {
			at++ // within a batch that begins below the log start
			continue
		}
		h := &p.bySum[v.sum].header
		at = v.last + 1
		if h.ProducerID < 0 {
			continue
		}
		have, known := last[h.ProducerID]
		switch {
		case known && h.ProducerEpoch < have.epoch:
			s.fail("L5", "%s: producer %d goes back from epoch %d to %d at offset %d", p.name, h.ProducerID, have.epoch, h.ProducerEpoch, at)
		case s.forgotten(p.bySequence[sequence{h.ProducerID, h.ProducerEpoch, h.BaseSequence}]):
		case known && h.ProducerEpoch == have.epoch && h.BaseSequence != have.next && !s.vanished(p, h.ProducerID, h.ProducerEpoch, have.next, h.BaseSequence):
			s.fail("L5", "%s: producer %d has sequence %d before offset %d, %d is next", p.name, h.ProducerID, h.BaseSequence, at, have.next)
		case (known && h.ProducerEpoch > have.epoch || !known && from == 0) && h.BaseSequence != 0 && !s.vanished(p, h.ProducerID, h.ProducerEpoch, 0, h.BaseSequence):
			s.fail("L5", "%s: producer %d begins epoch %d at sequence %d", p.name, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
		}
		last[h.ProducerID] = state{h.ProducerEpoch, h.LastSequence() + 1}
	}
}
