package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMemberIDRequired(t *testing.T) {
	r := newRig(t, nil)
	id := r.id(who("app", ""))
	if !strings.HasPrefix(id, "app-") || len(id) != len("app-")+36 || id[len(id)-22] != '4' {
		t.Fatalf("member id %q", id)
	}
	want(t, r.join(who("app", id+"x")), ErrUnknownMember)
	j := want(t, r.join(who("app", id)), nil)
	if j.MemberID != id || j.Leader != id || j.Generation != 1 || j.Protocol != "range" || len(j.Members) != 1 {
		t.Fatalf("joined %+v", j)
	}
	old := who("old", "")
	old.RequireMemberID = false
	c := r.join(old) // before version 4 a member joins at once
	waits(t, c)
	want(t, r.join(who("app", id)), nil)
	if j := want(t, c, nil); j.Generation != 2 || j.Members != nil || j.Leader != id {
		t.Fatalf("joined %+v", j)
	}
}

func TestPendingIDExpires(t *testing.T) {
	r := newRig(t, nil)
	id := r.id(who("app", ""))
	r.advance(10 * time.Second)
	want(t, r.join(who("app", id)), ErrUnknownMember)
	r.gone("g")
}

func TestPendingIDHoldsRebalance(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	late := r.id(who("late", ""))
	c0 := r.join(who("c0", ms[0].MemberID)) // the leader asks for a rebalance
	c1 := r.join(who("c1", ms[1].MemberID))
	waits(t, c0)
	waits(t, c1)
	c := r.join(who("late", late))
	for _, c := range []*joinCall{c0, c1, c} {
		if j := want(t, c, nil); j.Generation != ms[0].Generation+1 {
			t.Fatalf("generation %d", j.Generation)
		}
	}
}

func TestPendingLeavesRebalance(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	late := r.id(who("late", ""))
	c0 := r.join(who("c0", ms[0].MemberID))
	waits(t, c0)
	want(t, r.leave(LeaveMember{MemberID: late}), nil)
	want(t, c0, nil)
}

func TestJoinChecks(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSessionTimeout = time.Minute })
	for name, c := range map[string]struct {
		change func(*JoinRequest)
		want   error
	}{
		"no group":      {func(q *JoinRequest) { q.GroupID = "" }, ErrInvalidGroup},
		"long group":    {func(q *JoinRequest) { q.GroupID = strings.Repeat("g", GroupIDMaxBytes+1) }, ErrInvalidGroup},
		"long instance": {func(q *JoinRequest) { q.InstanceID = strings.Repeat("i", 250) }, ErrInvalidRequest},
		"long type":     {func(q *JoinRequest) { q.ProtocolType = strings.Repeat("i", 256) }, ErrInvalidRequest},
		"long protocol": {func(q *JoinRequest) { q.Protocols[0].Name = strings.Repeat("i", 256) }, ErrInvalidRequest},
		"many":          {func(q *JoinRequest) { q.Protocols = make([]Protocol, 65) }, ErrInvalidRequest},
		"no protocol":   {func(q *JoinRequest) { q.Protocols = nil }, ErrInconsistentProtocol},
		"no name":       {func(q *JoinRequest) { q.Protocols[0].Name = "" }, ErrInconsistentProtocol},
		"no type":       {func(q *JoinRequest) { q.ProtocolType = "" }, ErrInconsistentProtocol},
		"short session": {func(q *JoinRequest) { q.SessionTimeout = time.Second }, ErrSessionTimeout},
		"long session":  {func(q *JoinRequest) { q.SessionTimeout = time.Hour }, ErrSessionTimeout},
		"unknown":       {func(q *JoinRequest) { q.MemberID = "nobody" }, ErrUnknownMember},
	} {
		q := who("app", "")
		c.change(&q)
		if got := r.join(q); got.answers != 1 || !errors.Is(got.err, c.want) {
			t.Errorf("%s: %d answers, %v", name, got.answers, got.err)
		}
	}
	if l, _ := r.s.List(nil, nil); len(l) != 0 {
		t.Fatalf("groups are left: %v", l)
	}
}

func TestLongClientID(t *testing.T) {
	r := newRig(t, nil)
	id := r.id(who(strings.Repeat("ü", 30_000), ""))
	if !strings.HasPrefix(id, strings.Repeat("ü", 127)+"-") {
		t.Fatalf("member id of %d bytes", len(id))
	}
}

