package coordinator

import (
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// compare drops the offsets of topics that were deleted since the last time,
// also if there is another topic of the same name by now. It comes before any
// request, and commits count for topics of the image that was compared with, so
// that no offset can be of a later one.
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
			s.dropUnknown(now)
		case len(gone) > 0:
			s.dropTopics(now, gone)
		}
	}
}

// topicIndex implements group.Config.Topic.
func (c *Core) topicIndex(name string, id ident.TopicID) (index uint64, ok bool) {
	if c.image == nil {
		return 0, false
	}
	t, ok := c.image.Topic(name)
	return c.image.Version(), ok && t.ID == id
}

// knows reports whether the cluster metadata that the offsets of a shard are
// compared with is as new as any that its records were made with: a topic that is
// not in it is gone then, and not one that this broker has not heard of yet. A
// broker that is the only one has all there is, also if a repair took something
// away.
func (c *Core) knows(g *group.Shard) bool {
	if c.image == nil || !c.h.Ready() {
		return false
	}
	return c.image.Version() >= g.MetadataIndex() || c.image.BrokerCount() <= 1 || mutant.On(mutant.UnknownTopicGone)
}

// dropUnknown removes the offsets of topics that are not in the image of the
// cluster metadata, or are there under another id than when they were committed,
// or, if that was not recorded, than when the shard began to be loaded.
func (s *shard) dropUnknown(now time.Time) {
	if s.unsure = !s.c.knows(s.g); s.unsure {
		return
	}
	last, img := s.image, s.c.image
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
	if s.dropUnknown(now); s.unsure {
		return
	}
	left := s.left
	s.left = nil
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
