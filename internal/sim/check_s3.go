package sim

import (
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// names reports whether the manifest of a partition that serves names an
// object. The broker that leads has applied everything that was ever committed.
func (s *run) names(p ident.Partition, id manifest.ID) bool {
	if part := s.model.part(p); part != nil && !s.alone() && part.topic.state != live {
		return false // a leader that does not know of the deletion yet
	}
	b := s.newest(p)
	if part := s.model.part(p); b != nil && part != nil && b.partition(p).LeaderEpoch() < part.tier.epoch {
		return false // it was deposed, and nobody leads yet
	}
	return b != nil && named(b.partition(p), id)
}

func named(at *partition.Partition, id manifest.ID) bool {
	list := at.Tiered()
	for i := range list.Len() {
		if list.At(i).ID == id {
			return true
		}
	}
	return false
}

// checkDiscard: S3. Nobody asks for the deletion of an object that a manifest
// names.
func (s *run) checkDiscard(p ident.Partition, seg *manifest.Segment) {
	if s.names(p, seg.ID) && !s.lacks(p, seg.ID) {
		s.fail("S3", "the object of [%d, %d) of %v is to be deleted, and the manifest names it", seg.Base, seg.End, p)
	}
}

// checkRemoval: S3. No object is deleted that a manifest names, or named until
// less than the grace ago. What a broker that is down would find by replay is
// looked at when it serves again (checkNamed).
func (s *run) checkRemoval(o *object) {
	s.checkDiscard(o.id, &o.segment)
	if p := s.model.part(o.id); !o.named || p == nil || p.topic.state != live || p.lacks[o.segment.ID] {
		return
	}
	// Without a tombstone seen, the broker went before it served again.
	if age := s.now.Sub(o.unnamed); !o.unnamed.IsZero() && age+s.skew < s.plan.tierGrace {
		s.fail("S3", "the object of [%d, %d) of %v is deleted %v after the manifest named it; the grace is %v", o.segment.Base, o.segment.End, o.id, age, s.plan.tierGrace)
	}
}

// checkDropTopic: S3. Only what is left of deleted topics is deleted as a whole,
// and not before the grace.
func (s *run) checkDropTopic(b *broker, id ident.TopicID) {
	image := b.node.Image()
	if _, there := image.TopicByID(id); there {
		s.fail("S3", "the objects of topic %x are to be deleted, which exists", id[:4])
	}
	for d := range image.Dropped() {
		if age := s.now.UnixMilli() - d.DeletedAtMs; d.ID == id && age+s.skew.Milliseconds() < s.plan.tierGrace.Milliseconds() {
			s.fail("S3", "the objects of topic %x are to be deleted %d ms after it; the grace is %v", id[:4], age, s.plan.tierGrace)
		}
	}
}

// orphaned reports whether nobody can know of an object: its upload or its
// commit had no answer, or its leader had not heard that the topic was deleted.
func (s *run) orphaned(o *object) bool {
	if o.lost || o.given {
		return true
	}
	if p := s.model.part(o.id); p != nil && !s.alone() && p.topic.state == deleted && o.stored.After(p.topic.askedDelete) {
		return true
	}
	if o.named {
		return false
	}
	if p := s.model.part(o.id); p != nil && p.commitFailed[o.life] {
		return true
	}
	return !o.life.lives() && o.life.ended.Sub(o.told) < commitTime
}

// commitTime is how long a commit may take.
const commitTime = 15 * time.Second

// checkStore: S3. When all is quiet, every object is named by a manifest, or is
// the garbage of an upload or of a commit that was lost.
func (s *run) checkStore() {
	s.stats.Orphans, s.stats.Objects = 0, len(s.store.objects)
	for _, o := range s.store.sorted() {
		p := s.model.part(o.id)
		dropped, ok := s.store.dropped[o.id.Topic]
		switch {
		case o.unlisted:
			s.stats.Orphans++
		case p == nil || p.topic.state == deleted && ok && !o.stored.After(dropped):
			s.fail("S3", "%s is left of a topic that was deleted", o.key)
		case s.names(o.id, o.segment.ID):
		case s.orphaned(o):
			s.stats.Orphans++
		default:
			s.fail("S3", "%s (stored after %v, answered after %v) is named by no manifest and is nobody's loss", o.key, o.stored.Sub(begin), o.told.Sub(begin))
		}
	}
}
