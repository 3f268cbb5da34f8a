package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/internal/ident"
)

// groupRig is a dataRig whose groups do not wait for more members, with a topic
// of two partitions.
func groupRig(t *testing.T, set ...string) (*dataRig, ident.TopicID) {
	r := newDataRig(t, append([]string{"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5"}, set...)...)
	return r, r.createTopic("events", 2)
}

func joinRequest(id, member string) *kmsg.JoinGroupRequest {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = id, member, "consumer", 10_000, 60_000
	for _, name := range []string{"range", "sticky"} {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, append([]byte{0, 1, 0, 0, 0, 1, 0, 6}, "events\xff\xff\xff\xff\x00\x00\x00\x00"...)
		q.Protocols = append(q.Protocols, p)
	}
	return q
}

// joined joins a group as its only member, and syncs.
func joined(t *testing.T, c *rigClient, version int16, id string) *kmsg.JoinGroupResponse {
	t.Helper()
	j := call[*kmsg.JoinGroupResponse](c, version, joinRequest(id, ""))
	if version >= 4 {
		if j.ErrorCode != kerr.MemberIDRequired.Code || j.MemberID == "" || j.Generation != -1 {
			t.Fatalf("version %d: %+v", version, j)
		}
		j = call[*kmsg.JoinGroupResponse](c, version, joinRequest(id, j.MemberID))
	}
	if j.ErrorCode != 0 || j.Generation != 1 || j.LeaderID != j.MemberID || len(j.Members) != 1 || *j.Protocol != "range" || version >= 7 && *j.ProtocolType != "consumer" {
		t.Fatalf("version %d: %+v", version, j)
	}
	q := kmsg.NewPtrSyncGroupRequest()
	q.Group, q.MemberID, q.Generation = id, j.MemberID, j.Generation
	if v := min(version, 5); v >= 5 {
		q.ProtocolType, q.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	}
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = j.MemberID, []byte("all of it")
	q.GroupAssignment = append(q.GroupAssignment, a)
	if s := call[*kmsg.SyncGroupResponse](c, min(version, 5), q); s.ErrorCode != 0 || string(s.MemberAssignment) != "all of it" || version >= 5 && *s.Protocol != "range" {
		t.Fatalf("version %d: %+v", version, s)
	}
	return j
}

func commitRequest(id, member string, generation int32, topic string, topicID ident.TopicID, offsets ...int64) *kmsg.OffsetCommitRequest {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Group, q.MemberID, q.Generation = id, member, generation
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = topic, topicID
	for i, o := range offsets {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = int32(i), o, kmsg.StringPtr("note")
		t.Partitions = append(t.Partitions, p)
	}
	q.Topics = append(q.Topics, t)
	return q
}

func committed(r *kmsg.OffsetCommitResponse) (codes []int16) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	return codes
}

