package sim

import (
	"errors"
	"strconv"
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/internal/ident"
)

// attempt is a commit of an offset, or its deletion. A commit's id is in the
// offset's metadata, so that what is read tells who wrote it.
type attempt struct {
	id     int
	at     place
	topic  ident.TopicID
	offset int64     // -1: a deletion
	q      *position // that it is of

	sent    time.Time
	known   time.Time // done at the latest; zero: not known to be
	arrived bool      // at a coordinator, which led its partition under epoch
	epoch   ident.Epoch
	refused bool      // never done
	given   time.Time // when a repair may have undone it; zero: never
	gone    bool      // nothing was there when it had long been done
}

// settle takes the answer to an attempt.
func (c *attempt) settle(now time.Time, err error) {
	switch {
	case !c.given.IsZero():
	case err == nil && c.known.IsZero():
		c.known = now
	case err != nil && !unsure(err):
		c.refused = true
	}
}

// unsure reports whether an error leaves open what became of a commit or a
// deletion.
func unsure(err error) bool {
	for _, e := range []error{
		group.ErrUnknownMember, group.ErrIllegalGeneration, group.ErrRebalanceInProgress, group.ErrFencedInstance, group.ErrGroupNotFound,
		group.ErrNonEmptyGroup, group.ErrSubscribed, group.ErrUnknownTopic, group.ErrOverloaded, coordinator.ErrTooLarge, errGone,
	} {
		if errors.Is(err, e) {
			return false
		}
	}
	return true
}

// over returns when an attempt was done for sure, if it ever was; ok is false if
// it may yet be. What a coordinator was asked for is done, or not, before one
// serves under a later epoch.
func (c *attempt) over(g *simGroup, epoch ident.Epoch) (at time.Time, ok bool) {
	switch {
	case !c.known.IsZero():
		return c.known, true
	case !c.given.IsZero():
		return c.given, true
	case c.arrived && c.epoch < epoch:
		return g.served[epoch], true
	}
	return time.Time{}, false
}

// register is everything that was ever asked for one partition's offset.
type register struct{ list []*attempt }

func (g *simGroup) register(at place) *register {
	r := g.registers[at]
	if r == nil {
		r = &register{}
		g.registers[at] = r
	}
	return r
}

func (r *register) add(c *attempt) { r.list = append(r.list, c) }

// checkOffset: C2. An offset that is read was committed, and by no commit that a
// later one, or a deletion, was known to follow; that there is none must come
// from a deletion, or from retention.
func (g *simGroup) checkOffset(at place, topic ident.TopicID, offset int64, id string, asked, answered time.Time, epoch ident.Epoch) {
	s := g.w.s
	r := g.register(at)
	var got *attempt
	if offset >= 0 {
		n, _ := strconv.Atoi(id)
		for _, c := range r.list {
			if c.id == n {
				got = c
			}
		}
		switch {
		case got != nil && offset > got.offset:
			g.skips(at, offset, got)
		case got == nil || got.offset != offset:
			s.fail("C2", "group %s: %s-%d is at %d by commit %q, which is not one of it", g.id, at.name, at.index, offset, id)
		case got.topic != topic:
			s.fail("C2", "group %s: %s-%d is at %d by commit %d, which was for a topic of the same name that is gone", g.id, at.name, at.index, offset, got.id)
		case got.refused:
			s.fail("C2", "group %s: %s-%d is at %d by commit %d, which was refused", g.id, at.name, at.index, offset, got.id)
		case got.gone:
			s.fail("C2", "group %s: %s-%d is at %d by commit %d again, which was gone", g.id, at.name, at.index, offset, got.id)
		}
	}
	for _, c := range r.list {
		if c == got || c.topic != topic || c.known.IsZero() || !c.known.Before(asked) {
			continue
		}
		// c was done before the offset was asked for.
		switch {
		case got != nil:
			if end, ok := got.over(g, epoch); ok && end.Before(c.sent) {
				s.fail("C2", "group %s: %s-%d is at %d by commit %d, and commit %d, to %d, came later and was answered %v before",
					g.id, at.name, at.index, offset, got.id, c.id, c.offset, asked.Sub(c.known))
			}
		case c.offset >= 0:
			if !g.mayBeGone(r, c, answered, epoch) {
				s.fail("C2", "group %s: %s-%d has no offset; commit %d, to %d, was answered %v before, and nothing took it away",
					g.id, at.name, at.index, c.id, c.offset, asked.Sub(c.known))
			}
			c.gone = true
		}
	}
	if got != nil && got.known.IsZero() {
		got.known = answered
	}
}

// mayBeGone reports whether a deletion may have come after a commit, or the time
// for which offsets are kept may have passed.
func (g *simGroup) mayBeGone(r *register, c *attempt, now time.Time, epoch ident.Epoch) bool {
	if keep := g.w.plan.retention; keep > 0 {
		wrong := false // a clock that was set makes offsets older, or younger
		for _, sv := range g.w.s.servers {
			wrong = wrong || sv.clock.set
		}
		if wrong || now.Sub(c.sent) >= keep-time.Millisecond {
			return true
		}
	}
	for _, d := range r.list {
		if d.offset >= 0 || d.refused || d.topic != c.topic {
			continue
		}
		if end, ok := d.over(g, epoch); !ok || !end.Before(c.sent) {
			return true
		}
	}
	return false
}

// checkOffsets: C2. Every group's offsets are as they were promised to be.
func (s *run) checkOffsets() {
	w := s.groups
	if w == nil {
		return
	}
	left := 0
	for _, g := range w.groups {
		for _, at := range g.wanted() {
			left++
			var again func()
			again = func() {
				g.readOffset(at, w.part(at).topic.id, func(_ int64, err error) {
					if err != nil {
						s.after(100*time.Millisecond, again)
						return
					}
					left--
				})
			}
			again()
		}
	}
	if !s.until(recovery, func() bool { return left == 0 }) {
		s.fail("V1", "the offsets of groups cannot be read %v after the last fault", recovery)
	}
}
