package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
)

const (
	ofTopic  = kmsg.ConfigResourceTypeTopic
	ofBroker = kmsg.ConfigResourceTypeBroker

	opSet      = kmsg.IncrementalAlterConfigOpSet
	opDelete   = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract
)

// alterOf returns a resource whose settings are altered by "name=value" with
// one operation.
func alterOf(kind kmsg.ConfigResourceType, name string, o kmsg.IncrementalAlterConfigOp, settings ...string) alterResource {
	r := alterResource{ResourceType: kind, ResourceName: name}
	for _, s := range settings {
		c := alterConfig{Op: o, Name: s}
		if key, value, ok := strings.Cut(s, "="); ok {
			c.Name, c.Value = key, &value
		}
		r.Configs = append(r.Configs, c)
	}
	return r
}

func (g *adminRig) alter(validateOnly bool, resources ...alterResource) []kmsg.IncrementalAlterConfigsResponseResource {
	g.t.Helper()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	q.Resources, q.ValidateOnly = resources, validateOnly
	return ask[*kmsg.IncrementalAlterConfigsResponse](g, 1, q).Resources
}

// of returns the settings of a topic as text.
func (g *adminRig) of(topic string) string {
	t, ok := g.Image().Topic(topic)
	if !ok {
		return "missing"
	}
	return kvText(t.Configs)
}

func kvText(c metadata.Configs) string {
	var out []string
	for _, kv := range c {
		out = append(out, kv.Name+"="+kv.Value)
	}
	return strings.Join(out, " ")
}

func TestAlterTopicConfigs(t *testing.T) {
	const start = "cleanup.policy=delete gone.since=1 retention.ms=5"
	const base = "cleanup.policy=delete retention.ms=5"
	many := make([]string, metadata.MaxConfigs+1)
	for i := range many {
		many[i] = fmt.Sprintf("x.%d=1", i)
	}
	for _, tt := range []struct {
		name     string
		op       kmsg.IncrementalAlterConfigOp
		settings []string
		want     *kerr.Error
		after    string
	}{
		{"set", opSet, []string{"retention.ms=7"}, nil, "cleanup.policy=delete retention.ms=7"},
		{"set two", opSet, []string{"retention.ms=7", "segment.ms=9"}, nil, "cleanup.policy=delete retention.ms=7 segment.ms=9"},
		{"set what is so", opSet, []string{"retention.ms=5"}, nil, base},
		{"nothing", opSet, nil, nil, base},
		{"delete", opDelete, []string{"retention.ms"}, nil, "cleanup.policy=delete"},
		{"delete with a value", opDelete, []string{"retention.ms=1"}, nil, "cleanup.policy=delete"},
		{"delete what is not set", opDelete, []string{"segment.ms"}, nil, base},
		{"append", opAppend, []string{"cleanup.policy=compact"}, nil, "cleanup.policy=delete,compact retention.ms=5"},
		{"append what is there", opAppend, []string{"cleanup.policy=delete"}, nil, base},
		{"append to a default", opAppend, []string{"plugin.chain=b, a"}, nil, base[:21] + " plugin.chain=b,a retention.ms=5"},
		{"subtract", opSubtract, []string{"cleanup.policy=delete,compact"}, nil, "cleanup.policy= retention.ms=5"},
		{"subtract what is not there", opSubtract, []string{"cleanup.policy=compact"}, nil, base},
		{"set a null", opSet, []string{"retention.ms"}, kerr.InvalidRequest, base},
		{"append a null", opAppend, []string{"cleanup.policy"}, kerr.InvalidRequest, base},
		{"twice", opSet, []string{"retention.ms=7", "retention.ms=8"}, kerr.InvalidRequest, base},
		{"too many", opSet, many, kerr.InvalidRequest, base},
		{"unknown operation", 9, []string{"retention.ms=7"}, kerr.InvalidRequest, base},
		{"unknown setting", opSet, []string{"retention.mss=7"}, kerr.InvalidConfig, base},
		{"delete an unknown setting", opDelete, []string{"retention.mss"}, kerr.InvalidConfig, base},
		{"append to an unknown setting", opAppend, []string{"retention.mss=7"}, kerr.InvalidConfig, base},
		{"append to a number", opAppend, []string{"retention.ms=7"}, kerr.InvalidConfig, base},
		{"subtract from a number", opSubtract, []string{"retention.ms=7"}, kerr.InvalidConfig, base},
		{"append too many", opAppend, []string{"plugin.chain=" + strings.Repeat(",", listItemsMax)}, kerr.InvalidConfig, base},
		{"bad value", opSet, []string{"retention.ms=soon"}, kerr.InvalidConfig, base},
		{"bad item", opAppend, []string{"cleanup.policy=burn"}, kerr.InvalidConfig, base},
		{"one of two is bad", opSet, []string{"segment.ms=9", "retention.ms=soon"}, kerr.InvalidConfig, base},
		{"unknown stage", opSet, []string{"plugin.chain=a,missing"}, kerr.InvalidConfig, base},
		{"two that conflict", opSet, []string{"min.compaction.lag.ms=9", "max.compaction.lag.ms=8"}, kerr.InvalidConfig, base},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newAdminRig(t)
			g.stage("a")
			g.stage("b")
			g.topic("t", 1, strings.Fields(start)...)
			a := g.alter(false, alterOf(ofTopic, "t", opSet, "retention.ms=5"))
			wantCode(t, "beside a setting that is no more", a[0].ErrorCode, a[0].ErrorMessage, kerr.InvalidConfig)
			a = g.alter(false, alterOf(ofTopic, "t", opDelete, "gone.since"))
			wantCode(t, "delete a setting that is no more", a[0].ErrorCode, a[0].ErrorMessage, nil)
			a = g.alter(true, alterOf(ofTopic, "t", tt.op, tt.settings...))
			wantCode(t, "validate only", a[0].ErrorCode, a[0].ErrorMessage, tt.want)
			if got := g.of("t"); got != base {
				t.Errorf("validate only: settings %q", got)
			}
			a = g.alter(false, alterOf(ofTopic, "t", tt.op, tt.settings...))
			wantCode(t, "alter", a[0].ErrorCode, a[0].ErrorMessage, tt.want)
			if got := g.of("t"); got != tt.after {
				t.Errorf("settings %q, want %q", got, tt.after)
			}
		})
	}
}