// TestGroupLifeInEveryVersion goes through the life of a group in every version
// of every key.
func TestGroupLifeInEveryVersion(t *testing.T) {
	r, topicID := groupRig(t)
	c := r.dial()
	for v := int16(0); v <= 10; v++ {
		id := fmt.Sprintf("group-%d", v)
		j := joined(t, c, min(v, 9), id)

		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID, beat.Generation = id, j.MemberID, 1
		if h := call[*kmsg.HeartbeatResponse](c, min(v, 4), beat); h.ErrorCode != 0 {
			t.Errorf("version %d: %+v", v, h)
		}
		beat.Generation = 7
		if h := call[*kmsg.HeartbeatResponse](c, min(v, 4), beat); h.ErrorCode != kerr.IllegalGeneration.Code {
			t.Errorf("version %d: %+v", v, h)
		}

		if o := call[*kmsg.OffsetCommitResponse](c, max(v, 2), commitRequest(id, j.MemberID, 1, "events", topicID, 5, 6)); !slices.Equal(committed(o), []int16{0, 0}) || v >= 10 && o.Topics[0].TopicID != topicID {
			t.Errorf("version %d: %+v", v, o)
		}
		checkOffsetFetch(t, c, max(v, 1), id, topicID)

		d := kmsg.NewPtrDescribeGroupsRequest()
		d.Groups = []string{id, "none"}
		both := call[*kmsg.DescribeGroupsResponse](c, min(v, 6), d).Groups
		if g := both[0]; g.ErrorCode != 0 || g.Group != id || g.State != "Stable" || g.ProtocolType != "consumer" || g.Protocol != "range" || g.AuthorizedOperations != -2147483648 ||
			len(g.Members) != 1 || g.Members[0].MemberID != j.MemberID || g.Members[0].ClientID != "rig" || g.Members[0].ClientHost != "/127.0.0.1" || string(g.Members[0].MemberAssignment) != "all of it" {
			t.Errorf("version %d: %+v", v, g)
		}
		if g := both[1]; g.State != "Dead" || v < 6 && g.ErrorCode != 0 || v >= 6 && (g.ErrorCode != kerr.GroupIDNotFound.Code || *g.ErrorMessage != "Group none not found.") {
			t.Errorf("version %d: %+v", v, g)
		}
		groups := call[*kmsg.ListGroupsResponse](c, min(v, 5), kmsg.NewPtrListGroupsRequest()).Groups
		if len(groups) != 1 || groups[0].Group != id || groups[0].ProtocolType != "consumer" || v >= 4 && groups[0].GroupState != "Stable" || v >= 5 && groups[0].GroupType != "classic" {
			t.Errorf("version %d: %+v", v, groups)
		}

		remove := kmsg.NewPtrDeleteGroupsRequest()
		remove.Groups = []string{id, "none"}
		if g := call[*kmsg.DeleteGroupsResponse](c, min(v, 2), remove).Groups; g[0].ErrorCode != kerr.NonEmptyGroup.Code || g[1].ErrorCode != kerr.GroupIDNotFound.Code {
			t.Errorf("version %d: %+v", v, g)
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = id, j.MemberID
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: j.MemberID}, {MemberID: "nobody"}}
		if l := call[*kmsg.LeaveGroupResponse](c, min(v, 5), leave); l.ErrorCode != 0 || v >= 3 && (len(l.Members) != 2 || l.Members[0].ErrorCode != 0 || l.Members[1].ErrorCode != kerr.UnknownMemberID.Code) {
			t.Errorf("version %d: %+v", v, l)
		}
		if l := call[*kmsg.LeaveGroupResponse](c, min(v, 2), leave); l.ErrorCode != kerr.UnknownMemberID.Code {
			t.Errorf("version %d: %+v", v, l)
		}
		if g := call[*kmsg.DeleteGroupsResponse](c, min(v, 2), remove).Groups; g[0].ErrorCode != 0 {
			t.Errorf("version %d: %+v", v, g)
		}
	}
	if log := r.log.String(); strings.Contains(log, "without a Kafka code") {
		t.Error(log)
	}
}

// checkOffsetFetch fetches what was committed, in all ways that a version has.
func checkOffsetFetch(t *testing.T, c *rigClient, v int16, id string, topicID ident.TopicID) {
	t.Helper()
	for _, all := range []bool{false, true} {
		if all && v < 2 {
			continue
		}
		q := kmsg.NewPtrOffsetFetchRequest()
		q.Group, q.RequireStable = id, true
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = id
		if !all {
			q.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "events", Partitions: []int32{1, 0}}}
			g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "events", TopicID: topicID, Partitions: []int32{1, 0}}}
		}
		none := kmsg.NewOffsetFetchRequestGroup()
		none.Group, none.Topics = "none", []kmsg.OffsetFetchRequestGroupTopic{{Topic: "events", TopicID: topicID, Partitions: []int32{0}}}
		q.Groups = append(q.Groups, none, g)
		r := call[*kmsg.OffsetFetchResponse](c, v, q)
		got := map[int32]int64{}
		if v < 8 {
			if r.ErrorCode != 0 || len(r.Topics) != 1 || r.Topics[0].Topic != "events" {
				t.Fatalf("version %d: %+v", v, r)
			}
			for _, p := range r.Topics[0].Partitions {
				if got[p.Partition] = p.Offset; *p.Metadata != "note" || p.ErrorCode != 0 || p.LeaderEpoch != -1 {
					t.Errorf("version %d: %+v", v, p)
				}
			}
		} else {
			if len(r.Groups) != 2 || r.Groups[0].Group != "none" || r.Groups[0].Topics[0].Partitions[0].Offset != -1 || r.Groups[0].Topics[0].Partitions[0].ErrorCode != 0 {
				t.Fatalf("version %d: %+v", v, r)
			}
			mine := r.Groups[1]
			if mine.ErrorCode != 0 || len(mine.Topics) != 1 || v < 10 && mine.Topics[0].Topic != "events" || v >= 10 && mine.Topics[0].TopicID != topicID {
				t.Fatalf("version %d: %+v", v, r)
			}
			for _, p := range mine.Topics[0].Partitions {
				got[p.Partition] = p.Offset
			}
		}
		if len(got) != 2 || got[0] != 5 || got[1] != 6 {
			t.Errorf("version %d, all %v: %v", v, all, got)
		}
	}
}

