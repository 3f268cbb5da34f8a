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

// fetchCold reads one chunk from the object that the manifest names, in no time.
func (s *run) fetchCold(p *part, b *broker, at *partition.Partition, from ident.Offset, maxBytes int) (fetched, error) {
	r := coldRead{s: s, p: p, b: b, at: at, from: from, maxBytes: maxBytes}
	place, err := r.locate()
	if errors.Is(err, errStore) {
		return fetched{}, err
	}
	if err != nil || place.Local {
		s.fail("S4", "%s: offset %d is said to be in the cold tier, which holds [%d, %v): %v", p.name, from, at.Tiered().Start(), tierEnd(at.Tiered()), err)
	}
	o := r.object
	s.hold(p, b, o)
	if what := s.store.trouble(); what != fine {
		s.log("store: reading %s goes wrong: %d", o.key, what)
		return fetched{}, errStore
	}
	if err := r.parse(o.raw[r.segment.TailOffset():]); err != nil {
		return fetched{}, err
	}
	off, end := r.extent()
	return r.take(off, o.raw[off:end])
}

// hold has a slow reader come back to an object that it found by the manifest:
// it must be there for as long as the grace (S3).
func (s *run) hold(p *part, b *broker, o *object) {
	if s.ending || s.rng.tier.IntN(8) > 0 {
		return
	}
	since := s.now
	s.after(time.Duration(s.rng.tier.Int64N(int64(s.plan.tierGrace))), func() { s.goneTooSoon(p, b, o, since) })
}

// goneTooSoon: S3. An object is there for the grace after a manifest named it, for
// who looked at the manifest then.
func (s *run) goneTooSoon(p *part, b *broker, o *object, since time.Time) {
	gone := b.lives() && s.store.objects[o.segment.ID] == nil && !p.lacks[o.segment.ID]
	// The grace counts from when the entry, or command, was proposed, by wall
	// clocks: one that is set forward shortens it.
	end := o.unnamed
	if asked := p.topic.askedDelete; end.IsZero() || !asked.IsZero() && asked.Before(end) {
		end = asked
	}
	if gone && !since.After(end) && s.now.Sub(end)+s.skew < s.plan.tierGrace {
		s.fail("S3", "%s: a reader that looked at the manifest %v ago finds its object deleted; the grace is %v", p.name, s.now.Sub(since), s.plan.tierGrace)
	}
}
