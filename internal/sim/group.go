package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// streamGroup is the stream of random numbers of consumer groups.
const streamGroup = 101

// groupPlan is what a seed decides of consumer groups in advance.
type groupPlan struct {
	groups, members int // members of each at most
	parts           int32
	sessionMax      time.Duration
	rebalanceMax    time.Duration
	initialDelay    time.Duration
	retention       time.Duration // of offsets; 0: longer than any run
	rewriteBytes    int64         // of a log that is written anew
	snapshotBytes   int64         // of a part of what it is written with
	pollEvery       time.Duration // mean time between the fetches of a consumer
	commitEvery     time.Duration
	netDelay        time.Duration // mean time of a request, and of an answer
	lossPercent     int           // of answers
	crashEvery      time.Duration // mean time between what befalls members
	adminEvery      time.Duration
}

// String implements fmt.Stringer.
func (p *groupPlan) String() string {
	if p.groups == 0 {
		return "no groups"
	}
	return fmt.Sprintf("%d groups of up to %d on %d partitions, session %v, rebalance %v, delay %v, retention %v, rewrite %d in parts of %d, poll %v, commit %v, net %v, loses %d%%, crash %v, admin %v",
		p.groups, p.members, p.parts, p.sessionMax, p.rebalanceMax, p.initialDelay, p.retention, p.rewriteBytes, p.snapshotBytes, p.pollEvery, p.commitEvery, p.netDelay, p.lossPercent, p.crashEvery, p.adminEvery)
}

// drawGroups draws it. A small disk is sized for its topics alone.
func drawGroups(seed uint64, p *plan) *groupPlan {
	r := stream(seed, streamGroup)
	g := &groupPlan{
		groups: 1 + r.IntN(3), members: 1 + r.IntN(4), parts: 1 + r.Int32N(3),
		sessionMax: pick(r, time.Second, 3*time.Second, 5*time.Second), rebalanceMax: pick(r, time.Second, 4*time.Second),
		initialDelay: pick(r, 0, 300*time.Millisecond, 2*time.Second),
		rewriteBytes: pick(r, int64(2<<10), 8<<10, 64<<10), snapshotBytes: pick(r, int64(100), 1000, 512<<10),
		pollEvery: pick(r, 50*time.Millisecond, 300*time.Millisecond), commitEvery: pick(r, 100*time.Millisecond, time.Second),
		netDelay: pick(r, 200*time.Microsecond, 5*time.Millisecond),
	}
	if r.IntN(4) == 0 {
		g.retention = max(p.length/8, time.Second)
	}
	if p.faultEvery > 0 {
		g.lossPercent = pick(r, 0, 1, 10)
		g.crashEvery = p.length / time.Duration(1+r.IntN(20))
	}
	g.adminEvery = p.length / time.Duration(2+r.IntN(10))
	if p.full || r.IntN(5) < 2 {
		g.groups = 0
	}
	return g
}

// groupWorld is all consumer groups of a run.
type groupWorld struct {
	s      *run
	rng    *rand.Rand
	plan   *groupPlan
	hosts  []*groupHost // of the present lives of the brokers, by node id
	groups []*simGroup
	asks   []*ask // not answered yet, oldest first
	nextID int    // of attempts to commit, and of assignments
	still  bool   // consumers have read and committed all there is, and rest
}

// simGroup is one group as its members and administrators know it.
type simGroup struct {
	w           *groupWorld
	id          string
	simple      bool // no members: consumers that chose their partitions
	cooperative bool
	session     time.Duration
	rebalance   time.Duration
	slots       []*slot
	deleting    int  // deletions of which the end is not known
	away        bool // all members stay away for a while, so that it becomes empty

	registers   map[place]*register
	processed   map[place]map[int64]bool  // base offsets of batches
	processedOf map[place]*part           // and whose they are
	owners      map[int]*generation       // told, of this incarnation
	newest      int                       // generation told to anybody, of this incarnation
	assigned    map[int][]place           // by an assignment's id: what there was to assign
	preparing   preparing                 // what C3 saw last
	at          *broker                   // that coordinated it last
	served      map[ident.Epoch]time.Time // when one who leads its partition first did
	servedBy    *server                   // the last who began to
}

