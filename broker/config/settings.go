package config

import (
	"maps"
	"strings"
	"time"

	"github.com/varvelog/varve/internal/property"
)

// A Broker is the settings of one broker, typed. Sizes are in bytes; whatever
// Load returned is within its bounds. It is read-only.
type Broker struct {
	// Topic holds what a topic without overrides gets.
	Topic Topic
	// Listeners and Advertised have the same names in the same order. An
	// advertised port 0 stands for the port that the listener is given.
	Listeners, Advertised []Listener

	NodeID                   int32
	ClusterID                string // empty: made at the first start
	Rack                     string
	LogDir                   string // the one data directory
	HTTPListen               string // host:port
	TierURL                  string // resolved, never empty
	NumPartitions            int32
	DefaultReplicationFactor int32
	AutoCreateTopics         bool
	DeleteTopics             bool

	SocketRequestMaxBytes  int64
	MaxConnections         int32
	MaxConnectionsPerIP    int32
	ConnectionsMaxIdle     time.Duration // negative: never
	FetchMaxBytes          int64
	FetchSessionSlots      int32
	MemoryRequestBytes     int64
	MemoryResponseBytes    int64
	DecompressedMaxBytes   int64
	PartitionQueueBytes    int64
	RetentionCheckInterval time.Duration
	ProducerIDExpiration   time.Duration

	GroupMinSessionTimeout     time.Duration
	GroupMaxSessionTimeout     time.Duration
	GroupInitialRebalanceDelay time.Duration
	GroupMaxSize               int32
	OffsetMetadataMaxBytes     int64
	OffsetsTopicPartitions     int32
	OffsetsTopicReplication    int32
	OffsetsTopicSegmentBytes   int64
	OffsetsRetentionMinutes    int32
	OffsetsRetentionCheck      time.Duration
	OffsetsCommitTimeout       time.Duration
	TransactionMaxTimeout      time.Duration
	TransactionalIDExpiration  time.Duration
	TransactionPartitions      int32
	TransactionReplication     int32
	TransactionSegmentBytes    int64

	RemoteFetchMaxWait       time.Duration
	RemoteListOffsetsTimeout time.Duration
	RemoteTaskInterval       time.Duration
	RemoteCopyBytesPerSec    int64
	RemoteFetchBytesPerSec   int64
	RemoteCopierThreads      int32
	RemoteReaderThreads      int32
	RemoteReaderPendingMax   int32
	TierDeleteDelay          time.Duration
	TierCacheBytes           int64
	TierReadMemoryBytes      int64
	TierVerify               string

	WALBytesMax      int64
	WALFileBytes     int64
	TailCacheBytes   int64
	DiskReserveBytes int64
	// DiskFailureAction is "serve" or "exit".
	DiskFailureAction string
	CheckpointSync    string
	LogFormat         string // "text" or "json"
	LogLevel          string // "debug", "info", "warn" or "error"
	MetricsSeriesMax  int32

	// Texts that finish turns into the fields above.
	listeners, advertised, protocolMap string
	logDirs                            []string
	logDirOld                          string
	brokerID                           int32

	static  map[string]property.Value // what the sources set
	dynamic map[string]property.Value // what was altered while running
}

// A setting is a broker property and the field of Broker that it fills; the
// field is nil for the defaults of topics, which Broker.Topic shows.
type setting struct {
	property.Property
	section string
	field   func(*Broker) any
}

// Sections of the reference page, in its order.
const (
	sectionBroker  = "Broker"
	sectionNetwork = "Network and memory"
	sectionTopics  = "Defaults of topics"
	sectionLog     = "Log"
	sectionGroups  = "Groups and transactions"
	sectionTier    = "Cold tier"
	sectionOwn     = "Write-ahead log, caches and logging"
)

var settings = func() []setting {
	all := topicDefaults()
	for _, part := range []struct {
		section string
		rows    []setting
	}{
		{sectionBroker, brokerSettings}, {sectionNetwork, networkSettings}, {sectionLog, logSettings},
		{sectionGroups, groupSettings}, {sectionTier, tierSettings}, {sectionOwn, ownSettings},
	} {
		for _, s := range part.rows {
			s.section, s.Since = part.section, "0.1"
			all = append(all, s)
		}
	}
	return all
}()

var brokerTable = func() *property.Table {
	props := make([]property.Property, len(settings))
	for i := range settings {
		props[i] = settings[i].Property
	}
	return property.MustTable(props...)
}()

