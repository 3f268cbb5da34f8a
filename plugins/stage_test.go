package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
)

const minimal = `{"plugin":"builtin/redact","hook":"transform"}`

func TestDefaults(t *testing.T) {
	s, err := ParseStage([]byte(minimal))
	want := StageSpec{Plugin: "builtin/redact", Budget: DefaultBudget, MemoryBytes: DefaultMemoryBytes, Breaker: BreakerSpec{Window: DefaultBreakerWindow}}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestEveryField(t *testing.T) {
	s, err := ParseStage([]byte(` {"format":1,"plugin":"redact","version":"1.2.3-rc+1","hook":"validate",
		"parameters": {"fields": ["email"]}, "on_failure":"dead-letter","dead_letter":{"topic":"bad","payload":"none"},
		"sensitive":true,"budget":{"base":1,"per_record":2,"per_byte":0},"memory":65536,"breaker":{"ratio":0.25,"window":10}} `))
	want := StageSpec{
		Plugin: "redact", Version: "1.2.3-rc+1", Hook: abi.HookValidate, Parameters: json.RawMessage(`{"fields": ["email"]}`),
		OnFailure: OnFailureDeadLetter, DeadLetter: DeadLetterSpec{Topic: "bad", Payload: PayloadNone}, Sensitive: true,
		Budget: Budget{Base: 1, PerRecord: 2}, MemoryBytes: 65536, Breaker: BreakerSpec{Ratio: 0.25, Window: 10},
	}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Fatalf("%+v, %v", s, err)
	}
	again, err := ParseStage(s.JSON())
	if err != nil || !reflect.DeepEqual(s, again) {
		t.Fatalf("%s: %+v, %v", s.JSON(), again, err)
	}
}

// TestRefusals has what each mistake is answered with: field, value and remedy.
func TestRefusals(t *testing.T) {
	with := func(member string) string { return `{"plugin":"p","hook":"transform",` + member + `}` }
	for in, wants := range map[string][]string{
		``:                                           {"stage", "write a JSON object"},
		`[]`:                                         {"stage", "write a JSON object"},
		`null`:                                       {"stage", "write a JSON object"},
		`{`:                                          {"stage", "valid JSON"},
		`{"plugin"`:                                  {"plugin", "valid JSON"},
		`{"plugin":"p"`:                              {"stage", "valid JSON"},
		minimal + `{}`:                               {"stage", "follows the object"},
		"{\"plugin\":\"\xff\"}":                      {"UTF-8"},
		`{"hook":"transform"}`:                       {"plugin", "name the plugin"},
		`{"plugin":"p"}`:                             {"hook", "transform or validate"},
		`{"plugin":"","hook":"x"}`:                   {"plugin"},
		`{"plugin":"P","hook":"x"}`:                  {"plugin", `"P"`, "lower-case"},
		`{"plugin":"a//b"}`:                          {"plugin", "a//b"},
		`{"plugin":null}`:                            {"plugin", "null"},
		with(`"hook":"validate"`):                    {"hook", "twice"},
		with(`"Memory":65536`):                       {"Memory", "no such field", "on_failure"},
		with(`"budget":{"Base":1}`):                  {"budget.Base", "no such field", "per_record"},
		with(`"format":2`):                           {"format", `"2"`, "write 1"},
		with(`"version":"a b"`):                      {"version", "a b"},
		with(`"parameters":[1]`):                     {"parameters", "object"},
		with(`"on_failure":"ignore"`):                {"on_failure", "ignore", "reject, dead-letter, drop, pass"},
		with(`"on_failure":1`):                       {"on_failure", "reject"},
		with(`"sensitive":"yes"`):                    {"sensitive", "true or false"},
		with(`"sensitive":null`):                     {"sensitive"},
		with(`"memory":65535`):                       {"memory", "65535", "65536"},
		with(`"memory":1.5e6`):                       {"memory", "whole number"},
		with(`"memory":"16MiB"`):                     {"memory", "16MiB"},
		with(`"budget":{"base":-1}`):                 {"budget.base", "-1"},
		with(`"budget":{"per_byte":1000001}`):        {"budget.per_byte", "1000000"},
		with(`"budget":7`):                           {"budget", "object"},
		with(`"breaker":{"ratio":1.01}`):             {"breaker.ratio", "1.01"},
		with(`"breaker":{"ratio":-0.1}`):             {"breaker.ratio"},
		with(`"breaker":{"ratio":null}`):             {"breaker.ratio"},
		with(`"breaker":{"window":9}`):               {"breaker.window", "10"},
		with(`"dead_letter":{"topic":"__x"}`):        {"dead_letter.topic", "__x"},
		with(`"dead_letter":{"topic":""}`):           {"dead_letter.topic"},
		with(`"dead_letter":{"topic":".."}`):         {"dead_letter.topic"},
		with(`"dead_letter":{"topic":"a b"}`):        {"dead_letter.topic", "a b"},
		with(`"dead_letter":{"payload":"some"}`):     {"dead_letter.payload", "full, none"},
		with(`"sensitive":true,"on_failure":"pass"`): {"on_failure", "pass", "sensitive", "reject"},
		with(`"on_failure":"pass","sensitive":true`): {"on_failure", "pass", "sensitive"},
		with(`"` + strings.Repeat("x", 500) + `":1`): {"no such field"},
		with(`"parameters":{"x":"` + strings.Repeat("x", MaxParametersBytes) + `"}`): {"parameters", "65536"},
		strings.Repeat(" ", MaxSpecBytes+1):                                          {"keep it within"},
	} {
		s, err := ParseStage([]byte(in))
		if !errors.Is(err, ErrSpec) || !reflect.DeepEqual(s, StageSpec{}) {
			t.Errorf("%.100s: %+v, %v", in, s, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.100s: error %q lacks %q", in, err, want)
			}
		}
		if len(err.Error()) > 500 {
			t.Errorf("%.100s: error of %d bytes", in, len(err.Error()))
		}
	}
}

