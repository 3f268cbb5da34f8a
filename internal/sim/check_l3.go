package sim

import "slices"

// checkPlaces looks at where a batch was told to be and where it was read.
//
// L3: it is read where its producer was told, and only there if it was sent
// once. L4 and L6 are checked with it, since they bound the places too.
func (s *run) checkPlaces(b *batch) {
	if b.sent == 1 {
		s.checkOnePlace(b)
	}
	s.checkOnce(b)
	s.checkRefused(b)
}

// checkOnePlace: L3 for a batch that was sent once.
func (s *run) checkOnePlace(b *batch) {
	for _, told := range b.acks {
		for _, seen := range b.seen {
			if seen != told {
				s.fail("L3", "%s: batch %d, sent once, was told offset %d and is read at %d", b.part.name, b.id, told, seen)
			}
		}
	}
	if len(b.acks) > 1 {
		s.fail("L3", "%s: batch %d, sent once, was told offsets %d", b.part.name, b.id, b.acks)
	}
}

// places returns how many offsets are known to hold the batch.
func (b *batch) places() int {
	n := len(b.seen)
	for _, o := range b.acks {
		if !slices.Contains(b.seen, o) {
			n++
		}
	}
	return n
}