func TestProtocols(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(3, "sticky", "range", "roundrobin")
	for _, c := range []struct {
		typ  string
		list []string
		want error
	}{
		{"consumer", []string{"unknown"}, ErrInconsistentProtocol},
		{"connect", []string{"range"}, ErrInconsistentProtocol},
		{"consumer", []string{"unknown", "roundrobin"}, ErrMemberIDRequired},
	} {
		q := who("new", "", c.list...)
		q.ProtocolType = c.typ
		want(t, r.join(q), c.want)
	}
	// Only range and roundrobin are common: the first has one vote of four.
	lists := [][]string{{"range", "roundrobin"}, {"sticky", "roundrobin", "range"}, {"sticky", "roundrobin", "range"}}
	q := who("new", "", "roundrobin", "range")
	q.MemberID = r.id(q)
	waits(t, r.join(q))
	for i, list := range lists {
		waits(t, r.join(who("c", ms[i].MemberID, list...)))
	}
	r.advance(10 * time.Second) // for the id that was given out above
	d := r.state(CompletingRebalance)
	if len(d.Members) != 4 || r.s.groups["g"].protocol != "roundrobin" {
		t.Fatalf("%d members chose %q", len(d.Members), r.s.groups["g"].protocol)
	}
}

func TestMaxSize(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSize = 2 })
	ms := r.members(2)
	want(t, r.join(who("c2", "")), ErrGroupMaxSize)
	c0 := r.join(who("c0", ms[0].MemberID))
	third := r.id(who("c2", "")) // there is room as long as not all have joined
	c2 := r.join(who("c2", third))
	want(t, r.join(who("c1", ms[1].MemberID)), ErrGroupMaxSize)
	want(t, c0, nil)
	want(t, c2, nil)
	if d := r.state(CompletingRebalance); len(d.Members) != 2 {
		t.Fatalf("%d members", len(d.Members))
	}
}

func TestStaticReturnsToFullGroup(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSize = 2 })
	ms := r.statics(2)
	want(t, r.join(static("i2", "")), ErrGroupMaxSize)
	if j := want(t, r.join(static("i1", "")), nil); j.Generation != ms[0].Generation {
		t.Fatalf("joined %+v", j)
	}
}

func TestMaxSizeAfterLoad(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(3)
	r.c.MaxSize = 2
	r.reload()
	r.state(PreparingRebalance)
	c0 := r.join(who("c0", ms[0].MemberID))
	c1 := r.join(who("c1", ms[1].MemberID))
	want(t, r.join(who("c2", ms[2].MemberID)), ErrGroupMaxSize)
	want(t, c0, nil)
	want(t, c1, nil)
}

