package metadata

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

func TestCreateTopic(t *testing.T) {
	l := newLog(t)
	l.must(broker(2), broker(1))
	c := topic("orders.eu", 1, 3, KV{"z", "1"}, KV{"a", "2"})
	c.ReplicationFactor, c.Internal = 2, true
	r := l.must(c)
	got, ok := l.core.Image().Topic("orders.eu")
	if !ok || got != r.Topic {
		t.Fatalf("topic %+v, result %+v", got, r.Topic)
	}
	want := &Topic{
		Name: "orders.eu", ID: topicID(1), Internal: true, Configs: Configs{{"a", "2"}, {"z", "1"}},
		Partitions: []PartitionInfo{
			{Group: 1, Replicas: []Replica{{2, 16}, {1, 17}}},
			{Group: 2, Replicas: []Replica{{1, 18}, {2, 19}}},
			{Group: 3, Replicas: []Replica{{2, 20}, {1, 21}}},
		},
		FirstPartitions: 3, CreatedAtMs: 1700000000000, Version: 3,
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	deltas := []Delta{TopicCreated{got}}
	for p := range want.Partitions {
		deltas = append(deltas, PartitionAdded{ident.Partition{Topic: topicID(1), Index: int32(p)}, "orders.eu", want.Partitions[p]})
	}
	if !reflect.DeepEqual(r.Deltas, deltas) || r.Version != 3 {
		t.Fatalf("deltas %+v version %d", r.Deltas, r.Version)
	}
	img := l.core.Image()
	if p, ok := img.PartitionOf(2); !ok || p != (ident.Partition{Topic: topicID(1), Index: 1}) {
		t.Fatalf("group 2 is %v", p)
	}
	if rep, ok := got.Partitions[0].On(1); !ok || rep.ID != 17 {
		t.Fatalf("replica on broker 1: %+v", rep)
	}
	if img.TopicCount() != 1 || img.PartitionCount() != 3 {
		t.Fatalf("%d topics, %d partitions", img.TopicCount(), img.PartitionCount())
	}
}

func TestCreateTopicRefusals(t *testing.T) {
	l := newLog(t)
	l.refuse(ErrInvalidReplicationFactor, topic("t", 1, 1))
	l.must(broker(1), topic("a.b", 1, 1), SetLimits{Limits: Limits{Topics: 3, PartitionsPerTopic: 4, Partitions: 6}})
	with := func(f func(c *CreateTopic)) CreateTopic {
		c := topic("t", 9, 1)
		f(&c)
		return c
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ü", "a\x00", strings.Repeat("x", 249) + "\n"} {
		if len(name) <= MaxTopicName {
			l.refuse(ErrInvalidTopicName, with(func(c *CreateTopic) { c.Name = name }))
		}
	}
	l.refuse(ErrTopicExists, with(func(c *CreateTopic) { c.Name = "a.b" }))
	l.refuse(ErrTopicCollision, with(func(c *CreateTopic) { c.Name = "a_b" }))
	l.refuse(ErrInvalidTopicID, with(func(c *CreateTopic) { c.TopicID = ident.TopicID{} }))
	l.refuse(ErrTopicIDInUse, with(func(c *CreateTopic) { c.TopicID = topicID(1) }))
	for _, n := range []int32{0, -1, math.MinInt32} {
		l.refuse(ErrInvalidPartitions, with(func(c *CreateTopic) { c.Partitions = n }))
	}
	for _, n := range []int16{0, -1, 2, math.MaxInt16} {
		l.refuse(ErrInvalidReplicationFactor, with(func(c *CreateTopic) { c.ReplicationFactor = n }))
	}
	l.refuse(ErrLimit, with(func(c *CreateTopic) { c.Partitions = 5 }))
	l.refuse(ErrLimit, with(func(c *CreateTopic) { c.Partitions = math.MaxInt32 }))
	l.refuse(ErrInvalidConfig, with(func(c *CreateTopic) { c.Configs = []KV{{"", "1"}} }))
	l.refuse(ErrInvalidConfig, with(func(c *CreateTopic) { c.Configs = []KV{{"a", "1"}, {"b", "1"}, {"a", "1"}} }))
	for _, a := range [][][]ident.NodeID{{{1}, {1}}, {{1, 1}}, {{}}, {{7}}} {
		l.refuse(ErrInvalidAssignment, with(func(c *CreateTopic) { c.Assignments = a }))
	}
	l.must(topic(strings.Repeat("x", 249), 2, 4))
	l.refuse(ErrLimit, with(func(c *CreateTopic) { c.Partitions = 2 })) // 1 + 4 + 2 > 6
	l.must(topic("c", 3, 1))
	l.refuse(ErrLimit, topic("d", 4, 1))
}

func TestCollisionEndsWithDeletion(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), topic("a.b", 1, 2))
	groups := l.core.Image().nextGroup
	r := l.must(DeleteTopic{TopicID: topicID(1)})
	if d, ok := r.Deltas[0].(TopicDeleted); !ok || len(r.Deltas) != 1 || d.Topic.Name != "a.b" || len(d.Topic.Partitions) != 2 {
		t.Fatalf("deltas %+v", r.Deltas)
	}
	if img := l.core.Image(); img.TopicCount() != 0 || img.PartitionCount() != 0 {
		t.Fatal("the topic left something behind")
	}
	l.refuse(ErrUnknownTopic, DeleteTopic{TopicID: topicID(1)})
	r = l.must(topic("a_b", 2, 1))
	if got := r.Topic.Partitions[0]; got.Group != groups || got.Replicas[0].ID != FirstReplicaID+2 {
		t.Fatalf("ids were used again: %+v", got)
	}
}

