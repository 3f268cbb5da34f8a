package config

import (
	"errors"
	"slices"
	"testing"

	"github.com/varvelog/varve/internal/property"
)

// FuzzSettings gives any text to any setting of a broker or a topic. It is
// refused with a remedy wherever it may come from, or taken, and then its
// canonical text is taken as the same value.
func FuzzSettings(f *testing.F) {
	props := slices.Concat(brokerTable.All(), topicTable.All())
	for i, p := range props {
		f.Add(uint16(i), p.Default)
	}
	for _, text := range []string{"", "-1", "9223372036854775808", "1GiB", "1h", "a,b", "file:///x", "delete,compact", "\x00", "1e9", "true "} {
		f.Add(uint16(7), text)
	}
	f.Fuzz(func(t *testing.T, index uint16, text string) {
		i := int(index) % len(props)
		p, ofTopic := props[i], i >= len(brokerTable.All())
		v, err := p.Parse(text)
		var refused *property.Error
		switch {
		case err != nil && (!errors.As(err, &refused) || refused.Remedy == ""):
			t.Fatalf("%s=%q: %v", p.Name, text, err)
		case err == nil && p.Type != property.Password:
			if again, err := p.Parse(v.String()); err != nil || again.String() != v.String() {
				t.Fatalf("%s=%q is %q, and that is %q, %v", p.Name, text, v.String(), again.String(), err)
			}
		}
		b := defaults(t)
		if ofTopic {
			kv := []KV{{Name: p.Name, Value: text}}
			if ValidateTopic(kv, b) == nil && err != nil {
				t.Fatalf("%s=%q is taken for a topic, and does not parse: %v", p.Name, text, err)
			}
			_ = EffectiveTopic(kv, b)
			return
		}
		src := set(p.Name + "=" + text)
		if _, _, loadErr := Load(src); loadErr == nil && err != nil {
			t.Fatalf("%s=%q is loaded, and does not parse: %v", p.Name, text, err)
		}
		loads(t, src)
	})
}
