package group

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCommitIsVisibleWhenCommitted(t *testing.T) {
	r := newRig(t, nil)
	r.manual = true
	c := r.put("", -1, "orders", 3, 10)
	waits(t, c)
	if got := r.get("orders", 3); got != -1 {
		t.Fatalf("offset %d", got)
	}
	d := r.put("", -1, "orders", 3, 11)
	r.log.land(r.now, nil)
	if errs := want(t, c, nil); errs != nil || r.get("orders", 3) != 10 {
		t.Fatal(errs)
	}
	r.fail()
	if errs := want(t, d, nil); !errors.Is(errs[0], errAppend) || r.get("orders", 3) != 10 {
		t.Fatalf("%v, offset %d", errs, r.get("orders", 3))
	}
	out, err := r.s.FetchOffsets(FetchRequest{GroupID: "g", All: true})
	wanted := []FetchedTopic{{"orders", []FetchedOffset{{Partition: 3, Offset: 10, LeaderEpoch: 7, Metadata: "meta"}}}}
	if err != nil || !reflect.DeepEqual(out, wanted) {
		t.Fatalf("%+v, %v", out, err)
	}
}

func TestFirstCommitFails(t *testing.T) {
	r := newRig(t, nil)
	r.manual = true
	c := r.put("", -1, "orders", 3, 10)
	if out, _ := r.s.FetchOffsets(FetchRequest{GroupID: "g", All: true}); out != nil {
		t.Fatalf("%+v", out)
	}
	r.fail()
	if errs := want(t, c, nil); !errors.Is(errs[0], errAppend) {
		t.Fatal(errs)
	}
	r.gone("g")
	if out, _ := r.s.FetchOffsets(FetchRequest{GroupID: "g", All: true}); out != nil {
		t.Fatalf("%+v", out)
	}
}

func TestWhoMayCommit(t *testing.T) {
	r := newRig(t, nil)
	want(t, r.put("x", 0, "orders", 0, 1), ErrGroupNotFound)
	ms := r.members(2)
	id, gen := ms[0].MemberID, ms[0].Generation
	want(t, r.put(id, gen, "orders", 0, 1), nil)
	want(t, r.put(id, gen-1, "orders", 0, 1), ErrIllegalGeneration)
	want(t, r.put(id, -1, "orders", 0, 1), ErrIllegalGeneration)
	want(t, r.put("", -1, "orders", 0, 1), ErrUnknownMember)
	want(t, r.put("x", gen, "orders", 0, 1), ErrUnknownMember)
	c0 := r.join(who("c0", id))
	want(t, r.put(ms[1].MemberID, gen, "orders", 0, 2), nil) // what it gives up
	want(t, r.join(who("c1", ms[1].MemberID)), nil)
	j := want(t, c0, nil)
	want(t, r.put(id, j.Generation, "orders", 0, 3), ErrRebalanceInProgress)
	want(t, r.put(id, gen, "orders", 0, 3), ErrIllegalGeneration)
	want(t, r.leave(LeaveMember{MemberID: id}, LeaveMember{MemberID: ms[1].MemberID}), nil)
	want(t, r.put("admin", -1, "orders", 0, 4), nil)
	want(t, r.put(id, gen, "orders", 0, 5), ErrUnknownMember)
	if got := r.get("orders", 0); got != 4 {
		t.Fatalf("offset %d", got)
	}
	long := &errsCall{}
	r.s.CommitOffsets(r.now, CommitRequest{GroupID: strings.Repeat("g", 1025), Generation: -1}, long.done)
	want(t, long, ErrInvalidGroup)
}

func TestCommitKeepsSession(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	for i := range 5 {
		r.advance(9 * time.Second)
		want(t, r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, int64(i)), nil)
	}
	r.state(Stable)
}