func TestAssignments(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), broker(2), broker(3))
	c := topic("t", 1, 2)
	c.ReplicationFactor, c.Assignments = 2, [][]ident.NodeID{{3, 1}, {2, 3}}
	l.must(c)
	r := l.must(CreatePartitions{TopicID: topicID(1), Total: 3, Assignments: [][]ident.NodeID{{1, 2}}})
	for p, want := range [][]Replica{{{3, 16}, {1, 17}}, {{2, 18}, {3, 19}}, {{1, 20}, {2, 21}}} {
		if got := r.Topic.Partitions[p].Replicas; !reflect.DeepEqual(got, want) {
			t.Errorf("partition %d: %v, want %v", p, got, want)
		}
	}
	if d := r.Deltas[0].(PartitionAdded); len(r.Deltas) != 1 || d.Partition.Index != 2 || d.Info.Group != 3 {
		t.Fatalf("deltas %+v", r.Deltas)
	}
	l.refuse(ErrInvalidPartitions, CreatePartitions{TopicID: topicID(1), Total: 3})
	l.refuse(ErrInvalidPartitions, CreatePartitions{TopicID: topicID(1), Total: -1})
	l.refuse(ErrInvalidAssignment, CreatePartitions{TopicID: topicID(1), Total: 4, Assignments: [][]ident.NodeID{{1}}})
	l.refuse(ErrUnknownTopic, CreatePartitions{TopicID: topicID(2), Total: 4})
	l.refuse(ErrLimit, CreatePartitions{TopicID: topicID(1), Total: math.MaxInt32})
}

func TestPlacementIsEven(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), broker(5), broker(9))
	c := topic("t", 1, 30)
	c.ReplicationFactor = 2
	first, all := map[ident.NodeID]int{}, map[ident.NodeID]int{}
	for _, p := range l.must(c).Topic.Partitions {
		first[p.Replicas[0].Node]++
		for _, r := range p.Replicas {
			all[r.Node]++
		}
	}
	for _, n := range []ident.NodeID{1, 5, 9} {
		if first[n] != 10 || all[n] != 20 {
			t.Errorf("broker %d: first of %d, in %d", n, first[n], all[n])
		}
	}
}

func TestConfigs(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), topic("t", 1, 1, KV{"b", "1"}))
	id := topicID(1)
	r := l.must(SetTopicConfigs{TopicID: id, Set: []KV{{"c", "3"}, {"a", "1"}}, Remove: []string{"b", "none"}})
	if want := (Configs{{"a", "1"}, {"c", "3"}}); !reflect.DeepEqual(r.Topic.Configs, want) {
		t.Fatalf("configs %v", r.Topic.Configs)
	}
	if !reflect.DeepEqual(r.Deltas, []Delta{TopicConfigsChanged{r.Topic}}) {
		t.Fatalf("deltas %v", r.Deltas)
	}
	same := l.must(SetTopicConfigs{TopicID: id, Set: []KV{{"a", "1"}}, Remove: []string{"b"}})
	if len(same.Deltas) != 0 || same.Version != r.Version || same.Topic != r.Topic {
		t.Fatalf("a change of nothing: %+v", same)
	}
	l.refuse(ErrInvalidConfig, SetTopicConfigs{TopicID: id, Set: []KV{{"a", "1"}}, Remove: []string{"a"}})
	l.refuse(ErrInvalidConfig, SetTopicConfigs{TopicID: id, Remove: []string{""}})
	l.refuse(ErrUnknownTopic, SetTopicConfigs{TopicID: topicID(2)})
	big := strings.Repeat("v", MaxConfigValue)
	for i := range 15 {
		l.must(SetBrokerConfigs{Set: []KV{{fmt.Sprintf("big%02d", i), big}}})
	}
	l.refuse(ErrLimit, SetBrokerConfigs{Set: []KV{{"big15", big}}})
	var many []KV
	for i := range MaxConfigs - 15 {
		many = append(many, KV{fmt.Sprint(i), ""})
	}
	r = l.must(SetBrokerConfigs{Set: many})
	if d := r.Deltas[0].(BrokerConfigsChanged); len(d.Configs) != MaxConfigs {
		t.Fatalf("%d settings", len(d.Configs))
	}
	l.refuse(ErrLimit, SetBrokerConfigs{Set: []KV{{"one.more", ""}}})
	l.must(SetBrokerConfigs{Set: []KV{{"one.more", "x"}}, Remove: []string{"0"}})
	if v, ok := l.core.Image().BrokerConfigs().Get("one.more"); !ok || v != "x" {
		t.Fatalf("one.more is %q %v", v, ok)
	}
	if _, ok := l.core.Image().BrokerConfigs().Get("0"); ok {
		t.Fatal("0 is still set")
	}
}