// parseBroker parses one broker setting. A topic's name is answered with that of
// the broker's default.
func parseBroker(name, text string) (property.Value, error) {
	if brokerTable.Lookup(name) == nil {
		e := brokerTable.Unknown(name)
		if p := topicTable.Lookup(name); p != nil {
			e.Remedy = "that is a topic's setting and has no default to set here"
			if len(p.Synonyms) > 0 {
				e.Remedy = "that is a topic's setting, the default for topics is " + p.Synonyms[0].Name
			}
		}
		return property.Value{}, e
	}
	return brokerTable.Parse(name, text)
}

// value returns the value in force of a broker property, whether it has one, and
// its source.
func (b *Broker) value(p *property.Property) (property.Value, Source, bool) {
	if v, src, ok := b.explicit(p.Name); ok {
		return v, src, true
	}
	if p.Unset {
		return property.Value{}, Default, false
	}
	v, err := p.Parse(p.Default)
	return v, Default, err == nil
}

// newBroker returns the Broker that the values make.
func newBroker(static, dynamic map[string]property.Value) *Broker {
	b := &Broker{static: static, dynamic: dynamic}
	for i := range settings {
		s := &settings[i]
		if s.field == nil {
			continue
		}
		if v, _, ok := b.value(&s.Property); ok {
			assign(s.field(b), v)
		}
	}
	b.Topic = b.topic(nil)
	return b
}

// WithDynamic returns the broker with the settings that were altered while the
// cluster runs, in place of any earlier ones. The error joins one
// *property.Error per refused setting: unknown, out of bounds, or read at start
// only. It is what AlterConfigs of a broker resource asks. Names of Kafka's that
// do not apply, which its tools set, give a warning each.
func (b *Broker) WithDynamic(kvs []KV) (*Broker, []Warning, error) {
	dynamic := map[string]property.Value{}
	var bad problems
	var warnings []Warning
	for _, kv := range kvs {
		if known, why, err := kafkaName(kv); known && brokerTable.Lookup(kv.Name) == nil {
			if err != nil {
				bad.add("", err)
			}
			warnings = append(warnings, Warning{"", kv.Name, "has no effect: " + why})
			continue
		}
		v, err := parseBroker(kv.Name, kv.Value)
		if err != nil {
			bad.add("", err)
			continue
		}
		if p := brokerTable.Lookup(kv.Name); p.ReadOnly() {
			bad.add("", &property.Error{
				Kind: property.ErrReadOnly, Name: kv.Name, Value: v.String(), Reason: "read at start only",
				Remedy: "set it in the broker's configuration file and restart the broker",
			})
			continue
		}
		dynamic[kv.Name] = v
	}
	if err := bad.err(); err != nil {
		return nil, warnings, err
	}
	next := newBroker(maps.Clone(b.static), dynamic)
	next.Listeners, next.Advertised = b.Listeners, b.Advertised
	next.ClusterID, next.LogDir, next.TierURL, next.NodeID = b.ClusterID, b.LogDir, b.TierURL, b.NodeID
	for _, err := range append(next.compare(), next.crossChecks(nil)...) {
		bad.add("", err)
	}
	if err := bad.err(); err != nil {
		return nil, warnings, err
	}
	return next, warnings, nil
}

// topicDefaults returns the broker settings that are the synonyms of topic
// settings, in the order of the topic settings.
func topicDefaults() []setting {
	var out []setting
	for i := range topicSettings {
		p := &topicSettings[i].Property
		for at, syn := range p.Synonyms {
			out = append(out, setting{Property: topicDefault(p, syn, at), section: sectionTopics})
		}
	}
	return out
}

// topicDefault derives the broker setting that gives a topic setting its
// default. Where there are several, the last one carries Kafka's default and
// those before it are unset.
func topicDefault(p *property.Property, syn property.Synonym, at int) property.Property {
	d := *p
	d.Name, d.Synonyms, d.Scope = syn.Name, nil, property.DynamicBroker
	if factor := syn.Factor(); factor > 1 {
		scaled, _ := p.Parse(p.Default)
		d.Type, d.Default = property.Int, property.Number(property.Int, scaled.Int64()/factor).String()
		d.Bounds = property.AtLeast(max(0, (p.Bounds.Min+factor-1)/factor))
		if p.Bounds.Min < 0 {
			d.Bounds, d.Also = property.AtLeast(1), []int64{-1}
		}
	}
	last := len(p.Synonyms) - 1
	if at < last {
		d.Unset, d.Default = true, ""
	}
	d.Doc = "Default of the topic setting `" + p.Name + "`."
	if p.NoEffect {
		d.Doc += " " + strings.TrimSpace(inertDoc)
	}
	switch {
	case at < last:
		d.Doc += " Unset: `" + p.Synonyms[at+1].Name + "` counts."
	case at > 0:
		d.Doc += " `" + p.Synonyms[0].Name + "` goes before it."
	}
	return d
}
