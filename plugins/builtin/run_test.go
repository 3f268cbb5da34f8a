package builtin

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// open makes a pool of a built-in plugin.
func open(t testing.TB, name, parameters string) (*wasm.Pool, error) {
	t.Helper()
	runtime, err := wasm.NewRuntime(wasm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runtime.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, m := range Modules() {
		if m.Name != name {
			continue
		}
		module, err := runtime.Compile(t.Context(), m.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return module.NewPool(wasm.PoolConfig{Parameters: []byte(parameters)})
	}
	t.Fatalf("no module %s", name)
	return nil, nil
}

func mustOpen(t testing.TB, name, parameters string) *wasm.Pool {
	t.Helper()
	pool, err := open(t, name, parameters)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

var testContext = abi.Context{Topic: "orders", Partition: 1, AppendTime: 1_700_000_000_000, Seed: 7}

func frame(t testing.TB, parts abi.Parts, records []abi.Record) []byte {
	t.Helper()
	var f abi.Frame
	f.Begin(nil, &testContext, parts)
	for i := range records {
		if err := f.Add(&records[i]); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	return f.Finish()
}

// run returns the verdicts of a plugin, each as one line.
func run(t *testing.T, pool *wasm.Pool, records []abi.Record) []string {
	t.Helper()
	manifest := pool.Manifest()
	result, err := pool.Call(abi.HookTransform, testContext, frame(t, manifest.Parts, records), 1<<30, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Trap != nil || result.Fault != "" {
		t.Fatalf("trap %+v, fault %q", result.Trap, result.Fault)
	}
	verdicts, err := abi.DecodeVerdicts(result.Out, len(records), abi.HookTransform)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, v := range verdicts {
		line := v.Action.String()
		if v.Mask.Has(abi.PartValue) {
			line += " " + string(v.Value)
		}
		for _, h := range v.Headers.AppendTo(nil) {
			line += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
		if len(v.Message) > 0 {
			line += fmt.Sprintf(" %d %s", v.Code, v.Message)
		}
		lines = append(lines, line)
	}
	return lines
}

func values(texts ...string) []abi.Record {
	var records []abi.Record
	for i, text := range texts {
		records = append(records, abi.Record{Index: uint32(i), Value: []byte(text)})
	}
	return records
}

func equalLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("verdicts\n%s\nwant\n%s", g, w)
	}
}

func TestRedactRuns(t *testing.T) {
	pool := mustOpen(t, "redact", `{"fields": ["email", "user.ssn"], "headers": ["authorization"]}`)
	records := values(
		`{"email": "a@b.c", "n": 1.0}`,
		`{"n": 1}`,
		`{"email": `,
		`{"user": [{"ssn": 1}, {"ssn": null}]}`,
	)
	records = append(records, abi.Record{Index: 9, Headers: []abi.Header{
		{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("Authorization"), Value: []byte("secret")},
	}})
	for range 3 {
		equalLines(t, run(t, pool, records),
			`replace {"email": "***", "n": 1.0}`,
			`keep`,
			`reject 1 value is not JSON: expected a value at byte 10`,
			`replace {"user": [{"ssn": "***"}, {"ssn": null}]}`,
			`replace a=1 Authorization=***`,
		)
	}
}

func TestFilterRuns(t *testing.T) {
	pool := mustOpen(t, "filter", `{"keep": {"any": [{"json": "$.country", "equals": "DE"}, {"key_prefix": "vip-"}]}}`)
	records := values(`{"country": "DE"}`, `{"country": "FR"}`, `{"country": {}}`, `DE`)
	records = append(records, abi.Record{Index: 4, Key: []byte("vip-1")}, abi.Record{Index: 5, Key: []byte("v")})
	equalLines(t, run(t, pool, records),
		"keep", "drop", "drop", "reject 1 value is not JSON: expected a value at byte 0", "keep", "drop")
}

// A full run makes the plugin's buffers move and its memory grow.
func TestRedactRunsFullFrames(t *testing.T) {
	pool := mustOpen(t, "redact", `{"fields": ["f"], "replacement": "`+strings.Repeat("r", 500)+`"}`)
	var texts, want []string
	for i := range 300 {
		pad := strings.Repeat("p", i)
		texts = append(texts, fmt.Sprintf(`{"f":%d,"p":"%s"}`, i, pad))
		want = append(want, fmt.Sprintf(`replace {"f":"%s","p":"%s"}`, strings.Repeat("r", 500), pad))
	}
	for range 3 {
		equalLines(t, run(t, pool, values(texts...)), want...)
	}
	large := `{"f":0,"p":"` + strings.Repeat("x", 3<<20) + `"}`
	got := run(t, pool, values(large))
	if len(got) != 1 || len(got[0]) != len("replace ")+len(large)+501 {
		t.Errorf("%d verdicts of a large record", len(got))
	}
}

// Whenever a call is cut off, the verdicts before the cursor are whole and are
// what the whole call answers.
func TestVerdictsStandWheneverFuelEnds(t *testing.T) {
	pool := mustOpen(t, "redact", `{"fields": ["f"]}`)
	var texts []string
	for i := range 60 {
		texts = append(texts, fmt.Sprintf(`{"f":%d,"p":"%s"}`, i, strings.Repeat("p", 7*i)))
	}
	input := frame(t, pool.Manifest().Parts, values(texts...))
	whole, err := pool.Call(abi.HookTransform, testContext, input, 1<<30, nil)
	if err != nil || whole.Trap != nil {
		t.Fatal(err, whole.Trap)
	}
	seen := map[int]bool{}
	step := max(whole.FuelUsed/2000, 1)
	for fuel := int64(1); fuel < whole.FuelUsed; fuel += step {
		cut, err := pool.Call(abi.HookTransform, testContext, input, fuel, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cut.Trap == nil {
			continue
		}
		if cut.Trap.Why != wasm.WhyFuel {
			t.Fatalf("fuel %d: %+v", fuel, cut.Trap)
		}
		seen[cut.Trap.Cursor] = true
		if _, err := abi.DecodeVerdicts(cut.Trap.Out, cut.Trap.Cursor, abi.HookTransform); err != nil {
			t.Fatalf("fuel %d, cursor %d: %v", fuel, cut.Trap.Cursor, err)
		}
		if !strings.HasPrefix(string(whole.Out), string(cut.Trap.Out)) {
			t.Fatalf("fuel %d, cursor %d: other verdicts than those of the whole call", fuel, cut.Trap.Cursor)
		}
	}
	if len(seen) < 55 {
		t.Errorf("cut off in %d of 60 records", len(seen))
	}
}

func TestParametersAreRefused(t *testing.T) {
	for name, bad := range map[string]string{"redact": `{}`, "filter": `{"keep": {"key": "a"}}`} {
		_, err := open(t, name, bad)
		var refused *wasm.ConfigureError
		if !errors.As(err, &refused) {
			t.Errorf("%s with %s: %v, want a refusal", name, bad, err)
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	pool := mustOpen(b, "redact", `{"fields": ["user.email"]}`)
	var texts []string
	for i := range 1000 {
		texts = append(texts, fmt.Sprintf(`{"id": %d, "user": {"name": "somebody", "email": "somebody@example.org"}, "amount": 12.50}`, i))
	}
	input := frame(b, pool.Manifest().Parts, values(texts...))
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(input)))
	for b.Loop() {
		result, err := pool.Call(abi.HookTransform, testContext, input, 1<<40, out)
		if err != nil || result.Trap != nil {
			b.Fatal(err, result.Trap)
		}
		out = result.Out
		b.ReportMetric(float64(result.FuelUsed)/1000, "fuel/record")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
