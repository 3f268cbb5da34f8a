package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/group"
)

// memberState is how far a process has come in its group.
type memberState int

const (
	idle memberState = iota
	joining
	stable
)

// proc is one process of a consumer.
type proc struct {
	slot *slot
	w    *groupWorld

	state      memberState
	memberID   string
	generation int
	attempt    int // to join; answers to earlier ones do not count
	leads      bool
	assigned   []place // what there was to assign when that was made
	given      []place // its assignment
	owned      map[place]*position
	claimed    []place    // what it said to own when it joined
	late       []*attempt // to commit for an earlier generation
	before     int        // which that was
	backoff    time.Duration
	paused     time.Time // it sleeps until then
	ended      bool
	stale      bool // the group may be another one than that of its generation
	beating    bool // a heartbeat is under way
	synced     time.Time
	committed  time.Time // when it committed last
}

// zombie reports whether the process has a successor.
func (p *proc) zombie() bool { return p.slot.proc != p }

// sleeps reports whether the process does nothing now.
func (p *proc) sleeps() bool { return p.ended || p.w.s.now.Before(p.paused) }

func (p *proc) log(format string, args ...any) {
	p.w.s.log("group %s: member %d: "+format, append([]any{p.slot.g.id, p.slot.n}, args...)...)
}

// beat is what a member does in the background, and comes back.
func (p *proc) beat() {
	w := p.w
	if w.s.ending && p.zombie() {
		p.ended = true
	}
	if p.ended {
		return
	}
	w.s.after(p.slot.g.session/5+mean(w.rng, 10*time.Millisecond), p.beat)
	if w.s.ending {
		p.paused = w.s.now
	}
	if p.sleeps() || p.slot.g.simple {
		return
	}
	switch {
	case p.state == idle:
		p.join()
	case p.state == stable && p.leads && !slices.Equal(p.assigned, p.slot.g.wanted()):
		p.log("what there is to read has changed")
		p.revoke(p.join)
	case p.state == stable:
		p.heartbeat()
	}
}

// join asks to be in the next generation.
func (p *proc) join() {
	g, w := p.slot.g, p.w
	if p.zombie() || p.ended || g.away {
		p.ended = true // its successor joins
		return
	}
	p.state, p.leads = joining, false
	p.attempt++
	attempt := p.attempt
	var topics []string
	for _, t := range w.s.model.live() {
		if !slices.Contains(topics, t.name) {
			topics = append(topics, t.name)
		}
	}
	var owned []place
	if g.cooperative {
		owned = p.places()
	}
	p.claimed = owned
	r := group.JoinRequest{
		GroupID: g.id, MemberID: p.memberID, InstanceID: p.slot.instance, ClientID: "sim", ProtocolType: "consumer",
		Protocols:      []group.Protocol{{Name: "sim", Metadata: subscription(topics, owned)}},
		SessionTimeout: g.session, RebalanceTimeout: g.rebalance, RequireMemberID: true, SkipAssignment: true,
	}
	var got group.JoinResponse
	w.ask(g, "join", g.rebalance*3+w.plan.initialDelay*3, func(_ *groupHost, now time.Time, s *group.Shard, answer func(error)) {
		s.Join(now, r, func(res group.JoinResponse, err error) {
			got = res
			answer(err)
		})
	}, func(err error) {
		if p.attempt == attempt && !p.ended {
			p.joined(got, err)
		}
	})
}

func (p *proc) joined(r group.JoinResponse, err error) {
	p.log("join as %q: generation %d, leader %q: %v", r.MemberID, r.Generation, r.Leader, err)
	switch {
	case err == nil:
		p.memberID, p.generation, p.stale = r.MemberID, int(r.Generation), false
		p.sync(r)
	case errors.Is(err, group.ErrMemberIDRequired):
		p.memberID = r.MemberID
		p.join()
	default:
		p.failed(err)
	}
}

// failed is a join, a sync or a heartbeat that was refused: the member begins
// anew, after a while.
func (p *proc) failed(err error) {
	if errors.Is(err, group.ErrUnknownMember) || errors.Is(err, group.ErrFencedInstance) {
		p.memberID = ""
	}
	if errors.Is(err, group.ErrFencedInstance) || p.zombie() {
		p.lose()
		p.ended = true
		if !p.zombie() {
			p.w.s.after(p.backoff, p.slot.respawn)
		}
		return
	}
	if p.memberID == "" || errors.Is(err, group.ErrIllegalGeneration) {
		p.lose()
	}
	p.state = joining
	p.attempt++
	attempt := p.attempt
	p.w.s.after(mean(p.w.rng, p.backoff), func() {
		if p.attempt == attempt && !p.ended {
			p.state = idle
		}
	})
}

// sync asks for the member's assignment, and brings everybody's as the leader.
func (p *proc) sync(j group.JoinResponse) {
	g, w := p.slot.g, p.w
	r := group.SyncRequest{
		GroupID: g.id, MemberID: p.memberID, InstanceID: p.slot.instance, Generation: j.Generation,
		ProtocolType: j.ProtocolType, Protocol: j.Protocol,
	}
	if p.leads = j.Leader == p.memberID; p.leads && !j.SkipAssignment {
		r.Assignments = g.assign(j.Members)
	}
	p.attempt++
	attempt := p.attempt
	var got group.SyncResponse
	w.ask(g, "sync", g.rebalance*2+time.Second, func(_ *groupHost, now time.Time, s *group.Shard, answer func(error)) {
		s.Sync(now, r, func(res group.SyncResponse, err error) {
			got = res
			answer(err)
		})
	}, func(err error) {
		switch {
		case p.attempt != attempt || p.ended:
		case err == nil:
			p.told(got.Assignment)
		default:
			p.log("sync of generation %d: %v", p.generation, err)
			p.failed(err)
		}
	})
}

