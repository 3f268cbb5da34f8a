package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

type createTopic = kmsg.CreateTopicsRequestTopic

func newCreate(name string, partitions int32, rf int16, edits ...func(*createTopic)) createTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, rf
	for _, f := range edits {
		f(&t)
	}
	return t
}

func withConfig(name string, value *string) func(*createTopic) {
	return func(t *createTopic) {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: value})
	}
}

func withReplicas(partition int32, replicas ...int32) func(*createTopic) {
	return func(t *createTopic) {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: partition, Replicas: replicas})
	}
}

func (g *adminRig) create(version int16, validateOnly bool, topics ...createTopic) []kmsg.CreateTopicsResponseTopic {
	g.t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.Topics, q.ValidateOnly = topics, validateOnly
	return ask[*kmsg.CreateTopicsResponse](g, version, q).Topics
}

func TestCreateTopicsErrors(t *testing.T) {
	g := newAdminRig(t)
	g.topic("there", 1)
	g.stage("known")
	for _, tt := range []struct {
		name  string
		topic createTopic
		want  *kerr.Error
	}{
		{"good", newCreate("good", 2, 1), nil},
		{"broker's defaults", newCreate("defaults", -1, -1), nil},
		{"settings", newCreate("settings", 1, 1, withConfig("retention.ms", ptr("7d")), withConfig("cleanup.policy", ptr("compact,delete"))), nil},
		{"manual", newCreate("manual", -1, -1, withReplicas(1, 1), withReplicas(0, 1)), nil},
		{"chain", newCreate("chained", 1, 1, withConfig("plugin.chain", ptr("known"))), nil},
		{"exists", newCreate("there", 1, 1), kerr.TopicAlreadyExists},
		{"collides", newCreate("the.re_x", 1, 1), nil},
		{"collides again", newCreate("the_re.x", 1, 1), kerr.InvalidTopicException},
		{"no name", newCreate("", 1, 1), kerr.InvalidTopicException},
		{"bad name", newCreate("a b", 1, 1), kerr.InvalidTopicException},
		{"long name", newCreate(strings.Repeat("x", 250), 1, 1), kerr.InvalidTopicException},
		{"dots", newCreate("..", 1, 1), kerr.InvalidTopicException},
		{"offsets topic", newCreate("__consumer_offsets", 1, 1), kerr.InvalidTopicException},
		{"transactions topic", newCreate("__transaction_state", 1, 1), kerr.InvalidTopicException},
		{"plugins' topic", newCreate("__plugin_anything", 1, 1), kerr.InvalidTopicException},
		{"no partitions", newCreate("x", 0, 1), kerr.InvalidPartitions},
		{"negative partitions", newCreate("x", -2, 1), kerr.InvalidPartitions},
		{"partitions above the request's bound", newCreate("x", 10_001, 1), kerr.PolicyViolation},
		{"no replicas", newCreate("x", 1, 0), kerr.InvalidReplicationFactor},
		{"negative replicas", newCreate("x", 1, -2), kerr.InvalidReplicationFactor},
		{"more replicas than brokers", newCreate("x", 1, 2), kerr.InvalidReplicationFactor},
		{"assignment and partitions", newCreate("x", 1, -1, withReplicas(0, 1)), kerr.InvalidRequest},
		{"assignment and replicas", newCreate("x", -1, 1, withReplicas(0, 1)), kerr.InvalidRequest},
		{"assignment with a gap", newCreate("x", -1, -1, withReplicas(0, 1), withReplicas(2, 1)), kerr.InvalidReplicaAssignment},
		{"assignment twice", newCreate("x", -1, -1, withReplicas(0, 1), withReplicas(0, 1)), kerr.InvalidReplicaAssignment},
		{"negative partition", newCreate("x", -1, -1, withReplicas(-1, 1)), kerr.InvalidReplicaAssignment},
		{"assigned to nobody", newCreate("x", -1, -1, withReplicas(0)), kerr.InvalidReplicaAssignment},
		{"assigned to a stranger", newCreate("x", -1, -1, withReplicas(0, 7)), kerr.InvalidReplicaAssignment},
		{"assigned twice", newCreate("x", -1, -1, withReplicas(0, 1, 1)), kerr.InvalidReplicaAssignment},
		{"assigned to too many", newCreate("x", -1, -1, withReplicas(0, make([]int32, 65)...)), kerr.InvalidReplicaAssignment},
		{"unknown setting", newCreate("x", 1, 1, withConfig("retention.msec", ptr("1"))), kerr.InvalidConfig},
		{"broker's setting", newCreate("x", 1, 1, withConfig("log.retention.ms", ptr("1"))), kerr.InvalidConfig},
		{"bad value", newCreate("x", 1, 1, withConfig("retention.ms", ptr("soon"))), kerr.InvalidConfig},
		{"null value", newCreate("x", 1, 1, withConfig("retention.ms", nil)), kerr.InvalidConfig},
		{"setting twice", newCreate("x", 1, 1, withConfig("retention.ms", ptr("1")), withConfig("retention.ms", ptr("2"))), kerr.InvalidConfig},
		{"unknown stage", newCreate("x", 1, 1, withConfig("plugin.chain", ptr("known,missing"))), kerr.InvalidConfig},
	} {
		for _, validateOnly := range []bool{true, false} {
			before := g.Image().Version()
			a := g.create(7, validateOnly, tt.topic)
			if len(a) != 1 || a[0].Topic != tt.topic.Topic {
				t.Fatalf("%s: answers %+v", tt.name, a)
			}
			wantCode(t, tt.name, a[0].ErrorCode, a[0].ErrorMessage, tt.want)
			if (a[0].ErrorMessage != nil) != (tt.want != nil) {
				t.Errorf("%s: message %v", tt.name, a[0].ErrorMessage)
			}
			changed := g.Image().Version() != before
			if changed != (tt.want == nil && !validateOnly) {
				t.Errorf("%s: validate only %v, the image changed: %v", tt.name, validateOnly, changed)
			}
			if tt.want == kerr.InvalidConfig && len(tt.topic.Configs) > 0 && !strings.Contains(*a[0].ErrorMessage, tt.topic.Configs[0].Name) {
				t.Errorf("%s: the message does not name the setting: %s", tt.name, *a[0].ErrorMessage)
			}
		}
	}
}