func TestCommitResultsPerPartition(t *testing.T) {
	r := newRig(t, func(c *Config) { c.OffsetMetadataMaxBytes = 10; c.AppendBytesMax = 120 })
	r.manual = true
	long := strings.Repeat("m", 11)
	c := &errsCall{}
	r.s.CommitOffsets(r.now, CommitRequest{GroupID: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{
		{Topic: "a", Partitions: []CommitPartition{{Partition: 0, Offset: 1}, {Partition: 1, Offset: 2, Metadata: long}, {Partition: -1}}},
		{Partitions: []CommitPartition{{Partition: 0}}},
		{Topic: strings.Repeat("t", 250), Partitions: []CommitPartition{{Partition: 0}}},
		{Topic: "b", Partitions: []CommitPartition{{Partition: 0, Offset: 3}, {Partition: 1, Offset: 4}, {Partition: 1, Offset: 5}}},
	}}, c.done)
	if len(r.log.flight) != 2 {
		t.Fatalf("%d appends", len(r.log.flight))
	}
	r.log.land(r.now, nil)
	waits(t, c)
	r.fail()
	errs := want(t, c, nil)
	for i, w := range []error{nil, ErrMetadataTooLarge, ErrInvalidRequest, ErrInvalidRequest, ErrInvalidRequest, nil, errAppend, errAppend} {
		if !errors.Is(errs[i], w) {
			t.Errorf("place %d: %v, want %v", i, errs[i], w)
		}
	}
	if got := []int64{r.get("a", 0), r.get("a", 1), r.get("b", 0), r.get("b", 1)}; !reflect.DeepEqual(got, []int64{1, -1, 3, -1}) {
		t.Fatal(got)
	}
	none := &errsCall{}
	r.s.CommitOffsets(r.now, CommitRequest{GroupID: "nothing", Generation: -1}, none.done)
	want(t, none, nil)
	r.gone("nothing")
}

func TestCommitsAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StateBytesMax = 20_000 })
	for i := range int32(1000) {
		errs := want(t, r.put("", -1, "orders", i, 1), nil)
		if errs == nil {
			continue
		}
		if !errors.Is(errs[0], ErrOverloaded) || i < 50 || r.s.bytes > 20_000+entryCost+4 {
			t.Fatalf("partition %d, %d bytes: %v", i, r.s.bytes, errs[0])
		}
		want(t, r.put("", -1, "orders", 0, 2), nil) // what is there goes on
		if r.get("orders", 0) != 2 {
			t.Fatal("not committed")
		}
		c := &errsCall{}
		r.s.CommitOffsets(r.now, CommitRequest{GroupID: strings.Repeat("h", 500), Generation: -1}, c.done)
		want(t, c, ErrOverloaded)
		return
	}
	t.Fatal("no end to it")
}

func TestDeleteGroup(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AppendBytesMax = 2000 })
	want(t, r.drop("g"), ErrGroupNotFound)
	ms := r.members(1)
	for i := range int32(200) {
		want(t, r.put(ms[0].MemberID, ms[0].Generation, "orders", i, 1), nil)
	}
	want(t, r.drop("g"), ErrNonEmptyGroup)
	want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
	r.manual = true
	r.put("", -1, "orders", 7, 2) // in flight: the deletion is behind it
	r.put("", -1, "new", 0, 2)
	c := r.drop("g")
	for len(r.log.flight) > 1 {
		r.log.land(r.now, nil)
		waits(t, c)
	}
	r.fail()
	want(t, c, errAppend)
	r.state(Empty)
	c = r.drop("g")
	r.commit()
	want(t, c, nil)
	r.gone("g")
	r.reload()
	r.gone("g")
	if r.s.bytes != 0 || r.s.Next() != r.now.Add(r.c.OffsetsRetentionCheck) {
		t.Fatalf("%d bytes are left", r.s.bytes)
	}
}

func TestDeletedGroupComesBack(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	want(t, r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 5), nil)
	want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
	r.manual = true
	c := r.drop("g")
	r.put("", -1, "orders", 0, 7) // behind the deletion in the log
	id := r.id(who("new", ""))
	r.commit()
	want(t, c, nil)
	if got := r.get("orders", 0); got != 7 {
		t.Fatalf("offset %d", got)
	}
	want(t, r.join(who("new", id)), ErrUnknownMember)
	if d := r.state(Empty); d.ProtocolType != "" || d.Generation != 0 {
		t.Fatalf("%+v", d)
	}
	before := r.s.Snapshot()
	r.manual = false
	r.reload()
	if !reflect.DeepEqual(before, r.s.Snapshot()) {
		t.Fatal("replay gives another state")
	}
	// A member that comes while the deletion is in flight keeps its group.
	r.manual = true
	c = r.drop("g")
	q := who("v0", "")
	q.RequireMemberID = false
	j := want(t, r.join(q), nil)
	y := r.sync(j)
	r.commit()
	want(t, c, nil)
	want(t, y, nil)
	r.manual = false
	r.reload()
	r.state(Stable)
}

