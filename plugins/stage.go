package plugins

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/varvelog/varve/wasm/abi"
)

// StageFormat is the version of the stage specification that this package reads
// and writes.
const StageFormat = 1

// Bounds of a stage specification.
const (
	// MaxSpecBytes bounds a stage specification as JSON.
	MaxSpecBytes = 128 << 10
	// MaxParametersBytes bounds a stage's parameters as JSON.
	MaxParametersBytes = 64 << 10
	// MaxVersionBytes bounds a plugin's version.
	MaxVersionBytes = 64

	// MinMemoryBytes is one page of guest memory.
	MinMemoryBytes = 64 << 10
	// MaxMemoryBytes bounds what one instance may be given.
	MaxMemoryBytes = 1 << 30
	// DefaultMemoryBytes suits plugins of every supported language.
	DefaultMemoryBytes = 16 << 20
)

// Policy says what becomes of a record that failed in a stage.
type Policy uint8

// The failure policies. The default is OnFailureDeadLetter where a specification
// configures dead letters, else OnFailureReject.
const (
	// OnFailureReject refuses the whole batch.
	OnFailureReject Policy = iota
	// OnFailureDeadLetter moves the record to the dead-letter topic.
	OnFailureDeadLetter
	// OnFailureDrop loses the record and counts it.
	OnFailureDrop
	// OnFailurePass gives the record, as the stage got it, to the next stage.
	OnFailurePass
	policyCount
)

var policyNames = [policyCount]string{"reject", "dead-letter", "drop", "pass"}

// String returns the policy's name in specifications.
func (p Policy) String() string {
	if p >= policyCount {
		return "unknown"
	}
	return policyNames[p]
}

// Payload says how much of a record its dead letter carries.
type Payload uint8

// The payloads of dead letters.
const (
	// PayloadFull carries key, value, headers and timestamp.
	PayloadFull Payload = iota
	// PayloadNone carries the error only.
	PayloadNone
	payloadCount
)

var payloadNames = [payloadCount]string{"full", "none"}

// String returns the payload's name in specifications.
func (p Payload) String() string {
	if p >= payloadCount {
		return "unknown"
	}
	return payloadNames[p]
}

// DeadLetterSpec says where the dead letters of a stage go.
type DeadLetterSpec struct {
	Topic   string // empty: dlq.<topic>
	Payload Payload
}

// BreakerSpec says when dead-lettering turns into rejection: when at least Ratio
// of the last Window records failed. A Ratio of 0 means never.
type BreakerSpec struct {
	Ratio  float64
	Window int // records
}

// StageSpec is the specification of a stage. ParseStage gives one that is
// checked and complete. It is read-only.
type StageSpec struct {
	Plugin     string
	Version    string // empty: the newest
	Hook       abi.Hook
	Parameters json.RawMessage // an object, or nil
	OnFailure  Policy
	DeadLetter DeadLetterSpec
	Sensitive  bool
	Budget     Budget
	// MemoryBytes bounds the memory of one instance.
	MemoryBytes int64
	Breaker     BreakerSpec
}

// JSON returns the specification with every field written out, in a fixed order.
// The caller owns the result.
func (s *StageSpec) JSON() []byte {
	b := fmt.Appendf(nil, `{"format":%d,"plugin":%s,"version":%s,"hook":%q`, StageFormat, quote(s.Plugin), quote(s.Version), s.Hook)
	if s.Parameters != nil {
		b = append(append(b, `,"parameters":`...), s.Parameters...)
	}
	b = fmt.Appendf(b, `,"on_failure":%q,"dead_letter":{`, s.OnFailure)
	if s.DeadLetter.Topic != "" {
		b = fmt.Appendf(b, `"topic":%s,`, quote(s.DeadLetter.Topic))
	}
	b = fmt.Appendf(b, `"payload":%q},"sensitive":%t`, s.DeadLetter.Payload, s.Sensitive)
	b = fmt.Appendf(b, `,"budget":{"base":%d,"per_record":%d,"per_byte":%d},"memory":%d`,
		s.Budget.Base, s.Budget.PerRecord, s.Budget.PerByte, s.MemoryBytes)
	ratio := strconv.FormatFloat(s.Breaker.Ratio, 'g', -1, 64)
	return fmt.Appendf(b, `,"breaker":{"ratio":%s,"window":%d}}`, ratio, s.Breaker.Window)
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string always marshals
	return b
}

// DeadLetterPrefix begins the names of dead-letter topics that no stage names.
const DeadLetterPrefix = "dlq."

// DeadLetterTopic returns the topic that takes the dead letters of a stage in
// the chain of topic: the one that the specification names, else dlq.<topic>.
// If that is longer than a topic name may be, its end is a hash of the topic.
func (s *StageSpec) DeadLetterTopic(topic string) string {
	if s.DeadLetter.Topic != "" {
		return s.DeadLetter.Topic
	}
	name := DeadLetterPrefix + topic
	if len(name) <= MaxTopicBytes {
		return name
	}
	tail := fmt.Sprintf("-%016x", fnv64(topic))
	return name[:MaxTopicBytes-len(tail)] + tail
}

// CheckTopic says whether the stage may stand in the chain of topic: its dead
// letters must not go back to it, where they would be stored without having
// passed the chain.
func (s *StageSpec) CheckTopic(topic string) error {
	if s.DeadLetterTopic(topic) == topic {
		return fieldError("dead_letter.topic", topic, "choose another topic than the one that the stage is used for")
	}
	return nil
}

func fnv64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