func TestCreateTopicsAnswer(t *testing.T) {
	g := newAdminRig(t, "num.partitions=3")
	a := g.create(7, false, newCreate("a", -1, -1, withConfig("segment.bytes", ptr("64MiB"))), newCreate("b", 2, 1))
	topic, ok := g.Image().Topic("a")
	if !ok || len(a) != 2 || a[1].Topic != "b" {
		t.Fatalf("answers %+v", a)
	}
	if ident.TopicID(a[0].TopicID) != topic.ID || a[0].NumPartitions != 3 || a[0].ReplicationFactor != 1 || len(topic.Partitions) != 3 {
		t.Errorf("answer %+v for %+v", a[0], topic)
	}
	if topic.CreatedAtMs != g.now.UnixMilli() || topic.Internal {
		t.Errorf("topic %+v", topic)
	}
	values := map[string]string{}
	for _, c := range a[0].Configs {
		values[c.Name] = fmt.Sprintf("%s %d", *c.Value, c.Source)
	}
	if values["segment.bytes"] != "67108864 1" || values["retention.ms"] != "604800000 5" {
		t.Errorf("settings %v", values)
	}
	if old := g.create(2, false, newCreate("c", -1, 1)); old[0].ErrorCode != 0 || old[0].NumPartitions != -1 {
		t.Errorf("version 2: %+v", old)
	}
	if only := g.create(7, true, newCreate("d", 1, 1)); only[0].TopicID != [16]byte{} || only[0].NumPartitions != 1 {
		t.Errorf("validate only: %+v", only[0])
	}
}