func TestOffsetCommitRefusals(t *testing.T) {
	r, topicID := groupRig(t)
	c := r.dial()
	j := joined(t, c, 9, "g")
	long := commitRequest("g", j.MemberID, 1, "events", topicID, 1)
	long.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 4097))
	empty := commitRequest("g", j.MemberID, 1, "events", topicID, 1)
	empty.InstanceID = new(string)
	stale := func() *kmsg.OffsetCommitRequest { return commitRequest("none", "m", 3, "events", topicID, 1) }
	for _, e := range []struct {
		name    string
		version int16
		q       *kmsg.OffsetCommitRequest
		want    []int16
	}{
		{"unknown topic", 9, commitRequest("g", j.MemberID, 1, "missing", topicID, 1), []int16{kerr.UnknownTopicOrPartition.Code}},
		{"unknown id", 10, commitRequest("g", j.MemberID, 1, "events", ident.TopicID{9}, 1), []int16{kerr.UnknownTopicID.Code}},
		{"unknown partition", 9, commitRequest("g", j.MemberID, 1, "events", topicID, 1, 2, 3), []int16{0, 0, kerr.UnknownTopicOrPartition.Code}},
		{"other generation", 9, commitRequest("g", j.MemberID, 2, "events", topicID, 1), []int16{kerr.IllegalGeneration.Code}},
		{"other member", 9, commitRequest("g", "m", 1, "events", topicID, 1), []int16{kerr.UnknownMemberID.Code}},
		{"long metadata", 9, long, []int16{kerr.OffsetMetadataTooLarge.Code}},
		{"empty instance id", 9, empty, []int16{kerr.InvalidRequest.Code}},
		{"no group, before it could be told", 8, stale(), []int16{kerr.IllegalGeneration.Code}},
		{"no group", 9, stale(), []int16{kerr.GroupIDNotFound.Code}},
	} {
		if got := committed(call[*kmsg.OffsetCommitResponse](c, e.version, e.q)); !slices.Equal(got, e.want) {
			t.Errorf("%s: %v, want %v", e.name, got, e.want)
		}
	}
	if got := call[*kmsg.OffsetCommitResponse](c, 9, kmsg.NewPtrOffsetCommitRequest()); len(got.Topics) != 0 {
		t.Errorf("%+v", got)
	}
}

// A commit that the disk does not take in time is answered once, and the
// connection goes on.
func TestOffsetCommitInTime(t *testing.T) {
	r, topicID := groupRig(t)
	c := r.dial()
	call[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "events", topicID, 1))
	take(t, r.timers, "the timer of the first commit")
	r.mu.Lock() // nothing is appended
	q := commitRequest("g", "", -1, "events", topicID, 2)
	q.SetVersion(9)
	c.send(q)
	timer := take(t, r.timers, "the timer")
	if timer.d != 5*time.Second {
		t.Errorf("waits %v", timer.d)
	}
	timer.fire()
	resp := q.ResponseKind().(*kmsg.OffsetCommitResponse)
	c.receive(resp)
	if got := committed(resp); !slices.Equal(got, []int16{kerr.CoordinatorNotAvailable.Code}) {
		t.Errorf("%v", got)
	}
	r.mu.Unlock()
	if got := committed(call[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "events", topicID, 3))); !slices.Equal(got, []int16{0}) {
		t.Errorf("%v", got)
	}
}

