package group

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
)

func TestReplayGivesTheCommittedState(t *testing.T) {
	r := newRig(t, nil)
	ms := r.statics(2)
	want(t, r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 5), nil)
	before, snapshot := r.state(Stable), r.s.Snapshot()
	r.manual = true
	r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 6) // never committed
	r.manual = false
	r.reload()
	if d := r.state(Stable); !reflect.DeepEqual(d, before) {
		t.Fatalf("%+v\nwant %+v", d, before)
	}
	if !reflect.DeepEqual(r.s.Snapshot(), snapshot) {
		t.Fatal("another snapshot")
	}
	for i, m := range ms {
		if got := want(t, r.sync(m), nil); string(got.Assignment) != []string{"m0", "m1"}[i] {
			t.Fatalf("assigned %q", got.Assignment)
		}
	}
	r.advance(9 * time.Second)
	r.state(Stable) // sessions began anew
	r.advance(time.Second)
	r.state(Empty)
}

func TestRebalanceIsForgottenByCrash(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(2)
	c0, c1 := r.join(who("c0", ms[0].MemberID)), r.join(who("c1", ms[1].MemberID))
	j, k := want(t, c0, nil), want(t, c1, nil)
	r.manual = true
	r.sync(j, Assignment{MemberID: j.MemberID, Data: []byte("lost")})
	if got := r.s.Snapshot(); len(got) != 1 || !bytes.Contains(got[0].Value, []byte("m0")) {
		t.Fatalf("snapshot %q", got)
	}
	r.manual = false
	r.reload()
	want(t, r.sync(k), ErrIllegalGeneration)
	if err := r.beat(ms[0].MemberID, ms[0].Generation); err != nil {
		t.Fatal(err)
	}
}

func TestReplayTombstones(t *testing.T) {
	r := newRig(t, nil)
	ms := r.members(1)
	want(t, r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 5), nil)
	r.s = New(r.c, r.log)
	r.replay(r.log.committed)
	r.replay([]Record{{Key: groupKey(nil, "g")}, {Key: groupKey(nil, "other")}, {Key: offsetKey(nil, "g", "orders", 1)}})
	r.check()
	r.s.Start(r.now)
	if d := r.state(Empty); len(d.Members) != 0 || r.get("orders", 0) != 5 {
		t.Fatalf("%+v", d)
	}
	r.s = New(r.c, r.log)
	r.replay(append(r.log.committed, Record{Key: offsetKey(nil, "g", "orders", 0)}, Record{Key: groupKey(nil, "g")}, Record{Key: offsetKey(nil, "x", "orders", 0)}))
	r.check()
	if len(r.s.groups) != 0 || r.s.bytes != 0 {
		t.Fatalf("%d bytes are left", r.s.bytes)
	}
}