func TestCreateTopicsOfOneRequest(t *testing.T) {
	g := newAdminRig(t)
	a := g.create(7, false, newCreate("a", 1, 1), newCreate("twice", 1, 1), newCreate("b", 0, 1), newCreate("twice", 2, 1))
	if len(a) != 3 {
		t.Fatalf("%d answers", len(a))
	}
	for i, want := range []*kerr.Error{nil, kerr.InvalidRequest, kerr.InvalidPartitions} {
		wantCode(t, a[i].Topic, a[i].ErrorCode, a[i].ErrorMessage, want)
	}
	a = g.create(7, true, newCreate("x", 6000, 1), newCreate("y", 5000, 1), newCreate("z", 4000, 1))
	for i, want := range []*kerr.Error{nil, kerr.PolicyViolation, nil} {
		wantCode(t, "room: "+a[i].Topic, a[i].ErrorCode, a[i].ErrorMessage, want)
	}
	var many []createTopic
	for i := range topicsPerRequestMax + 1 {
		many = append(many, newCreate(fmt.Sprintf("many-%d", i), 1, 1))
	}
	a = g.create(7, true, many...)
	wantCode(t, "last but one", a[topicsPerRequestMax-1].ErrorCode, nil, nil)
	wantCode(t, "last", a[topicsPerRequestMax].ErrorCode, nil, kerr.PolicyViolation)
	if none := g.create(7, false); len(none) != 0 {
		t.Errorf("no topics: %+v", none)
	}
}

func TestDeleteTopics(t *testing.T) {
	g := newAdminRig(t)
	byName, byID, both := g.topic("by-name", 1), g.topic("by-id", 2), g.topic("both", 1)
	g.must(metadata.CreateTopic{Name: "__consumer_offsets", TopicID: newTopicID(), Partitions: 1, ReplicationFactor: 1, Internal: true})
	type topic = kmsg.DeleteTopicsRequestTopic
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.Topics = []topic{
		{Topic: &byName.Name},
		{TopicID: byID.ID},
		{TopicID: [16]byte{1}},
		{Topic: ptr("missing")},
		{Topic: ptr("a b")},
		{Topic: ptr("__consumer_offsets")},
		{Topic: ptr("x"), TopicID: byID.ID},
		{Topic: &both.Name}, {TopicID: both.ID},
		{Topic: ptr("again")}, {Topic: ptr("again")},
		{},
	}
	a := ask[*kmsg.DeleteTopicsResponse](g, 6, q).Topics
	want := []*kerr.Error{
		nil, nil, kerr.UnknownTopicID, kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.InvalidTopicException,
		kerr.InvalidRequest, nil, kerr.InvalidRequest, kerr.InvalidRequest, kerr.InvalidTopicException,
	}
	if len(a) != len(want) {
		t.Fatalf("%d answers, want %d", len(a), len(want))
	}
	for i := range want {
		wantCode(t, fmt.Sprintf("topic %d", i), a[i].ErrorCode, a[i].ErrorMessage, want[i])
	}
	for i, topic := range []*metadata.Topic{byName, byID} {
		if a[i].Topic == nil || *a[i].Topic != topic.Name || ident.TopicID(a[i].TopicID) != topic.ID {
			t.Errorf("answer %+v for topic %s", a[i], topic.Name)
		}
	}
	if n := g.Image().TopicCount(); n != 1 {
		t.Errorf("%d topics are left", n)
	}
}

func TestDeleteTopicsDisabled(t *testing.T) {
	g := newAdminRig(t, "delete.topic.enable=false")
	g.topic("t", 1)
	for version, want := range map[int16]*kerr.Error{1: kerr.InvalidRequest, 2: kerr.InvalidRequest, 3: kerr.TopicDeletionDisabled, 6: kerr.TopicDeletionDisabled} {
		q := kmsg.NewPtrDeleteTopicsRequest()
		q.TopicNames = []string{"t"}
		q.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: ptr("t")}}
		a := ask[*kmsg.DeleteTopicsResponse](g, version, q)
		wantCode(t, fmt.Sprint("version ", version), a.Topics[0].ErrorCode, a.Topics[0].ErrorMessage, want)
	}
	if g.Image().TopicCount() != 1 {
		t.Error("the topic is gone")
	}
}

