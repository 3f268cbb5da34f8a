package sim

import (
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// acknowledged notes a promise, and looks at what it says of borders.
func (s *run) acknowledged(b *batch, a *partition.Append, epoch ident.Epoch) {
	b.part.ack(b, a.Base)
	if other := b.part.acked[a.Base]; other != b {
		s.fail("L2", "%s: offset %d was told for batch %d and for batch %d", b.part.name, a.Base, other.id, b.id)
	}
	s.checkEpoch(b.part, a.Base, epoch, a.Duplicate)
	s.sawHighWatermark(b.part, epoch, a.Base+ident.Offset(b.header.LastOffsetDelta)+1)
	s.sawStart(b.part, epoch, a.LogStart)
	s.checkPlaces(b)
}

// checkAcked: L1. Every acknowledged batch with an offset in [from, until) was
// found there.
func (s *run) checkAcked(p *part, from, until ident.Offset, found map[ident.Offset]*batch) {
	for _, base := range p.ackedIn(from, until) {
		switch b := p.acked[base]; {
		case found[base] == nil && s.mayVanish(b): // looked at by W3
		case found[base] == nil:
			s.fail("L1", "%s: batch %d was acknowledged at offset %d and is not there", p.name, b.id, base)
		case found[base] != b:
			s.fail("L3", "%s: batch %d was acknowledged at offset %d, where batch %d is read", p.name, b.id, base, found[base].id)
		}
	}
}

// missing: L1. A partition of a topic that was not deleted is not there.
func (s *run) missing(p *part, b *broker) {
	r := b.node.Replica(p.id)
	if !b.node.Ready() || r != nil && r.Err != nil && b.server.disk.damaged("partitions/"+p.id.Dir()) {
		return
	}
	if r != nil {
		s.fail("L1", "%s cannot be opened: %v", p.name, r.Err)
	}
	s.fail("M1", "%s was created, not deleted, and is gone", p.name)
}

// mayStartAt: L1. The log start moves from one offset to another: every
// acknowledged batch between was given up by DeleteRecords, or by a retention
// that the topic had at some time, or was in a tier that was given up. Segments went by size as long as what was
// left had retention.bytes, and those behind them by age.
func (s *run) mayStartAt(p *part, from, to ident.Offset) {
	t := p.topic
	from = max(from, p.deleteUpTo)
	if t.dropsTier {
		from = max(from, p.uploaded)
	}
	bases := p.ackedIn(from, to)
	left := s.size(p) + p.givenBytes
	for i := len(bases) - 1; i >= 0; i-- {
		b := p.acked[bases[i]]
		if s.chained(t) && p.values[bases[i]].sum != b.sum {
			continue // its records may all be gone, or stored later than they were sent
		}
		if t.retentionBytes >= 0 && left >= t.retentionBytes {
			return
		}
		age := s.now.UnixMilli() - b.header.MaxTimestamp + s.skew.Milliseconds()
		if t.retentionMs < 0 || age <= t.retentionMs {
			s.fail("L1", "%s: the log starts at %d now, and batch %d at %d was neither deleted nor expired (age %d ms, retention %d ms; %d bytes were left, retention %d)",
				p.name, to, b.id, bases[i], age, t.retentionMs, left, t.retentionBytes)
		}
		left += int64(len(b.bytes))
	}
}

// size returns the bytes of a partition's log, wherever they are.
func (s *run) size(p *part) int64 {
	b := s.newest(p.id)
	if b == nil {
		return 0
	}
	at := b.partition(p.id)
	n, list := at.Size(), at.Tiered()
	o, _ := at.Offsets()
	for i := range list.Len() {
		if g := list.At(i); g.End <= o.LocalStart { // the others are here too
			n += g.DataBytes
		}
	}
	return n
}
