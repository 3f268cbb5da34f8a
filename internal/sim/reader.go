package sim

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// startReader has partitions read at random places.
func (s *run) startReader() {
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.rng.reader, s.plan.length/150), turn)
		parts := s.model.parts()
		if len(parts) == 0 || s.ready() == nil {
			return
		}
		p := parts[s.rng.reader.IntN(len(parts))]
		if b := s.route(p.id); b != nil {
			s.readSome(p, b)
		}
	}
	s.after(0, turn)
	s.startColdReaders()
}

// readSome reads a few chunks of a partition.
func (s *run) readSome(p *part, b *broker) {
	b.touch()
	o, at, ok := s.offsets(p, b)
	if !ok {
		return
	}
	r := s.rng.reader
	from := o.LogStart
	if o.HighWatermark > from {
		from += ident.Offset(r.Int64N(int64(o.HighWatermark-from) + 1))
	}
	for range 1 + r.IntN(4) {
		next, ok := s.read(p, b, at, from, o, 1+r.IntN(20_000))
		if !ok || next >= o.HighWatermark {
			break
		}
		from = next
	}
	if r.IntN(3) == 0 {
		s.lookUp(p, b, at, s.now.UnixMilli()-int64(r.IntN(int(s.plan.length.Milliseconds())+1)))
	}
}

// offsets asks for a partition's borders.
func (s *run) offsets(p *part, b *broker) (partition.Offsets, *partition.Partition, bool) {
	at := b.partition(p.id)
	if at == nil {
		s.missing(p, b)
		return partition.Offsets{}, nil, false
	}
	o, err := at.Offsets()
	switch {
	case errors.Is(err, partition.ErrNotLeader):
		return o, nil, false
	case err != nil:
		s.fail("V1", "%s does not serve: %v", p.name, err)
	}
	s.sawBorders(p, o.LeaderEpoch, o.LogStart, o.HighWatermark)
	return o, at, true
}

// read reads one chunk, has every checker look at it, and returns where to read
// on. It reports false if the partition could not be read and that is no fault
// of the broker.
func (s *run) read(p *part, b *broker, at *partition.Partition, from ident.Offset, o partition.Offsets, maxBytes int) (ident.Offset, bool) {
	c, err := s.fetch(p, b, at, from, o.HighWatermark, maxBytes)
	return s.received(p, b, from, o, c, err)
}

// received has every checker look at what was read.
func (s *run) received(p *part, b *broker, from ident.Offset, o partition.Offsets, c fetched, err error) (ident.Offset, bool) {
	s.stats.Reads++
	if err != nil {
		if disk := b.server.disk; disk.lost || errors.Is(err, errStore) || errors.Is(err, partition.ErrDamaged) && disk.damaged("partitions/"+p.id.Dir()) {
			s.log("read %s at %d: %v", p.name, from, err)
			return from, false
		}
		s.checkFullRead(p, err)
		s.fail("L1", "read %s at %d of [%d, %d): %v", p.name, from, o.LogStart, o.HighWatermark, err)
	}
	if c.next <= from && from < o.HighWatermark {
		s.fail("L1", "read %s at %d of [%d, %d): no batch and no progress", p.name, from, o.LogStart, o.HighWatermark)
	}
	all, end := c.bytes, from
	found := map[ident.Offset]*batch{}
	for len(all) > 0 {
		h, err := record.ParseHeader(all)
		if err != nil || h.Size() > len(all) {
			s.fail("L8", "read %s at %d: not a batch: %v", p.name, from, err)
		}
		raw := all[:h.Size()]
		all = all[h.Size():]
		found[ident.Offset(h.BaseOffset)], _ = s.sawBatch(p, h, raw)
		end = ident.Offset(h.LastOffset()) + 1
	}
	s.log("read %s at %d: %d batches, next %d", p.name, from, c.batches, c.next)
	s.checkAcked(p, from, max(end, c.next), found)
	return c.next, true
}

// sawBatch has the checkers look at one batch.
func (s *run) sawBatch(p *part, h record.Header, raw []byte) (*batch, uint64) {
	s.stats.Batches++
	b := s.checkBytes(p, h, raw)
	base := ident.Offset(h.BaseOffset)
	sum := sumOf(raw)
	s.checkOneValue(p, h, b, sum)
	b.seen = note(b.seen, base)
	s.checkPlaces(b)
	return b, sum
}

// readAll reads a whole partition and looks at all of it together.
func (s *run) readAll(p *part) {
	b := s.newest(p.id)
	if b == nil && s.alone() {
		b = s.ready() // which says why
	}
	if b == nil {
		s.fail("V1", "%s does not serve", p.name)
	}
	o, at, ok := s.offsets(p, b)
	if !ok {
		s.fail("V1", "%s does not serve", p.name)
	}
	from, ordered := o.LogStart, o.LogStart
	for from < o.HighWatermark {
		next, ok := s.read(p, b, at, from, o, 50_000)
		if behind, lacks := s.behindLack(p, at, from); !ok && lacks {
			next, ordered, ok = behind, behind, true
		}
		if !ok {
			s.fail("L1", "%s cannot be read at %d", p.name, from)
		}
		from = next
	}
	s.checkOrder(p, ordered, o.HighWatermark)
	for range 5 {
		s.lookUp(p, b, at, s.now.UnixMilli()-int64(s.rng.reader.IntN(int(2*s.now.Sub(begin).Milliseconds())+1)))
	}
}

// stamp is a record's place and time.
type stamp struct {
	offset ident.Offset
	time   int64
}

// scan returns the records of a partition in order, as the broker gives them.
func (s *run) scan(p *part, b *broker, at *partition.Partition) ([]stamp, bool) {
	o, err := at.Offsets()
	if err != nil {
		return nil, false
	}
	var out []stamp
	for from := o.LogStart; from < o.HighWatermark; {
		c, err := s.fetch(p, b, at, from, o.HighWatermark, 1<<20)
		if err != nil || c.next <= from {
			return nil, false
		}
		all := c.bytes
		for len(all) > 0 {
			h, err := record.ParseHeader(all)
			if err != nil || h.Size() > len(all) {
				s.fail("L8", "scan %s at %d: not a batch: %v", p.name, from, err)
			}
			raw := all[:h.Size()]
			if sent, sum := s.sawBatch(p, h, raw); sum == sent.sum {
				for k, t := range sent.times {
					out = append(out, stamp{ident.Offset(h.BaseOffset) + ident.Offset(k), t})
				}
			} else if err := record.ForEach(raw, 0, func(r *record.Record) error {
				out = append(out, stamp{ident.Offset(h.BaseOffset) + ident.Offset(r.OffsetDelta), h.BaseTimestamp + r.TimestampDelta})
				return nil
			}); err != nil {
				s.fail("L8", "scan %s at %d: %v", p.name, from, err)
			}
			all = all[h.Size():]
		}
		from = c.next
	}
	return out, true
}

// probe has an operator produce one batch, and reports whether it was
// acknowledged in time.
func (s *run) probe(p *part, limit time.Duration) bool {
	params := record.DefaultParams(record.None, s.now.UnixMilli())
	b := s.model.newBatch(p, nil, params, 1, 100)
	next := s.now
	return s.until(limit, func() bool {
		if len(b.acks) == 0 && !s.now.Before(next) {
			if br := s.route(p.id); br != nil {
				next = s.now.Add(500 * time.Millisecond)
				s.produce(br, b, nil)
				br.wake()
			}
		}
		return len(b.acks) > 0
	})
}
