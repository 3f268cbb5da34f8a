package group

import (
	"bytes"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzReplay feeds any record to a loading shard: it never panics, holds no more
// than a small multiple of what it was given, and what it took comes out of its
// snapshot again.
func FuzzReplay(f *testing.F) {
	r := newRig(f, nil)
	ms := r.statics(2)
	r.put(ms[0].MemberID, ms[0].Generation, "orders", 0, 5)
	for _, rec := range r.log.committed {
		f.Add(rec.Key, rec.Value)
	}
	f.Add(groupKey(nil, "g"), []byte("\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f"))
	f.Add(offsetKey(nil, "g", "t", 0), []byte("\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00"))
	c := r.c
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key)+len(value) > 1<<16 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := New(c, &fakeLog{})
		err := s.Replay(key, value)
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+64*(len(key)+len(value))); got > most {
			t.Fatalf("%d bytes for %d", got, len(key)+len(value))
		}
		if err != nil && len(s.groups) != 0 {
			t.Fatal("a refused record leaves a group")
		}
		snapshot := s.Snapshot()
		again := New(c, &fakeLog{})
		for _, rec := range snapshot {
			if err := again.Replay(rec.Key, rec.Value); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(again.Snapshot(), snapshot) {
			t.Fatal("another snapshot")
		}
		s.Start(r.now)
		if err := s.verify(); err != nil {
			t.Fatal(err)
		}
		s.Tick(r.now.Add(1 << 62))
	})
}

// FuzzValues checks the readers against the ones of kmsg: what both read they
// read alike.
func FuzzValues(f *testing.F) {
	f.Add(metadataValue{protocolType: "c", protocol: "p", leader: "m", members: []memberValue{{id: "m", instance: "i", subscription: []byte("s"), assignment: []byte{}}}}.appendTo(nil))
	f.Add(offset{offset: 5, epoch: 2, metadata: "m", commit: 7, expire: -1}.appendTo(nil))
	f.Add(offset{offset: 5, epoch: 2, metadata: "m", commit: 7, expire: -1, topic: [16]byte{1, 2}}.appendTo(nil))
	f.Add(offset{offset: 5, epoch: -1, metadata: "m", commit: 7, expire: 9}.appendTo(nil))
	f.Add(offset{offset: 5, epoch: 3, metadata: "m", commit: 7, expire: 9, topic: [16]byte{1, 2}, index: 1 << 40}.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		if o, err := parseOffset(b); err == nil {
			var k kmsg.OffsetCommitValue
			if err := k.ReadFrom(b); err != nil {
				return // of tagged fields that it knows it wants a form
			}
			if k.Offset != o.offset || k.Metadata != o.metadata || k.CommitTimestamp != o.commit || k.Version >= 3 && max(k.LeaderEpoch, -1) != o.epoch || k.Version >= 4 && k.TopicID != o.topic {
				t.Fatalf("%+v, want %+v", o, k)
			}
			round := o.appendTo(nil)
			if again, err := parseOffset(round); len(round) > o.valueBytes() || !o.topic.IsZero() && (err != nil || again != o) {
				t.Fatalf("%+v, want %+v, %v; %d bytes of %d", again, o, err, len(round), o.valueBytes())
			}
		}
		v, err := parseGroup(b)
		if err != nil {
			return
		}
		var k kmsg.GroupMetadataValue
		if err := k.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		if k.ProtocolType != v.protocolType || k.Generation != v.generation || len(k.Members) != len(v.members) {
			t.Fatalf("%+v, want %+v", v, k)
		}
		for i, m := range v.members {
			w := k.Members[i]
			if m.id != w.MemberID || m.session != w.SessionTimeoutMillis || !bytes.Equal(m.subscription, w.Subscription) || !bytes.Equal(m.assignment, w.Assignment) {
				t.Fatalf("%+v, want %+v", m, w)
			}
		}
		if round := v.appendTo(nil); len(round) > v.valueBytes() {
			t.Fatalf("%d bytes, not %d", len(round), v.valueBytes())
		}
	})
}

// FuzzSubscription feeds any metadata to the one place that looks into it: what
// kmsg writes of a subscription of any version it reads alike, and what it reports
// lies in the bytes.
func FuzzSubscription(f *testing.F) {
	f.Add(subscribe("orders", "payments"))
	f.Add([]byte("\x00\x00\x7f\xff\xff\xff\x00\x01a"))
	for v := int16(0); v <= 3; v++ {
		rack := "r"
		owned := kmsg.ConsumerMemberMetadataOwnedPartition{Topic: "orders", Partitions: []int32{0, 7}}
		f.Add((&kmsg.ConsumerMemberMetadata{
			Version: v, Topics: []string{"orders", "", "payments"}, UserData: []byte("u"),
			OwnedPartitions: []kmsg.ConsumerMemberMetadataOwnedPartition{owned}, Generation: 3, Rack: &rack,
		}).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		total := 0
		var topics []string
		ok := subscription(b, func(name []byte) {
			total += 2 + len(name)
			topics = append(topics, string(name))
		})
		if total > len(b) {
			t.Fatalf("%d bytes of topics in %d", total, len(b))
		}
		owes := owesJoin(b, []byte("\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff")) // given nothing
		var k kmsg.ConsumerMemberMetadata
		if err := k.ReadFrom(b); err != nil || k.Version < 0 || !bytes.HasPrefix(b, k.AppendTo(nil)) {
			return // kmsg also takes lengths below -1
		}
		if !ok || !slices.Equal(topics, k.Topics) {
			t.Fatalf("%q, %t; kmsg reads %q", topics, ok, k.Topics)
		}
		if owned := slices.ContainsFunc(k.OwnedPartitions, func(p kmsg.ConsumerMemberMetadataOwnedPartition) bool { return len(p.Partitions) > 0 }); owned != owes {
			t.Fatalf("owes a join: %t; kmsg reads %+v", owes, k.OwnedPartitions)
		}
	})
}

// FuzzAssignment: whatever a leader hands out reaches its member byte for byte,
// through the log too, and is never looked into.
func FuzzAssignment(f *testing.F) {
	f.Add((&kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "orders", Partitions: []int32{0, 1}}}, UserData: []byte("u")}).AppendTo(nil), subscribe("orders"))
	f.Add([]byte{}, []byte{})
	f.Add([]byte("\xff\xff\x7f\xff\xff\xff"), []byte("\x00\x00\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, assignment, metadata []byte) {
		if len(assignment)+len(metadata) > 1<<12 {
			return
		}
		v := metadataValue{protocolType: "consumer", generation: 4, protocol: "range", leader: "m", members: []memberValue{
			{id: "m", session: 1000, rebalance: 1000, subscription: metadata, assignment: assignment},
		}}
		b := v.appendTo(nil)
		again, err := parseGroup(b)
		if err != nil || len(again.members) != 1 || !bytes.Equal(again.members[0].assignment, assignment) || !bytes.Equal(again.members[0].subscription, metadata) {
			t.Fatalf("%+v, %v", again, err)
		}
		var k kmsg.GroupMetadataValue
		if err := k.ReadFrom(b); err != nil || !bytes.Equal(k.Members[0].Assignment, assignment) {
			t.Fatalf("kmsg reads %+v, %v", k, err)
		}
	})
}
