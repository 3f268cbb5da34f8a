package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
)

type alterConfig = kmsg.IncrementalAlterConfigsRequestResourceConfig

// fixedConfigs cannot be altered on a topic of the broker's own, which relies
// on them.
var fixedConfigs = []string{"cleanup.policy", "remote.storage.enable", metadata.ChainConfig}

// alter judges a resource's changes against an image and returns the command
// that makes them, on the condition that the resource is still as it was there.
func (h *Handlers) alter(img *metadata.Image, r *alterResource) (metadata.Command, error) {
	switch {
	case r.ResourceType == kmsg.ConfigResourceTypeTopic:
		return h.alterTopic(img, r)
	case r.ResourceType != kmsg.ConfigResourceTypeBroker:
		return nil, refuseResource(r.ResourceType)
	case r.ResourceName != "":
		return nil, refuse(kerr.InvalidRequest, "settings of a single broker are in its configuration file; those of all brokers are altered under the empty name (--entity-default)")
	}
	return h.alterBrokers(img, r)
}

func (h *Handlers) alterTopic(img *metadata.Image, r *alterResource) (metadata.Command, error) {
	t, err := findTopic(img, r.ResourceName)
	if err != nil {
		return nil, err
	}
	if t.Internal || reservedTopic(t.Name) {
		for i := range r.Configs {
			if name := r.Configs[i].Name; slices.Contains(fixedConfigs, name) {
				return nil, refuse(kerr.InvalidConfig, "%s of internal topic %s belongs to the broker", name, t.Name)
			}
		}
	}
	b := h.dynamicBroker(img)
	before := overrides(t.Configs)
	e, err := newEdit(t.Configs, config.DescribeTopic(before, b), r.Configs)
	if err != nil {
		return nil, err
	}
	after := overrides(e.after)
	if err := config.ValidateTopicChange(before, after, b); err != nil {
		return nil, err
	}
	if e.touches(metadata.ChainConfig) {
		cfg := config.EffectiveTopic(after, b)
		if err := checkChain(img, cfg.PluginChain); err != nil {
			return nil, err
		}
	}
	return metadata.SetTopicConfigs{ExpectVersion: img.Version(), TopicID: t.ID, Set: e.set, Remove: e.remove}, nil
}

func (h *Handlers) alterBrokers(img *metadata.Image, r *alterResource) (metadata.Command, error) {
	e, err := newEdit(img.BrokerConfigs(), config.DescribeBroker(h.dynamicBroker(img)), r.Configs)
	if err != nil {
		return nil, err
	}
	if _, _, err := h.b.Config().WithDynamic(overrides(e.after)); err != nil {
		return nil, err
	}
	return metadata.SetBrokerConfigs{ExpectVersion: img.Version(), Set: e.set, Remove: e.remove}, nil
}

// edit is a change of a set of settings.
type edit struct {
	set    []metadata.KV
	remove []string
	after  metadata.Configs // all settings then, in no order
}

func (e *edit) touches(name string) bool {
	return slices.Contains(e.remove, name) || slices.ContainsFunc(e.set, func(kv metadata.KV) bool { return kv.Name == name })
}

// newEdit turns the operations of a request into an edit of the settings that a
// resource has. Entries describe all settings that it may have, and say what is
// in force. Values that are set are not judged here.
func newEdit(have metadata.Configs, entries []config.Entry, ops []alterConfig) (*edit, error) {
	if len(ops) > metadata.MaxConfigs {
		return nil, refuse(kerr.InvalidRequest, "%d settings, at most %d", len(ops), metadata.MaxConfigs)
	}
	_, again := distinct(ops, func(o *alterConfig) string { return o.Name })
	e := &edit{}
	for i := range ops {
		o := &ops[i]
		if again[o.Name] {
			return nil, refuse(kerr.InvalidRequest, "setting %.130q stands twice in the request", o.Name)
		}
		if o.Op != kmsg.IncrementalAlterConfigOpDelete && o.Value == nil {
			return nil, refuse(kerr.InvalidRequest, "setting %.130q has no value", o.Name)
		}
		if err := e.take(have, entries, o); err != nil {
			return nil, err
		}
	}
	for _, kv := range have {
		if !e.touches(kv.Name) {
			e.after = append(e.after, kv)
		}
	}
	e.after = append(e.after, e.set...)
	return e, nil
}

// take adds one operation.
func (e *edit) take(have metadata.Configs, entries []config.Entry, o *alterConfig) error {
	at := slices.IndexFunc(entries, func(e config.Entry) bool { return e.Name == o.Name })
	switch o.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		e.set = append(e.set, metadata.KV{Name: o.Name, Value: *o.Value})
		return nil
	case kmsg.IncrementalAlterConfigOpDelete:
		switch _, set := have.Get(o.Name); {
		case set: // also one that no setting has any more
		case at < 0:
			return refuse(kerr.InvalidConfig, "unknown setting %.130q", o.Name)
		case entries[at].ReadOnly:
			return refuse(kerr.InvalidConfig, "%s is read at start only; change it in the broker's configuration file", o.Name)
		}
		e.remove = append(e.remove, o.Name)
		return nil
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
	default:
		return refuse(kerr.InvalidRequest, "unknown operation %d on setting %.130q", int8(o.Op), o.Name)
	}
	switch {
	case at < 0:
		return refuse(kerr.InvalidConfig, "unknown setting %.130q", o.Name)
	case kmsg.ConfigType(entries[at].KafkaType()) != kmsg.ConfigTypeList:
		return refuse(kerr.InvalidConfig, "%s is not a list: nothing can be appended to it or subtracted from it", o.Name)
	}
	if n := strings.Count(*o.Value, ","); n >= listItemsMax {
		return refuse(kerr.InvalidConfig, "%s: %d items, at most %d", o.Name, n+1, listItemsMax)
	}
	e.set = append(e.set, metadata.KV{Name: o.Name, Value: editList(entries[at].Value, o)})
	return nil
}

// listItemsMax bounds the items that one operation appends or subtracts.
const listItemsMax = 4096

// editList appends items to the list in force, those that it does not have, or
// subtracts them from it.
func editList(inForce string, o *alterConfig) string {
	list := listItems(inForce)
	for _, item := range listItems(*o.Value) {
		i := slices.Index(list, item)
		switch {
		case o.Op == kmsg.IncrementalAlterConfigOpSubtract && i >= 0:
			list = slices.Delete(list, i, i+1)
		case o.Op == kmsg.IncrementalAlterConfigOpAppend && i < 0:
			list = append(list, item)
		}
	}
	return strings.Join(list, ",")
}

// listItems returns the items of a comma-separated list.
func listItems(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
