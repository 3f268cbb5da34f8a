package abi

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden/ again")

var goldenContext = Context{
	Topic: "orders", Partition: 3, AppendTime: 1_750_000_000_123,
	Seed: 0x0123456789abcdef, Generation: 42,
}

func goldenRecords() []Record {
	return []Record{
		{Index: 0, Timestamp: 1_750_000_000_000, Key: []byte("k0"), Value: []byte("v0")},
		{Index: 1, Timestamp: 1_750_000_000_001, Key: nil, Value: []byte{}},
		{Index: 5, Timestamp: -1, Key: []byte{}, Value: nil, Headers: []Header{
			{Key: []byte("h"), Value: []byte("x")},
			{Key: []byte("h"), Value: nil},
			{Key: []byte{}, Value: []byte{}},
		}},
		{Index: 9, Timestamp: 7, Key: []byte("12345678"), Value: bytes.Repeat([]byte("z"), 9)},
	}
}

type goldenFrame struct {
	name    string
	parts   Parts
	context Context
	records []Record
}

func goldenFrames() []goldenFrame {
	noTopic := goldenContext
	noTopic.Topic = ""
	aligned := goldenContext
	aligned.Topic, aligned.Partition, aligned.AppendTime = "12345678", -1, -1
	return []goldenFrame{
		{"frame-all-parts", AllParts, goldenContext, goldenRecords()},
		{"frame-value", PartValue, goldenContext, goldenRecords()},
		{"frame-key-headers", PartKey | PartHeaders, noTopic, goldenRecords()},
		{"frame-no-parts", 0, aligned, goldenRecords()},
		{"frame-empty", AllParts, goldenContext, nil},
	}
}

type goldenVerdicts struct {
	name     string
	hook     Hook
	verdicts []Verdict
}

func goldenAnswers() []goldenVerdicts {
	return []goldenVerdicts{
		{"verdicts-keep-drop", HookTransform, []Verdict{{}, {Action: Drop}, {}}},
		{"verdicts-replace", HookTransform, []Verdict{
			{Action: Replace, Mask: PartValue, Value: []byte("new")},
			{Action: Replace, Mask: PartKey | PartValue, Key: nil, Value: []byte{}},
			{Action: Replace, Mask: PartHeaders, Headers: EncodeHeaders([]Header{
				{Key: []byte("h"), Value: []byte("x")}, {Key: []byte("h"), Value: nil},
			})},
			{Action: Replace, Mask: PartTimestamp, Timestamp: -2},
			{Action: Replace, Mask: AllParts, Key: []byte("k"), Value: []byte("v"), Timestamp: 1},
			{Action: Replace},
		}},
		{"verdicts-fail", HookValidate, []Verdict{
			{}, {Action: Reject, Code: 7, Message: []byte("no")}, {Action: DeadLetter, Code: 999, Message: []byte{}},
		}},
		{"verdicts-none", HookTransform, nil},
	}
}

// goldenGarbage are answers for the given number of records that do not decode,
// with the number of verdicts before the fault.
func goldenGarbage() []struct {
	name   string
	out    string
	count  int
	before int
} {
	return []struct {
		name   string
		out    string
		count  int
		before int
	}{
		{"garbage-missing", "\x00\x01", 3, 2},
		{"garbage-behind", "\x00\x00\x00", 2, 0},
		{"garbage-split", "\x00\x05\x00", 3, 1},
		{"garbage-mask", "\x00\x02\x10", 2, 1},
		{"garbage-length", "\x02\x02\xfe\xff\xff\xff", 1, 0},
		{"garbage-headers", "\x02\x04\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x00", 1, 0},
		{"garbage-code", "\x03\xe8\x03\x00\x00\x00\x00", 1, 0},
	}
}

