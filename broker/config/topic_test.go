package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/property"
)

func load(t *testing.T, args ...string) *Broker {
	t.Helper()
	b, _, err := Load(set(args...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func kvs(args ...string) []KV {
	out := make([]KV, len(args))
	for i, arg := range args {
		out[i].Name, out[i].Value, _ = strings.Cut(arg, "=")
	}
	return out
}

func TestRetentionPrecedence(t *testing.T) {
	for _, tt := range []struct {
		name      string
		static    []string
		dynamic   []KV
		overrides []KV
		want      time.Duration
	}{
		{"default", nil, nil, nil, 168 * time.Hour},
		{"hours", []string{"log.retention.hours=2"}, nil, nil, 2 * time.Hour},
		{"minutes before hours", []string{"log.retention.hours=2", "log.retention.minutes=3"}, nil, nil, 3 * time.Minute},
		{"ms before minutes", []string{"log.retention.minutes=3", "log.retention.ms=4"}, nil, nil, 4 * time.Millisecond},
		{"hours for ever", []string{"log.retention.hours=-1"}, nil, nil, -time.Millisecond},
		{"dynamic", []string{"log.retention.ms=4"}, kvs("log.retention.ms=5"), nil, 5 * time.Millisecond},
		{"dynamic hours do not beat static ms", []string{"log.retention.ms=4"}, kvs("log.retention.hours=5"), nil, 4 * time.Millisecond},
		{"override", []string{"log.retention.ms=4"}, kvs("log.retention.ms=5"), kvs("retention.ms=1d"), 24 * time.Hour},
		{"malformed override", nil, nil, kvs("retention.ms=x", "nope=1"), 168 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _, err := load(t, tt.static...).WithDynamic(tt.dynamic)
			if err != nil {
				t.Fatal(err)
			}
			if got := EffectiveTopic(tt.overrides, b).Retention; got != tt.want {
				t.Errorf("retention is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLocalRetentionIsResolved(t *testing.T) {
	b := defaults(t)
	for _, tt := range []struct {
		overrides []KV
		ms        time.Duration
		bytes     int64
	}{
		{nil, 168 * time.Hour, -1},
		{kvs("retention.ms=10", "retention.bytes=20"), 10 * time.Millisecond, 20},
		{kvs("local.retention.ms=5", "local.retention.bytes=7"), 5 * time.Millisecond, 7},
		{kvs("retention.ms=10", "local.retention.ms=11", "retention.bytes=1", "local.retention.bytes=-1"), 10 * time.Millisecond, 1},
		{kvs("retention.ms=-1", "local.retention.ms=0"), 0, -1},
	} {
		got := EffectiveTopic(tt.overrides, b)
		if got.LocalRetention != tt.ms || got.LocalRetentionBytes != tt.bytes {
			t.Errorf("%v: %v and %d, want %v and %d", tt.overrides, got.LocalRetention, got.LocalRetentionBytes, tt.ms, tt.bytes)
		}
	}
}

func TestValidateTopic(t *testing.T) {
	b := defaults(t)
	tiered := func(more ...string) []KV { return kvs(append([]string{"remote.storage.enable=true"}, more...)...) }
	for _, tt := range []struct {
		name  string
		given []KV
		parts []string // none: accepted
	}{
		{"nothing", nil, nil},
		{"Streams", kvs("cleanup.policy=compact,delete", "segment.bytes=52428800", "retention.ms=-1", "flush.messages=1"), nil},
		{"compact", kvs("cleanup.policy=compact"), nil},
		{"neither", kvs("cleanup.policy="), nil},
		{"chain", kvs("plugin.chain=redact-email, validate-order"), nil},
		{"tiered", tiered("local.retention.ms=1h", "local.retention.bytes=1GiB"), nil},
		{"copy stopped", tiered("remote.log.copy.disable=true"), nil},
		{"local above total without tiering", kvs("local.retention.ms=30d"), nil},
		{"unknown", kvs("retention.m=1"), []string{`"retention.m"`, "did you mean retention.ms?"}},
		{"a broker's name", kvs("log.retention.hours=1"), []string{"the topic's is retention.ms"}},
		{"small segment", kvs("segment.bytes=1000"), []string{"segment.bytes", `"1000"`, "below the minimum"}},
		{"gzip level", kvs("compression.gzip.level=0"), []string{"from 1 to 9, or -1"}},
		{"ratio", kvs("min.cleanable.dirty.ratio=2"), []string{"from 0 to 1"}},
		{"case", kvs("compression.type=ZSTD"), []string{"must be written zstd"}},
		{"several", kvs("retention.ms=x", "segment.ms=0"), []string{"retention.ms", "segment.ms"}},
		{"stage", kvs("plugin.chain=a b"), []string{"plugin.chain", "characters"}},
		{"stage twice", kvs("plugin.chain=a,a"), []string{"stands twice"}},
		{"lags", kvs("min.compaction.lag.ms=2", "max.compaction.lag.ms=1"), []string{"above max.compaction.lag.ms"}},
		{"tiered and compacted", tiered("cleanup.policy=compact"), []string{"compacted topics are not tiered"}},
		{"local above total", tiered("local.retention.ms=8d"), []string{"local.retention.ms", "above retention.ms = 604800000"}},
		{"local for ever", tiered("local.retention.ms=-1"), []string{"above retention.ms"}},
		{"local bytes", tiered("retention.bytes=10", "local.retention.bytes=11"), []string{"above retention.bytes = 10"}},
		{"copy stopped, local shorter", tiered("remote.log.copy.disable=true", "local.retention.ms=1"), []string{"differs from retention.ms"}},
		{"copy lag", tiered("local.retention.ms=5", "remote.copy.lag.ms=6"), []string{"above local.retention.ms = 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateTopic(tt.given, b)
			if (err != nil) != (tt.parts != nil) || err != nil && !errors.Is(err, ErrInvalid) {
				t.Fatalf("ValidateTopic() = %v", err)
			}
			for _, part := range tt.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestTurningTieringOffAsksForTheDeletion(t *testing.T) {
	b, on := defaults(t), kvs("remote.storage.enable=true")
	if err := ValidateTopicChange(on, nil, b); !errors.Is(err, property.ErrConflict) {
		t.Errorf("turned off without a word: %v", err)
	}
	if err := ValidateTopicChange(on, kvs("remote.log.delete.on.disable=true"), b); err != nil {
		t.Error(err)
	}
	if err := ValidateTopicChange(nil, on, b); err != nil {
		t.Error(err)
	}
}

func TestWithDynamic(t *testing.T) {
	b := load(t, "listeners=PLAINTEXT://localhost:1", "log.dir=/d", "cluster.id=c", "broker.id=7")
	next, warnings, err := b.WithDynamic(kvs("num.partitions=9", "log.segment.bytes=2MiB", "leader.replication.throttled.rate=1"))
	if err != nil || len(warnings) != 1 {
		t.Fatal(warnings, err)
	}
	if next.NumPartitions != 9 || next.Topic.SegmentBytes != 2<<20 || b.NumPartitions != 1 || b.Topic.SegmentBytes != 1<<30 {
		t.Errorf("%d %d, before %d %d", next.NumPartitions, next.Topic.SegmentBytes, b.NumPartitions, b.Topic.SegmentBytes)
	}
	if next.LogDir != "/d" || next.NodeID != 7 || next.ClusterID != "c" || next.TierURL != "file:///d/tier" || len(next.Listeners) != 1 {
		t.Errorf("what is read at start was lost: %+v", next)
	}
	for _, tt := range []struct {
		kv   string
		kind error
	}{
		{"node.id=2", property.ErrReadOnly}, {"nope.x=2", property.ErrUnknown}, {"num.partitions=0", property.ErrRange},
		{"sasl.jaas.config=x", property.ErrRange}, {"log.cleaner.min.compaction.lag.ms=9223372036854775807", nil},
	} {
		if _, _, err := b.WithDynamic(kvs(tt.kv)); !errors.Is(err, tt.kind) {
			t.Errorf("%s: %v, want %v", tt.kv, err, tt.kind)
		}
	}
}

func TestDescribe(t *testing.T) {
	b, _, err := load(t, "log.retention.hours=2", "num.partitions=4").WithDynamic(kvs("log.retention.minutes=3"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(entries []Entry, name string) Entry {
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
		if i < 0 {
			t.Fatalf("%s is not described", name)
		}
		return entries[i]
	}
	topic := DescribeTopic(kvs("max.message.bytes=1MiB"), b)
	e := find(topic, "retention.ms")
	want := []SynonymEntry{
		{"log.retention.minutes", "3", false, DynamicDefaultBroker}, {"log.retention.hours", "2", false, StaticBroker}, {"log.retention.hours", "168", false, Default},
	}
	if e.Value != "180000" || e.Source != DynamicDefaultBroker || e.ReadOnly || e.KafkaType() != 5 || !slices.Equal(e.Synonyms, want) {
		t.Errorf("retention.ms is %+v", e)
	}
	e = find(topic, "max.message.bytes")
	want = []SynonymEntry{{"max.message.bytes", "1048576", false, DynamicTopic}, {"message.max.bytes", "1048588", false, Default}}
	if e.Value != "1048576" || e.Source != DynamicTopic || e.KafkaType() != 3 || !slices.Equal(e.Synonyms, want) {
		t.Errorf("max.message.bytes is %+v", e)
	}
	if e = find(topic, "plugin.chain"); e.Source != Default || e.Value != "" || e.Null || e.KafkaType() != 7 {
		t.Errorf("plugin.chain is %+v", e)
	}
	broker := DescribeBroker(b)
	if e = find(broker, "num.partitions"); e.Value != "4" || e.Source != StaticBroker || e.ReadOnly {
		t.Errorf("num.partitions is %+v", e)
	}
	if e = find(broker, "node.id"); e.Source != Default || !e.ReadOnly {
		t.Errorf("node.id is %+v", e)
	}
	if e = find(broker, "log.retention.ms"); !e.Null || e.Value != "" {
		t.Errorf("log.retention.ms is %+v", e)
	}
	if len(topic) != len(topicSettings) || len(broker) != len(settings) {
		t.Errorf("%d and %d settings described, of %d and %d", len(topic), len(broker), len(topicSettings), len(settings))
	}
}