// slot is a place for one member: a process, and after it crashed another one.
type slot struct {
	g        *simGroup
	n        int
	instance string // "": a dynamic member
	proc     *proc  // the newest; older ones may be zombies
	commits  int    // that were accepted
}

// startGroups starts the consumers.
func (s *run) startGroups() {
	w := &groupWorld{s: s, rng: stream(s.seed, streamGroup+1), plan: drawGroups(s.seed, s.plan), hosts: make([]*groupHost, len(s.servers))}
	s.groups = w
	s.log("groups: %v", w.plan)
	for i := range w.plan.groups {
		g := &simGroup{
			w: w, id: fmt.Sprintf("group-%d-%d", i, w.rng.IntN(100)), simple: w.rng.IntN(5) == 0, cooperative: w.rng.IntN(2) == 0,
			session: max(w.plan.sessionMax/time.Duration(1+w.rng.IntN(2)), 500*time.Millisecond), rebalance: w.plan.rebalanceMax,
			registers: map[place]*register{}, processed: map[place]map[int64]bool{}, processedOf: map[place]*part{}, served: map[ident.Epoch]time.Time{}, owners: map[int]*generation{}, assigned: map[int][]place{}, newest: -1,
		}
		w.groups = append(w.groups, g)
		members := 1
		if !g.simple {
			members += w.rng.IntN(w.plan.members)
		}
		for n := range members {
			t := &slot{g: g, n: n}
			if !g.simple && w.rng.IntN(3) == 0 {
				t.instance = fmt.Sprintf("i%d", n)
			}
			g.slots = append(g.slots, t)
			s.after(mean(w.rng, s.plan.length/50), t.respawn)
		}
	}
	if len(w.groups) == 0 {
		return
	}
	s.after(0, w.watch)
	s.after(w.plan.adminEvery, w.adminTurn)
	w.startLag()
	if w.plan.crashEvery > 0 {
		s.after(w.plan.crashEvery, w.crashTurn)
	}
}

// spawn starts a process in a slot.
func (t *slot) spawn() {
	w := t.g.w
	p := &proc{slot: t, w: w, generation: -1, owned: map[place]*position{}, backoff: 100 * time.Millisecond}
	t.proc = p
	w.s.log("group %s: member %d %s starts", t.g.id, t.n, t.instance)
	if t.g.simple {
		p.state = stable
	}
	w.s.after(0, p.poll)
	w.s.after(0, p.beat)
}

// respawn starts a process in a slot that has none.
func (t *slot) respawn() {
	if !t.g.away && (t.proc == nil || t.proc.ended) {
		t.spawn()
	}
}

// watch looks at everything that has a time of its own: requests of which the
// connection is gone, and rebalances that do not end.
func (w *groupWorld) watch() {
	w.s.after(100*time.Millisecond, w.watch)
	for _, b := range w.s.brokers() {
		w.coordinator(b) // it begins with its broker
	}
	w.expireAsks()
	for _, g := range w.groups {
		g.checkRebalance()
		if !w.s.ending {
			continue
		}
		g.away = false
		for _, t := range g.slots {
			t.respawn()
		}
	}
}

// crashTurn has something befall a member: it crashes, it pauses, it leaves, or
// all do.
func (w *groupWorld) crashTurn() {
	s, r := w.s, w.rng
	if s.ending {
		return
	}
	s.after(mean(r, w.plan.crashEvery), w.crashTurn)
	g := w.groups[r.IntN(len(w.groups))]
	t := g.slots[r.IntN(len(g.slots))]
	p := t.proc
	if p == nil || p.ended {
		return
	}
	switch r.IntN(6) {
	case 0, 1:
		s.log("group %s: member %d crashes", g.id, t.n)
		p.crash(mean(r, g.session))
	case 2:
		// A new process while the old one only sleeps: a zombie.
		p.pause(mean(r, 2*g.session))
		s.log("group %s: member %d becomes a zombie", g.id, t.n)
		s.after(mean(r, g.session/2), t.spawn)
	case 3:
		p.pause(mean(r, 2*g.session))
		s.log("group %s: member %d pauses until %v", g.id, t.n, p.paused.Sub(begin))
	case 4:
		p.leave(func() { s.after(mean(r, g.session), t.respawn) })
	case 5:
		w.desert(g, mean(r, 2*g.session))
	}
}