func TestAlterResources(t *testing.T) {
	g := newAdminRig(t)
	g.topic("t", 1)
	g.must(metadata.CreateTopic{Name: "__consumer_offsets", TopicID: newTopicID(), Partitions: 1, ReplicationFactor: 1, Internal: true})
	for _, tt := range []struct {
		name string
		r    alterResource
		want *kerr.Error
	}{
		{"no topic", alterOf(ofTopic, "missing", opSet, "retention.ms=5"), kerr.UnknownTopicOrPartition},
		{"bad name", alterOf(ofTopic, "a b", opSet, "retention.ms=5"), kerr.InvalidTopicException},
		{"empty name", alterOf(ofTopic, "", opSet, "retention.ms=5"), kerr.InvalidTopicException},
		{"internal topic", alterOf(ofTopic, "__consumer_offsets", opSet, "segment.bytes=1048576"), nil},
		{"internal topic's policy", alterOf(ofTopic, "__consumer_offsets", opSet, "cleanup.policy=delete"), kerr.InvalidConfig},
		{"internal topic's chain", alterOf(ofTopic, "__consumer_offsets", opSet, "plugin.chain="), kerr.InvalidConfig},
		{"one broker", alterOf(ofBroker, "1", opSet, "num.partitions=4"), kerr.InvalidRequest},
		{"all brokers", alterOf(ofBroker, "", opSet, "num.partitions=4"), nil},
		{"read-only", alterOf(ofBroker, "", opSet, "log.dirs=/x"), kerr.InvalidConfig},
		{"delete read-only", alterOf(ofBroker, "", opDelete, "log.dirs"), kerr.InvalidConfig},
		{"append to read-only", alterOf(ofBroker, "", opAppend, "log.dirs=/x"), kerr.InvalidConfig},
		{"topic's setting", alterOf(ofBroker, "", opSet, "retention.ms=4"), kerr.InvalidConfig},
		{"append to a default", alterOf(ofBroker, "", opAppend, "log.cleanup.policy=compact"), nil},
		{"delete", alterOf(ofBroker, "", opDelete, "num.partitions"), nil},
		{"logger", alterOf(kmsg.ConfigResourceTypeBrokerLogger, "1", opSet, "a=INFO"), kerr.InvalidRequest},
		{"client metrics", alterOf(kmsg.ConfigResourceTypeClientMetrics, "x", opSet, "a=1"), kerr.InvalidRequest},
		{"group", alterOf(kmsg.ConfigResourceTypeGroupConfig, "x", opSet, "a=1"), kerr.InvalidRequest},
		{"unknown type", alterOf(77, "x", opSet, "a=1"), kerr.InvalidRequest},
	} {
		a := g.alter(false, tt.r)
		wantCode(t, tt.name, a[0].ErrorCode, a[0].ErrorMessage, tt.want)
		if a[0].ResourceName != tt.r.ResourceName || a[0].ResourceType != tt.r.ResourceType {
			t.Errorf("%s: answer %+v", tt.name, a[0])
		}
	}
	if got := kvText(g.Image().BrokerConfigs()); got != "log.cleanup.policy=delete,compact" {
		t.Errorf("settings of all brokers: %q", got)
	}
	twice := g.alter(false, alterOf(ofTopic, "t", opSet, "retention.ms=5"), alterOf(ofBroker, "", opSet, "num.partitions=5"), alterOf(ofTopic, "t", opSet, "retention.ms=6"))
	if len(twice) != 2 {
		t.Fatalf("%d answers", len(twice))
	}
	wantCode(t, "twice", twice[0].ErrorCode, twice[0].ErrorMessage, kerr.InvalidRequest)
	wantCode(t, "beside", twice[1].ErrorCode, twice[1].ErrorMessage, nil)
	many := make([]alterResource, resourcesPerRequestMax+1)
	for i := range many {
		many[i] = alterOf(ofTopic, fmt.Sprint("none-", i), opSet)
	}
	a := g.alter(true, many...)
	wantCode(t, "too many", a[resourcesPerRequestMax].ErrorCode, nil, kerr.PolicyViolation)
}

