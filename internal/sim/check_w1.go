package sim

import "github.com/varvelog/varve/internal/record"

// checkUntouched: W1. On a topic that never had a chain a batch is stored byte
// for byte as it was sent, whatever it holds: only base offset and leader epoch,
// which its checksum does not cover, are the broker's. What is sound and has the
// records of a batch that was sent, but other bytes, was rewritten.
func (s *run) checkUntouched(p *part, h record.Header, raw []byte) {
	b := s.sentAs(p, raw)
	if b == nil || s.chained(p.topic) || !record.VerifyCRC(raw) {
		return
	}
	if !b.same(raw) {
		s.fail("W1", "%s: batch %d of %d bytes stands at offset %d with other bytes, %d of them, and no chain touched it", p.name, b.id, len(b.bytes), h.BaseOffset, len(raw))
	}
}

// sentAs returns the batch of a partition that the first of some records says that
// it is from, nil if there is none.
func (s *run) sentAs(p *part, raw []byte) *batch {
	id := 0
	err := record.ForEach(raw, 0, func(r *record.Record) error {
		if id == 0 {
			id = batchOf(r.Value)
		}
		return nil
	})
	if err != nil || id < 1 || id > len(s.model.batches) || s.model.batches[id-1].part != p {
		return nil
	}
	return s.model.batches[id-1]
}