func (r *rig) deleteOffsets(topics ...TopicPartitions) *errsCall {
	r.t.Helper()
	c := &errsCall{}
	r.s.DeleteOffsets(r.now, DeleteOffsetsRequest{GroupID: "g", Topics: topics}, c.done)
	r.settle()
	return c
}

func TestDeleteOffsets(t *testing.T) {
	r := newRig(t, nil)
	want(t, r.deleteOffsets(), ErrGroupNotFound)
	ms := r.members(1) // subscribed to orders
	for _, topic := range []string{"orders", "old"} {
		want(t, r.put(ms[0].MemberID, ms[0].Generation, topic, 0, 5), nil)
	}
	errs := want(t, r.deleteOffsets(TopicPartitions{"old", []int32{1, 0}}, TopicPartitions{"orders", []int32{0}}, TopicPartitions{"none", []int32{0}}), nil)
	if len(errs) != 4 || errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], ErrSubscribed) || errs[3] != nil {
		t.Fatal(errs)
	}
	if r.get("old", 0) != -1 || r.get("orders", 0) != 5 {
		t.Fatal("the wrong ones are gone")
	}
	q := who("c0", ms[0].MemberID)
	q.Protocols[0].Metadata = []byte{0, 1, 0xff} // nobody can tell
	j := want(t, r.join(q), nil)
	want(t, r.sync(j), nil)
	if errs := want(t, r.deleteOffsets(TopicPartitions{"any", []int32{0}}), nil); !errors.Is(errs[0], ErrSubscribed) {
		t.Fatal(errs)
	}
	want(t, r.leave(LeaveMember{MemberID: j.MemberID}), nil)
	r.manual = true
	r.put("", -1, "orders", 1, 5)
	c := r.deleteOffsets(TopicPartitions{"orders", []int32{0, 1}})
	r.log.land(r.now, nil)
	r.fail()
	want(t, c, errAppend)
	if r.get("orders", 0) != 5 || r.get("orders", 1) != 5 {
		t.Fatal("a failed deletion deletes")
	}
	c = r.deleteOffsets(TopicPartitions{"orders", []int32{0, 1}})
	r.commit()
	if errs := want(t, c, nil); errs != nil || r.get("orders", 0) != -1 || r.get("orders", 1) != -1 {
		t.Fatal(errs)
	}
}

func TestDeleteOffsetsOfOtherProtocols(t *testing.T) {
	r := newRig(t, nil)
	q := who("w", "")
	q.ProtocolType, q.RequireMemberID = "connect", false
	j := want(t, r.join(q), nil)
	want(t, r.deleteOffsets(TopicPartitions{"a", []int32{0}}), ErrNonEmptyGroup)
	want(t, r.leave(LeaveMember{MemberID: j.MemberID}), nil)
	want(t, r.deleteOffsets(TopicPartitions{"a", []int32{0}}), nil)
}

func TestDropTopics(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	want(t, r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 5), nil)
	for i := range 20 {
		c := &errsCall{}
		r.s.CommitOffsets(r.now, CommitRequest{GroupID: fmt.Sprint("h", i), Generation: -1, Retention: -1, Topics: []CommitTopic{
			{Topic: "orders", Partitions: []CommitPartition{{Partition: 1, Offset: 1}}}, {Topic: "kept", Partitions: []CommitPartition{{Offset: 2}}},
		}}, c.done)
		r.settle()
	}
	if got := r.s.Topics(); !reflect.DeepEqual(got, []string{"kept", "orders"}) {
		t.Fatal(got)
	}
	r.manual = true
	r.put(ms[0].MemberID, ms[0].Generation, "orders", 9, 5)
	c := &call[struct{}]{}
	r.s.DropTopics(r.now, []string{"orders", "nowhere"}, func(err error) { c.done(struct{}{}, err) })
	r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 6) // there is a new one of that name
	r.commit()
	want(t, c, nil)
	if got := r.s.Topics(); !reflect.DeepEqual(got, []string{"kept", "orders"}) || r.get("orders", 0) != 6 || r.get("orders", 9) != -1 {
		t.Fatal(got)
	}
	r.state(Stable)
}