// What another client alters between the reading and the writing is not lost.
func TestAlterRetriesAfterConflict(t *testing.T) {
	for _, tt := range []struct {
		name      string
		conflicts int
		want      *kerr.Error
	}{
		{"once", 1, nil},
		{"as often as is tried", alterAttemptsMax - 1, nil},
		{"more often", alterAttemptsMax, kerr.InvalidUpdateVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newAdminRig(t)
			topic := g.topic("t", 1)
			q := kmsg.NewPtrIncrementalAlterConfigsRequest()
			q.SetVersion(1)
			q.Resources = []alterResource{alterOf(ofTopic, "t", opAppend, "cleanup.policy=compact")}
			g.hold()
			g.send(q)
			g.waiting(1)
			rival := 0
			var interfere func()
			interfere = func() {
				if rival++; rival > tt.conflicts {
					return
				}
				kv := metadata.KV{Name: "retention.ms", Value: fmt.Sprint(rival)}
				g.n.Command(metadata.SetTopicConfigs{TopicID: topic.ID, Set: []metadata.KV{kv}}, func(r metadata.Result) {
					if r.Err != nil {
						t.Error(r.Err)
					}
				})
			}
			// Before each command that waits, another one for the same topic.
			g.mu.Lock()
			g.before = interfere
			g.mu.Unlock()
			g.release()
			a := g.receive(q).(*kmsg.IncrementalAlterConfigsResponse).Resources
			wantCode(t, "alter", a[0].ErrorCode, a[0].ErrorMessage, tt.want)
			want := fmt.Sprintf("cleanup.policy=delete,compact retention.ms=%d", tt.conflicts)
			if tt.want != nil {
				want = fmt.Sprintf("retention.ms=%d", tt.conflicts)
			}
			if got := g.of("t"); got != want {
				t.Errorf("settings %q, want %q", got, want)
			}
		})
	}
}

func (g *adminRig) describe(version int16, edit func(*kmsg.DescribeConfigsRequest), kind kmsg.ConfigResourceType, name string, only ...string) kmsg.DescribeConfigsResponseResource {
	g.t.Helper()
	q := kmsg.NewPtrDescribeConfigsRequest()
	if edit != nil {
		edit(q)
	}
	q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: only}}
	return ask[*kmsg.DescribeConfigsResponse](g, version, q).Resources[0]
}

// configText shows a setting as name=value source type readonly sensitive.
func configText(c kmsg.DescribeConfigsResponseResourceConfig) string {
	value := "null"
	if c.Value != nil {
		value = *c.Value
	}
	text := fmt.Sprintf("%s=%s source=%d type=%d readonly=%v", c.Name, value, c.Source, c.ConfigType, c.ReadOnly)
	for _, s := range c.ConfigSynonyms {
		text += fmt.Sprintf(" (%s=%s %d)", s.Name, *s.Value, s.Source)
	}
	return text
}