func TestSensitiveDeadLettersHaveNoPayload(t *testing.T) {
	for in, want := range map[string]Payload{
		`{"plugin":"p","hook":"validate","sensitive":true}`:                                                 PayloadNone,
		`{"dead_letter":{"topic":"d"},"plugin":"p","hook":"validate","sensitive":true}`:                     PayloadNone,
		`{"dead_letter":{"payload":"full"},"plugin":"p","hook":"validate","sensitive":true}`:                PayloadFull,
		`{"sensitive":true,"dead_letter":{"payload":"full","topic":"d"},"plugin":"p","hook":"validate"}`:    PayloadFull,
		`{"sensitive":false,"dead_letter":{"topic":"d"},"plugin":"p","hook":"validate","parameters": null}`: PayloadFull,
	} {
		if s, err := ParseStage([]byte(in)); err != nil || s.DeadLetter.Payload != want {
			t.Errorf("%s: %v, %v", in, s.DeadLetter.Payload, err)
		}
	}
}

func TestDeadLetterTopic(t *testing.T) {
	var s StageSpec
	long, other := strings.Repeat("t", 249), strings.Repeat("t", 248)+"u"
	if got := s.DeadLetterTopic("orders"); got != "dlq.orders" {
		t.Error(got)
	}
	a, b := s.DeadLetterTopic(long), s.DeadLetterTopic(other)
	if a == b || len(a) != MaxTopicBytes || !validTarget(a) || !strings.HasPrefix(a, "dlq.ttt") {
		t.Errorf("%s, %s", a, b)
	}
	if got := s.DeadLetterTopic(long[:245]); got != "dlq."+long[:245] {
		t.Error(got)
	}
	s.DeadLetter.Topic = "bad"
	if s.DeadLetterTopic("orders") != "bad" || s.CheckTopic("orders") != nil || !errors.Is(s.CheckTopic("bad"), ErrSpec) {
		t.Error("dead letters to the stage's own topic")
	}
}

func TestParseChain(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " , ,": "", "a": "a", " redact-email, validate-order ,": "redact-email,validate-order", "a/b@1.0,a/b@1.0": "a/b@1.0,a/b@1.0",
		strings.TrimSuffix(strings.Repeat("s,", MaxStages), ","): strings.TrimSuffix(strings.Repeat("s,", MaxStages), ","),
	} {
		if c, err := ParseChain(in); err != nil || c.String() != want {
			t.Errorf("%q: %v, %v", in, c, err)
		}
	}
	for _, in := range []string{"a b", "é", "a;b", strings.Repeat("s", 129), strings.Repeat("s,", MaxStages+1)} {
		if c, err := ParseChain(in); !errors.Is(err, ErrSpec) || c.Stages != nil {
			t.Errorf("%.40q: %v, %v", in, c, err)
		}
	}
}

func TestBudget(t *testing.T) {
	b := Budget{Base: 1000, PerRecord: 10, PerByte: 2}
	for _, row := range []struct {
		b              Budget
		records, bytes int
		want           int64
	}{
		{b, 0, 0, 1000}, {b, 3, 100, 1230}, {b, -1, -1, 1000}, {Budget{}, 1024, 256 << 10, 0},
		{Budget{MaxBase, MaxPerRecord, MaxPerByte}, 1024, 1 << 30, MaxCallFuel},
		{Budget{math.MaxInt64, math.MaxInt64, math.MaxInt64}, math.MaxInt, math.MaxInt, MaxCallFuel},
		{Budget{-5, -5, -5}, 10, 10, 0},
	} {
		if got := row.b.For(row.records, row.bytes); got != row.want {
			t.Errorf("%+v: %d", row, got)
		}
	}
}

func FuzzParseStage(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(`{"plugin":"p","hook":"validate","parameters":{"a":[1,{"b":null}]},"budget":{"base":5},"breaker":{"ratio":1e-3},"sensitive":true}`))
	f.Add([]byte(`{"plugin":"p","plugin":"p"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStage(b)
		if err != nil {
			if !errors.Is(err, ErrSpec) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseStage(s.JSON())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%s\n%+v\n%+v\n%v", s.JSON(), s, again, err)
		}
		if s.Sensitive && (s.OnFailure == OnFailurePass || s.Decide(FailedToAnswer, false) == FatePass) {
			t.Fatal("a sensitive stage passes what failed")
		}
	})
}

func ExampleParseStage() {
	_, err := ParseStage([]byte(`{"plugin": "redact", "hook": "transform", "on_failure": "ignore"}`))
	fmt.Println(err)
	// Output: invalid specification: on_failure: "ignore": write one of reject, dead-letter, drop, pass
}
