package group

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// statics makes a stable group of n static members i0, i1...
func (r *rig) statics(n int, protocols ...string) []JoinResponse {
	r.t.Helper()
	var reqs []JoinRequest
	for i := range n {
		q := static("i"+string(rune('0'+i)), "", protocols...)
		c := r.join(q)
		if c.answers == 0 {
			q.MemberID = r.s.groups["g"].statics[q.InstanceID].id
		} else {
			q.MemberID = want(r.t, c, nil).MemberID
		}
		reqs = append(reqs, q)
	}
	return r.stabilize(reqs)
}

func TestStaticReturnsToStableGroup(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	r.manual = true
	c := r.join(static("i1", ""))
	waits(t, c)
	r.commit()
	j := want(t, c, nil)
	if j.MemberID == ms[1].MemberID || j.Generation != ms[1].Generation || j.SkipAssignment || j.Leader != ms[0].MemberID {
		t.Fatalf("joined %+v", j)
	}
	if got := want(t, r.sync(j), nil); string(got.Assignment) != "m1" {
		t.Fatalf("assigned %q", got.Assignment)
	}
	r.state(Stable)
	err := r.s.Heartbeat(r.now, HeartbeatRequest{GroupID: "g", MemberID: ms[1].MemberID, InstanceID: "i1", Generation: j.Generation})
	if !errors.Is(err, ErrFencedInstance) {
		t.Fatal(err)
	}
	r.reload()
	if err := r.beat(j.MemberID, j.Generation); err != nil {
		t.Fatal(err)
	}
}

func TestStaticLeaderReturns(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	j := want(t, r.join(static("i0", "")), nil)
	if !j.SkipAssignment || j.Leader != j.MemberID || len(j.Members) != 2 {
		t.Fatalf("joined %+v", j)
	}
	if got := want(t, r.sync(j), nil); string(got.Assignment) != "m0" {
		t.Fatalf("assigned %q", got.Assignment)
	}
	old := static("i0", "") // a client from before version 9
	old.SkipAssignment = false
	k := want(t, r.join(old), nil)
	if k.SkipAssignment || k.Leader != j.MemberID || k.Members != nil {
		t.Fatalf("joined %+v", k)
	}
	if r.s.groups["g"].leader != k.MemberID || r.state(Stable).Generation != ms[0].Generation {
		t.Fatal("the group noticed")
	}
}

// A cooperative member that goes between giving up partitions and joining again
// leaves them to nobody, unless the group rebalances when it is back.
func TestStaticReturnAfterRevocation(t *testing.T) {
	having := func(version int16, partitions ...int32) []byte {
		m := kmsg.ConsumerMemberMetadata{Version: version, Topics: []string{"orders"}, UserData: []byte("u")}
		if len(partitions) > 0 {
			m.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "orders", Partitions: partitions}}
		}
		return m.AppendTo(nil)
	}
	given := func(partitions ...int32) []byte {
		return (&kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "orders", Partitions: partitions}}}).AppendTo(nil)
	}
	for name, c := range map[string]struct {
		had, got []byte
		again    bool
	}{
		"gave one up":         {having(1, 0, 1), given(0), true},
		"gave all up":         {having(3, 0, 1), (&kmsg.ConsumerMemberAssignment{}).AppendTo(nil), true},
		"keeps all":           {having(1, 0, 1), given(0, 1), false},
		"got more":            {having(1, 0), given(0, 1), false},
		"came with none":      {having(1), given(0), false},
		"eager":               {having(0, 0, 1), given(0), false},
		"another protocol":    {having(1, 0, 1), []byte("x"), false},
		"broken assignment":   {having(1, 0, 1), given(0)[:8], false},
		"broken subscription": {having(1, 0, 1)[:len(having(1, 0, 1))-2], given(0), false},
	} {
		for _, back := range []string{"i0", "i1"} { // the leader, and one that is not
			r := newRig(t, nil)
			var reqs []JoinRequest
			for _, m := range r.statics(2) {
				q := static(m.MemberID[:2], m.MemberID)
				q.Protocols[0].Metadata = c.had
				reqs = append(reqs, q)
			}
			one, two := r.join(reqs[0]), r.join(reqs[1])
			want(t, two, nil)
			j := want(t, one, nil)
			want(t, r.sync(j, Assignment{MemberID: reqs[0].MemberID, Data: c.got}, Assignment{MemberID: reqs[1].MemberID, Data: c.got}), nil)
			r.reload()
			r.state(Stable)
			q := static(back, "")
			q.Protocols[0].Metadata = having(1)
			r.join(q)
			state := Stable
			if c.again {
				state = PreparingRebalance
			}
			if got := r.s.groups["g"].state; got != state {
				t.Errorf("%s: %s is back: %v, want %v", name, back, got, state)
			}
		}
	}
}

func TestStaticReturnChangesProtocol(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2, "range", "sticky")
	c := r.join(static("i1", "", "sticky"))
	waits(t, c)
	r.state(PreparingRebalance)
	q := static("i0", ms[0].MemberID, "range", "sticky")
	want(t, r.join(q), nil)
	if j := want(t, c, nil); j.Generation != ms[0].Generation+1 || j.Protocol != "sticky" {
		t.Fatalf("joined %+v", j)
	}
}