func TestBrokersProducerIDsFeaturesLimits(t *testing.T) {
	l := newLog(t)
	for _, f := range []func(b *RegisterBroker){
		func(b *RegisterBroker) { b.NodeID = -1 },
		func(b *RegisterBroker) { b.Host = "" },
		func(b *RegisterBroker) { b.Port = 0 },
		func(b *RegisterBroker) { b.Port = 65536 },
		func(b *RegisterBroker) { b.DirectoryID = [16]byte{} },
	} {
		b := broker(1)
		f(&b)
		l.refuse(ErrInvalidBroker, b)
	}
	l.refuse(ErrUnknownBroker, AllocateProducerIDs{Count: 1, By: 1})
	first := l.must(broker(1)).Deltas[0].(BrokerChanged)
	if again := l.must(broker(1)); first.Previous != nil || len(again.Deltas) != 0 {
		t.Fatalf("first %+v again %+v", first, again)
	}
	moved := broker(1)
	moved.Port = 9093
	if d := l.must(moved).Deltas[0].(BrokerChanged); d.Previous != first.Broker || d.Broker.Port != 9093 {
		t.Fatalf("moved: %+v", d)
	}
	next := int64(0)
	for _, n := range []int32{1, 1000, MaxProducerIDBlock} {
		if r := l.must(AllocateProducerIDs{Count: n, By: 1}); r.ProducerIDs != (ProducerIDBlock{next, n}) {
			t.Fatalf("block %+v, want %d", r.ProducerIDs, next)
		}
		next += int64(n)
	}
	for _, n := range []int32{0, -1, MaxProducerIDBlock + 1} {
		l.refuse(ErrInvalidCount, AllocateProducerIDs{Count: n, By: 1})
	}
	if got := l.core.Image().NextProducerID(); got != next {
		t.Fatalf("next producer id %d, want %d", got, next)
	}
	l.must(SetFeature{Name: "f", Level: 2})
	if r := l.must(SetFeature{Name: "f", Level: 2}); len(r.Deltas) != 0 {
		t.Fatalf("deltas %v", r.Deltas)
	}
	r := l.must(SetFeature{Name: "f"})
	if l.core.Image().Feature("f") != 0 || !reflect.DeepEqual(r.Deltas, []Delta{FeatureChanged{"f", 0}}) {
		t.Fatalf("deltas %v", r.Deltas)
	}
	l.refuse(ErrInvalidFeature, SetFeature{Name: "", Level: 1})
	l.refuse(ErrInvalidFeature, SetFeature{Name: "f", Level: -1})
	for _, bad := range []Limits{{}, {1, 1, 0}, {1, -1, 1}, {MaxTopics + 1, 1, 1}} {
		l.refuse(ErrInvalidLimits, SetLimits{Limits: bad})
	}
}

func TestProducerIDsEnd(t *testing.T) {
	l := newLog(t)
	l.must(broker(1))
	img := *l.core.Image()
	img.nextProducerID = math.MaxInt64 - 5
	l.core.image.Store(&img)
	l.refuse(ErrLimit, AllocateProducerIDs{Count: 6, By: 1})
	if r := l.must(AllocateProducerIDs{Count: 5, By: 1}); r.ProducerIDs.First != math.MaxInt64-5 {
		t.Fatalf("block %+v", r.ProducerIDs)
	}
	l.refuse(ErrLimit, AllocateProducerIDs{Count: 1, By: 1})
}

