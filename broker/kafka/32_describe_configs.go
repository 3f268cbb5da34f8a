package kafka

// DescribeConfigs, versions 1 to 4 (KIP-133).
//
//	1  source of a value instead of "is default", synonyms (KIP-226)
//	2  throttle time after the answer
//	3  types and documentation (KIP-569)
//	4  flexible (KIP-482)
//
// Gaps: topics and brokers are described, the latter by their own id (all
// settings) or by the empty name (what was altered for all brokers). Broker
// loggers (KIP-412), client metrics (KIP-714) and groups (KIP-848) have no
// settings here and are refused with INVALID_REQUEST. What does not fit into
// about 32 MiB is refused with POLICY_VIOLATION.

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
)

// describedBytesMax bounds the settings in one answer: a few bytes of a request
// ask for some kilobytes.
const describedBytesMax = 32 << 20

// resourceName names one thing that has settings.
type resourceName struct {
	kind kmsg.ConfigResourceType
	name string
}

func describeConfigs(h *Handlers, c *Call, q *kmsg.DescribeConfigsRequest) {
	// Many topics take a while; other connections' requests must not wait.
	h.b.Run(func() { c.Respond(h.describe(q, describedBytesMax)) })
}

// describe answers a request with settings of about bytesMax, and one resource
// more.
func (h *Handlers) describe(q *kmsg.DescribeConfigsRequest, bytesMax int) *kmsg.DescribeConfigsResponse {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	img := h.b.Image()
	b := h.dynamicBroker(img)
	gate, room := h.gate(), bytesMax
	resources, _ := distinct(q.Resources, func(r *kmsg.DescribeConfigsRequestResource) resourceName {
		return resourceName{r.ResourceType, r.ResourceName}
	})
	resp.Resources = make([]kmsg.DescribeConfigsResponseResource, len(resources))
	for i, r := range resources {
		a := &resp.Resources[i]
		a.ResourceType, a.ResourceName = r.ResourceType, r.ResourceName
		err := gate
		if err == nil && room <= 0 {
			err = refuse(kerr.PolicyViolation, "the answer exceeds %d bytes; describe fewer resources at once", bytesMax)
		}
		var entries []config.Entry
		if err == nil {
			entries, err = h.entriesOf(img, b, r)
		}
		a.ErrorCode, a.ErrorMessage = h.verdict(err)
		for j := range entries {
			e := &entries[j]
			if len(r.ConfigNames) > 0 && !slices.Contains(r.ConfigNames, e.Name) {
				continue
			}
			s := describeEntry(e, q)
			room -= entryBytes(&s)
			a.Configs = append(a.Configs, s)
		}
	}
	return resp
}

// entriesOf returns the settings of a resource.
func (h *Handlers) entriesOf(img *metadata.Image, b *config.Broker, r *kmsg.DescribeConfigsRequestResource) ([]config.Entry, error) {
	switch r.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t, err := findTopic(img, r.ResourceName)
		if err != nil {
			return nil, err
		}
		return config.DescribeTopic(overrides(t.Configs), b), nil
	case kmsg.ConfigResourceTypeBroker:
		if r.ResourceName == "" {
			return slices.DeleteFunc(config.DescribeBroker(b), func(e config.Entry) bool {
				return e.Source != config.DynamicDefaultBroker
			}), nil
		}
		if own := strconv.Itoa(int(h.b.NodeID())); r.ResourceName != own {
			return nil, refuse(kerr.InvalidRequest, "broker %.20q is not this one; ask broker %s for its own settings, or any broker for those of the empty name", r.ResourceName, own)
		}
		return config.DescribeBroker(b), nil
	}
	return nil, refuseResource(r.ResourceType)
}

// refuseResource returns the error of a resource that has no settings here.
func refuseResource(t kmsg.ConfigResourceType) error {
	switch t {
	case kmsg.ConfigResourceTypeBrokerLogger:
		return refuse(kerr.InvalidRequest, "loggers have no levels of their own here; the broker's setting log.level holds for all")
	case kmsg.ConfigResourceTypeClientMetrics:
		return refuse(kerr.InvalidRequest, "client metrics are not supported")
	case kmsg.ConfigResourceTypeGroupConfig:
		return refuse(kerr.InvalidRequest, "groups have no settings of their own here")
	}
	return refuse(kerr.InvalidRequest, "unknown resource type %d", int8(t))
}

// describeEntry returns a setting as the request wants to see it.
func describeEntry(e *config.Entry, q *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	a := kmsg.NewDescribeConfigsResponseResourceConfig()
	a.Name, a.Value, a.ReadOnly = e.Name, shown(e.Value, e.Null), e.ReadOnly
	a.IsDefault = e.Source == config.Default
	a.Source, a.IsSensitive = kmsg.ConfigSource(e.Source), e.Sensitive
	a.ConfigType = kmsg.ConfigType(e.KafkaType())
	if q.IncludeDocumentation {
		a.Documentation = &e.Doc
	}
	if !q.IncludeSynonyms {
		return a
	}
	for _, syn := range e.Synonyms {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Value, s.Source = syn.Name, shown(syn.Value, syn.Null), kmsg.ConfigSource(syn.Source)
		a.ConfigSynonyms = append(a.ConfigSynonyms, s)
	}
	return a
}

// entryBytes returns about how many bytes a setting has in the answer.
func entryBytes(a *kmsg.DescribeConfigsResponseResourceConfig) int {
	text := func(s *string) int {
		if s == nil {
			return 0
		}
		return len(*s)
	}
	n := 20 + len(a.Name) + text(a.Value) + text(a.Documentation)
	for i := range a.ConfigSynonyms {
		n += 5 + len(a.ConfigSynonyms[i].Name) + text(a.ConfigSynonyms[i].Value)
	}
	return n
}
