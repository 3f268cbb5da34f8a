package sim

import "github.com/varvelog/varve/internal/record"

// checkBytes: L8. A batch that is read is one that was sent to this partition,
// byte for byte but for base offset and leader epoch, or what the topic's chain
// made of it, and its checksum holds.
func (s *run) checkBytes(p *part, h record.Header, raw []byte) *batch {
	b := p.bySum[sumOf(raw)]
	if b == nil && s.chained(p.topic) {
		b = s.checkOneGeneration(p, h, raw)
	} else if b != nil && b.sum == sumOf(raw) && !b.same(raw) {
		b = nil
	}
	if b == nil {
		s.checkUntouched(p, h, raw)
		s.fail("L8", "%s: at offset %d are %d bytes that nobody sent", p.name, h.BaseOffset, len(raw))
	}
	if !record.VerifyCRC(raw) {
		s.fail("L8", "%s: batch %d at offset %d has a wrong checksum", p.name, b.id, h.BaseOffset)
	}
	return b
}
