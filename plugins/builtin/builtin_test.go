package builtin

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/meter"
)

// maxBytes is what a built-in module may weigh.
const maxBytes = 100 << 10

func TestModulesAreSmallAndSorted(t *testing.T) {
	modules := Modules()
	var names []string
	for _, m := range modules {
		names = append(names, m.Name)
		if len(m.Bytes) == 0 || len(m.Bytes) >= maxBytes {
			t.Errorf("%s has %d bytes, want 1 to %d", m.Name, len(m.Bytes), maxBytes-1)
		}
	}
	if want := []string{"filter", "redact"}; !slices.Equal(names, want) {
		t.Errorf("modules %v, want %v", names, want)
	}
	clear(modules[0].Bytes)
	if again := Modules()[0].Bytes; again[1] != 'a' {
		t.Error("Modules gives out the same bytes twice")
	}
}

func TestModulesKeepTheContract(t *testing.T) {
	const i32, i64 = 0x7f, 0x7e
	want := map[string]meter.FuncType{
		abi.ExportVersion:          {},
		abi.ExportAlloc:            {Params: []byte{i32}, Results: []byte{i32}},
		abi.ExportConfigure:        {Params: []byte{i32, i32}, Results: []byte{i32}},
		abi.HookTransform.Export(): {Params: []byte{i32, i32}, Results: []byte{i64}},
	}
	for _, m := range Modules() {
		t.Run(m.Name, func(t *testing.T) {
			info, err := meter.Inspect(m.Bytes, meter.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(info.Imports) != 0 || info.HasStart || info.WritesTables {
				t.Errorf("imports %v, start function %v, writes tables %v", info.Imports, info.HasStart, info.WritesTables)
			}
			if info.MemoryPagesMin > 3 {
				t.Errorf("begins with %d pages, want at most 3", info.MemoryPagesMin)
			}
			memory := false
			got := map[string]meter.FuncType{}
			for _, e := range info.Exports {
				switch e.Kind {
				case meter.KindFunc:
					got[e.Name] = e.Type
				case meter.KindMemory:
					memory = e.Name == abi.ExportMemory
				}
			}
			if !memory {
				t.Errorf("no export %s", abi.ExportMemory)
			}
			if len(got) != len(want) {
				t.Errorf("exports the functions %v, want %v", got, want)
			}
			for name, typ := range want {
				if e, ok := got[name]; !ok || !slices.Equal(e.Params, typ.Params) || !slices.Equal(e.Results, typ.Results) {
					t.Errorf("%s has the type %v, want %v", name, e, typ)
				}
			}
		})
	}
}

func TestManifests(t *testing.T) {
	parts := map[string]abi.Parts{
		"filter": abi.PartKey | abi.PartValue | abi.PartHeaders,
		"redact": abi.PartValue | abi.PartHeaders,
	}
	for _, m := range Modules() {
		t.Run(m.Name, func(t *testing.T) {
			info, err := meter.Inspect(m.Bytes, meter.Options{})
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := abi.ParseManifest(info.Custom[abi.ManifestSection])
			if err != nil {
				t.Fatal(err)
			}
			if manifest.Name != m.Name || manifest.Version == "" || manifest.Description == "" {
				t.Errorf("manifest %+v", manifest)
			}
			if manifest.Parts != parts[m.Name] || !slices.Equal(manifest.Hooks, []abi.Hook{abi.HookTransform}) || len(manifest.Capabilities) != 0 {
				t.Errorf("manifest %+v", manifest)
			}
			var schema struct {
				Type                 string
				Properties           map[string]any
				AdditionalProperties *bool
			}
			if err := json.Unmarshal(manifest.Parameters, &schema); err != nil {
				t.Fatal(err)
			}
			if schema.Type != "object" || len(schema.Properties) < 3 || schema.AdditionalProperties == nil || *schema.AdditionalProperties {
				t.Errorf("parameters %s", manifest.Parameters)
			}
		})
	}
}
