package group

import (
	"errors"
	"testing"
	"time"
)

func TestSyncIsAnsweredWhenCommitted(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0, c1 := r.join(who("c0", ms[0].MemberID)), r.join(who("c1", ms[1].MemberID))
	j0, j1 := want(t, c0, nil), want(t, c1, nil)
	r.manual = true
	s1 := r.sync(j1)
	s0 := r.sync(j0, Assignment{j0.MemberID, []byte("x")}, Assignment{j1.MemberID, []byte("y")}, Assignment{"nobody", []byte("z")})
	waits(t, s0)
	waits(t, s1)
	r.state(CompletingRebalance)
	// A second assignment for the same generation is not stored.
	again := r.sync(j0, Assignment{j0.MemberID, []byte("w")})
	want(t, s0, ErrRebalanceInProgress)
	if len(r.log.flight) != 1 {
		t.Fatalf("%d appends", len(r.log.flight))
	}
	r.advance(5 * time.Second) // the session goes on from when it is committed
	r.commit()
	if a, b := want(t, again, nil), want(t, s1, nil); string(a.Assignment) != "x" || string(b.Assignment) != "y" || a.Protocol != "range" || a.ProtocolType != "consumer" {
		t.Fatalf("assigned %q and %q", a.Assignment, b.Assignment)
	}
	r.advance(9 * time.Second)
	r.state(Stable)
	if got := want(t, r.sync(j1), nil); string(got.Assignment) != "y" {
		t.Fatalf("assigned %q", got.Assignment)
	}
}

func TestSlowCommitExpiresNobody(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	j := want(t, r.join(who("c0", ms[0].MemberID)), nil)
	r.manual = true
	s := r.sync(j)
	r.now = r.now.Add(40 * time.Second) // no Tick in between: the owner was busy
	r.commit()
	want(t, s, nil)
	r.s.Tick(r.now)
	r.state(Stable)
}

func TestSyncChecks(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	for name, c := range map[string]struct {
		q    SyncRequest
		want error
	}{
		"no group":   {SyncRequest{}, ErrInvalidGroup},
		"unknown":    {SyncRequest{GroupID: "h", MemberID: ms[0].MemberID}, ErrUnknownMember},
		"no member":  {SyncRequest{GroupID: "g", MemberID: "x"}, ErrUnknownMember},
		"generation": {SyncRequest{GroupID: "g", MemberID: ms[0].MemberID, Generation: 9}, ErrIllegalGeneration},
		"type":       {SyncRequest{GroupID: "g", MemberID: ms[0].MemberID, Generation: ms[0].Generation, ProtocolType: "connect"}, ErrInconsistentProtocol},
		"protocol":   {SyncRequest{GroupID: "g", MemberID: ms[0].MemberID, Generation: ms[0].Generation, Protocol: "x"}, ErrInconsistentProtocol},
		"fine":       {SyncRequest{GroupID: "g", MemberID: ms[0].MemberID, Generation: ms[0].Generation, ProtocolType: "consumer", Protocol: "range"}, nil},
	} {
		y := &syncCall{}
		r.s.Sync(r.now, c.q, y.done)
		if y.answers != 1 || !errors.Is(y.err, c.want) {
			t.Errorf("%s: %d answers, %v", name, y.answers, y.err)
		}
	}
	waits(t, r.join(who("c0", ms[0].MemberID)))
	want(t, r.sync(ms[1]), ErrRebalanceInProgress)
}

func TestAssignmentIsNotStored(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0, c1 := r.join(who("c0", ms[0].MemberID)), r.join(who("c1", ms[1].MemberID))
	j0, j1 := want(t, c0, nil), want(t, c1, nil)
	r.manual = true
	s1, s0 := r.sync(j1), r.sync(j0, Assignment{j0.MemberID, []byte("x")})
	r.fail()
	want(t, s0, errAppend)
	want(t, s1, errAppend)
	r.state(PreparingRebalance)
	if e := r.events[len(r.events)-1]; e.Kind != EventRebalance {
		t.Fatalf("%+v", e)
	}
	c0, c1 = r.join(who("c0", ms[0].MemberID)), r.join(who("c1", ms[1].MemberID))
	if j := want(t, c0, nil); j.Generation != j0.Generation+1 || want(t, c1, nil).Generation != j.Generation {
		t.Fatalf("joined %+v", j)
	}
}

func TestAssignmentTooLarge(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AppendBytesMax = 1000 })
	id := r.id(who("c", ""))
	j := want(t, r.join(who("c", id)), nil)
	want(t, r.sync(j, Assignment{id, make([]byte, 1000)}), ErrGroupTooLarge)
	r.state(PreparingRebalance)
	j = want(t, r.join(who("c", id)), nil)
	want(t, r.sync(j, Assignment{id, make([]byte, 100)}), nil)
}

