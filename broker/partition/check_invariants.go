package partition

import "fmt"

// consistent says what of the applied state does not fit together. It runs in
// builds with the tag "invariants" only.
func (p *Partition) consistent() error {
	bytes := int64(0)
	for i, e := range p.outbox.items {
		if want := p.outbox.next - uint64(len(p.outbox.items)-i); e.Position != want {
			return fmt.Errorf("partition %v: emission %d is %d, not %d", p.c.ID, i, e.Position, want)
		}
		if e.Base >= p.log.End() {
			return fmt.Errorf("partition %v: emission %d of offset %d, the log ends at %d", p.c.ID, e.Position, e.Base, p.log.End())
		}
		bytes += int64(len(e.Data)) + outboxItemBytes
	}
	if bytes != p.outbox.bytes {
		return fmt.Errorf("partition %v: the outbox holds %d bytes, not %d", p.c.ID, bytes, p.outbox.bytes)
	}
	for id, s := range p.producers.byID { // order: any one will do
		if s.count == 0 || s.count > batchesKept {
			return fmt.Errorf("partition %v: %d batches of producer %d", p.c.ID, s.count, id)
		}
		for i, b := range s.batches[:s.count] {
			lost := b.base == -1 // by a repair
			if b.base > b.end || b.end >= p.log.End() || i > 0 && b.base <= s.batches[i-1].end && !lost {
				return fmt.Errorf("partition %v: producer %d has [%d, %d], the log ends at %d", p.c.ID, id, b.base, b.end, p.log.End())
			}
		}
	}
	if p.queued < 0 {
		return fmt.Errorf("partition %v: %d bytes are queued", p.c.ID, p.queued)
	}
	return nil
}
