package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/varvelog/varve/internal/property"
)

// ErrInvalid is what every refused setting is, at start, in CreateTopics and in
// AlterConfigs (Kafka's INVALID_CONFIG). The error's text names the setting, the
// value, what is allowed and what to do.
var ErrInvalid = property.ErrInvalid

// ValidateTopic judges all the settings that a topic is to have. The error joins
// one *property.Error per refused setting and is ErrInvalid. The broker's
// defaults count where settings are compared with each other.
func ValidateTopic(overrides []KV, b *Broker) error {
	var errs []error
	for _, kv := range overrides {
		if _, err := parseTopic(kv.Name, kv.Value); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return errors.Join(b.crossChecks(parseOverrides(overrides))...)
}

// ValidateTopicChange judges a change of a topic's settings from before to
// after: what ValidateTopic does, and that no remote data becomes unreachable
// without being asked for (KIP-950).
func ValidateTopicChange(before, after []KV, b *Broker) error {
	if err := ValidateTopic(after, b); err != nil {
		return err
	}
	was, will := EffectiveTopic(before, b), EffectiveTopic(after, b)
	if was.RemoteStorageEnable && !will.RemoteStorageEnable && !will.RemoteDeleteOnDisable {
		return topicTable.Lookup("remote.storage.enable").Conflict("false",
			"the topic's remote data would become unreachable",
			"set remote.log.delete.on.disable=true as well to delete it, or remote.log.copy.disable=true instead to keep it readable")
	}
	return nil
}

// parseTopic parses one topic setting. A broker's name is answered with the
// topic's.
func parseTopic(name, text string) (property.Value, error) {
	if topicTable.Lookup(name) == nil {
		e := topicTable.Unknown(name)
		if topicName := topicOfSynonym[name]; topicName != "" {
			e.Remedy = "that is the name of the broker's default, the topic's is " + topicName
		}
		return property.Value{}, e
	}
	return topicTable.Parse(name, text)
}

// topicOfSynonym maps the names of broker defaults to those of their topic
// settings.
var topicOfSynonym = func() map[string]string {
	out := map[string]string{}
	for i := range topicSettings {
		for _, syn := range topicSettings[i].Synonyms {
			out[syn.Name] = topicSettings[i].Name
		}
	}
	return out
}()

// crossChecks compares the settings in force with each other. The rules about
// the cold tier hold only for topics that use it, as Kafka has it.
func (b *Broker) crossChecks(overrides map[string]property.Value) []error {
	t := b.topic(overrides)
	var errs []error
	refuse := func(name, reason, remedy string) {
		p := topicTable.Lookup(name)
		v, _ := b.resolve(p, overrides)
		errs = append(errs, p.Conflict(v.String(), reason, remedy))
	}
	if t.MinCompactionLag > t.MaxCompactionLag {
		refuse("min.compaction.lag.ms", "above max.compaction.lag.ms", "lower it or raise max.compaction.lag.ms")
	}
	if !t.RemoteStorageEnable {
		return errs
	}
	if t.Compacted() {
		refuse("remote.storage.enable", "compacted topics are not tiered", "set cleanup.policy=delete or remote.storage.enable=false")
	}
	number := func(name string) int64 {
		v, _ := b.resolve(topicTable.Lookup(name), overrides)
		return v.Int64()
	}
	for _, unit := range []string{"ms", "bytes"} {
		total, local, lag := number("retention."+unit), number("local.retention."+unit), number("remote.copy.lag."+unit)
		if local == -2 {
			local = total
		}
		beyond := total >= 0 && (local < 0 || local > total)
		switch {
		case beyond:
			refuse("local.retention."+unit, fmt.Sprintf("above retention.%s = %d", unit, total),
				fmt.Sprintf("lower it, raise retention.%s, or set it to -2 to follow retention.%s", unit, unit))
		case t.RemoteCopyDisable && local != total:
			refuse("local.retention."+unit, fmt.Sprintf("differs from retention.%s = %d while remote.log.copy.disable is true", unit, total),
				"set it to -2: what is no longer copied must not leave the disk earlier")
		}
		if lag > 0 && local >= 0 && lag > local {
			refuse("remote.copy.lag."+unit, fmt.Sprintf("above local.retention.%s = %d", unit, local),
				fmt.Sprintf("lower it or raise local.retention.%s", unit))
		}
	}
	return errs
}

// checkChain judges the stage names of a chain; whether they exist is for the
// metadata to say.
func checkChain(v property.Value) error {
	for _, name := range v.List() {
		if len(name) > 128 {
			return errors.New("a stage's name is longer than 128 bytes")
		}
		if strings.ContainsFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/@", r))
		}) {
			return fmt.Errorf("stage %.130q has characters other than letters, digits and ._-/@", name)
		}
	}
	return nil
}