func TestExpectVersion(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), topic("t", 1, 1)) // versions 1, 2
	l.must(topic("other", 2, 1))        // 3
	id := topicID(1)
	set := func(expect uint64, v string) Command {
		return SetTopicConfigs{ExpectVersion: expect, TopicID: id, Set: []KV{{"a", v}}}
	}
	l.refuse(ErrConflict, set(1, "1"))
	l.must(set(2, "1")) // 5; the topic's version counts, not the image's
	l.refuse(ErrConflict, set(3, "2"))
	l.refuse(ErrConflict, set(1000, "2"))
	l.refuse(ErrConflict, DeleteTopic{ExpectVersion: 4, TopicID: id})
	l.refuse(ErrConflict, CreatePartitions{ExpectVersion: 4, TopicID: id, Total: 2})
	l.must(CreatePartitions{ExpectVersion: 5, TopicID: id, Total: 2})
	v := l.core.Image().Version()

	l.must(PutPlugin{Name: "p", Version: "1", Digest: [32]byte{1}, Size: 1}, PutStage{Name: "s"},
		SetFeature{Name: "f", Level: 1}, SetBrokerConfigs{Set: []KV{{"a", "b"}}},
		SetLimits{Limits: Limits{9, 9, 9}}, AllocateProducerIDs{Count: 1, By: 1}, RegisterBroker{
			NodeID: 1, DirectoryID: [16]byte{1}, Host: "x", Port: 1})
	stale := []Command{
		PutPlugin{ExpectVersion: v, Name: "p", Version: "1", Digest: [32]byte{2}, Size: 1},
		DeletePlugin{ExpectVersion: v, Name: "p", Version: "1"},
		PutStage{ExpectVersion: v, Name: "s", Spec: []byte("x")},
		DeleteStage{ExpectVersion: v, Name: "s"},
		SetFeature{ExpectVersion: v, Name: "f", Level: 2},
		SetBrokerConfigs{ExpectVersion: v, Set: []KV{{"a", "c"}}},
		SetLimits{ExpectVersion: v, Limits: Limits{8, 8, 8}},
		AllocateProducerIDs{ExpectVersion: v, Count: 1, By: 1},
		func() Command { b := broker(1); b.ExpectVersion = v; return b }(),
	}
	for _, c := range stale {
		l.refuse(ErrConflict, c)
	}
	// What was removed since may have been the object itself.
	v = l.core.Image().Version()
	l.must(DeleteTopic{TopicID: id}, DeleteStage{Name: "s"}, DeletePlugin{Name: "p", Version: "1"}, SetFeature{Name: "f"})
	again := topic("t", 7, 1)
	again.ExpectVersion = v
	l.refuse(ErrConflict, again)
	l.refuse(ErrConflict, PutStage{ExpectVersion: v, Name: "s"})
	l.refuse(ErrConflict, PutPlugin{ExpectVersion: v, Name: "p", Version: "1", Digest: [32]byte{2}, Size: 1})
	l.refuse(ErrConflict, SetFeature{ExpectVersion: v, Name: "f", Level: 1})
	again.ExpectVersion = l.core.Image().Version()
	l.must(again)
}

func TestCheckAgreesWithApply(t *testing.T) {
	l := newLog(t)
	l.must(broker(1))
	c := topic("t", 1, 1)
	before := l.core.Image()
	if err := before.Check(c); err != nil || before.TopicCount() != 0 || l.core.Image() != before {
		t.Fatalf("check: %v", err)
	}
	l.must(c)
	err := l.core.Image().Check(c)
	if r := l.apply(c); err == nil || r.Err == nil || err.Error() != r.Err.Error() {
		t.Fatalf("check %v, apply %v", err, r.Err)
	}
}

func TestCheckOnAnOldImageLeavesNewerOnesAlone(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), broker(2), topic("t", 1, 3))
	// Growing one by one leaves room behind a slice, where a careless append of
	// another branch would write.
	for total := int32(4); total < 12; total++ {
		old := l.core.Image()
		grown := l.must(CreatePartitions{TopicID: topicID(1), Total: total, Assignments: [][]ident.NodeID{{1}}})
		if err := old.Check(CreatePartitions{TopicID: topicID(1), Total: total, Assignments: [][]ident.NodeID{{2}}}); err != nil {
			t.Fatal(err)
		}
		if node := grown.Topic.Partitions[total-1].Replicas[0].Node; node != 1 {
			t.Fatalf("partition %d moved to broker %d", total-1, node)
		}
	}
}