func TestOffsetFetchRefusals(t *testing.T) {
	r, topicID := groupRig(t)
	c := r.dial()
	call[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "events", topicID, 1))
	q := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = "g", []kmsg.OffsetFetchRequestGroupTopic{{TopicID: ident.TopicID{9}, Partitions: []int32{0}}, {TopicID: topicID, Partitions: []int32{0, 7}}}
	q.Groups = append(q.Groups, g)
	resp := call[*kmsg.OffsetFetchResponse](c, 10, q)
	offsets := map[ident.TopicID][]kmsg.OffsetFetchResponseGroupTopicPartition{}
	for _, topic := range resp.Groups[0].Topics {
		offsets[topic.TopicID] = topic.Partitions
	}
	if p := offsets[ident.TopicID{9}]; len(p) != 1 || p[0].ErrorCode != kerr.UnknownTopicID.Code || p[0].Offset != -1 {
		t.Errorf("%+v", p)
	}
	if p := offsets[topicID]; len(p) != 2 || p[0].Offset != 1 || p[1].Offset != -1 || p[1].ErrorCode != 0 {
		t.Errorf("%+v", p)
	}
	r.starting.Store(true)
	loading := kerr.CoordinatorLoadInProgress.Code
	if resp := call[*kmsg.OffsetFetchResponse](c, 10, q); resp.Groups[0].ErrorCode != loading {
		t.Errorf("%+v", resp)
	}
	old := kmsg.NewPtrOffsetFetchRequest()
	old.Group, old.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "events", Partitions: []int32{0}}}
	if resp := call[*kmsg.OffsetFetchResponse](c, 1, old); resp.Topics[0].Partitions[0].ErrorCode != loading {
		t.Errorf("%+v", resp)
	}
	if resp := call[*kmsg.OffsetFetchResponse](c, 2, old); resp.ErrorCode != loading {
		t.Errorf("%+v", resp)
	}
}

func TestOffsetDelete(t *testing.T) {
	r, topicID := groupRig(t)
	c := r.dial()
	call[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "events", topicID, 1, 2))
	q := kmsg.NewPtrOffsetDeleteRequest()
	q.Group = "g"
	q.Topics = []kmsg.OffsetDeleteRequestTopic{
		{Topic: "missing", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
		{Topic: "events", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}},
	}
	resp := call[*kmsg.OffsetDeleteResponse](c, 0, q)
	if resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != kerr.UnknownTopicOrPartition.Code ||
		resp.Topics[1].Partitions[0].ErrorCode != 0 || resp.Topics[1].Partitions[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("%+v", resp)
	}
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group = "g"
	if got := call[*kmsg.OffsetFetchResponse](c, 5, fetch).Topics; len(got) != 1 || len(got[0].Partitions) != 1 || got[0].Partitions[0].Offset != 2 {
		t.Errorf("%+v", got)
	}
	q.Group = "none"
	if resp := call[*kmsg.OffsetDeleteResponse](c, 0, q); resp.ErrorCode != kerr.GroupIDNotFound.Code {
		t.Errorf("%+v", resp)
	}
	joined(t, c, 9, "live")
	q.Group = "live"
	if resp := call[*kmsg.OffsetDeleteResponse](c, 0, q); resp.Topics[1].Partitions[0].ErrorCode != kerr.GroupSubscribedToTopic.Code {
		t.Errorf("%+v", resp)
	}
}

