package coordinator

import (
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// compare drops the offsets of topics that were deleted since the last time,
// also if there is another topic of the same name by now. It comes before any
// request that could commit to that one.
func (c *Core) compare() {
	img, last := c.h.Image(), c.image
	if img == last || !c.h.Ready() {
		return
	}
	c.image = img
	var gone []string
	if last != nil {
		for t := range last.Topics() {
			if now, ok := img.Topic(t.Name); !ok || now.ID != t.ID {
				gone = append(gone, t.Name)
			}
		}
	}
	now := c.now
	for _, s := range c.shards {
		switch {
		case s == nil || s.g == nil: // it looks when it is loaded
		case last == nil:
			s.dropUnknown(now, img)
		case len(gone) > 0:
			s.dropTopics(now, gone)
		}
	}
}

// dropUnknown removes the offsets of topics that are not in img, or are there
// under another id than when they were committed, or, if that was not recorded,
// than when the shard began to be loaded.
func (s *shard) dropUnknown(now time.Time, img *metadata.Image) {
	if s.unsure = !s.c.h.Ready(); s.unsure { // then the image may be an old one
		return
	}
	last := s.image
	s.image = nil
	s.drops++
	if !s.g.DropGone(now, func(topic string, id ident.TopicID) bool {
		t, ok := img.Topic(topic)
		switch {
		case !ok || mutant.On(mutant.OldTopicOffsets):
			return ok
		case id != ident.TopicID{}: // also if last is older than the commit
			return id == t.ID
		case last == nil:
			return true
		}
		old, had := last.Topic(topic)
		return !had || old.ID == t.ID
	}, func(err error) {
		if err != nil {
			s.image = last
		}
		s.dropped(err)
	}) {
		s.drops--
	}
}

// dropTopics removes the offsets of topics, also those that are still being
// appended.
func (s *shard) dropTopics(now time.Time, gone []string) {
	s.drops++
	s.g.DropTopics(now, gone, func(err error) {
		if err != nil {
			s.left = append(s.left, gone...)
			slices.Sort(s.left)
			s.left = slices.Compact(s.left)
		}
		s.dropped(err)
	})
}

// dropAgain removes what an earlier removal could not, or could not tell. What
// was in flight then has landed by now: requests are refused until that is done.
func (s *shard) dropAgain(now time.Time) {
	if s.drops > 0 || !s.idle() {
		return // the next check tries again
	}
	left := s.left
	s.left = nil
	s.dropUnknown(now, s.c.h.Image())
	if len(left) > 0 {
		s.dropTopics(now, left)
	}
}

// dropped takes the end of a removal.
func (s *shard) dropped(err error) {
	s.drops--
	s.c.h.Later(s.clean)
	if err != nil {
		s.unsure = true
		s.c.log.Warn("offsets of deleted topics cannot be removed; tried again", "partition", s.id.Index, "error", err)
	}
}

// request is what Do is given.
type request func(now time.Time, s *group.Shard, err error)

// errUnsure refuses requests while there may be offsets of topics that are gone.
var errUnsure = fmt.Errorf("%w: offsets of deleted topics are not removed", ErrUnavailable)

// whenClean calls f when no offset of a topic that is gone is seen any more: a
// topic of the same name must not begin with them. If they cannot be removed now,
// f is refused: its client tries again.
func (s *shard) whenClean(f request) {
	switch {
	case s.unsure, s.drops > 0 && len(s.held) >= requestsMax:
		f(time.Time{}, nil, errUnsure)
	case s.drops == 0:
		f(s.c.now, s.g, nil)
	default:
		s.held = append(s.held, f)
	}
}

// clean calls what waited.
func (s *shard) clean() {
	if s.drops > 0 || s.stopped {
		return
	}
	held := s.held
	s.held = nil
	for _, f := range held {
		s.whenClean(f)
	}
}