func TestInitialRebalanceDelay(t *testing.T) {
	r := newRig(t, func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
	joinAt := func(client string) *joinCall {
		q := who(client, "")
		q.RequireMemberID, q.RebalanceTimeout = false, 8*time.Second
		return r.join(q)
	}
	a := joinAt("a")
	r.advance(2 * time.Second)
	b := joinAt("b") // from here on every 3 s may bring another 3 s, 8 in all
	r.advance(2 * time.Second)
	c := joinAt("c")
	r.advance(3 * time.Second)
	d := joinAt("d")
	waits(t, a)
	r.advance(time.Second - 1)
	waits(t, a)
	r.advance(1)
	for _, c := range []*joinCall{a, b, c, d} {
		if j := want(t, c, nil); j.Generation != 1 {
			t.Fatalf("generation %d", j.Generation)
		}
	}
	if len(want(t, a, nil).Members) != 4 {
		t.Fatal("the leader does not know all")
	}
}

func TestInitialRebalanceEndsEarly(t *testing.T) {
	r := newRig(t, func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
	id := r.id(who("a", ""))
	c := r.join(who("a", id))
	r.advance(3*time.Second - 1)
	waits(t, c)
	r.advance(1)
	want(t, c, nil)
}

func TestInitialRebalanceLosesItsMember(t *testing.T) {
	r := newRig(t, func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
	id := r.id(who("a", ""))
	c := r.join(who("a", id))
	want(t, r.leave(LeaveMember{MemberID: id}), nil)
	want(t, c, ErrUnknownMember)
	r.state(Empty)
}

func TestRebalanceTimeoutRemoves(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(3)
	c1 := r.join(who("c1", ms[1].MemberID, "range", "other")) // changed
	waits(t, c1)
	for range 12 { // they live, and do not join
		r.advance(5*time.Second - 1)
		for _, i := range []int{0, 2} {
			if err := r.beat(ms[i].MemberID, ms[i].Generation); !errors.Is(err, ErrRebalanceInProgress) {
				t.Fatal(err)
			}
		}
	}
	waits(t, c1)
	r.advance(12)
	j := want(t, c1, nil)
	if j.Leader != ms[1].MemberID || len(j.Members) != 1 {
		t.Fatalf("joined %+v", j)
	}
	if err := r.beat(ms[0].MemberID, ms[0].Generation); !errors.Is(err, ErrUnknownMember) {
		t.Fatal(err)
	}
}

func TestSyncTimeoutRemoves(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(3)
	var calls []*joinCall
	for i := range ms {
		calls = append(calls, r.join(who("c", ms[i].MemberID)))
	}
	j := want(t, calls[1], nil)
	s1 := r.sync(j)
	waits(t, s1)
	for range 12 { // the leader lives, and brings no assignment
		r.advance(5*time.Second - 1)
		if err := r.beat(ms[0].MemberID, j.Generation); err != nil {
			t.Fatal(err)
		}
		_ = r.beat(ms[2].MemberID, j.Generation)
	}
	waits(t, s1)
	r.advance(12)
	want(t, s1, ErrRebalanceInProgress)
	c := r.join(who("c1", ms[1].MemberID))
	if j := want(t, c, nil); j.Leader != ms[1].MemberID || len(j.Members) != 1 {
		t.Fatalf("joined %+v", j)
	}
}

func TestStableMemberThatDoesNotSyncIsRemoved(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0 := r.join(who("c0", ms[0].MemberID))
	c1 := r.join(who("c1", ms[1].MemberID))
	want(t, c1, nil)
	j := want(t, c0, nil)
	want(t, r.sync(j, Assignment{MemberID: j.MemberID, Data: []byte("all")}), nil)
	for range 12 {
		r.advance(5 * time.Second)
		_ = r.beat(ms[0].MemberID, j.Generation)
		_ = r.beat(ms[1].MemberID, j.Generation)
	}
	if d := r.state(PreparingRebalance); len(d.Members) != 1 || d.Members[0].MemberID != j.MemberID {
		t.Fatalf("%+v", d)
	}
}

func TestSessionTimeout(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	r.advance(9 * time.Second)
	if err := r.beat(ms[0].MemberID, ms[0].Generation); err != nil {
		t.Fatal(err)
	}
	r.advance(time.Second)
	r.state(PreparingRebalance)
	if err := r.beat(ms[1].MemberID, ms[1].Generation); !errors.Is(err, ErrUnknownMember) {
		t.Fatal(err)
	}
	c := r.join(who("c0", ms[0].MemberID))
	if j := want(t, c, nil); len(j.Members) != 1 {
		t.Fatalf("joined %+v", j)
	}
	r.advance(10 * time.Second)
	r.state(Empty)
}

// A member waits for others longer than its session is.
func TestWaitingIsNoSilence(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0 := r.join(who("c0", ms[0].MemberID))
	for range 5 {
		r.advance(9 * time.Second)
		_ = r.beat(ms[1].MemberID, ms[1].Generation)
	}
	waits(t, c0)
	c1 := r.join(who("c1", ms[1].MemberID))
	want(t, c0, nil)
	j := want(t, c1, nil)
	s1 := r.sync(j)
	r.advance(9 * time.Second)
	_ = r.beat(ms[0].MemberID, j.Generation)
	r.advance(9 * time.Second)
	waits(t, s1)
	r.state(CompletingRebalance)
}

func TestNewMemberTimeout(t *testing.T) {
	r := newRig(t, func(c *Config) { c.NewMemberTimeout = 20 * time.Second })
	ms := r.members(1)
	q := who("v0", "")
	q.RequireMemberID = false
	c := r.join(q)
	for range 4 {
		r.advance(5 * time.Second)
		_ = r.beat(ms[0].MemberID, ms[0].Generation)
	}
	want(t, c, ErrUnknownMember)
}

func TestRejoin(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	if j := want(t, r.join(who("c1", ms[1].MemberID)), nil); j.Generation != ms[1].Generation || j.Members != nil {
		t.Fatalf("a follower that changed nothing: %+v", j)
	}
	r.state(Stable)
	c := r.join(who("c0", ms[0].MemberID)) // the leader
	waits(t, c)
	again := r.join(who("c0", ms[0].MemberID))
	want(t, c, ErrRebalanceInProgress)
	waits(t, again)
	want(t, r.join(who("c1", ms[1].MemberID)), nil)
	if j := want(t, again, nil); len(j.Members) != 2 {
		t.Fatalf("joined %+v", j)
	}
	// Nothing changed, the answer was lost.
	if j := want(t, r.join(who("c0", ms[0].MemberID)), nil); len(j.Members) != 2 {
		t.Fatalf("joined %+v", j)
	}
	r.state(CompletingRebalance)
	waits(t, r.join(who("c1", ms[1].MemberID, "range", "other")))
	r.state(PreparingRebalance)
}

func TestLeaderLeavesDuringJoin(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(3)
	c1 := r.join(who("c1", ms[1].MemberID, "range", "x"))
	c2 := r.join(who("c2", ms[2].MemberID))
	want(t, r.leave(LeaveMember{MemberID: ms[0].MemberID}), nil)
	j := want(t, c1, nil)
	if j.Leader != ms[1].MemberID || len(j.Members) != 2 || want(t, c2, nil).Leader != j.Leader {
		t.Fatalf("joined %+v", j)
	}
}

func TestBounds(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PendingJoinsMax = 2; c.GroupBytesMax = 200; c.StateBytesMax = 10_000 })
	a := r.id(who("a", ""))
	r.id(who("b", ""))
	want(t, r.join(who("c", "")), ErrOverloaded)
	big := who("a", a)
	big.Protocols[0].Metadata = make([]byte, 200)
	want(t, r.join(big), ErrGroupTooLarge)
	want(t, r.join(who("a", a)), nil)
	for i := range 100 {
		q := who("x", "")
		q.GroupID = strings.Repeat("y", 100+i)
		q.RequireMemberID = false
		if c := r.join(q); errors.Is(c.err, ErrOverloaded) {
			if r.s.bytes > 10_000 {
				t.Fatalf("%d bytes", r.s.bytes)
			}
			return
		}
	}
	t.Fatal("no end to it")
}

func TestLifecycleErrors(t *testing.T) {
	r := newRig(t, nil)
	r.s = New(r.c, r.log)
	check := func(err error) {
		t.Helper()
		want(t, r.join(who("a", "")), err)
		want(t, r.sync(JoinResponse{}), err)
		want(t, r.leave(LeaveMember{}), err)
		want(t, r.put("", -1, "t", 0, 1), err)
		want(t, r.drop("g"), err)
		_, errFetch := r.s.FetchOffsets(FetchRequest{GroupID: "g"})
		_, errList := r.s.List(nil, nil)
		_, errDescribe := r.s.Describe("g")
		var errTopics error
		r.s.DropTopics(r.now, nil, func(err error) { errTopics = err })
		for _, got := range []error{errFetch, errList, errDescribe, errTopics, r.beat("", 0)} {
			if !errors.Is(got, err) {
				t.Fatal(got)
			}
		}
	}
	check(ErrLoading)
	r.s.Stop(errStop)
	r.s.Stop(errAppend)
	check(errStop)
	r.s.Tick(r.now)
}

func TestZeroConfig(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a shard without entropy")
		}
	}()
	entropy := func() [16]byte { return [16]byte{} }
	c := New(Config{Entropy: entropy}, nil).c
	d := DefaultConfig()
	d.InitialRebalanceDelay, d.OffsetsRetention = 0, 0 // both have a meaning
	c.Entropy = nil
	if fmt.Sprint(c) != fmt.Sprint(d) {
		t.Errorf("%+v, want %+v", c, d)
	}
	if c := New(Config{Entropy: entropy, OffsetMetadataMaxBytes: 1 << 20}, nil).c; c.OffsetMetadataMaxBytes != 1<<15-1 {
		t.Errorf("metadata of %d bytes", c.OffsetMetadataMaxBytes)
	}
	New(Config{}, nil)
}