// desert has all members of a group leave, and come back later.
func (w *groupWorld) desert(g *simGroup, d time.Duration) {
	if g.away || g.simple {
		return
	}
	g.away = true
	w.s.log("group %s: all members leave", g.id)
	for _, t := range g.slots {
		if t.proc != nil && !t.proc.ended {
			t.proc.leave(func() {})
		}
	}
	w.s.after(g.session+d, func() {
		g.away = false
		for _, t := range g.slots {
			t.respawn()
		}
	})
}

// settleGroups: C3, C4, V1. Soon after the last fault every group has all its
// members, and they have processed and committed all there is. Then they rest.
func (s *run) settleGroups() {
	w := s.groups
	if w == nil || len(w.groups) == 0 {
		return
	}
	w.still = false
	why := ""
	done := s.until(recovery, func() bool {
		why = w.unsettled()
		return why == ""
	})
	if !done {
		s.fail("C3", "%v after the last fault: %s", recovery, why)
	}
	w.still = true
	if !s.until(recovery, func() bool { return len(w.asks) == 0 }) {
		a := w.asks[0]
		s.fail("R4", "a request of group %s (%s), asked after %v, is not answered", a.g.id, a.what, a.at.Sub(begin))
	}
	for _, g := range w.groups {
		g.checkAllProcessed()
	}
}

// unsettled tells what is yet to be done, nothing if all is.
func (w *groupWorld) unsettled() string {
	for _, g := range w.groups {
		owned := map[place]*proc{}
		generation := -2
		for _, t := range g.slots {
			p := t.proc
			switch {
			case p == nil || p.ended || p.state != stable:
				return fmt.Sprintf("member %d of group %s is not stable", t.n, g.id)
			case generation == -2:
				generation = p.generation
			case generation != p.generation:
				return fmt.Sprintf("members of group %s are in the generations %d and %d", g.id, generation, p.generation)
			}
			for _, at := range p.places() {
				if o := owned[at]; o != nil {
					w.s.fail("C1", "group %s, generation %d: %s-%d has two owners, members %d and %d", g.id, generation, at.name, at.index, o.slot.n, t.n)
				}
				owned[at] = p
				q := p.owned[at]
				if _, _, o, ok := w.borders(q.part); !ok || !q.known || q.at != int64(o.HighWatermark) || q.committed != q.at {
					return fmt.Sprintf("member %d of group %s is at %d of %s-%d (known %v), committed %d", t.n, g.id, q.at, at.name, at.index, q.known, q.committed)
				}
			}
		}
		for _, at := range g.wanted() {
			if owned[at] == nil {
				return fmt.Sprintf("%s-%d is owned by no member of group %s", at.name, at.index, g.id)
			}
		}
	}
	return ""
}

// wanted are the partitions that a group reads: those of all topics that exist.
func (g *simGroup) wanted() []place {
	var out []place
	for _, p := range g.w.s.model.parts() {
		out = append(out, placeOf(p))
	}
	if g.simple && len(out) > 0 {
		out = out[:1]
	}
	return out
}

// procs are all processes that were not heard of the end of, in order.
func (g *simGroup) procs() []*proc {
	var out []*proc
	for _, t := range g.slots {
		if t.proc != nil && !t.proc.ended {
			out = append(out, t.proc)
		}
	}
	return out
}

// incarnate notes that the group may be another one from now on: what was told
// of generations counts no more.
func (g *simGroup) incarnate() {
	g.owners, g.newest = map[int]*generation{}, -1
	for _, p := range g.procs() {
		p.stale = true
	}
}

// mayBeAnother is for a coordinator that begins: the one before may have deleted
// the group, asked to or for its age, without anybody having heard of it.
func (g *simGroup) mayBeAnother() {
	if g.deleting > 0 || g.w.plan.retention > 0 {
		g.incarnate()
	}
}

// places are the partitions that a process owns, in order.
func (p *proc) places() []place {
	var out []place
	for at := range p.owned { // order: sorted below
		out = append(out, at)
	}
	slices.SortFunc(out, comparePlaces)
	return out
}
