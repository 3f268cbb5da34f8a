package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/varvelog/varve/wasm/abi"
)

// ErrSpec says that a specification is not acceptable. It is wrapped with the
// field, the value and the remedy.
var ErrSpec = errors.New("invalid specification")

const maxShownBytes = 64

// fieldError says what is wrong with a field, and what to do. The value is shown
// as it was written; a JSON string brings its quotes.
func fieldError(field, value, remedy string) error {
	if !strings.HasPrefix(value, `"`) {
		value = strconv.Quote(value)
	}
	if len(value) > maxShownBytes {
		value = strings.ToValidUTF8(value[:maxShownBytes], "") + "..."
	}
	return fmt.Errorf("%w: %s: %s: %s", ErrSpec, field, value, remedy)
}

// ParseStage reads and checks a stage specification, and fills in the defaults.
// Errors wrap ErrSpec. The result does not alias b.
//
// The payload of a sensitive stage's dead letters is none unless the
// specification says full: a stage that removes secrets should not copy them to
// another topic when it fails.
func ParseStage(b []byte) (StageSpec, error) {
	if len(b) > MaxSpecBytes {
		return StageSpec{}, fmt.Errorf("%w: %d bytes: keep it within %d", ErrSpec, len(b), MaxSpecBytes)
	}
	if !utf8.Valid(b) {
		return StageSpec{}, fmt.Errorf("%w: not UTF-8: write it as UTF-8", ErrSpec)
	}
	p := stageParser{StageSpec: StageSpec{Budget: DefaultBudget, MemoryBytes: DefaultMemoryBytes}}
	if err := readObject("", b, p.fields()); err != nil {
		return StageSpec{}, err
	}
	if err := p.complete(); err != nil {
		return StageSpec{}, err
	}
	return p.StageSpec, nil
}

// stageParser is a specification that is being read.
type stageParser struct {
	StageSpec
	hookGiven    bool
	payloadGiven bool
	policyGiven  bool
	letterGiven  bool
}

// fields are the fields of a specification, each with what reads it.
func (p *stageParser) fields() []field {
	s := &p.StageSpec
	return []field{
		{"format", func(path string, b []byte) error {
			var n int64
			return readInt(path, b, &n, StageFormat, StageFormat)
		}},
		{"plugin", func(path string, b []byte) error {
			return readString(path, b, &s.Plugin, validPlugin,
				"write a plugin's name: at most 128 lower-case letters, digits and . _ - in parts separated by /")
		}},
		{"version", func(path string, b []byte) error {
			return readString(path, b, &s.Version, validVersion,
				"write a plugin's version, at most 64 letters, digits and . + -, or leave it out for the newest")
		}},
		{"hook", p.readHook},
		{"parameters", s.readParameters},
		{"on_failure", func(path string, b []byte) error {
			p.policyGiven = true
			return readName(path, b, &s.OnFailure, policyNames[:])
		}},
		{"dead_letter", func(path string, b []byte) error {
			p.letterGiven = true
			return readObject(path, b, p.deadLetterFields())
		}},
		{"sensitive", func(path string, b []byte) error { return readBool(path, b, &s.Sensitive) }},
		{"budget", func(path string, b []byte) error { return readObject(path, b, s.Budget.fields()) }},
		{"memory", func(path string, b []byte) error {
			return readInt(path, b, &s.MemoryBytes, MinMemoryBytes, MaxMemoryBytes)
		}},
		{"breaker", func(path string, b []byte) error { return readObject(path, b, s.Breaker.fields()) }},
	}
}

func (p *stageParser) deadLetterFields() []field {
	d := &p.DeadLetter
	return []field{
		{"topic", func(path string, b []byte) error {
			return readString(path, b, &d.Topic, validTarget,
				"write a topic's name that does not begin with __, or leave it out for dlq.<topic>")
		}},
		{"payload", func(path string, b []byte) error {
			p.payloadGiven = true
			return readName(path, b, &d.Payload, payloadNames[:])
		}},
	}
}

func (b *Budget) fields() []field {
	number := func(to *int64, high int64) func(string, []byte) error {
		return func(path string, raw []byte) error { return readInt(path, raw, to, 0, high) }
	}
	return []field{
		{"base", number(&b.Base, MaxBase)},
		{"per_record", number(&b.PerRecord, MaxPerRecord)},
		{"per_byte", number(&b.PerByte, MaxPerByte)},
	}
}

func (s *BreakerSpec) fields() []field {
	return []field{
		{"ratio", func(path string, b []byte) error {
			if json.Unmarshal(b, &s.Ratio) != nil || string(b) == "null" || !(s.Ratio >= 0 && s.Ratio <= 1) {
				return fieldError(path, string(b), "write a number from 0 (never) to 1")
			}
			s.Ratio += 0 // -0 is 0
			return nil
		}},
		{"window", func(path string, b []byte) error {
			var n int64
			err := readInt(path, b, &n, MinBreakerWindow, MaxBreakerWindow)
			s.Window = int(n)
			return err
		}},
	}
}

func (p *stageParser) readHook(path string, b []byte) error {
	var name string
	if json.Unmarshal(b, &name) == nil {
		if p.Hook, p.hookGiven = abi.ParseHook(name); p.hookGiven {
			return nil
		}
	}
	return fieldError(path, string(b), "write transform or validate")
}

func (s *StageSpec) readParameters(path string, b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if b[0] != '{' || len(b) > MaxParametersBytes {
		return fieldError(path, string(b), fmt.Sprintf("write an object of at most %d bytes", MaxParametersBytes))
	}
	s.Parameters = bytes.Clone(b)
	return nil
}

// complete checks what concerns several fields, and fills in what is missing.
func (p *stageParser) complete() error {
	s := &p.StageSpec
	if s.Plugin == "" {
		return fieldError("plugin", "", "name the plugin that the stage uses")
	}
	if !p.hookGiven {
		return fieldError("hook", "", "write transform or validate")
	}
	if p.letterGiven && !p.policyGiven {
		s.OnFailure = OnFailureDeadLetter
	}
	if s.Sensitive && s.OnFailure == OnFailurePass {
		return fieldError("on_failure", "pass", "a sensitive stage must not pass what it could not handle: write reject, dead-letter or drop")
	}
	if s.Sensitive && !p.payloadGiven {
		s.DeadLetter.Payload = PayloadNone
	}
	if s.Breaker.Window == 0 {
		s.Breaker.Window = DefaultBreakerWindow
	}
	return nil
}