func TestCreatePartitions(t *testing.T) {
	g := newAdminRig(t)
	g.topic("t", 2)
	g.must(metadata.CreateTopic{Name: "__plugin_modules", TopicID: newTopicID(), Partitions: 1, ReplicationFactor: 1, Internal: true})
	type assignment = kmsg.CreatePartitionsRequestTopicAssignment
	on := func(replicas ...int32) assignment { return assignment{Replicas: replicas} }
	for _, tt := range []struct {
		name   string
		topic  string
		count  int32
		assign []assignment
		want   *kerr.Error
	}{
		{"unknown", "missing", 3, nil, kerr.UnknownTopicOrPartition},
		{"bad name", "a b", 3, nil, kerr.InvalidTopicException},
		{"internal", "__plugin_modules", 3, nil, kerr.InvalidTopicException},
		{"as it is", "t", 2, nil, kerr.InvalidPartitions},
		{"fewer", "t", 1, nil, kerr.InvalidPartitions},
		{"negative", "t", -1 << 31, nil, kerr.InvalidPartitions},
		{"too many", "t", 10_003, nil, kerr.PolicyViolation},
		{"above the topic's limit", "t", 10_002, nil, kerr.PolicyViolation},
		{"too few assignments", "t", 4, []assignment{on(1)}, kerr.InvalidReplicaAssignment},
		{"empty assignments", "t", 4, []assignment{}, kerr.InvalidReplicaAssignment},
		{"assigned to a stranger", "t", 3, []assignment{on(9)}, kerr.InvalidReplicaAssignment},
		{"assigned to nobody", "t", 3, []assignment{on()}, kerr.InvalidReplicaAssignment},
		{"assigned", "t", 3, []assignment{on(1)}, nil},
		{"more", "t", 5, nil, nil},
	} {
		for _, validateOnly := range []bool{true, false} {
			before := g.Image().Version()
			q := kmsg.NewPtrCreatePartitionsRequest()
			q.ValidateOnly = validateOnly
			q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: tt.topic, Count: tt.count, Assignment: tt.assign}}
			a := ask[*kmsg.CreatePartitionsResponse](g, 3, q).Topics
			wantCode(t, tt.name, a[0].ErrorCode, a[0].ErrorMessage, tt.want)
			if changed := g.Image().Version() != before; changed != (tt.want == nil && !validateOnly) {
				t.Errorf("%s: validate only %v, the image changed: %v", tt.name, validateOnly, changed)
			}
		}
	}
	if topic, _ := g.Image().Topic("t"); len(topic.Partitions) != 5 {
		t.Errorf("%d partitions", len(topic.Partitions))
	}
	q := kmsg.NewPtrCreatePartitionsRequest()
	q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "t", Count: 6}, {Topic: "t", Count: 7}}
	a := ask[*kmsg.CreatePartitionsResponse](g, 0, q).Topics
	if len(a) != 1 {
		t.Fatalf("%d answers", len(a))
	}
	wantCode(t, "twice", a[0].ErrorCode, a[0].ErrorMessage, kerr.InvalidRequest)
}

// An assignment of another length than the topic's replication factor needs more
// brokers than one.
func TestCreateWithMoreBrokers(t *testing.T) {
	g := newAdminRig(t)
	g.must(metadata.RegisterBroker{NodeID: 2, DirectoryID: [16]byte{2}, Host: "other", Port: 9})
	a := g.create(7, false,
		newCreate("uneven", -1, -1, withReplicas(0, 1, 2), withReplicas(1, 2)),
		newCreate("even", -1, -1, withReplicas(0, 1, 2), withReplicas(1, 2, 1)))
	wantCode(t, "uneven", a[0].ErrorCode, a[0].ErrorMessage, kerr.InvalidReplicaAssignment)
	wantCode(t, "even", a[1].ErrorCode, a[1].ErrorMessage, nil)
	topic, _ := g.Image().Topic("even")
	if topic == nil || topic.Partitions[1].Replicas[0].Node != 2 {
		t.Fatalf("topic %+v", topic)
	}
	q := kmsg.NewPtrCreatePartitionsRequest()
	q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "even", Count: 3, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1}}}}}
	p := ask[*kmsg.CreatePartitionsResponse](g, 3, q).Topics
	wantCode(t, "fewer replicas", p[0].ErrorCode, p[0].ErrorMessage, kerr.InvalidReplicaAssignment)
}