// What other versions of Kafka wrote is read as they mean it.
func TestReplayVersions(t *testing.T) {
	name, leader, instance := "range", "m", "i"
	for version := int16(0); version <= 4; version++ {
		s := New(newRig(t, nil).c, &fakeLog{})
		v := kmsg.GroupMetadataValue{
			Version: version, ProtocolType: "consumer", Generation: 3, Protocol: &name, Leader: &leader, CurrentStateTimestamp: 77,
			Members: []kmsg.GroupMetadataValueMember{{
				MemberID: "m", InstanceID: &instance, ClientID: "c", ClientHost: "h", RebalanceTimeoutMillis: 9000,
				SessionTimeoutMillis: 6000, Subscription: []byte("s"), Assignment: []byte("a"),
			}},
		}
		o := kmsg.OffsetCommitValue{Version: version, Offset: 5, LeaderEpoch: 2, Metadata: "x", CommitTimestamp: 70, ExpireTimestamp: 99, TopicID: [16]byte{1}}
		if version == 4 {
			v.UnknownTags.Set(3, []byte("tag"))
			v.Members[0].UnknownTags.Set(4, nil)
			o.UnknownTags.Set(9, []byte("tag"))
		}
		err := errors.Join(s.Replay(groupKey(nil, "g"), v.AppendTo(nil)), s.Replay(offsetKey(nil, "g", "t", 1), o.AppendTo(nil)))
		if err != nil {
			t.Fatal(version, err)
		}
		g := s.groups["g"]
		m := g.members["m"]
		wanted := member{
			id: "m", client: "c", host: "h", session: 6 * time.Second, rebalance: 6 * time.Second,
			protocols: []Protocol{{"range", []byte("s")}}, protocolsBytes: 6, assignment: []byte("a"),
		}
		since := int64(-1)
		if version >= 1 {
			wanted.rebalance = 9 * time.Second
		}
		if version >= 2 {
			since = 77
		}
		if version >= 3 {
			wanted.instance = "i"
		}
		if !reflect.DeepEqual(*m, wanted) || g.since != since || g.generation != 3 || g.leader != "m" || g.state != Stable {
			t.Errorf("version %d: %+v of %+v", version, *m, g)
		}
		zero := ident.TopicID{}
		offsets := map[int16]offset{
			0: {5, -1, "x", 70, -1, zero, 0}, 1: {5, -1, "x", 70, 99, zero, 0}, 2: {5, -1, "x", 70, -1, zero, 0}, 3: {5, 2, "x", 70, -1, zero, 0}, 4: {5, 2, "x", 70, -1, [16]byte{1}, 0},
		}
		if _, e := g.entry("t", 1); e == nil || e.value != offsets[version] {
			t.Errorf("version %d: %+v", version, e)
		}
	}
}

