package config

import (
	"math"

	"github.com/varvelog/varve/internal/property"
)

// Source says where the value of a setting comes from. The numbers are those of
// DescribeConfigs.
type Source int8

// The sources.
const (
	DynamicTopic         Source = 1 // DYNAMIC_TOPIC_CONFIG
	DynamicDefaultBroker Source = 3 // DYNAMIC_DEFAULT_BROKER_CONFIG
	StaticBroker         Source = 4 // STATIC_BROKER_CONFIG
	Default              Source = 5 // DEFAULT_CONFIG
)

// An Entry describes one setting, as DescribeConfigs shows it.
type Entry struct {
	Name      string
	Value     string // canonical; of no meaning if Null
	Null      bool   // the setting has no value, or one that is not shown
	Source    Source
	Sensitive bool
	ReadOnly  bool
	Type      property.Type
	Wide      bool // a whole number that needs 64 bits
	Doc       string
	Synonyms  []SynonymEntry // by precedence, the one in force first
}

// A SynonymEntry is one of the settings that a value can come from.
type SynonymEntry struct {
	Name   string
	Value  string
	Null   bool
	Source Source
}

// KafkaType returns the number that DescribeConfigs v3 has for the type.
func (e *Entry) KafkaType() int8 {
	switch e.Type {
	case property.Bool:
		return 1
	case property.Double:
		return 6
	case property.List:
		return 7
	case property.Password:
		return 9
	case property.String, property.Enum:
		return 2
	}
	if e.Wide {
		return 5
	}
	return 3
}

// DescribeTopic describes every topic setting, sorted by name, for a topic with
// the given overrides.
func DescribeTopic(overrides []KV, b *Broker) []Entry {
	given := parseOverrides(overrides)
	props := topicTable.All()
	out := make([]Entry, 0, len(props))
	for i := range props {
		p := &props[i]
		v, src := b.resolve(p, given)
		e := newEntry(p, v, src, true)
		if v, ok := given[p.Name]; ok {
			e.Synonyms = append(e.Synonyms, synonymEntry(p, v, DynamicTopic))
		}
		for _, syn := range p.Synonyms {
			e.Synonyms = b.appendSynonyms(e.Synonyms, brokerTable.Lookup(syn.Name))
		}
		if len(p.Synonyms) == 0 {
			v, _ := p.Parse(p.Default)
			e.Synonyms = append(e.Synonyms, synonymEntry(p, v, Default))
		}
		out = append(out, e)
	}
	return out
}

// DescribeBroker describes every broker setting, sorted by name.
func DescribeBroker(b *Broker) []Entry {
	props := brokerTable.All()
	out := make([]Entry, 0, len(props))
	for i := range props {
		p := &props[i]
		v, src, ok := b.value(p)
		e := newEntry(p, v, src, ok)
		e.Synonyms = b.appendSynonyms(nil, p)
		out = append(out, e)
	}
	return out
}

func newEntry(p *property.Property, v property.Value, src Source, has bool) Entry {
	e := Entry{
		Name: p.Name, Source: src, Sensitive: p.Sensitive(), ReadOnly: p.ReadOnly(),
		Type: p.Type, Wide: p.MaxInt() > math.MaxInt32, Doc: p.Doc, Null: !has || p.Sensitive(),
	}
	if !e.Null {
		e.Value = v.String()
	}
	return e
}

func synonymEntry(p *property.Property, v property.Value, src Source) SynonymEntry {
	if p.Sensitive() {
		return SynonymEntry{Name: p.Name, Null: true, Source: src}
	}
	return SynonymEntry{Name: p.Name, Value: v.String(), Source: src}
}

// appendSynonyms appends the values that a broker property has at each source.
func (b *Broker) appendSynonyms(out []SynonymEntry, p *property.Property) []SynonymEntry {
	if v, ok := b.dynamic[p.Name]; ok {
		out = append(out, synonymEntry(p, v, DynamicDefaultBroker))
	}
	if v, ok := b.static[p.Name]; ok {
		out = append(out, synonymEntry(p, v, StaticBroker))
	}
	if !p.Unset {
		v, _ := p.Parse(p.Default)
		out = append(out, synonymEntry(p, v, Default))
	}
	return out
}
