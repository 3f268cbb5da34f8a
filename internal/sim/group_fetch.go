package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// errGone refuses an offset of a topic that is not there any more.
var errGone = errors.New("sim: the topic is gone")

// position is how far a consumer has come in a partition.
type position struct {
	part      *part
	known     bool  // where to begin is known
	at        int64 // the next offset to be read; everything before is processed
	committed int64 // and this is known of it; -1: nothing
}

// adopt begins to own a partition: the consumer asks where the owner before had
// come to.
func (p *proc) adopt(at place) {
	part := p.w.part(at)
	if part == nil {
		return // its topic is gone already
	}
	q := &position{part: part, committed: -1}
	p.owned[at] = q
	p.begin(at, q)
}

func (p *proc) begin(at place, q *position) {
	g, w := p.slot.g, p.w
	again := func(d time.Duration) {
		w.s.after(d, func() {
			if p.owned[at] == q && !p.ended {
				p.begin(at, q)
			}
		})
	}
	if p.sleeps() {
		again(p.backoff)
		return
	}
	var got int64
	g.readOffset(at, q.part.topic.id, func(offset int64, err error) {
		got = offset
		switch {
		case p.owned[at] != q || p.ended:
		case err != nil: // also if the topic is gone, which a coordinator that is behind says of one that it does not know yet
			again(mean(w.rng, p.backoff))
		case got < 0:
			_, _, o, ok := w.borders(q.part)
			if !ok {
				again(mean(w.rng, p.backoff))
				return
			}
			q.known, q.at = true, int64(o.LogStart)
			p.log("begins %s-%d at its start %d", at.name, at.index, q.at)
		default:
			q.known, q.at, q.committed = true, got, got
			p.log("begins %s-%d at the committed offset %d", at.name, at.index, q.at)
			g.checkStart(at, q.part, got)
		}
	})
}

// borders returns those of a partition, and where it can be read now.
func (w *groupWorld) borders(p *part) (*broker, *partition.Partition, partition.Offsets, bool) {
	b := w.s.route(p.id)
	if b == nil || p.topic.state != live {
		return nil, nil, partition.Offsets{}, false
	}
	at, o, ok := b.serves(p.id)
	return b, at, o, ok
}

// poll reads what there is, and commits now and then.
func (p *proc) poll() {
	w := p.w
	if p.ended {
		return
	}
	next := w.plan.pollEvery
	switch {
	case w.still:
		next = time.Second
	case w.s.ending: // what lies in many small objects is caught up with in time
		next = min(next, 20*time.Millisecond)
	}
	w.s.after(mean(w.rng, next)+time.Millisecond, p.poll)
	if p.sleeps() || w.still {
		return
	}
	if p.slot.g.simple {
		p.choose()
	}
	for _, at := range p.given {
		if p.owned[at] == nil {
			p.adopt(at)
		}
	}
	for _, at := range p.places() {
		switch q := p.owned[at]; {
		case q.part.topic.state == deleted:
			delete(p.owned, at) // there may be another of its name
		case q.known:
			p.read(at, q)
		}
	}
	if p.state == stable && !w.s.now.Before(p.committed.Add(w.plan.commitEvery)) {
		p.committed = w.s.now
		p.commit(p.places(), func(err error) {
			switch {
			case p.ended || p.state != stable || p.slot.g.simple:
			case errors.Is(err, group.ErrIllegalGeneration), errors.Is(err, group.ErrUnknownMember), errors.Is(err, group.ErrFencedInstance):
				p.failed(err)
			}
		})
	}
}

// choose has a consumer without a group take what there is.
func (p *proc) choose() {
	p.given = p.slot.g.wanted()
	for _, at := range p.places() {
		if len(p.given) == 0 || at != p.given[0] {
			delete(p.owned, at)
		}
	}
}

