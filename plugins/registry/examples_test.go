//go:build examples

package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins/pipeline"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// examplesDir is where the examples' sources and vectors are. Their modules,
// built from these sources by scripts/build-plugins.sh --examples, are in the
// directory that VARVE_EXAMPLES names.
const examplesDir = "../../examples/plugins"

// vectors is an example's vectors.json: what it answers to records.
type vectors struct {
	Hook  string       `json:"hook"`
	Cases []vectorCase `json:"cases"`
}

type vectorCase struct {
	Parameters json.RawMessage `json:"parameters"`
	Refused    bool            `json:"refused"` // the parameters
	Records    []vectorRecord  `json:"records"`
}

type vectorRecord struct {
	Key   *string `json:"key"`
	Value *string `json:"value"`
	Want  string  `json:"want"` // as verdictText gives it
}

func (r *vectorRecord) abi(i int) abi.Record {
	return abi.Record{Index: uint32(i), Key: optional(r.Key), Value: optional(r.Value)}
}

func optional(s *string) []byte {
	if s == nil {
		return nil
	}
	return append([]byte{}, *s...)
}

func readVectors(t *testing.T, name string) vectors {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(examplesDir, name, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("vectors of %s: %v", name, err)
	}
	records := 0
	for _, c := range v.Cases {
		records += len(c.Records)
	}
	if records == 0 {
		t.Fatalf("the vectors of %s have no record", name)
	}
	return v
}

// TestExamples loads every example as the broker loads an uploaded module, and
// compares what it answers with its vectors: alone, again on used instances, and
// as the chain of a topic.
func TestExamples(t *testing.T) {
	modules := os.Getenv("VARVE_EXAMPLES")
	if modules == "" {
		t.Fatal("VARVE_EXAMPLES names no directory: run scripts/build-plugins.sh --examples")
	}
	entries, err := os.ReadDir(examplesDir)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		tried++
		t.Run(e.Name(), func(t *testing.T) {
			bin, err := os.ReadFile(filepath.Join(modules, e.Name()+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			tryExample(t, bin, readVectors(t, e.Name()))
		})
	}
	if tried < 2 {
		t.Errorf("%d examples in %s", tried, examplesDir)
	}
}

func tryExample(t *testing.T, bin []byte, v vectors) {
	rt, err := wasm.NewRuntime(wasm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	d := sha256.Sum256(bin)
	r := New(rt, &blobs{m: map[Digest][]byte{d: bin}})
	manifest, digest, err := r.Check(t.Context(), bin)
	if err != nil || digest != d {
		t.Fatalf("check: %v", err)
	}
	if !slices.ContainsFunc(manifest.Hooks, func(h abi.Hook) bool { return h.String() == v.Hook }) {
		t.Fatalf("plugin %s has the hooks %v, its vectors are for %s", manifest.Name, manifest.Hooks, v.Hook)
	}
	for i, c := range v.Cases {
		spec := map[string]any{"plugin": manifest.Name, "hook": v.Hook, "on_failure": "dead-letter"}
		if c.Parameters != nil {
			spec["parameters"] = c.Parameters
		}
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := r.Stage(t.Context(), "example", stage(t, string(text)), d)
		if (err != nil) != c.Refused {
			t.Errorf("case %d, parameters %s: %v", i, c.Parameters, err)
		}
		if err == nil {
			tryVerdicts(t, &s, c.Records)
			tryChain(t, &s, c.Records)
		}
	}
}

// tryVerdicts calls the plugin directly, several times: instances are used
// again, and answers and fuel stay the same (W2).
func tryVerdicts(t *testing.T, s *pipeline.Stage, records []vectorRecord) {
	t.Helper()
	c := abi.Context{Topic: "orders", Partition: 3, AppendTime: 1_750_000_000_123, Seed: 42, Generation: 7}
	var f abi.Frame
	f.Begin(nil, &c, s.Parts)
	for i := range records {
		r := records[i].abi(i)
		if err := f.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	frame := f.Finish()
	var fuel int64
	for round := range 3 {
		res, err := s.Guest.Call(s.Hook, c, frame, s.Spec.Budget.For(len(records), len(frame)), nil)
		if err != nil || res.Trap != nil || res.Fault != "" {
			t.Fatalf("%v, trap %+v, fault %q", err, res.Trap, res.Fault)
		}
		verdicts, err := abi.DecodeVerdicts(res.Out, len(records), s.Hook)
		if err != nil {
			t.Fatal(err)
		}
		for i := range verdicts {
			if got := verdictText(&verdicts[i]); got != records[i].Want {
				t.Errorf("record %d: %s, want %s", i, got, records[i].Want)
			}
		}
		if round == 0 {
			fuel = res.FuelUsed
		} else if res.FuelUsed != fuel {
			t.Errorf("fuel %d, before %d", res.FuelUsed, fuel)
		}
	}
}

func verdictText(v *abi.Verdict) string {
	s := v.Action.String()
	if v.Mask.Has(abi.PartKey) {
		s += " key " + string(v.Key)
	}
	if v.Mask.Has(abi.PartValue) {
		s += " " + string(v.Value)
	}
	if v.Action == abi.Reject || v.Action == abi.DeadLetter {
		s += fmt.Sprintf(" %d %s", v.Code, v.Message)
	}
	return s
}

// tryChain sends the records as a client's batch through a chain of the stage:
// what is stored, and what becomes a dead letter, is as the vectors say.
func tryChain(t *testing.T, s *pipeline.Stage, records []vectorRecord) {
	t.Helper()
	b := record.NewBuilder(record.DefaultParams(record.Zstd, 1_750_000_000_000))
	var want, letters []string
	for i := range records {
		r := records[i].abi(i)
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Key: r.Key, Value: r.Value}); err != nil {
			t.Fatal(err)
		}
		switch verdict, rest, _ := strings.Cut(records[i].Want, " "); verdict {
		case "keep":
			want = append(want, fmt.Sprintf("%d %s", i, r.Value))
		case "replace":
			want = append(want, fmt.Sprintf("%d %s", i, rest))
		case "reject", "dead-letter":
			letters = append(letters, fmt.Sprintf("%d %s: %s", i, rest, r.Value))
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	info, err := record.Validate(batch, record.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := pipeline.New("orders", []pipeline.Stage{*s}, pipeline.Options{}).Run(pipeline.Input{
		Batch: batch, Header: info.Header, Partition: 3, AppendTime: 1_750_000_000_123, Seed: 42, Codec: record.Zstd,
	})
	if err != nil || out.Refusal != nil {
		t.Fatal(err, out.Refusal)
	}
	var got, sent []string
	if out.Batch != nil {
		if err := record.ForEach(out.Batch, 0, func(r *record.Record) error {
			got = append(got, fmt.Sprintf("%d %s", r.OffsetDelta, r.Value))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range out.Emissions {
		sent = append(sent, fmt.Sprintf("%d %d %s: %s", e.Index, e.Code, e.Message, e.Value))
		if e.Topic != s.Spec.DeadLetterTopic("orders") {
			t.Errorf("a dead letter for %s", e.Topic)
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(sent, letters) {
		t.Errorf("stored %q, want %q\ndead letters %q, want %q", got, want, sent, letters)
	}
}
