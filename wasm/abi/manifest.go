package abi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a manifest's fields, in bytes.
const (
	maxNameBytes        = 128
	maxVersionBytes     = 64
	maxDescriptionBytes = 256
)

// Capability is a host function family that a plugin asks for and an operator
// grants.
type Capability string

// CapabilityLog lets a plugin write to the broker's log.
const CapabilityLog Capability = "log"

// Manifest is what a module says about itself. It is read-only once parsed.
type Manifest struct {
	Name         string
	Version      string
	Hooks        []Hook
	Parts        Parts
	Tombstones   bool
	Parameters   json.RawMessage // a JSON Schema object, or nil
	Capabilities []Capability
	Description  string
}

// SkipsTombstones says whether records with a null value are kept from the
// plugin: it reads nothing but the value and did not ask for them.
func (m *Manifest) SkipsTombstones() bool {
	return m.Parts == PartValue && !m.Tombstones
}

// HasHook says whether the manifest declares h.
func (m *Manifest) HasHook(h Hook) bool { return slices.Contains(m.Hooks, h) }

// Asks says whether the manifest asks for c.
func (m *Manifest) Asks(c Capability) bool { return slices.Contains(m.Capabilities, c) }

// manifestJSON is the manifest as it is written.
type manifestJSON struct {
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	Hooks        []string        `json:"hooks"`
	Parts        []string        `json:"parts"`
	Tombstones   bool            `json:"tombstones"`
	Parameters   json.RawMessage `json:"parameters"`
	Capabilities []string        `json:"capabilities"`
	Description  string          `json:"description"`
}

// ParseManifest reads and checks the manifest section's bytes. Errors wrap
// ErrManifest and name the field. The result does not alias b.
func ParseManifest(b []byte) (Manifest, error) {
	if len(b) > MaxManifestBytes {
		return Manifest{}, fmt.Errorf("%w: %d bytes, at most %d", ErrManifest, len(b), MaxManifestBytes)
	}
	if !utf8.Valid(b) {
		return Manifest{}, fmt.Errorf("%w: not UTF-8", ErrManifest)
	}
	var j manifestJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Manifest{}, fmt.Errorf("%w: data behind the object", ErrManifest)
	}
	m, fault := j.check()
	if fault != "" {
		return Manifest{}, fmt.Errorf("%w: %s", ErrManifest, fault)
	}
	return m, nil
}

func (j *manifestJSON) check() (m Manifest, fault string) {
	m = Manifest{Name: j.Name, Version: j.Version, Tombstones: j.Tombstones, Description: j.Description}
	if !validName(j.Name) {
		return m, fmt.Sprintf("name %.64q: want lower-case letters, digits and . _ - in parts separated by /", j.Name)
	}
	if j.Version == "" || len(j.Version) > maxVersionBytes || !only(j.Version, letters+digits+".+-") {
		return m, fmt.Sprintf("version %.64q: want 1 to %d letters, digits and . + -", j.Version, maxVersionBytes)
	}
	if len(j.Description) > maxDescriptionBytes || strings.ContainsFunc(j.Description, isControl) {
		return m, fmt.Sprintf("description: want one line of at most %d bytes", maxDescriptionBytes)
	}
	for _, name := range j.Hooks {
		h, ok := ParseHook(name)
		if !ok || m.HasHook(h) {
			return m, fmt.Sprintf("hooks: %.64q is unknown or repeated", name)
		}
		m.Hooks = append(m.Hooks, h)
	}
	if len(m.Hooks) == 0 {
		return m, "hooks: at least one is needed"
	}
	for _, name := range j.Parts {
		p := partNames[name]
		if p == 0 || m.Parts.Has(p) {
			return m, fmt.Sprintf("parts: %.64q is unknown or repeated", name)
		}
		m.Parts |= p
	}
	for _, name := range j.Capabilities {
		c := Capability(name)
		if c != CapabilityLog || m.Asks(c) {
			return m, fmt.Sprintf("capabilities: %.64q is unknown or repeated", name)
		}
		m.Capabilities = append(m.Capabilities, c)
	}
	if p := bytes.TrimSpace(j.Parameters); len(p) > 0 && !bytes.Equal(p, []byte("null")) {
		if p[0] != '{' {
			return m, "parameters: want a JSON Schema object"
		}
		m.Parameters = bytes.Clone(p)
	}
	return m, ""
}

var partNames = map[string]Parts{
	"key": PartKey, "value": PartValue, "headers": PartHeaders, "timestamp": PartTimestamp,
}

const (
	lower   = "abcdefghijklmnopqrstuvwxyz"
	letters = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// validName says whether s is one or more parts, separated by slashes, that
// begin with a letter or digit: safe in paths, topic configs and metrics.
func validName(s string) bool {
	if len(s) > maxNameBytes {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || !only(part[:1], lower+digits) || !only(part, lower+digits+"._-") {
			return false
		}
	}
	return true
}

func only(s, set string) bool {
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return false
		}
	}
	return true
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
