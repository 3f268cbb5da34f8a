package sim

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/internal/ident"
)

// adminTurn has an operator look at a group's offsets, delete some, delete the
// group, or move it back, and comes back.
func (w *groupWorld) adminTurn() {
	s, r := w.s, w.rng
	if s.ending {
		return
	}
	s.after(mean(r, w.plan.adminEvery), w.adminTurn)
	g := w.groups[r.IntN(len(w.groups))]
	want := g.wanted()
	if len(want) == 0 {
		return
	}
	at := want[r.IntN(len(want))]
	p := w.part(at)
	switch r.IntN(6) {
	case 0:
		g.deleteOffsets(at, p)
	case 1:
		if !g.away && !g.simple {
			w.desert(g, time.Second)
			s.after(g.session+mean(r, time.Second), g.deleteGroup)
			return
		}
		g.deleteGroup()
	case 2:
		g.rewind(at, p)
	default:
		for _, at := range want {
			g.readOffset(at, w.part(at).topic.id, func(int64, error) {})
		}
	}
}

// readOffset asks for a committed offset, -1 for none, and has it looked at.
func (g *simGroup) readOffset(at place, topic ident.TopicID, done func(int64, error)) {
	w := g.w
	asked := w.s.now
	got, id := int64(-1), ""
	var epoch ident.Epoch
	var answered time.Time
	w.ask(g, fetchOffsets, 5*time.Second, func(h *groupHost, _ time.Time, s *group.Shard, answer func(error)) {
		if t, ok := h.Image().TopicByID(topic); !ok || t.Name != at.name {
			answer(errGone)
			return
		}
		list, err := s.FetchOffsets(group.FetchRequest{GroupID: g.id, Topics: []group.TopicPartitions{{Topic: at.name, Partitions: []int32{at.index}}}})
		if err == nil {
			o := list[0].Partitions[0]
			got, id, epoch, answered = o.Offset, o.Metadata, h.epoch(g), w.s.now
		}
		answer(err)
	}, func(err error) {
		if err == nil {
			g.checkOffset(at, topic, got, id, asked, answered, epoch)
		}
		done(got, err)
	})
}

// placeIn is a place of one of the topics that ever had its name.
type placeIn struct {
	place
	topic ident.TopicID
}

// remove takes down that offsets may go away, and returns what tells whether they
// did.
func (g *simGroup) remove(list []placeIn) (arrived func(*groupHost), settle func(error)) {
	w := g.w
	var all []*attempt
	for _, at := range list {
		w.nextID++
		c := &attempt{id: w.nextID, at: at.place, topic: at.topic, offset: -1, sent: w.s.now}
		g.register(at.place).add(c)
		all = append(all, c)
	}
	arrived = func(h *groupHost) {
		for _, c := range all {
			c.arrived, c.epoch = true, h.epoch(g)
		}
	}
	settle = func(err error) {
		for _, c := range all {
			c.settle(w.s.now, err)
		}
	}
	return arrived, settle
}

func (g *simGroup) deleteOffsets(at place, p *part) {
	if p == nil {
		return
	}
	w := g.w
	w.s.log("group %s: delete the offset of %s-%d", g.id, at.name, at.index)
	arrived, settle := g.remove([]placeIn{{at, p.topic.id}})
	subscribed := g.surelySubscribed()
	w.ask(g, "delete offsets", 5*time.Second, func(h *groupHost, now time.Time, s *group.Shard, answer func(error)) {
		arrived(h)
		r := group.DeleteOffsetsRequest{GroupID: g.id, Topics: []group.TopicPartitions{{Topic: at.name, Partitions: []int32{at.index}}}}
		s.DeleteOffsets(now, r, func(errs []error, err error) {
			if err == nil && len(errs) > 0 {
				err = errs[0]
			}
			answer(err)
		})
	}, func(err error) {
		w.s.log("group %s: deleted the offset of %s-%d: %v", g.id, at.name, at.index, err)
		if err == nil && subscribed && g.surelySubscribed() {
			w.s.log("group %s: which members read", g.id)
		}
		settle(err)
	})
}

// surelySubscribed reports whether the group has members that know so.
func (g *simGroup) surelySubscribed() bool {
	for _, p := range g.procs() {
		if !g.simple && p.state == stable && !p.stale {
			return true
		}
	}
	return false
}

// everywhere is where the group may have offsets: also in topics whose deletion
// was asked for, which may come to nothing.
func (g *simGroup) everywhere() []placeIn {
	var out []placeIn
	for at, r := range g.registers { // order: sorted below
		for _, c := range r.list {
			if in := (placeIn{at, c.topic}); !slices.Contains(out, in) {
				out = append(out, in)
			}
		}
	}
	slices.SortFunc(out, func(a, b placeIn) int {
		if c := comparePlaces(a.place, b.place); c != 0 {
			return c
		}
		return bytes.Compare(a.topic[:], b.topic[:])
	})
	return out
}

func (g *simGroup) deleteGroup() {
	w := g.w
	w.s.log("group %s: delete it", g.id)
	arrived, settle := g.remove(g.everywhere())
	g.deleting++
	w.ask(g, "delete group", 5*time.Second, func(h *groupHost, now time.Time, s *group.Shard, answer func(error)) {
		arrived(h)
		s.DeleteGroup(now, g.id, func(err error) {
			if err == nil || !errors.Is(err, group.ErrNonEmptyGroup) {
				g.incarnate()
			}
			answer(err)
		})
	}, func(err error) {
		w.s.log("group %s: deleted: %v", g.id, err)
		if err == nil || !unsure(err) {
			g.deleting--
		}
		settle(err)
	})
	if !g.surelySubscribed() {
		g.incarnate() // its answer may never come
	}
}

// rewind moves an offset back, which is for a group without members.
func (g *simGroup) rewind(at place, p *part) {
	_, _, o, ok := g.w.borders(p)
	if !ok || g.simple { // its consumer would not know
		return
	}
	to := int64(o.LogStart)
	g.commit(nil, -1, []*attempt{{at: at, topic: p.topic.id, offset: to}}, func(error) {})
}
