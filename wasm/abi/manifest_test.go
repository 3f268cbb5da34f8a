package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const fullManifest = `{"name": "redact", "version": "1.0.0", "hooks": ["transform", "validate"],
	"parts": ["value", "key"], "tombstones": false, "parameters": {"type": "object"},
	"capabilities": ["log"], "description": "one line"}`

func TestManifest(t *testing.T) {
	m, err := ParseManifest([]byte(fullManifest))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "redact" || m.Version != "1.0.0" || !m.HasHook(HookTransform) || !m.HasHook(HookValidate) ||
		m.Parts != PartKey|PartValue || string(m.Parameters) != `{"type": "object"}` || !m.Asks(CapabilityLog) ||
		m.Description != "one line" || m.SkipsTombstones() {
		t.Fatalf("%+v", m)
	}
	m, err = ParseManifest([]byte(`{"name":"builtin/json-schema","version":"1","hooks":["validate"],"parts":["value"],"parameters":null}`))
	if err != nil || !m.SkipsTombstones() || m.Parameters != nil || m.HasHook(HookTransform) || m.Asks(CapabilityLog) {
		t.Fatalf("%+v, %v", m, err)
	}
}

func TestBadManifests(t *testing.T) {
	with := func(field, value string) string {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(fullManifest), &m); err != nil {
			t.Fatal(err)
		}
		m[field] = json.RawMessage(value)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, s := range []string{
		"", "{", "null", "[]", "1", fullManifest + "{}", fullManifest + "x", "{}", "\xff",
		`{"name":"` + strings.Repeat("x", MaxManifestBytes) + `"}`,
		strings.Repeat("[", 20000),
		with("unknown", "1"),
		with("name", `""`), with("name", `"A"`), with("name", `"a//b"`), with("name", `"/a"`), with("name", `"../a"`),
		with("name", `"`+strings.Repeat("x", 129)+`"`), with("name", `"a b"`), with("name", "7"),
		with("version", `""`), with("version", `"1 0"`), with("version", `"`+strings.Repeat("1", 65)+`"`),
		with("hooks", `[]`), with("hooks", `["partition"]`), with("hooks", `["transform","transform"]`),
		with("parts", `["offset"]`), with("parts", `["key","key"]`), with("parts", `"key"`),
		with("tombstones", `"yes"`),
		with("parameters", `[]`), with("parameters", `"x"`), with("parameters", `1`),
		with("capabilities", `["files"]`), with("capabilities", `["log","log"]`),
		with("description", `"two\nlines"`), with("description", `"`+strings.Repeat("x", 257)+`"`),
	} {
		if m, err := ParseManifest([]byte(s)); !errors.Is(err, ErrManifest) || len(err.Error()) > 512 {
			t.Errorf("%.80q: %+v, %v", s, m, err)
		}
	}
}

func TestHookNames(t *testing.T) {
	for _, h := range Hooks() {
		if got, ok := ParseHook(h.String()); !ok || got != h || !h.Known() || h.Export() != "varve_"+h.String() {
			t.Errorf("hook %d is %q", h, h)
		}
	}
	if Hook(9).Known() || Hook(9).String() != "unknown" || Action(9).String() != "unknown" {
		t.Error("what is unknown has a name")
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte(`{"name":"a","version":"1","hooks":["validate"],"parts":[]}`))
	f.Add([]byte(`{"name":"a/b","version":"1","hooks":["validate"],"parameters":{"a":[1,{}]},"description":"\u00e9"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			if !errors.Is(err, ErrManifest) {
				t.Fatal(err)
			}
			return
		}
		if !validName(m.Name) || len(m.Hooks) == 0 || m.Parts&^AllParts != 0 || len(m.Parameters) > len(b) {
			t.Fatalf("%+v", m)
		}
		if m.Parameters != nil && !json.Valid(m.Parameters) {
			t.Fatalf("parameters %q", m.Parameters)
		}
		// Written again it says the same, whatever the order and spelling of before.
		again, err := ParseManifest(writeManifest(t, &m))
		if err != nil || !sameManifest(&m, &again) {
			t.Fatalf("%+v is read again as %+v, %v", m, again, err)
		}
		// A field that nobody knows, or something behind it, is refused.
		b = bytes.TrimSpace(b)
		for _, more := range [][]byte{append(bytes.Clone(b), " {}"...), append(append(bytes.Clone(b[:len(b)-1]), `,"nobody":1`...), '}')} {
			if _, err := ParseManifest(more); !errors.Is(err, ErrManifest) {
				t.Fatalf("%q: %v", more, err)
			}
		}
	})
}

// writeManifest writes a manifest as its author may have.
func writeManifest(t *testing.T, m *Manifest) []byte {
	t.Helper()
	j := manifestJSON{Name: m.Name, Version: m.Version, Tombstones: m.Tombstones, Parameters: m.Parameters, Description: m.Description}
	for _, h := range m.Hooks {
		j.Hooks = append(j.Hooks, h.String())
	}
	for _, name := range slices.Sorted(maps.Keys(partNames)) {
		if m.Parts.Has(partNames[name]) {
			j.Parts = append(j.Parts, name)
		}
	}
	for _, c := range m.Capabilities {
		j.Capabilities = append(j.Capabilities, string(c))
	}
	b, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameManifest compares manifests, whose parameters may be spelt differently.
func sameManifest(a, b *Manifest) bool {
	read := func(b []byte) (v any, err error) {
		if b == nil {
			return nil, nil
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		err = d.Decode(&v)
		return v, err
	}
	x, errX := read(a.Parameters)
	y, errY := read(b.Parameters)
	c, d := *a, *b
	c.Parameters, d.Parameters = nil, nil
	return errors.Join(errX, errY) == nil && reflect.DeepEqual(c, d) && reflect.DeepEqual(x, y)
}
