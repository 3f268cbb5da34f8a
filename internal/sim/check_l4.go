package sim

// checkOnce: L4. A batch of an idempotent producer has one place, however often
// it was sent.
func (s *run) checkOnce(b *batch) {
	if b.header.ProducerID >= 0 && b.places() > 1 && !s.forgotten(b) {
		s.fail("L4", "%s: batch %d of producer %d (epoch %d, sequence %d) was told offsets %d and read at %d",
			b.part.name, b.id, b.header.ProducerID, b.header.ProducerEpoch, b.header.BaseSequence, b.acks, b.seen)
	}
}