func TestListGroupsFilters(t *testing.T) {
	r, topicID := groupRig(t)
	c := r.dial()
	if resp := call[*kmsg.ListGroupsResponse](c, 5, kmsg.NewPtrListGroupsRequest()); resp.ErrorCode != 0 || len(resp.Groups) != 0 || r.Image().TopicCount() != 1 {
		t.Fatalf("%+v", resp)
	}
	joined(t, c, 9, "live")
	call[*kmsg.OffsetCommitResponse](c, 9, commitRequest("simple", "", -1, "events", topicID, 1))
	for _, e := range []struct {
		states, types []string
		want          string
	}{
		{nil, nil, "live simple"}, {[]string{"stable"}, nil, "live"}, {[]string{"Empty", "STABLE"}, nil, "live simple"}, {[]string{"Dead"}, nil, ""},
		{[]string{"nonsense"}, nil, ""}, {nil, []string{"classic"}, "live simple"}, {nil, []string{"consumer"}, ""}, {[]string{"Empty"}, []string{"Classic"}, "simple"},
	} {
		q := kmsg.NewPtrListGroupsRequest()
		q.StatesFilter, q.TypesFilter = e.states, e.types
		resp := call[*kmsg.ListGroupsResponse](c, 5, q)
		var names []string
		for _, g := range resp.Groups {
			names = append(names, g.Group)
		}
		slices.Sort(names)
		if resp.ErrorCode != 0 || strings.Join(names, " ") != e.want {
			t.Errorf("%v %v: %v, want %s", e.states, e.types, names, e.want)
		}
	}
}

func TestGroupRefusals(t *testing.T) {
	r, _ := groupRig(t)
	c := r.dial()
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID = "g", "m"
	if s := call[*kmsg.SyncGroupResponse](c, 5, sync); s.ErrorCode != kerr.InconsistentGroupProtocol.Code {
		t.Errorf("%+v", s)
	}
	if s := call[*kmsg.SyncGroupResponse](c, 4, sync); s.ErrorCode != kerr.UnknownMemberID.Code {
		t.Errorf("%+v", s)
	}
	join := joinRequest("", "")
	if j := call[*kmsg.JoinGroupResponse](c, 9, join); j.ErrorCode != kerr.InvalidGroupID.Code {
		t.Errorf("%+v", j)
	}
	join = joinRequest("g", "")
	join.SessionTimeoutMillis = 1
	if j := call[*kmsg.JoinGroupResponse](c, 2, join); j.ErrorCode != kerr.InvalidSessionTimeout.Code || *j.Protocol != "" {
		t.Errorf("%+v", j)
	}
	join = joinRequest("g", "")
	join.InstanceID = new(string)
	if j := call[*kmsg.JoinGroupResponse](c, 9, join); j.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%+v", j)
	}
	beat := kmsg.NewPtrHeartbeatRequest()
	if h := call[*kmsg.HeartbeatResponse](c, 4, beat); h.ErrorCode != kerr.InvalidGroupID.Code {
		t.Errorf("%+v", h)
	}
	beat.Group, beat.InstanceID = "g", new(string)
	if h := call[*kmsg.HeartbeatResponse](c, 4, beat); h.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%+v", h)
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "g", []kmsg.LeaveGroupRequestMember{{InstanceID: new(string)}}
	if l := call[*kmsg.LeaveGroupResponse](c, 5, leave); l.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%+v", l)
	}
}

// A member that is silent is removed when its session is over, and one that
// waits for it is answered.
func TestSessionEndsByTheClock(t *testing.T) {
	r, _ := groupRig(t)
	joined(t, r.dial(), 9, "g")
	second := r.dial()
	j := call[*kmsg.JoinGroupResponse](second, 9, joinRequest("g", ""))
	q := joinRequest("g", j.MemberID)
	q.SetVersion(9)
	second.send(q)
	admin := r.dial()
	for { // until the second waits
		d := kmsg.NewPtrDescribeGroupsRequest()
		d.Groups = []string{"g"}
		if g := call[*kmsg.DescribeGroupsResponse](admin, 5, d).Groups[0]; len(g.Members) == 2 {
			break
		}
	}
	r.groups.advance(11 * time.Second)
	resp := q.ResponseKind().(*kmsg.JoinGroupResponse)
	second.receive(resp)
	if resp.ErrorCode != 0 || resp.Generation != 2 || resp.LeaderID != j.MemberID || len(resp.Members) != 1 {
		t.Errorf("%+v", resp)
	}
}