func TestOffsetsExpire(t *testing.T) {
	retention := 24 * time.Hour
	setup := func(t *testing.T) (*rig, []JoinResponse) {
		r := newRig(t, func(c *Config) { c.OffsetsRetention = retention })
		ms := r.members(1)
		for _, topic := range []string{"orders", "old"} {
			want(t, r.put(ms[0].MemberID, ms[0].Generation, topic, 0, 5), nil)
		}
		return r, ms
	}
	keep := func(r *rig, ms []JoinResponse, d time.Duration) {
		for ; d > 0; d -= 5 * time.Second {
			r.advance(5 * time.Second)
			if err := r.beat(ms[0].MemberID, ms[0].Generation); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("stable", func(t *testing.T) {
		r, ms := setup(t)
		keep(r, ms, retention-time.Minute)
		if r.get("old", 0) != 5 {
			t.Fatal("too early")
		}
		keep(r, ms, time.Minute+r.c.OffsetsRetentionCheck)
		if r.get("old", 0) != -1 || r.get("orders", 0) != 5 {
			t.Fatal("the wrong ones are gone")
		}
		r.state(Stable)
	})
	t.Run("empty", func(t *testing.T) {
		r, ms := setup(t)
		keep(r, ms, retention/2)
		want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
		r.advance(retention - time.Minute)
		if r.get("old", 0) != 5 || r.get("orders", 0) != 5 {
			t.Fatal("too early")
		}
		r.advance(time.Minute + r.c.OffsetsRetentionCheck)
		r.gone("g")
		if last := r.events[len(r.events)-1]; last.Kind != EventOffsetsExpired || last.Count != 2 {
			t.Fatalf("%+v", last)
		}
		r.reload()
		r.gone("g")
	})
	t.Run("reset after the end", func(t *testing.T) {
		r, ms := setup(t)
		want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
		r.advance(retention - time.Minute)
		want(t, r.put("", -1, "orders", 0, 0), nil)
		r.advance(retention - time.Minute)
		if r.get("old", 0) != -1 || r.get("orders", 0) != 0 {
			t.Fatal("an offset that was just committed is gone")
		}
	})
	t.Run("in flight", func(t *testing.T) {
		r, ms := setup(t)
		want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
		r.advance(retention - time.Second)
		r.manual = true
		c := r.put("", -1, "orders", 0, 9)
		r.advance(r.c.OffsetsRetentionCheck * 2) // nothing touches it, and the group stays
		r.commit()
		want(t, c, nil)
		if r.get("orders", 0) != 9 || r.get("old", 0) != -1 {
			t.Fatalf("offset %d", r.get("orders", 0))
		}
	})
	t.Run("not stored", func(t *testing.T) {
		r, ms := setup(t)
		want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
		r.manual = true
		r.advance(retention + r.c.OffsetsRetentionCheck)
		r.advance(r.c.OffsetsRetentionCheck)
		if len(r.log.flight) != 1 {
			t.Fatalf("%d appends", len(r.log.flight))
		}
		r.fail()
		if r.get("old", 0) != 5 {
			t.Fatal("it is gone")
		}
		r.manual = false
		r.advance(r.c.OffsetsRetentionCheck)
		r.gone("g")
	})
	t.Run("group without offsets", func(t *testing.T) {
		r := newRig(t, nil)
		ms := r.members(1)
		want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
		r.state(Empty)
		r.advance(r.c.OffsetsRetentionCheck)
		r.gone("g")
	})
	t.Run("simple", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.OffsetsRetention = retention })
		want(t, r.put("", -1, "orders", 0, 5), nil)
		r.advance(retention / 2)
		want(t, r.put("", -1, "orders", 1, 5), nil)
		r.advance(retention/2 + r.c.OffsetsRetentionCheck)
		if r.get("orders", 0) != -1 || r.get("orders", 1) != 5 {
			t.Fatal("the wrong ones are gone")
		}
	})
	t.Run("own expiry time", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.OffsetsRetention = -1 })
		c := &errsCall{}
		r.s.CommitOffsets(r.now, CommitRequest{GroupID: "g", Generation: -1, Retention: time.Hour, Topics: []CommitTopic{
			{Topic: "orders", Partitions: []CommitPartition{{Offset: 1, LeaderEpoch: 3}}},
		}}, c.done)
		r.settle()
		want(t, c, nil)
		want(t, r.put("", -1, "orders", 1, 5), nil)
		before, _ := r.s.FetchOffsets(FetchRequest{GroupID: "g", All: true})
		r.reload()
		if after, _ := r.s.FetchOffsets(FetchRequest{GroupID: "g", All: true}); !reflect.DeepEqual(before, after) {
			t.Fatalf("replay gives %+v, not %+v", after, before)
		}
		r.advance(time.Hour + r.c.OffsetsRetentionCheck)
		if r.get("orders", 0) != -1 || r.get("orders", 1) != 5 {
			t.Fatal("the wrong ones are gone")
		}
	})
	t.Run("rebalance", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.OffsetsRetention, c.OffsetsRetentionCheck = 20*time.Second, time.Second })
		ms := r.members(2)
		want(t, r.put(ms[0].MemberID, ms[0].Generation, "old", 0, 5), nil)
		waits(t, r.join(who("c0", ms[0].MemberID)))
		for range 7 {
			r.advance(5 * time.Second)
			_ = r.beat(ms[1].MemberID, ms[1].Generation)
		}
		r.state(PreparingRebalance)
		if r.get("old", 0) != 5 {
			t.Fatal("it is gone")
		}
	})
}

