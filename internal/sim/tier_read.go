package sim

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// fetched is what a reader gets.
type fetched struct {
	bytes   []byte
	batches int
	next    ident.Offset
}

// fetch reads one chunk, from the local log or from the cold tier.
func (s *run) fetch(p *part, b *broker, at *partition.Partition, from, until ident.Offset, maxBytes int) (fetched, error) {
	c, err := at.Read(from, until, maxBytes, true)
	if errors.Is(err, partition.ErrTiered) {
		s.stats.ColdReads++
		return s.fetchCold(p, b, at, from, maxBytes)
	}
	f := fetched{batches: c.Batches, next: c.NextOffset}
	for _, buffer := range c.Buffers {
		f.bytes = append(f.bytes, buffer...)
	}
	return f, err
}

// fetchCold reads one chunk from the object that the manifest names.
func (s *run) fetchCold(p *part, b *broker, at *partition.Partition, from ident.Offset, maxBytes int) (fetched, error) {
	list := at.Tiered()
	i, ok := list.Find(max(from, list.Start())) // before its first segment is a hole
	if !ok {
		s.fail("S4", "%s: offset %d is said to be in the cold tier, which holds [%d, %v)", p.name, from, list.Start(), tierEnd(list))
	}
	seg := list.At(i)
	o := s.store.objects[seg.ID]
	if o == nil {
		s.fail("S3", "%s: the object of [%d, %d), which the manifest names, is not there", p.name, seg.Base, seg.End)
	}
	s.hold(p, b, o)
	if what := s.store.trouble(); what != fine {
		// A body that ends early, or too late, is an error like any other: fewer
		// bytes than asked for are never taken for all.
		s.log("store: reading %s goes wrong: %d", o.key, what)
		return fetched{}, errStore
	}
	f := fetched{next: from}
	for _, in := range o.batches {
		if in.last < from {
			continue
		}
		if f.batches > 0 && len(f.bytes)+in.size > maxBytes {
			return f, nil
		}
		f.bytes = append(f.bytes, o.data[in.at:in.at+in.size]...)
		f.batches++
		f.next = in.last + 1
	}
	f.next = seg.End
	return f, nil
}

// hold has a slow reader come back to an object that it found by the manifest:
// it must be there for as long as the grace (S3).
func (s *run) hold(p *part, b *broker, o *object) {
	if s.ending || s.rng.tier.IntN(8) > 0 {
		return
	}
	since := s.now
	d := time.Duration(s.rng.tier.Int64N(int64(s.plan.tierGrace)))
	s.after(d, func() {
		gone := b.lives() && s.store.objects[o.segment.ID] == nil
		// The grace counts from when the entry, or command, was proposed, by wall
		// clocks: one that is set forward shortens it.
		end := maxTime(o.unnamed, p.topic.askedDelete)
		if gone && !since.After(end) && s.now.Sub(end)+s.skew < s.plan.tierGrace {
			s.fail("S3", "%s: a reader that looked at the manifest %v ago finds its object deleted; the grace is %v", p.name, s.now.Sub(since), s.plan.tierGrace)
		}
	})
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