// told takes the member's assignment.
func (p *proc) told(assignment []byte) {
	id, list := decodeAssignment(assignment)
	p.log("assignment %d of generation %d: %v", id, p.generation, list)
	p.state, p.synced, p.given = stable, p.w.s.now, list
	p.assigned = p.slot.g.assigned[id] // of the one that counts: a later one may have come to nothing
	if len(p.late) > 0 && p.before < p.generation && p.w.rng.IntN(3) == 0 {
		// Something that was held up commits what the member had before, which
		// must not count: another may have it by now.
		p.slot.g.commit(p, p.before, p.late, func(error) {})
	}
	p.late = nil
	p.checkOwners(id, list)
	var revoked []place
	for _, at := range p.places() {
		if !slices.Contains(list, at) {
			revoked = append(revoked, at)
		}
	}
	for _, at := range list {
		if p.owned[at] == nil {
			p.adopt(at)
		}
	}
	// What it claimed and lost since with a topic, the leader gave nobody either.
	lost := slices.ContainsFunc(p.claimed, func(at place) bool { return !slices.Contains(list, at) })
	p.claimed = nil
	if len(revoked) == 0 && !lost {
		return
	}
	if len(revoked) > 0 {
		p.commit(revoked, func(error) {})
	}
	for _, at := range revoked {
		delete(p.owned, at)
	}
	p.join() // so that others get them
}

func (p *proc) heartbeat() {
	g, w := p.slot.g, p.w
	if p.beating {
		return
	}
	p.beating = true
	attempt := p.attempt
	r := group.HeartbeatRequest{GroupID: g.id, MemberID: p.memberID, InstanceID: p.slot.instance, Generation: int32(p.generation)}
	w.ask(g, "heartbeat", g.session, func(_ *groupHost, now time.Time, s *group.Shard, answer func(error)) {
		answer(s.Heartbeat(now, r))
	}, func(err error) {
		p.beating = false
		switch {
		case p.ended || p.attempt != attempt || p.state != stable:
		case err == nil:
		case errors.Is(err, group.ErrRebalanceInProgress):
			p.log("is asked to join again")
			p.revoke(p.join)
		case errors.Is(err, group.ErrIllegalGeneration), errors.Is(err, group.ErrUnknownMember), errors.Is(err, group.ErrFencedInstance):
			p.log("heartbeat of generation %d: %v", p.generation, err)
			p.failed(err)
		}
	})
}

// revoke prepares for a rebalance: an eager member commits and gives up all that
// it has, a cooperative one keeps it.
func (p *proc) revoke(then func()) {
	p.state = joining
	p.attempt++
	attempt := p.attempt
	next := func() {
		if p.attempt == attempt && !p.ended {
			then()
		}
	}
	if p.slot.g.cooperative {
		next()
		return
	}
	list := p.places()
	p.given, p.late, p.before = nil, p.positions(), p.generation
	p.commit(list, func(error) { next() })
	for _, at := range list {
		delete(p.owned, at)
	}
}

// positions are the commits of what the member has.
func (p *proc) positions() []*attempt {
	var out []*attempt
	for _, at := range p.places() {
		if q := p.owned[at]; q.known {
			out = append(out, &attempt{at: at, topic: q.part.topic.id, offset: q.at})
		}
	}
	return out
}

// lose gives up what the member had and is not the owner of any more. Now and
// then it commits all the same, which must not count.
func (p *proc) lose() {
	if p.w.rng.IntN(2) == 0 {
		p.commit(p.places(), func(error) {})
	}
	p.given, p.owned = nil, map[place]*position{}
}

// pause has the process sleep, and not know of it when it wakes.
func (p *proc) pause(d time.Duration) { p.paused = p.w.s.now.Add(d) }

// crash ends the process, and another takes its place after a while.
func (p *proc) crash(d time.Duration) {
	p.ended = true
	p.owned = map[place]*position{}
	p.w.s.after(d, p.slot.respawn)
}

// leave has the member leave in order: it commits, says so, and ends.
func (p *proc) leave(then func()) {
	g, w := p.slot.g, p.w
	if g.simple || p.memberID == "" {
		p.ended = true
		then()
		return
	}
	p.log("leaves")
	member := group.LeaveMember{MemberID: p.memberID, InstanceID: p.slot.instance}
	p.commit(p.places(), func(error) {
		w.ask(g, "leave", g.session, func(_ *groupHost, now time.Time, s *group.Shard, answer func(error)) {
			s.Leave(now, group.LeaveRequest{GroupID: g.id, Members: []group.LeaveMember{member}}, func(_ []error, err error) { answer(err) })
		}, func(err error) {
			w.s.log("group %s: member %d left: %v", g.id, p.slot.n, err)
			then()
		})
	})
	p.ended = true
	p.owned = map[place]*position{}
}
