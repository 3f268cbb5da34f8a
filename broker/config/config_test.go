package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/lint/generated"
	"github.com/varvelog/varve/internal/property"
)

// defaults returns the broker of a start without any source.
func defaults(t *testing.T) *Broker {
	t.Helper()
	b, warnings, err := Load(Sources{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load() = %v, %v", warnings, err)
	}
	return b
}

func set(args ...string) Sources { return Sources{Set: args} }

func TestDefaults(t *testing.T) {
	b := defaults(t)
	for _, check := range []struct {
		name      string
		got, want any
	}{
		{"node.id", b.NodeID, int32(1)},
		{"log.dirs", b.LogDir, "./varve-data"},
		{"tier.url", b.TierURL, "file://./varve-data/tier"},
		{"http.listen", b.HTTPListen, "127.0.0.1:9644"},
		{"listeners", b.Listeners[0].String(), "PLAINTEXT://127.0.0.1:9092"},
		{"advertised", b.Advertised[0].Address(), "127.0.0.1:9092"},
		{"num.partitions", b.NumPartitions, int32(1)},
		{"fetch.max.bytes", b.FetchMaxBytes, int64(57671680)},
		{"wal.bytes.max", b.WALBytesMax, int64(256 << 20)},
		{"initial delay", b.GroupInitialRebalanceDelay, 3 * time.Second},
		{"max.message.bytes", b.Topic.MaxMessageBytes, int64(1048588)},
		{"retention", b.Topic.Retention, 7 * 24 * time.Hour},
		{"segment.ms", b.Topic.SegmentAge, 7 * 24 * time.Hour},
		{"local retention", b.Topic.LocalRetention, 7 * 24 * time.Hour},
		{"local bytes", b.Topic.LocalRetentionBytes, int64(Unlimited)},
		{"before", b.Topic.TimestampBeforeMax, time.Duration(1<<63 - 1)},
		{"dirty ratio", b.Topic.MinCleanableDirtyRatio, 0.5},
		{"filler", b.Topic.FetchFillerEnable, true},
		{"deleted", b.Topic.Deleted() && !b.Topic.Compacted(), true},
	} {
		if check.got != check.want {
			t.Errorf("%s = %v, want %v", check.name, check.got, check.want)
		}
	}
}

// Every row's field has a type that takes the row's values, and no two rows fill
// the same field.
func TestFieldsSuitTheirRows(t *testing.T) {
	var b Broker
	var topic Topic
	fields := map[any]string{}
	check := func(p *property.Property, field any) {
		if other := fields[field]; other != "" {
			t.Errorf("%s and %s fill the same field", p.Name, other)
		}
		fields[field] = p.Name
		ok := assign(field, property.Value{})
		switch field.(type) {
		case *bool:
			ok = ok && p.Type == property.Bool
		case *int32:
			ok = ok && p.Type == property.Int
		case *int64:
			ok = ok && (p.Type == property.Long || p.Type == property.Bytes)
		case *float64:
			ok = ok && p.Type == property.Double
		case *time.Duration:
			ok = ok && p.Type == property.Duration
		case *string:
			ok = ok && (p.Type == property.String || p.Type == property.Enum || p.Type == property.Password)
		case *[]string:
			ok = ok && p.Type == property.List
		}
		if !ok {
			t.Errorf("%s: a %v does not go into a %T", p.Name, p.Type, field)
		}
	}
	for i := range settings {
		if s := &settings[i]; s.field != nil {
			check(&s.Property, s.field(&b))
		} else if s.section != sectionTopics {
			t.Errorf("%s fills no field", s.Name)
		}
	}
	for i := range topicSettings {
		if s := &topicSettings[i]; s.field != nil {
			check(&s.Property, s.field(&topic))
		} else if !s.NoEffect {
			t.Errorf("%s fills no field", s.Name)
		}
	}
}

func TestKafkaNamesAreNotDeclared(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range kafkaGroups {
		for _, n := range g.names {
			if brokerTable.Lookup(n) != nil || seen[n] {
				t.Errorf("%s is declared as well, or listed twice", n)
			}
			seen[n] = true
		}
	}
}

func TestReference(t *testing.T) {
	page := Reference()
	if !strings.HasPrefix(string(page), generated.Marker("settings")) {
		t.Errorf("the page does not begin with its marker")
	}
	generated.CheckGenerated(t, "docs/reference/settings.md", page)
	for _, p := range slices.Concat(brokerTable.All(), topicTable.All()) {
		if !strings.Contains(string(page), "| `"+p.Name+"` |") {
			t.Errorf("the page has no row for %s", p.Name)
		}
	}
}

// A refusal is a source, parts that the error must have, and its kind.
type refusal struct {
	name  string
	src   Sources
	parts []string
	kind  error
}

func TestLoadRefuses(t *testing.T) {
	yaml := func(text string) Sources { return Sources{YAML: &File{"varve.yaml", []byte(text)}} }
	props := func(text string) Sources { return Sources{Properties: &File{"server.properties", []byte(text)}} }
	for _, tt := range []refusal{
		{"unknown", set("num.partition=3"), []string{"--set: ", `unknown setting "num.partition"`, "did you mean num.partitions?"}, property.ErrUnknown},
		{"unknown, like nothing", set("frobnicate=1"), []string{`unknown setting "frobnicate"`, "remove it"}, property.ErrUnknown},
		{"a topic's name", set("retention.ms=1"), []string{`"retention.ms"`, "the default for topics is log.retention.ms"}, property.ErrUnknown},
		{"a topic's name without default", set("plugin.chain=a"), []string{"a topic's setting"}, property.ErrUnknown},
		{"below", set("num.partitions=0"), []string{"num.partitions", `"0"`, "below the minimum", "from 1 to 100000", "default, 1"}, property.ErrRange},
		{"above", set("message.max.bytes=64MiB"), []string{"message.max.bytes", `"64MiB"`, "above the maximum", "33554432 (32MiB)"}, property.ErrRange},
		{"not a number", set("node.id=one"), []string{"node.id", `"one"`, "not a whole number"}, property.ErrSyntax},
		{"ambiguous", set("wal.file.bytes=64MB"), []string{`"MB" is ambiguous`, "MiB"}, property.ErrSyntax},
		{"enum", set("log.format=jsno"), []string{"did you mean json?", "one of text, json"}, property.ErrRange},
		{"list", set("log.cleanup.policy=delete,compct"), []string{"did you mean compact?"}, property.ErrRange},
		{"no name", set("=1"), []string{"--set", "not name=value"}, ErrInvalid},
		{"no value", set("num.partitions"), []string{"--set", "not name=value"}, ErrInvalid},
		{"directories", set("log.dirs=/a,/b"), []string{"several directories", "exactly one directory", "RAID"}, property.ErrRange},
		{"no directory", set("log.dirs="), []string{"no directory"}, property.ErrRange},
		{"two directories", set("log.dirs=/a", "log.dir=/b"), []string{"differs from log.dirs", "remove log.dir"}, property.ErrConflict},
		{"two ids", set("node.id=1", "broker.id=2"), []string{"differs from node.id = 1"}, property.ErrConflict},
		{"sessions", set("group.min.session.timeout.ms=2000000"), []string{"above group.max.session.timeout.ms"}, property.ErrConflict},
		{"memory", set("memory.request.bytes=64MiB"), []string{"below socket.request.max.bytes"}, property.ErrConflict},
		{"batch", set("message.max.bytes=2MiB", "socket.request.max.bytes=1MiB"), []string{"message.max.bytes", "2097152", "raise socket.request.max.bytes"}, property.ErrConflict},
		{"wal", set("wal.bytes.max=64MiB"), []string{"below twice wal.file.bytes"}, property.ErrConflict},
		{"topic defaults", set("log.remote.storage.enable=true", "log.cleanup.policy=compact"), []string{"defaults of topics", "compacted topics are not tiered"}, property.ErrConflict},
		{"http", set("http.listen=localhost"), []string{"no port", "host:port"}, property.ErrSyntax},
		{"tier scheme", set("tier.url=ftp://x"), []string{`"ftp" is not known`, "s3://bucket/prefix"}, property.ErrSyntax},
		{"tier bucket", set("tier.url=s3:///prefix"), []string{"no bucket"}, property.ErrSyntax},
		{"tier directory", set("tier.url=file://"), []string{"no directory"}, property.ErrSyntax},
		{"sasl", set("sasl.enabled.mechanisms=PLAIN"), []string{"sasl.enabled.mechanisms", "nothing would be protected", "remove it"}, property.ErrRange},
		{"ssl", set("ssl.keystore.password=hunter2"), []string{"TLS is not part", property.Hidden}, property.ErrRange},
		{"authorizer", set("authorizer.class.name=x.Y"), []string{"authorization is not part"}, property.ErrRange},
		{"deny by default", set("allow.everyone.if.no.acl.found=false"), []string{"authorization"}, property.ErrRange},
		{"listener's own", set("listener.name.x.ssl.key.password=a"), []string{"single listeners"}, property.ErrRange},
		{"policy", set("create.topic.policy.class.name=x"), []string{"Java classes"}, property.ErrRange},
		{"env", Sources{Env: []string{"VARVE_NUM_PARTITIONS=x"}}, []string{"VARVE_NUM_PARTITIONS: num.partitions", "not a whole number"}, property.ErrSyntax},
		{"env unknown", Sources{Env: []string{"VARVE_LOG_DIR_S=x"}}, []string{"VARVE_LOG_DIR_S", "did you mean log.dirs?"}, property.ErrUnknown},
		{"properties line", props("# c\nnum.partitions=3\nlog.dirs=a,\\\n  b\n"), []string{"server.properties:3: log.dirs"}, property.ErrRange},
		{"properties escape", props(`a=\u12`), []string{"server.properties:1", "hexadecimal"}, errProperties},
		{"properties surrogate", props(`a=\ud800x`), []string{"surrogate"}, errProperties},
		{"properties name", props("=x"), []string{"without a name"}, errProperties},
		{"properties bytes", props("a=\xff"), []string{"not UTF-8"}, errProperties},
		{"too large", props(strings.Repeat("#", MaxFileBytes+1)), []string{"larger than"}, errTooLarge},
		{"yaml line", yaml("log:\n  retention:\n    ms: never\n"), []string{"varve.yaml:3: log.retention.ms", "not a duration"}, property.ErrSyntax},
		{"yaml twice", yaml("num.partitions: 1\nnum:\n  partitions: 2\n"), []string{"varve.yaml:3", "stands twice"}, errYAML},
		{"yaml null", yaml("num.partitions:\n"), []string{"has no value"}, errYAML},
		{"yaml list", yaml("- a\n"), []string{"not a map"}, errYAML},
		{"yaml alias", yaml("log.dirs: &a x\nlog.dir: *a\n"), []string{"alias"}, errYAML},
		{"yaml nested list", yaml("log.dirs: [[a]]\n"), []string{"not plain text"}, errYAML},
		{"yaml documents", yaml("node.id: 1\n---\nnode.id: 2\n"), []string{"more than one document"}, errYAML},
		{"yaml deep", yaml(strings.Repeat("{a: ", 20) + "1" + strings.Repeat("}", 20)), []string{"deeper than"}, errYAML},
		{"yaml key", yaml("? [a]\n: b\n"), []string{"a name must be"}, errYAML},
		{"yaml syntax", yaml("a: [\n"), []string{"varve.yaml"}, errYAML},
		{"overridden but wrong", Sources{Env: []string{"VARVE_NODE_ID=x"}, Set: []string{"node.id=2"}}, []string{"VARVE_NODE_ID"}, property.ErrSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _, err := Load(tt.src)
			if b != nil || !errors.Is(err, tt.kind) {
				t.Fatalf("Load() = %v, %v, want %v", b, err, tt.kind)
			}
			for _, part := range tt.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q shows a secret or is more than one line", err)
			}
		})
	}
}