func describeFrame(g *goldenFrame) string {
	var b strings.Builder
	c := g.context
	fmt.Fprintf(&b, "frame\ntopic %q\npartition %d\nappend_time %d\nseed %#x\ngeneration %d\nparts %d\n",
		c.Topic, c.Partition, c.AppendTime, c.Seed, c.Generation, g.parts)
	for _, r := range g.records {
		fmt.Fprintf(&b, "record index %d", r.Index)
		if g.parts.Has(PartTimestamp) {
			fmt.Fprintf(&b, ", timestamp %d", r.Timestamp)
		}
		if g.parts.Has(PartKey) {
			fmt.Fprintf(&b, ", key %s", describe(r.Key))
		}
		if g.parts.Has(PartValue) {
			fmt.Fprintf(&b, ", value %s", describe(r.Value))
		}
		if g.parts.Has(PartHeaders) {
			b.WriteString(", headers" + describeHeaders(r.Headers))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func describeVerdicts(g *goldenVerdicts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "verdicts\nhook %s\n", g.hook)
	for _, v := range g.verdicts {
		b.WriteString(v.Action.String())
		if v.Action == Reject || v.Action == DeadLetter {
			fmt.Fprintf(&b, " code %d, message %q", v.Code, v.Message)
		}
		if v.Mask.Has(PartKey) {
			b.WriteString(", key " + describe(v.Key))
		}
		if v.Mask.Has(PartValue) {
			b.WriteString(", value " + describe(v.Value))
		}
		if v.Mask.Has(PartHeaders) {
			b.WriteString(", headers" + describeHeaders(v.Headers.AppendTo(nil)))
		}
		if v.Mask.Has(PartTimestamp) {
			fmt.Fprintf(&b, ", timestamp %d", v.Timestamp)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func describe(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

func describeHeaders(hs []Header) string {
	s := ""
	for _, h := range hs {
		s += fmt.Sprintf(" (%q: %s)", h.Key, describe(h.Value))
	}
	return s
}

// checkGolden compares a vector with its files, or writes them.
func checkGolden(t *testing.T, name string, bin []byte, text string) {
	t.Helper()
	for file, want := range map[string][]byte{name + ".bin": bin, name + ".txt": []byte(text)} {
		path := filepath.Join("golden", file)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what is encoded", path)
		}
	}
}

func TestGoldenFrames(t *testing.T) {
	for _, g := range goldenFrames() {
		var f Frame
		f.Begin(nil, &g.context, g.parts)
		for i := range g.records {
			if err := f.Add(&g.records[i]); err != nil {
				t.Fatal(err)
			}
		}
		checkGolden(t, g.name, f.Finish(), describeFrame(&g))
	}
}

func TestGoldenVerdicts(t *testing.T) {
	for _, g := range goldenAnswers() {
		out := encodeVerdicts(g.verdicts)
		checkGolden(t, g.name, out, describeVerdicts(&g))
		vs, err := DecodeVerdicts(out, len(g.verdicts), g.hook)
		if err != nil {
			t.Fatalf("%s: %v", g.name, err)
		}
		if back := describeVerdicts(&goldenVerdicts{hook: g.hook, verdicts: vs}); back != describeVerdicts(&g) {
			t.Errorf("%s decodes as\n%s", g.name, back)
		}
	}
}

func TestGoldenGarbage(t *testing.T) {
	for _, g := range goldenGarbage() {
		vs, err := DecodeVerdicts([]byte(g.out), g.count, HookTransform)
		if !errors.Is(err, ErrGarbage) || len(vs) != g.before {
			t.Errorf("%s: %d verdicts, %v", g.name, len(vs), err)
		}
		checkGolden(t, g.name, []byte(g.out),
			fmt.Sprintf("garbage\nhook transform\nrecords %d\nverdicts before the fault %d\nfault: %v\n", g.count, g.before, err))
	}
}

func encodeVerdicts(vs []Verdict) []byte {
	out := []byte{}
	for i := range vs {
		out = AppendVerdict(out, &vs[i])
	}
	return out
}