// read reads one chunk and processes it.
func (p *proc) read(at place, q *position) {
	w, s := p.w, p.w.s
	b, from, o, ok := w.borders(q.part)
	if !ok {
		return
	}
	b.touch()
	end := int64(o.HighWatermark)
	switch {
	case q.at < int64(o.LogStart):
		p.log("%s-%d is at %d, below the log start %d", at.name, at.index, q.at, o.LogStart)
		q.at = int64(o.LogStart)
	case q.at > end && q.part.cut: // as auto.offset.reset says
		p.log("%s-%d is at %d, which a repair gave up; it begins again at %d", at.name, at.index, q.at, o.LogStart)
		q.at = int64(o.LogStart)
	case q.at > end && !s.alone():
		return // this leader is behind, or is none
	case q.at > end:
		s.fail("C4", "group %s is at %d of %s-%d, which ends at %d", p.slot.g.id, q.at, at.name, at.index, end)
	}
	if q.at >= end {
		return
	}
	c, err := s.fetch(q.part, b, from, ident.Offset(q.at), o.HighWatermark, 1+w.rng.IntN(20_000))
	if behind, lacks := s.behindLack(q.part, from, ident.Offset(q.at)); err != nil && lacks {
		q.at = int64(behind)
		return
	}
	if err != nil {
		return // the run's own reader looks at it
	}
	done := p.slot.g.processed[at]
	if done == nil || p.slot.g.processedOf[at] != q.part {
		done = map[int64]bool{}
		p.slot.g.processed[at], p.slot.g.processedOf[at] = done, q.part
	}
	for all := c.bytes; len(all) > 0; {
		h, err := record.ParseHeader(all)
		if err != nil || h.Size() > len(all) {
			s.fail("L8", "read %s at %d: not a batch: %v", q.part.name, q.at, err)
		}
		s.sawBatch(q.part, h, all[:h.Size()])
		done[h.BaseOffset] = true
		all = all[h.Size():]
	}
	if q.at = int64(c.next); c.next == 0 {
		s.fail("C4", "read %s: nothing comes", q.part.name)
	}
}

// commit commits the positions of some partitions, as far as they have moved.
func (p *proc) commit(list []place, done func(error)) {
	var commits []*attempt
	for _, at := range list {
		if q := p.owned[at]; q != nil && q.known && q.at != q.committed {
			commits = append(commits, &attempt{at: at, topic: q.part.topic.id, offset: q.at, q: q})
		}
	}
	if len(commits) == 0 {
		done(nil)
		return
	}
	p.slot.g.commit(p, p.generation, commits, done)
}

// commit commits offsets as a member of a generation, or as nobody if there is
// none.
func (g *simGroup) commit(p *proc, generation int, commits []*attempt, done func(error)) {
	w := g.w
	r := group.CommitRequest{GroupID: g.id, Generation: -1, Retention: -1}
	if p != nil && !g.simple {
		r.MemberID, r.InstanceID, r.Generation = p.memberID, p.slot.instance, int32(generation)
	}
	for _, c := range commits {
		w.nextID++
		c.id, c.sent = w.nextID, w.s.now
		g.register(c.at).add(c)
		w.s.log("group %s: commit %d of generation %d: %s-%d at %d", g.id, c.id, r.Generation, c.at.name, c.at.index, c.offset)
	}
	fenced := g.mustRefuse(p, generation)
	var open []*attempt
	var errs []error
	w.ask(g, "commit", 5*time.Second, func(h *groupHost, now time.Time, s *group.Shard, answer func(error)) {
		epoch := h.epoch(g)
		for _, c := range commits {
			c.arrived, c.epoch = true, epoch
			t, ok := h.Image().TopicByID(c.topic)
			if !ok || t.Name != c.at.name {
				c.refused = true
				continue
			}
			open = append(open, c)
			r.Topics = append(r.Topics, group.CommitTopic{Topic: c.at.name, TopicID: t.ID, Partitions: []group.CommitPartition{{
				Partition: c.at.index, Offset: c.offset, LeaderEpoch: -1, Metadata: fmt.Sprint(c.id),
			}}})
		}
		if len(open) == 0 {
			answer(errGone)
			return
		}
		s.CommitOffsets(now, r, func(each []error, err error) {
			errs = each
			if err == nil && fenced != "" {
				w.s.fail("C1", "group %s: a commit of generation %d by member %q is accepted although %s", g.id, r.Generation, r.MemberID, fenced)
			}
			answer(err)
		})
	}, func(err error) {
		w.s.log("group %s: commit %d: %v %v", g.id, commits[0].id, err, errs)
		if err == nil && p != nil {
			if w.s.stats.GroupCommits++; p.slot.commits == 0 {
				w.s.stats.Committers++
			}
			p.slot.commits++
		}
		for i, c := range open {
			at := err
			if err == nil && i < len(errs) {
				at = errs[i]
			}
			c.settle(w.s.now, at)
			if at == nil && c.q != nil {
				c.q.committed = c.offset
			}
		}
		done(err)
	})
}