func TestAssignmentLandsTooLate(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0, c1 := r.join(who("c0", ms[0].MemberID)), r.join(who("c1", ms[1].MemberID))
	j0, j1 := want(t, c0, nil), want(t, c1, nil)
	r.manual = true
	s0 := r.sync(j0, Assignment{j1.MemberID, []byte("old")})
	waits(t, r.join(who("c1", ms[1].MemberID, "range", "x")))
	want(t, s0, ErrRebalanceInProgress)
	want(t, r.join(who("c0", ms[0].MemberID)), nil) // completing the next one
	r.commit()
	r.state(CompletingRebalance)
	if got := r.s.groups["g"].generation; got != j0.Generation+1 {
		t.Fatalf("generation %d", got)
	}
}

func TestHeartbeat(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	for name, c := range map[string]struct {
		id         string
		generation int32
		want       error
	}{
		"fine":       {ms[0].MemberID, ms[0].Generation, nil},
		"generation": {ms[0].MemberID, ms[0].Generation - 1, ErrIllegalGeneration},
		"unknown":    {"x", ms[0].Generation, ErrUnknownMember},
	} {
		if err := r.beat(c.id, c.generation); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c0 := r.join(who("c0", ms[0].MemberID))
	if err := r.beat(ms[1].MemberID, ms[1].Generation); !errors.Is(err, ErrRebalanceInProgress) {
		t.Fatal(err)
	}
	want(t, r.join(who("c1", ms[1].MemberID)), nil)
	if err := r.beat(ms[1].MemberID, want(t, c0, nil).Generation); err != nil {
		t.Fatal(err) // completing
	}
	if err := r.s.Heartbeat(r.now, HeartbeatRequest{}); !errors.Is(err, ErrInvalidGroup) {
		t.Fatal(err)
	}
}

func TestLeave(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(3)
	errs := want(t, r.leave(LeaveMember{MemberID: "x"}, LeaveMember{}, LeaveMember{MemberID: ms[0].MemberID, Reason: "done"}), nil)
	if !errors.Is(errs[0], ErrUnknownMember) || !errors.Is(errs[1], ErrUnknownMember) || errs[2] != nil {
		t.Fatal(errs)
	}
	if d := r.state(PreparingRebalance); len(d.Members) != 2 {
		t.Fatalf("%+v", d)
	}
	r.manual = true
	c := r.leave(LeaveMember{MemberID: ms[1].MemberID}, LeaveMember{MemberID: ms[2].MemberID})
	r.state(Empty)
	waits(t, c)
	r.commit()
	if errs := want(t, c, nil); errs != nil {
		t.Fatal(errs)
	}
	none := &errsCall{}
	r.s.Leave(r.now, LeaveRequest{GroupID: "h", Members: []LeaveMember{{MemberID: "x"}}}, none.done)
	if errs := want(t, none, nil); !errors.Is(errs[0], ErrUnknownMember) {
		t.Fatal(errs)
	}
}

func TestLeaveIsNotStored(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	r.manual = true
	c := r.leave(LeaveMember{MemberID: ms[0].MemberID})
	r.fail()
	want(t, c, errAppend)
	r.state(Empty)
	r.manual = false
	r.reload()
	r.state(Stable) // as the log has it
	r.advance(10 * time.Second)
	r.state(Empty)
}

func TestLeaveAnswersWhatWaits(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0 := r.join(who("c0", ms[0].MemberID))
	want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
	want(t, c0, ErrUnknownMember)
	j := want(t, r.join(who("c1", ms[1].MemberID)), nil)
	id := r.id(who("c2", ""))
	waits(t, r.join(who("c2", id)))
	want(t, r.join(who("c1", ms[1].MemberID)), nil)
	g := r.s.groups["g"]
	s := &syncCall{}
	r.s.Sync(r.now, SyncRequest{GroupID: "g", MemberID: id, Generation: g.generation}, s.done)
	want(t, r.leave(LeaveMember{MemberID: id}), nil)
	want(t, s, ErrUnknownMember)
	if g.generation != j.Generation+1 {
		t.Fatalf("generation %d", g.generation)
	}
}

func TestStopAnswersEverything(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	r.manual = true
	put := r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 5)
	c0, c1 := r.join(who("c0", ms[0].MemberID)), r.join(who("c1", ms[1].MemberID))
	j0, j1 := want(t, c0, nil), want(t, c1, nil)
	s0, s1 := r.sync(j0), r.sync(j1)
	q := who("h", "")
	q.GroupID, q.RequireMemberID = "h", false
	h := r.join(q)
	want(t, h, nil)
	q.Protocols = append(q.Protocols, Protocol{Name: "x"})
	h = r.join(q)
	r.put("", -1, "x", 0, 1)
	del := r.drop("h")
	r.s.Stop(errStop)
	want(t, s0, errStop)
	want(t, s1, errStop)
	want(t, h, errStop)
	want(t, del, ErrNonEmptyGroup)
	if errs := want(t, put, nil); !errors.Is(errs[0], errStop) {
		t.Fatal(errs)
	}
	for len(r.log.flight) > 0 { // nothing comes of it any more
		r.log.land(r.now, nil)
	}
	want(t, s0, errStop)
	want(t, put, nil)
}