func TestProtocolNamedTwice(t *testing.T) {
	r := newRig(t, nil)
	r.members(1, "range", "range", "sticky")
	q := who("x", "", "sticky", "sticky")
	want(t, r.join(q), ErrMemberIDRequired)
}

func TestNoRoomForMembers(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StateBytesMax = 4000 })
	ms := r.statics(1)
	big := static("i0", "")
	big.Protocols[0].Metadata = make([]byte, 4000)
	want(t, r.join(big), ErrOverloaded)
	big.MemberID = ms[0].MemberID
	want(t, r.join(big), ErrOverloaded)
	big = static("i1", "")
	big.Protocols[0].Metadata = make([]byte, 4000)
	want(t, r.join(big), ErrOverloaded)
	if err := r.beat(ms[0].MemberID, ms[0].Generation); err != nil {
		t.Fatal(err)
	}
	q := who("new", "")
	q.GroupID = strings.Repeat("g", 1000)
	want(t, r.join(q), ErrMemberIDRequired)
	q.GroupID = strings.Repeat("h", 1000)
	want(t, r.join(q), ErrOverloaded)
}

// A record that does not fit is an error, and no reason to hang.
func TestTinyAppends(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AppendBytesMax = 10 })
	id := r.id(who("c", ""))
	j := want(t, r.join(who("c", id)), nil)
	want(t, r.sync(j), ErrGroupTooLarge)
	want(t, r.leave(LeaveMember{MemberID: id}), nil)
	r.gone("g")
}
