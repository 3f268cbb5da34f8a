package abi

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestGarbage(t *testing.T) {
	for _, tc := range []struct {
		name  string
		out   string
		count int
		hook  Hook
		good  int
	}{
		{"nothing", "", 1, HookTransform, 0},
		{"one too few", "\x00", 2, HookTransform, 1},
		{"one too many", "\x00\x00", 1, HookTransform, 0},
		{"bytes for no records", "\x00", 0, HookTransform, 0},
		{"split", "\x05", 1, HookTransform, 0},
		{"unknown", "\x00\xff", 2, HookTransform, 1},
		{"drop by validate", "\x00\x01", 2, HookValidate, 1},
		{"replace by validate", "\x02\x00", 1, HookValidate, 0},
		{"mask missing", "\x02", 1, HookTransform, 0},
		{"unknown part", "\x02\x20", 1, HookTransform, 0},
		{"key length missing", "\x02\x01\x00\x00\x00", 1, HookTransform, 0},
		{"key cut", "\x02\x01\x02\x00\x00\x00k", 1, HookTransform, 0},
		{"key length -2", "\x02\x01\xfe\xff\xff\xff", 1, HookTransform, 0},
		{"value cut behind a key", "\x02\x03\x00\x00\x00\x00\x01\x00\x00\x00", 1, HookTransform, 0},
		{"header count missing", "\x02\x04\x01", 1, HookTransform, 0},
		{"header count lies", "\x02\x04\xff\xff\xff\xff", 1, HookTransform, 0},
		{"header cut", "\x02\x04\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00", 1, HookTransform, 0},
		{"header value cut", "\x02\x04\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00", 1, HookTransform, 0},
		{"header name null", "\x02\x04\x01\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00", 1, HookTransform, 0},
		{"timestamp cut", "\x02\x08\x00\x00\x00\x00\x00\x00\x00", 1, HookTransform, 0},
		{"code missing", "\x03\x00", 1, HookTransform, 0},
		{"code of the broker", "\x04\xe8\x03\x00\x00\x00\x00", 1, HookTransform, 0},
		{"message length missing", "\x03\x00\x00\x00\x00\x00", 1, HookValidate, 0},
		{"message cut", "\x03\x00\x00\x02\x00\x00\x00x", 1, HookValidate, 0},
		{"message length lies", "\x03\x00\x00\xff\xff\xff\xff", 1, HookValidate, 0},
	} {
		vs, err := DecodeVerdicts([]byte(tc.out), tc.count, tc.hook)
		if !errors.Is(err, ErrGarbage) || len(vs) != tc.good {
			t.Errorf("%s: %d verdicts, %v", tc.name, len(vs), err)
		}
	}
}

func TestMessageIsCut(t *testing.T) {
	for _, tc := range []struct {
		message string
		kept    int
	}{
		{strings.Repeat("x", MaxMessageBytes), MaxMessageBytes},
		{strings.Repeat("x", MaxMessageBytes+1), MaxMessageBytes},
		{strings.Repeat("x", MaxMessageBytes-1) + "é", MaxMessageBytes - 1},
		{strings.Repeat("\x80", MaxMessageBytes+9), MaxMessageBytes - 4},
	} {
		out := le.AppendUint32([]byte{byte(Reject), 1, 0}, uint32(len(tc.message)))
		vs, err := DecodeVerdicts(append(out, tc.message...), 1, HookValidate)
		if err != nil || len(vs[0].Message) != tc.kept {
			t.Errorf("message of %d bytes: %d kept, %v", len(tc.message), len(vs[0].Message), err)
		}
		if n := len(AppendVerdict(nil, &Verdict{Action: Reject, Message: []byte(tc.message)})); n != 7+tc.kept {
			t.Errorf("message of %d bytes encodes as %d", len(tc.message), n)
		}
	}
}

func TestVerdictsAliasAndExtend(t *testing.T) {
	out := encodeVerdicts([]Verdict{{Action: Replace, Mask: PartValue, Value: []byte("abc")}})
	dst := make([]Verdict, 1, 2)
	vs, err := AppendVerdicts(dst, out, 1, HookTransform)
	if err != nil || len(vs) != 2 || &vs[0] != &dst[0] {
		t.Fatalf("%v, %v", vs, err)
	}
	out[len(out)-1] = 'X'
	if string(vs[1].Value) != "abX" || cap(vs[1].Value) != 3 {
		t.Fatalf("value %q of capacity %d", vs[1].Value, cap(vs[1].Value))
	}
	// A lying count takes no memory.
	if vs, err := DecodeVerdicts([]byte{0}, 1<<40, HookTransform); err == nil || cap(vs) > 8 {
		t.Fatalf("capacity %d, %v", cap(vs), err)
	}
}

func FuzzVerdicts(f *testing.F) {
	for _, g := range goldenAnswers() {
		f.Add(encodeVerdicts(g.verdicts), len(g.verdicts), g.hook == HookValidate)
	}
	for _, g := range goldenGarbage() {
		f.Add([]byte(g.out), g.count, false)
	}
	f.Fuzz(func(t *testing.T, out []byte, count int, validate bool) {
		hook := HookTransform
		if validate {
			hook = HookValidate
		}
		vs, err := DecodeVerdicts(out, count, hook)
		if len(vs) > len(out) || len(vs) > max(count, 0) {
			t.Fatalf("%d verdicts for %d records in %d bytes", len(vs), count, len(out))
		}
		if err != nil {
			if !errors.Is(err, ErrGarbage) {
				t.Fatal(err)
			}
			return
		}
		kept := true
		for _, v := range vs {
			kept = kept && len(v.Message) < MaxMessageBytes-8
			if n := len(v.Headers.AppendTo(nil)); n != v.Headers.Len() {
				t.Fatalf("%d of %d headers", n, v.Headers.Len())
			}
		}
		if back := encodeVerdicts(vs); kept && !bytes.Equal(back, out) {
			t.Fatalf("%x encodes as %x", out, back)
		}
	})
}

func BenchmarkVerdicts(b *testing.B) {
	out := make([]byte, 1000)
	var vs []Verdict
	b.ReportAllocs()
	for b.Loop() {
		vs, _ = AppendVerdicts(vs[:0], out, 1000, HookTransform)
	}
}