func TestManyGroupsAreSweptInParts(t *testing.T) {
	r := newRig(t, func(c *Config) { c.OffsetsRetention = time.Hour })
	for i := range 3 * sweepGroups {
		c := &errsCall{}
		r.s.CommitOffsets(r.now, CommitRequest{GroupID: fmt.Sprint("h", i), Generation: -1, Retention: -1, Topics: []CommitTopic{
			{Topic: "orders", Partitions: []CommitPartition{{Offset: 1}}},
		}}, c.done)
		r.settle()
	}
	r.manual = true
	r.now = r.now.Add(2 * time.Hour)
	for i := range 3 {
		if next := r.s.Tick(r.now); next.After(r.now) || len(r.log.flight) != (i+1)*sweepGroups {
			t.Fatalf("%d appends, next after %v", len(r.log.flight), next.Sub(r.now))
		}
	}
	if next := r.s.Tick(r.now); next != r.now.Add(r.c.OffsetsRetentionCheck) {
		t.Fatalf("next after %v", next.Sub(r.now))
	}
	r.commit()
	if len(r.s.groups) != 0 || r.s.bytes != 0 {
		t.Fatalf("%d groups, %d bytes are left", len(r.s.groups), r.s.bytes)
	}
}

func TestViews(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c := &errsCall{}
	r.s.CommitOffsets(r.now, CommitRequest{GroupID: "a", Generation: -1, Topics: []CommitTopic{{Topic: "t", Partitions: []CommitPartition{{}}}}}, c.done)
	r.settle()
	for name, w := range map[string]struct {
		states []State
		types  []string
		want   string
	}{
		"all":    {nil, nil, "[{a  Empty} {g consumer Stable}]"},
		"stable": {[]State{Stable, Dead}, []string{"Classic", "share"}, "[{g consumer Stable}]"},
		"type":   {nil, []string{"consumer"}, "[]"},
	} {
		if got, err := r.s.List(w.states, w.types); err != nil || fmt.Sprint(got) != w.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	d := r.state(Stable)
	m := d.Members[1]
	if d.Protocol != "range" || d.ProtocolType != "consumer" || m.MemberID != ms[1].MemberID || m.ClientID != "c1" || m.ClientHost != "/10.0.0.1" || string(m.Assignment) != "m1" || len(m.Metadata) == 0 {
		t.Fatalf("%+v", d)
	}
	waits(t, r.join(who("c0", ms[0].MemberID)))
	if d := r.state(PreparingRebalance); d.Protocol != "" || d.Members[0].Metadata != nil || d.Members[0].Assignment != nil {
		t.Fatalf("%+v", d)
	}
	for s, name := range []string{"Dead", "Empty", "PreparingRebalance", "CompletingRebalance", "Stable"} {
		if State(s).String() != name {
			t.Errorf("state %d is %v", s, State(s))
		}
	}
}
