package abi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// updateEnv set to 1 writes golden/ again. Files that no vector has are removed
// by hand: TestGoldenIsComplete names them.
const updateEnv = "VARVE_UPDATE"

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
	// longer is how many bytes the frame's header and the fixed part of a record
	// have beyond version 1.
	longer int
}

func goldenFrames() []goldenFrame {
	noTopic := goldenContext
	noTopic.Topic = ""
	aligned := goldenContext
	aligned.Topic, aligned.Partition, aligned.AppendTime = "12345678", -1, -1
	return []goldenFrame{
		{"frame-all-parts", AllParts, goldenContext, goldenRecords(), 0},
		{"frame-value", PartValue, goldenContext, goldenRecords(), 0},
		{"frame-key-headers", PartKey | PartHeaders, noTopic, goldenRecords(), 0},
		{"frame-no-parts", 0, aligned, goldenRecords(), 0},
		{"frame-empty", AllParts, goldenContext, nil, 0},
		{"frame-longer", AllParts, goldenContext, goldenRecords(), 24},
	}
}

// lengthen gives a frame the form that a later version may have: more bytes in
// its header and in the fixed part of its records, zero here.
func lengthen(frame []byte, by int) []byte {
	le := binary.LittleEndian
	topic := (int(le.Uint32(frame[44:])) + 7) &^ 7
	more := make([]byte, by)
	out := append(bytes.Clone(frame[:FrameHeaderLen]), more...)
	le.PutUint32(out, uint32(FrameHeaderLen+by))
	le.PutUint32(out[4:], uint32(RecordFixedLen+by))
	out = append(out, frame[FrameHeaderLen:FrameHeaderLen+topic]...)
	for rest := frame[FrameHeaderLen+topic:]; len(rest) > 0; {
		n := int(le.Uint32(rest))
		at := len(out)
		out = append(append(append(out, rest[:RecordFixedLen]...), more...), rest[RecordFixedLen:n]...)
		le.PutUint32(out[at:], uint32(n+by))
		rest = rest[n:]
	}
	return out
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
	hook   Hook
	out    string
	count  int
	before int
} {
	return []struct {
		name   string
		hook   Hook
		out    string
		count  int
		before int
	}{
		{"garbage-missing", HookTransform, "\x00\x01", 3, 2},
		{"garbage-behind", HookTransform, "\x00\x00\x00", 2, 0},
		{"garbage-split", HookTransform, "\x00\x05\x00", 3, 1},
		{"garbage-mask", HookTransform, "\x00\x02\x10", 2, 1},
		{"garbage-length", HookTransform, "\x02\x02\xfe\xff\xff\xff", 1, 0},
		{"garbage-headers", HookTransform, "\x02\x04\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x00", 1, 0},
		{"garbage-code", HookTransform, "\x03\xe8\x03\x00\x00\x00\x00", 1, 0},
		{"garbage-kind", HookTransform, "\xff", 1, 0},
		{"garbage-no-mask", HookTransform, "\x00\x02", 2, 1},
		{"garbage-timestamp", HookTransform, "\x02\x08\x01\x02\x03\x04\x05\x06\x07", 1, 0},
		{"garbage-name", HookTransform, "\x02\x04\x01\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xffn", 1, 0},
		{"garbage-message", HookTransform, "\x04\x01\x00\x03\x00\x00\x00no", 1, 0},
		{"garbage-null-message", HookTransform, "\x03\x01\x00\xff\xff\xff\xff", 1, 0},
		{"garbage-validate-drop", HookValidate, "\x00\x00\x01", 3, 2},
		{"garbage-validate-replace", HookValidate, "\x02\x00", 1, 0},
	}
}

func describeFrame(g *goldenFrame) string {
	var b strings.Builder
	c := g.context
	fmt.Fprintf(&b, "frame\ntopic %q\npartition %d\nappend_time %d\nseed %#x\ngeneration %d\nparts %d\n",
		c.Topic, c.Partition, c.AppendTime, c.Seed, c.Generation, g.parts)
	if g.longer > 0 {
		fmt.Fprintf(&b, "header_len %d\nrecord_len %d\n", FrameHeaderLen+g.longer, RecordFixedLen+g.longer)
	}
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
		if os.Getenv(updateEnv) == "1" {
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
		checkGolden(t, g.name, lengthen(f.Finish(), g.longer), describeFrame(&g))
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
		vs, err := DecodeVerdicts([]byte(g.out), g.count, g.hook)
		if !errors.Is(err, ErrGarbage) || len(vs) != g.before {
			t.Errorf("%s: %d verdicts, %v", g.name, len(vs), err)
		}
		checkGolden(t, g.name, []byte(g.out),
			fmt.Sprintf("garbage\nhook %s\nrecords %d\nverdicts before the fault %d\nfault: %v\n", g.hook, g.count, g.before, err))
	}
}

// TestGoldenIsComplete: golden/ holds the vectors above and nothing else.
func TestGoldenIsComplete(t *testing.T) {
	want := []string{"README.txt"}
	for _, g := range goldenFrames() {
		want = append(want, g.name+".bin", g.name+".txt")
	}
	for _, g := range goldenAnswers() {
		want = append(want, g.name+".bin", g.name+".txt")
	}
	for _, g := range goldenGarbage() {
		want = append(want, g.name+".bin", g.name+".txt")
	}
	entries, err := os.ReadDir("golden")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("golden/ has %v, want %v", got, want)
	}
}

func encodeVerdicts(vs []Verdict) []byte {
	out := []byte{}
	for i := range vs {
		out = AppendVerdict(out, &vs[i])
	}
	return out
}
