package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
)

// wantCode fails unless code is that of want, nil for none.
func wantCode(t testing.TB, what string, code int16, message *string, want *kerr.Error) {
	t.Helper()
	wanted := int16(0)
	if want != nil {
		wanted = want.Code
	}
	if code != wanted {
		text := "none"
		if message != nil {
			text = *message
		}
		t.Errorf("%s: error %d (%v), message %s; want %v", what, code, kerr.ErrorForCode(code), text, want)
	}
}

func ptr[T any](v T) *T { return &v }

// adminSamples returns a request of each admin key that succeeds, made anew for
// each version.
func adminSamples(g *adminRig, version int16) map[int16]kmsg.Request {
	name := func(what string) string { return fmt.Sprintf("%s-%d", what, version) }
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name("made"), 1, 1
	create.Topics = append(create.Topics, topic)

	doomed := g.topic(name("doomed"), 1)
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames = []string{doomed.Name}
	del.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: doomed.ID}}

	g.topic(name("t"), 1)
	records := kmsg.NewPtrDeleteRecordsRequest()
	records.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: name("t"), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}

	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.IncludeSynonyms, describe.IncludeDocumentation = true, true
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name("t")}}

	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alter.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name("t"),
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: ptr("5")}},
	}}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: name("t"), Count: 2}}

	out := map[int16]kmsg.Request{}
	for _, q := range []kmsg.Request{create, del, records, describe, alter, grow, kmsg.NewPtrDescribeLogDirsRequest(), kmsg.NewPtrDescribeClusterRequest()} {
		out[q.Key()] = q
	}
	return out
}

// firstError returns the first error code anywhere in an answer.
func firstError(t testing.TB, resp kmsg.Response) int16 {
	var codes []int16
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		codes = append(codes, r.Topics[0].ErrorCode)
	case *kmsg.DeleteTopicsResponse:
		codes = append(codes, r.Topics[0].ErrorCode)
	case *kmsg.DeleteRecordsResponse:
		codes = append(codes, r.Topics[0].Partitions[0].ErrorCode)
	case *kmsg.DescribeConfigsResponse:
		codes = append(codes, r.Resources[0].ErrorCode)
	case *kmsg.IncrementalAlterConfigsResponse:
		codes = append(codes, r.Resources[0].ErrorCode)
	case *kmsg.CreatePartitionsResponse:
		codes = append(codes, r.Topics[0].ErrorCode)
	case *kmsg.DescribeLogDirsResponse:
		codes = append(codes, r.ErrorCode)
	case *kmsg.DescribeClusterResponse:
		codes = append(codes, r.ErrorCode)
	default:
		t.Fatalf("no check for %T", resp)
	}
	return codes[0]
}

func TestAdminEveryVersion(t *testing.T) {
	g := newAdminRig(t)
	for _, a := range adminAPIs() {
		for v := a.min; v <= a.max; v++ {
			q := adminSamples(g, v+100*a.key)[a.key]
			if q == nil {
				t.Fatalf("no sample for key %d", a.key)
			}
			if code := firstError(t, ask[kmsg.Response](g, v, q)); code != 0 {
				t.Errorf("%s version %d: error %d", kmsg.NameForKey(a.key), v, code)
			}
		}
	}
}

func TestAdminWhileNotReady(t *testing.T) {
	g := newAdminRig(t)
	samples := adminSamples(g, 0)
	before := g.Image().Version()
	g.notReady.Store(true)
	for _, a := range adminAPIs() {
		q := samples[a.key]
		resp := ask[kmsg.Response](g, a.max, q)
		wantCode(t, kmsg.NameForKey(a.key), firstError(t, resp), nil, kerr.NotController)
	}
	if now := g.Image().Version(); now != before {
		t.Errorf("the image went from version %d to %d", before, now)
	}
	if code := firstError(t, ask[kmsg.Response](g, 2, kmsg.NewPtrDescribeLogDirsRequest())); code != 0 {
		t.Errorf("DescribeLogDirs version 2 has no error code of its own, got %d", code)
	}
}

// A change that is not applied in the request's time is answered, and what comes
// of it later changes no answer.
func TestAdminTimeout(t *testing.T) {
	for _, key := range []int16{19, 20, 21, 37, 44} {
		g := newAdminRig(t)
		q := adminSamples(g, 1)[key]
		q.SetVersion(kmsg.RequestForKey(key).MaxVersion())
		g.hold()
		g.send(q)
		g.waiting(1)
		if n := g.expire(); n != 1 {
			t.Errorf("key %d: %d timers", key, n)
		}
		resp := g.receive(q)
		wantCode(t, kmsg.NameForKey(key), firstError(t, resp), nil, kerr.RequestTimedOut)
		g.release()
		if key == 19 {
			if _, ok := g.Image().Topic("made-1"); !ok {
				t.Error("the topic that was late is not there")
			}
		}
		// The connection goes on with the next request.
		if code := firstError(t, ask[kmsg.Response](g, 2, kmsg.NewPtrDescribeClusterRequest())); code != 0 {
			t.Errorf("key %d: error %d afterwards", key, code)
		}
		if n := g.expire(); n != 0 {
			t.Errorf("key %d: %d timers are left", key, n)
		}
	}
}

func TestGatherAnswersOnce(t *testing.T) {
	for name, order := range map[string][]string{
		"outcomes":         {"a", "b"},
		"expiry, outcomes": {"expire", "a", "b"},
		"between":          {"a", "expire", "b"},
		"afterwards":       {"a", "b", "expire", "expire"},
	} {
		t.Run(name, func(t *testing.T) {
			sent, noted, stopped := 0, 0, 0
			late := false
			g := &gather{left: 2, stop: func() { stopped++ }, send: func() { sent++; late = true }}
			for _, step := range order {
				if step == "expire" {
					g.expire()
					continue
				}
				g.settle(func() {
					if noted++; late {
						t.Error("an outcome was noted after the answer was sent")
					}
				})
			}
			if sent != 1 {
				t.Errorf("sent %d times", sent)
			}
			if wantStop := name == "outcomes" || name == "afterwards"; (stopped == 1) != wantStop {
				t.Errorf("stopped %d times", stopped)
			}
		})
	}
}

func TestNewTopicID(t *testing.T) {
	seen := map[[16]byte]bool{}
	for range 5000 {
		id := newTopicID()
		if id.IsZero() || seen[id] || id.String()[0] == '-' || id[6]>>4 != 4 || id[8]>>6 != 2 {
			t.Fatalf("topic id %v", id)
		}
		seen[id] = true
	}
}

func TestReservedTopics(t *testing.T) {
	for name, want := range map[string]bool{
		"__consumer_offsets": true, "__transaction_state": true, "__plugin_modules": true, "__plugin": true,
		"__cluster_metadata": true, "plugin": false, "_schemas": false, "__consumer_offsets2": false, "": false,
	} {
		if reservedTopic(name) != want {
			t.Errorf("reservedTopic(%q) = %v", name, !want)
		}
	}
}

// stage makes a stage that chains may name.
func (g *adminRig) stage(name string) { g.must(metadata.PutStage{Name: name}) }