func TestStaticReturnsDuringRebalance(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	c0 := r.join(static("i0", ms[0].MemberID))
	first := r.join(static("i1", ""))
	want(t, c0, nil)
	j := want(t, first, nil) // completing
	s1 := r.sync(j)
	c := r.join(static("i1", ""))
	want(t, s1, ErrFencedInstance)
	waits(t, c)
	d := r.join(static("i1", "")) // and once more, preparing
	want(t, c, ErrFencedInstance)
	waits(t, d)
	want(t, r.join(static("i0", ms[0].MemberID)), nil)
	if k := want(t, d, nil); k.Generation != j.Generation+1 {
		t.Fatalf("joined %+v", k)
	}
}

func TestStaticReturnIsNotStored(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	r.manual = true
	c := r.join(static("i0", "", "range", "more"))
	r.fail()
	if j := want(t, c, errAppend); j.MemberID != "" {
		t.Fatalf("joined %+v", j)
	}
	if err := r.beat(ms[0].MemberID, ms[0].Generation); err != nil {
		t.Fatal(err)
	}
	if r.s.groups["g"].leader != ms[0].MemberID {
		t.Fatal("it leads no more")
	}
	// The first fails, a later record holds its new id already.
	a, b := r.join(static("i0", "")), r.join(static("i1", ""))
	r.fail()
	want(t, a, errAppend)
	r.commit()
	j := want(t, b, nil)
	if err := r.beat(ms[0].MemberID, ms[0].Generation); !errors.Is(err, ErrUnknownMember) {
		t.Fatal(err)
	}
	r.reload()
	if err := r.beat(j.MemberID, j.Generation); err != nil {
		t.Fatal(err)
	}
	if err := r.beat(ms[0].MemberID, ms[0].Generation); !errors.Is(err, ErrUnknownMember) {
		t.Fatal(err)
	}
}

func TestStaticReturnMeetsRebalance(t *testing.T) {
	for name, failed := range map[string]bool{"stored": false, "not stored": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			ms := r.statics(2)
			r.manual = true
			c := r.join(static("i1", ""))
			waits(t, r.join(static("i2", "")))
			if failed {
				r.fail()
			}
			r.commit()
			waits(t, c) // it has joined this rebalance
			c0 := r.join(static("i0", ms[0].MemberID))
			want(t, c0, nil)
			if j := want(t, c, nil); j.Generation != ms[0].Generation+1 {
				t.Fatalf("joined %+v", j)
			}
		})
	}
}

func TestStaticOutlivesRebalance(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	c0 := r.join(static("i0", ms[0].MemberID, "range", "more"))
	for range 12 { // i1 lives, and does not join
		r.advance(5 * time.Second)
		_ = r.beat(ms[1].MemberID, ms[1].Generation)
	}
	if j := want(t, c0, nil); len(j.Members) != 2 {
		t.Fatalf("joined %+v", j)
	}
}

func TestSilentStaticLeaderLeadsNoMore(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	c1 := r.join(static("i1", ms[1].MemberID, "range", "more"))
	for range 12 { // i0 lives, and does not join
		r.advance(5 * time.Second)
		_ = r.beat(ms[0].MemberID, ms[0].Generation)
	}
	if j := want(t, c1, nil); j.Leader != ms[1].MemberID || len(j.Members) != 2 {
		t.Fatalf("joined %+v", j)
	}
}

func TestSilentStaticsEndRebalance(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(3)
	want(t, r.leave(LeaveMember{InstanceID: "i2"}), nil)
	for range 23 { // two live for ever, and never join
		r.advance(5 * time.Second)
		_ = r.beat(ms[0].MemberID, ms[0].Generation)
		_ = r.beat(ms[1].MemberID, ms[1].Generation)
	}
	r.state(PreparingRebalance)
	r.advance(5 * time.Second)
	r.state(Empty)
}

func TestFencing(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(1)
	want(t, r.join(static("i0", "other")), ErrFencedInstance)
	want(t, r.join(static("i9", ms[0].MemberID)), ErrUnknownMember)
	errs := want(t, r.leave(LeaveMember{MemberID: "other", InstanceID: "i0"}, LeaveMember{InstanceID: "i9"}), nil)
	if !errors.Is(errs[0], ErrFencedInstance) || !errors.Is(errs[1], ErrUnknownMember) {
		t.Fatal(errs)
	}
	c := &errsCall{}
	r.s.CommitOffsets(r.now, CommitRequest{GroupID: "g", MemberID: "other", InstanceID: "i0", Generation: 1}, c.done)
	want(t, c, ErrFencedInstance)
	y := &syncCall{}
	r.s.Sync(r.now, SyncRequest{GroupID: "g", MemberID: "other", InstanceID: "i0", Generation: 1}, y.done)
	want(t, y, ErrFencedInstance)
	id := r.id(who("dynamic", ""))
	q := static("i5", id) // a pending member is no static one
	want(t, r.join(q), ErrUnknownMember)
}
