package metadata

import (
	"fmt"
	"slices"
	"strings"
)

// editConfigs returns the settings after set and remove, and whether they
// differ from before; have itself stays as it is. A name may stand only once in
// set and remove together. Removing what is not set is no error.
func editConfigs(have Configs, set []KV, remove []string) (Configs, bool, error) {
	edits := make([]string, 0, len(set)+len(remove))
	for _, kv := range set {
		if len(kv.Value) > MaxConfigValue {
			return nil, false, fmt.Errorf("%w: value of %.260q has %d bytes", ErrLimit, kv.Name, len(kv.Value))
		}
		edits = append(edits, kv.Name)
	}
	edits = append(edits, remove...)
	slices.Sort(edits)
	for i, name := range edits {
		if name == "" || len(name) > MaxName || i > 0 && name == edits[i-1] {
			return nil, false, fmt.Errorf("%w: name %.260q is empty, too long or stands twice", ErrInvalidConfig, name)
		}
	}
	next := make(Configs, 0, len(have)+len(set))
	for _, kv := range have {
		if _, edited := slices.BinarySearch(edits, kv.Name); !edited {
			next = append(next, kv)
		}
	}
	next = append(next, set...)
	slices.SortFunc(next, func(a, b KV) int { return strings.Compare(a.Name, b.Name) })
	if slices.Equal(next, have) {
		return have, false, nil
	}
	if err := next.check(); err != nil {
		return nil, false, err
	}
	return next, true, nil
}

// check returns ErrLimit if there are too many settings, or too many bytes.
func (c Configs) check() error {
	size := 0
	for _, kv := range c {
		size += len(kv.Name) + len(kv.Value)
	}
	if len(c) > MaxConfigs || size > MaxConfigBytes {
		return fmt.Errorf("%w: %d settings of %d bytes", ErrLimit, len(c), size)
	}
	return nil
}

func (c SetTopicConfigs) apply(ch *change) error {
	t, ok := ch.next.byID.get(c.TopicID)
	if !ok {
		return fmt.Errorf("set topic configs: %w: %v", ErrUnknownTopic, c.TopicID)
	}
	if err := conflict(c, t.Version); err != nil {
		return fmt.Errorf("set configs of topic %s: %w", t.Name, err)
	}
	configs, changed, err := editConfigs(t.Configs, c.Set, c.Remove)
	if err != nil {
		return fmt.Errorf("set configs of topic %s: %w", t.Name, err)
	}
	ch.result.Topic = t
	if !changed {
		return nil
	}
	next := *t
	next.Configs, next.Version, next.chain = configs, ch.index, parseChain(configs)
	rechained := !slices.Equal(next.chain, t.chain)
	if rechained {
		next.ChainGeneration = ch.index
	}
	ch.putTopic(&next)
	ch.emit(TopicConfigsChanged{Topic: &next})
	if rechained {
		ch.emit(ChainChanged{Topic: &next})
	}
	return nil
}

func (c SetBrokerConfigs) apply(ch *change) error {
	if err := conflict(c, ch.next.configsVersion); err != nil {
		return fmt.Errorf("set broker configs: %w", err)
	}
	configs, changed, err := editConfigs(ch.next.configs, c.Set, c.Remove)
	if err != nil {
		return fmt.Errorf("set broker configs: %w", err)
	}
	if changed {
		ch.next.configs, ch.next.configsVersion = configs, ch.index
		ch.emit(BrokerConfigsChanged{Configs: configs})
	}
	return nil
}
