package sim

// checkRefused: L6. A batch has no more places than attempts that were not
// refused for good.
func (s *run) checkRefused(b *batch) {
	if n := b.places(); n > b.sent-b.refused {
		s.fail("L6", "%s: batch %d was sent %d times, %d of them refused for good, and has %d places: told %d, read at %d",
			b.part.name, b.id, b.sent, b.refused, n, b.acks, b.seen)
	}
}