func TestDescribeConfigs(t *testing.T) {
	g := newAdminRig(t, "log.retention.hours=1", "num.partitions=3")
	g.topic("t", 1, "retention.ms=7d", "cleanup.policy=compact")
	g.must(metadata.SetBrokerConfigs{Set: []metadata.KV{{Name: "num.partitions", Value: "4"}, {Name: "log.retention.ms", Value: "1000"}}})
	synonyms := func(q *kmsg.DescribeConfigsRequest) { q.IncludeSynonyms = true }
	for _, tt := range []struct {
		kind kmsg.ConfigResourceType
		name string
		only string
		edit func(*kmsg.DescribeConfigsRequest)
		want string
	}{
		{ofTopic, "t", "retention.ms", synonyms, "retention.ms=604800000 source=1 type=5 readonly=false (retention.ms=604800000 1) (log.retention.ms=1000 3) (log.retention.hours=1 4) (log.retention.hours=168 5)"},
		{ofTopic, "t", "retention.ms", nil, "retention.ms=604800000 source=1 type=5 readonly=false"},
		{ofTopic, "t", "cleanup.policy", nil, "cleanup.policy=compact source=1 type=7 readonly=false"},
		{ofTopic, "t", "preallocate", nil, "preallocate=false source=5 type=1 readonly=false"},
		{ofBroker, "1", "num.partitions", synonyms, "num.partitions=4 source=3 type=3 readonly=false (num.partitions=4 3) (num.partitions=3 4) (num.partitions=1 5)"},
		{ofBroker, "1", "node.id", nil, "node.id=1 source=4 type=3 readonly=true"},
		{ofBroker, "1", "log.level", nil, "log.level=info source=5 type=2 readonly=false"},
		{ofBroker, "1", "cluster.id", nil, "cluster.id=null source=5 type=2 readonly=true"},
		{ofBroker, "", "num.partitions", nil, "num.partitions=4 source=3 type=3 readonly=false"},
	} {
		r := g.describe(4, tt.edit, tt.kind, tt.name, tt.only)
		if r.ErrorCode != 0 || len(r.Configs) != 1 || configText(r.Configs[0]) != tt.want {
			t.Errorf("%s of %q: %+v, want %s", tt.only, tt.name, r, tt.want)
			for _, c := range r.Configs {
				t.Log(configText(c))
			}
		}
	}
	all := g.describe(4, func(q *kmsg.DescribeConfigsRequest) { q.IncludeDocumentation = true }, ofTopic, "t")
	if len(all.Configs) < 30 || !slices.IsSortedFunc(all.Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d settings", len(all.Configs))
	}
	for _, c := range all.Configs {
		if c.Documentation == nil || *c.Documentation == "" {
			t.Errorf("%s has no documentation", c.Name)
		}
	}
	if r := g.describe(1, nil, ofTopic, "t"); len(r.Configs) != len(all.Configs) || r.Configs[0].Documentation != nil {
		t.Errorf("version 1: %d settings", len(r.Configs))
	}
	if r := g.describe(4, nil, ofBroker, ""); len(r.Configs) != 2 {
		t.Errorf("settings of all brokers: %+v", r.Configs)
	}
	if r := g.describe(4, nil, ofTopic, "t", "nothing.such"); r.ErrorCode != 0 || len(r.Configs) != 0 {
		t.Errorf("an unknown setting: %+v", r)
	}
}

func TestDescribeConfigsErrors(t *testing.T) {
	g := newAdminRig(t)
	for _, tt := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want *kerr.Error
	}{
		{ofTopic, "missing", kerr.UnknownTopicOrPartition},
		{ofTopic, "", kerr.InvalidTopicException},
		{ofTopic, "a b", kerr.InvalidTopicException},
		{ofBroker, "2", kerr.InvalidRequest},
		{ofBroker, "01", kerr.InvalidRequest},
		{ofBroker, "x", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeClientMetrics, "x", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeGroupConfig, "x", kerr.InvalidRequest},
		{0, "x", kerr.InvalidRequest},
		{99, "x", kerr.InvalidRequest},
	} {
		r := g.describe(4, nil, tt.kind, tt.name)
		wantCode(t, fmt.Sprintf("%d %q", tt.kind, tt.name), r.ErrorCode, r.ErrorMessage, tt.want)
		if r.ErrorMessage == nil || len(r.Configs) != 0 || r.ResourceName != tt.name {
			t.Errorf("%d %q: %+v", tt.kind, tt.name, r)
		}
	}
	q := kmsg.NewPtrDescribeConfigsRequest()
	for range 3 {
		q.Resources = append(q.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: ofBroker, ResourceName: "1"})
	}
	if r := ask[*kmsg.DescribeConfigsResponse](g, 4, q).Resources; len(r) != 1 || len(r[0].Configs) == 0 {
		t.Errorf("one resource three times: %d answers", len(r))
	}
}

// An answer is bounded, whatever a request asks for.
func TestDescribeConfigsIsBounded(t *testing.T) {
	g := newAdminRig(t)
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeSynonyms, q.IncludeDocumentation = true, true
	for i := range 40 {
		name := g.topic(fmt.Sprint("t", i), 1).Name
		q.Resources = append(q.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: ofTopic, ResourceName: name})
	}
	const bytesMax = 100_000
	r := New(g, g.log()).describe(q, bytesMax)
	wantCode(t, "the first", r.Resources[0].ErrorCode, nil, nil)
	wantCode(t, "the last", r.Resources[39].ErrorCode, nil, kerr.PolicyViolation)
	r.SetVersion(4)
	if n := len(r.AppendTo(nil)); n < bytesMax/2 || n > bytesMax*3/2 {
		t.Errorf("%d bytes", n)
	}
}