func TestFindCoordinator(t *testing.T) {
	r := newDataRig(t)
	c := r.dial()
	for v := int16(0); v <= 6; v++ {
		for kind, want := range []*kerr.Error{nil, kerr.InvalidRequest, kerr.InvalidRequest, kerr.InvalidRequest} {
			if v == 0 && kind > 0 {
				break
			}
			q := kmsg.NewPtrFindCoordinatorRequest()
			q.CoordinatorKey, q.CoordinatorKeys, q.CoordinatorType = "a", []string{"a", "b"}, int8(kind)
			resp := call[*kmsg.FindCoordinatorResponse](c, v, q)
			answers := resp.Coordinators
			if v < 4 {
				answers = []kmsg.FindCoordinatorResponseCoordinator{{Key: "b", NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode, ErrorMessage: resp.ErrorMessage}}
			}
			k := answers[len(answers)-1]
			switch {
			case k.Key != "b" || v >= 4 && len(answers) != 2:
				t.Errorf("version %d, type %d: %+v", v, kind, resp)
			case want == nil && (k.ErrorCode != 0 || k.NodeID != 1 || k.Host != "rig.test" || k.Port != 9092):
				t.Errorf("version %d, type %d: %+v", v, kind, resp)
			case want != nil && (k.ErrorCode != want.Code || k.NodeID != -1 || v >= 1 && k.ErrorMessage == nil):
				t.Errorf("version %d, type %d: %+v", v, kind, resp)
			}
		}
	}
	topic, ok := r.Image().Topic(coordinator.Topic)
	if policy, _ := topic.Configs.Get("cleanup.policy"); !ok || !topic.Internal || len(topic.Partitions) != 50 || policy != "compact" {
		t.Errorf("%+v", topic)
	}
}

// TestGroupsWhileTheBrokerStarts: every answer makes clients try again (K4), a
// heartbeat's that all is well.
func TestGroupsWhileTheBrokerStarts(t *testing.T) {
	r, topicID := groupRig(t)
	r.starting.Store(true)
	c := r.dial()
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group = "g"
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "g"
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group = "g"
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"g"}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"g"}
	loading := kerr.CoordinatorLoadInProgress.Code
	for name, e := range map[string]struct{ got, want int16 }{
		"find":      {call[*kmsg.FindCoordinatorResponse](c, 3, find).ErrorCode, kerr.CoordinatorNotAvailable.Code},
		"join":      {call[*kmsg.JoinGroupResponse](c, 9, joinRequest("g", "")).ErrorCode, loading},
		"sync":      {call[*kmsg.SyncGroupResponse](c, 4, sync).ErrorCode, kerr.RebalanceInProgress.Code},
		"heartbeat": {call[*kmsg.HeartbeatResponse](c, 4, kmsg.NewPtrHeartbeatRequest()).ErrorCode, 0},
		"leave":     {call[*kmsg.LeaveGroupResponse](c, 5, kmsg.NewPtrLeaveGroupRequest()).ErrorCode, loading},
		"commit":    {committed(call[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "events", topicID, 1)))[0], loading},
		"fetch":     {call[*kmsg.OffsetFetchResponse](c, 5, fetch).ErrorCode, loading},
		"describe":  {call[*kmsg.DescribeGroupsResponse](c, 5, describe).Groups[0].ErrorCode, loading},
		"list":      {call[*kmsg.ListGroupsResponse](c, 5, kmsg.NewPtrListGroupsRequest()).ErrorCode, loading},
		"delete":    {call[*kmsg.DeleteGroupsResponse](c, 2, remove).Groups[0].ErrorCode, loading},
		"offsets":   {call[*kmsg.OffsetDeleteResponse](c, 0, kmsg.NewPtrOffsetDeleteRequest()).ErrorCode, loading},
	} {
		if e.got != e.want {
			t.Errorf("%s: code %d, want %d", name, e.got, e.want)
		}
	}
	if r.Image().TopicCount() != 1 {
		t.Error("the topic of the groups was made")
	}
}