func TestSecretsInURLsAreNotShown(t *testing.T) {
	for _, u := range []string{"s3://key:hunter2@bucket/x", "s3://key:hunter2@bu cket/%zz"} {
		_, _, err := Load(set("tier.url=" + u))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestAllRefusalsAreReportedAtOnce(t *testing.T) {
	_, _, err := Load(Sources{Env: []string{"VARVE_NODE_ID=x"}, Set: []string{"nope.nope=1", "num.partitions=0"}})
	for _, part := range []string{"node.id", "nope.nope", "num.partitions"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
}

func TestWrongFilesAreGivenUp(t *testing.T) {
	text := strings.Repeat("some.name.that.nothing.has=1\n", MaxFileBytes/30)
	_, _, err := Load(Sources{Properties: &File{"f", []byte(text)}})
	if err == nil || strings.Count(err.Error(), "\n") != problemsMax || !strings.Contains(err.Error(), "not looked at") {
		t.Errorf("%.2000v", err)
	}
}

func TestSourcesInOrder(t *testing.T) {
	src := Sources{
		YAML:       &File{"v.yaml", []byte("node.id: 1\nnum: {partitions: 1}\ngroup.max.size: 1\nfetch.max.bytes: 1MiB\nlog: {dirs: [/yaml]}\n")},
		Properties: &File{"s.properties", []byte("num.partitions=2\ngroup.max.size = 2\nfetch.max.bytes: 2097152\n")},
		Env:        []string{"VARVE_GROUP_MAX_SIZE=3", "VARVE_FETCH_MAX_BYTES=3MiB", "HOME=/x", "VARVE_PORT_9092_TCP=tcp://1:2", "VARVE_PORT=tcp://1", "VARVE_HTTP_SERVICE_HOST=1"},
		Set:        []string{"fetch.max.bytes=4MiB", "fetch.max.bytes=5MiB"},
	}
	b, warnings, err := Load(src)
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if b.NodeID != 1 || b.NumPartitions != 2 || b.GroupMaxSize != 3 || b.FetchMaxBytes != 5<<20 || b.LogDir != "/yaml" {
		t.Errorf("%d %d %d %d %s", b.NodeID, b.NumPartitions, b.GroupMaxSize, b.FetchMaxBytes, b.LogDir)
	}
}

func TestEnvNamesAreUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, p := range brokerTable.All() {
		env := EnvName(p.Name)
		if other := seen[env]; other != "" {
			t.Errorf("%s is the variable of %s and %s", env, other, p.Name)
		}
		seen[env] = p.Name
		if serviceEnv.MatchString(env) || env == updateEnv {
			t.Errorf("%s of %s would be ignored", env, p.Name)
		}
		entries, err := envEntries(Sources{Env: []string{env + "=v=w"}})
		if err != nil || len(entries) != 1 || entries[0].KV != (KV{p.Name, "v=w"}) {
			t.Errorf("%s reads as %v, %v", env, entries, err)
		}
	}
}

// Kafka's own example for one machine, as it is shipped, apart from comments.
const kafkaExample = `
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/var/lib/kafka
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`

func TestKafkasExampleLoads(t *testing.T) {
	b, warnings, err := Load(Sources{Properties: &File{"server.properties", []byte(kafkaExample)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Listeners) != 1 || !b.Listeners[0].Wildcard() || b.Advertised[0].Address() != "localhost:9092" {
		t.Errorf("listeners %v, advertised %v", b.Listeners, b.Advertised)
	}
	want := []string{"process.roles", "controller.quorum.bootstrap.servers", "num.network.threads", "listeners"}
	for _, name := range want {
		if !slices.ContainsFunc(warnings, func(w Warning) bool { return w.Name == name && w.Text != "" }) {
			t.Errorf("no warning about %s in %v", name, warnings)
		}
	}
	if w := warnings[0].String(); !strings.HasPrefix(w, "server.properties:2: process.roles: has no effect: ") {
		t.Errorf("the first warning is %q", w)
	}
}