// Records have exactly these bytes, which other tools read.
func TestGoldenRecords(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"group key":  {groupKey(nil, "g"), "\x00\x02\x00\x01g"},
		"offset key": {offsetKey(nil, "g", "t", 1), "\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x01"},
		"offset":     {offset{offset: 5, epoch: 2, metadata: "m", commit: 7, expire: -1}.appendTo(nil), "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x02\x00\x01m\x00\x00\x00\x00\x00\x00\x00\x07"},
		"offset with a topic id": {offset{offset: 5, epoch: 2, metadata: "m", commit: 7, expire: -1, topic: ident.TopicID{1}}.appendTo(nil),
			"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x02\x02m\x00\x00\x00\x00\x00\x00\x00\x07" +
				"\x01\x00\x10\x01" + strings.Repeat("\x00", 15)},
		"offset with all tags": {offset{offset: 5, epoch: 2, metadata: "m", commit: 7, expire: 9, topic: ident.TopicID{1}, index: 300}.appendTo(nil),
			"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x02\x02m\x00\x00\x00\x00\x00\x00\x00\x07" +
				"\x03\x00\x10\x01" + strings.Repeat("\x00", 15) +
				"\xe8\x07\x08\x00\x00\x00\x00\x00\x00\x01\x2c" + "\xe9\x07\x08\x00\x00\x00\x00\x00\x00\x00\x09"},
		"expiring": {offset{offset: 5, epoch: -1, commit: 7, expire: 9}.appendTo(nil), "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x09"},
		"empty group": {metadataValue{protocolType: "consumer", generation: 2, since: 1}.appendTo(nil),
			"\x00\x03\x00\x08consumer\x00\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"},
		"group": {metadataValue{protocolType: "c", generation: 1, protocol: "p", leader: "m", since: -1, members: []memberValue{
			{id: "m", instance: "i", client: "x", host: "h", rebalance: 2, session: 1, subscription: []byte("s"), assignment: []byte("a")},
		}}.appendTo(nil), "\x00\x03\x00\x01c\x00\x00\x00\x01\x00\x01p\x00\x01m\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01" +
			"\x00\x01m\x00\x01i\x00\x01x\x00\x01h\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01s\x00\x00\x00\x01a"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

func TestReplayRefusesWhatCannotBe(t *testing.T) {
	member := memberValue{id: "m", subscription: []byte{}, assignment: []byte{}}
	other := member
	other.id, other.instance = "o", "i"
	twin := other
	twin.id = "p"
	value := func(protocol string, members ...memberValue) []byte {
		return metadataValue{protocolType: "consumer", protocol: protocol, members: members}.appendTo(nil)
	}
	good := value("range", member, other)
	for name, rec := range map[string]Record{
		"no key":        {},
		"short key":     {Key: []byte{0}},
		"long key":      {Key: append(groupKey(nil, "g"), 0)},
		"cut key":       {Key: []byte{0, 2, 0, 9, 'g'}},
		"negative key":  {Key: []byte{0, 2, 0xff, 0xf0}},
		"empty value":   {Key: groupKey(nil, "g"), Value: []byte{}},
		"version":       {Key: groupKey(nil, "g"), Value: []byte{0, 5}},
		"cut":           {Key: groupKey(nil, "g"), Value: good[:len(good)-1]},
		"more":          {Key: groupKey(nil, "g"), Value: append(bytes.Clone(good), 0)},
		"twice":         {Key: groupKey(nil, "g"), Value: value("range", member, member)},
		"instance":      {Key: groupKey(nil, "g"), Value: value("range", other, twin)},
		"no id":         {Key: groupKey(nil, "g"), Value: value("range", memberValue{subscription: []byte{}, assignment: []byte{}})},
		"no protocol":   {Key: groupKey(nil, "g"), Value: value("", member)},
		"offset":        {Key: offsetKey(nil, "g", "t", 0), Value: []byte{0, 3, 1}},
		"offset's":      {Key: offsetKey(nil, "g", "t", 0), Value: []byte{0, 9}},
		"empty offset":  {Key: offsetKey(nil, "g", "t", 0), Value: []byte{}},
		"many members":  {Key: groupKey(nil, "g"), Value: []byte("\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x7f\xff\xff\xff")},
		"flexible many": {Key: groupKey(nil, "g"), Value: []byte("\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f")},
	} {
		s := New(newRig(t, nil).c, &fakeLog{})
		if err := s.Replay(rec.Key, rec.Value); !errors.Is(err, ErrCorrupt) || len(s.groups) != 0 {
			t.Errorf("%s: %v, %d groups", name, err, len(s.groups))
		}
	}
	s := New(newRig(t, nil).c, &fakeLog{})
	if err := s.Replay([]byte{0, 3, 1, 2, 3}, nil); err != nil { // a group of another kind
		t.Fatal(err)
	}
}

func TestReplayedTimeoutsAndGenerations(t *testing.T) {
	r := newRig(t, nil)
	r.s = New(r.c, r.log)
	v := metadataValue{protocolType: "consumer", protocol: "range", generation: 1<<31 - 1, leader: "nobody", members: []memberValue{
		{id: "m", rebalance: -5, session: -1, subscription: subscribe("orders")},
	}}
	r.replay([]Record{{groupKey(nil, "g"), v.appendTo(nil)}})
	r.s.Start(r.now)
	r.check()
	r.advance(r.c.MinSessionTimeout - 1)
	r.state(Stable)
	q := who("c", "m")
	if j := want(t, r.join(q), nil); j.Generation != 1 || j.Leader != "m" {
		t.Fatalf("joined %+v", j)
	}
}

func TestSubscription(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want []string
		ok   bool
	}{
		"two":        {subscribe("a", "b"), []string{"a", "b"}, true},
		"none":       {subscribe(), nil, true},
		"version 0":  {[]byte("\x00\x00\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x02xy"), []string{"a"}, true},
		"nothing":    {nil, nil, false},
		"negative":   {[]byte("\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff"), nil, false},
		"null":       {[]byte("\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), nil, false},
		"many":       {[]byte("\x00\x00\x7f\xff\xff\xff\x00\x01a"), nil, false},
		"cut":        {[]byte("\x00\x00\x00\x00\x00\x01\x00\x05a"), nil, false},
		"null topic": {[]byte("\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff"), nil, false},
		"user data":  {[]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"), nil, false},
	} {
		var got []string
		ok := subscription(c.b, func(name []byte) { got = append(got, string(name)) })
		if ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
}
