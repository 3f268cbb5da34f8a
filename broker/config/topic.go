package config

import (
	"math"
	"slices"
	"time"

	"github.com/varvelog/varve/internal/property"
)

// A KV is the name and the text of one setting.
type KV struct {
	Name, Value string
}

// Unlimited is the value of sizes that have no limit; of durations it is every
// negative value.
const Unlimited = -1

// A Topic is the settings that are in force for one topic, typed. Durations are
// negative for "unlimited" and the longest time.Duration for Kafka's greatest
// long; sizes are bytes and -1 for "unlimited". It is read-only.
type Topic struct {
	CleanupPolicy          []string // of "delete" and "compact"; empty: keep everything
	Retention              time.Duration
	RetentionBytes         int64
	SegmentBytes           int64
	SegmentAge             time.Duration // segment.ms
	SegmentJitter          time.Duration
	IndexIntervalBytes     int64
	DeleteRetention        time.Duration
	MinCompactionLag       time.Duration
	MaxCompactionLag       time.Duration
	MinCleanableDirtyRatio float64
	MaxMessageBytes        int64
	CompressionType        string // "producer", "uncompressed", "gzip", "snappy", "lz4" or "zstd"
	CompressionGzipLevel   int32  // -1: the codec's own default
	CompressionLz4Level    int32
	CompressionZstdLevel   int32
	TimestampType          string // "CreateTime" or "LogAppendTime"
	TimestampBeforeMax     time.Duration
	TimestampAfterMax      time.Duration
	MinInSyncReplicas      int32

	RemoteStorageEnable   bool
	LocalRetention        time.Duration // resolved: never -2, never beyond Retention
	LocalRetentionBytes   int64         // resolved likewise
	RemoteCopyDisable     bool
	RemoteDeleteOnDisable bool
	RemoteCopyLag         time.Duration
	RemoteCopyLagBytes    int64

	PluginChain       []string
	FetchFillerEnable bool
}

// Compacted reports whether the topic's cleanup policy includes compaction.
func (t *Topic) Compacted() bool { return slices.Contains(t.CleanupPolicy, "compact") }

// Deleted reports whether retention removes the topic's old segments.
func (t *Topic) Deleted() bool { return slices.Contains(t.CleanupPolicy, "delete") }

// EffectiveTopic returns the settings of a topic with the given overrides on a
// broker: an override, else the broker's default for topics, else Kafka's. Of
// two overrides of one name the later counts; unknown and malformed ones do not.
func EffectiveTopic(overrides []KV, b *Broker) Topic {
	return b.topic(parseOverrides(overrides))
}

// parseOverrides returns the values of those overrides that parse.
func parseOverrides(overrides []KV) map[string]property.Value {
	values := make(map[string]property.Value, len(overrides))
	for _, kv := range overrides {
		if v, err := topicTable.Parse(kv.Name, kv.Value); err == nil {
			values[kv.Name] = v
		}
	}
	return values
}

func (b *Broker) topic(overrides map[string]property.Value) Topic {
	var t Topic
	for i := range topicSettings {
		s := &topicSettings[i]
		if s.field == nil {
			continue
		}
		v, _ := b.resolve(&s.Property, overrides)
		assign(s.field(&t), v)
	}
	t.LocalRetention = localLimit(t.LocalRetention, t.Retention)
	t.LocalRetentionBytes = localLimit(t.LocalRetentionBytes, t.RetentionBytes)
	return t
}

// localLimit resolves a limit of the local log against that of the whole log:
// -2 (for a duration, -2 ms) stands for the whole, and no local limit exceeds it.
func localLimit[T ~int64](local, whole T) T {
	limited := func(v T) bool { return v >= 0 }
	if !limited(local) || (limited(whole) && local > whole) {
		return whole
	}
	return local
}

// resolve returns the value in force of a topic property, and its source.
func (b *Broker) resolve(p *property.Property, overrides map[string]property.Value) (property.Value, Source) {
	if v, ok := overrides[p.Name]; ok {
		return v, DynamicTopic
	}
	for _, syn := range p.Synonyms {
		if v, src, ok := b.explicit(syn.Name); ok {
			return scale(p, syn, v), src
		}
	}
	v, _ := p.Parse(p.Default) // NewTable has parsed it
	return v, Default
}

// explicit returns the value that a broker property was given, if any.
func (b *Broker) explicit(name string) (property.Value, Source, bool) {
	if v, ok := b.dynamic[name]; ok {
		return v, DynamicDefaultBroker, true
	}
	if v, ok := b.static[name]; ok {
		return v, StaticBroker, true
	}
	return property.Value{}, 0, false
}

// scale converts the value of a synonym to the units of the topic property.
// Negative values are words ("unlimited"), not amounts, and stay as they are.
func scale(p *property.Property, syn property.Synonym, v property.Value) property.Value {
	factor, n := syn.Factor(), v.Int64()
	switch {
	case factor == 1:
		return v
	case n < 0:
		return property.Number(p.Type, n)
	case n > math.MaxInt64/factor:
		return property.Number(p.Type, math.MaxInt64)
	}
	return property.Number(p.Type, n*factor)
}

// assign stores a value in a field. It reports whether the field's type suits;
// a test says so for every row.
func assign(field any, v property.Value) bool {
	switch f := field.(type) {
	case *bool:
		*f = v.Bool()
	case *int32:
		*f = int32(v.Int64())
	case *int64:
		*f = v.Int64()
	case *float64:
		*f = v.Float64()
	case *time.Duration:
		*f = v.Duration()
	case *string:
		*f = v.Text()
	case *[]string:
		*f = v.List()
	default:
		return false
	}
	return true
}
