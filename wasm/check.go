package wasm

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/host"
	"github.com/varvelog/varve/wasm/meter"
)

const (
	i32 = byte(host.I32)
	i64 = byte(host.I64)
)

var (
	actionType    = meter.FuncType{}
	allocType     = meter.FuncType{Params: []byte{i32}, Results: []byte{i32}}
	configureType = meter.FuncType{Params: []byte{i32, i32}, Results: []byte{i32}}
	hookType      = meter.FuncType{Params: []byte{i32, i32}, Results: []byte{i64}}
)

// checkModule checks what the contract says about exports, imports and manifest,
// and returns the manifest.
func checkModule(info *meter.Info) (abi.Manifest, error) {
	exports := make(map[string]*meter.Export, len(info.Exports))
	for i := range info.Exports {
		exports[info.Exports[i].Name] = &info.Exports[i]
	}
	if err := checkVersion(exports, info.Exports); err != nil {
		return abi.Manifest{}, err
	}
	section, ok := info.Custom[abi.ManifestSection]
	if !ok {
		return abi.Manifest{}, fmt.Errorf("%w: no custom section %s", abi.ErrManifest, abi.ManifestSection)
	}
	manifest, err := abi.ParseManifest(section)
	if err != nil {
		return abi.Manifest{}, err
	}
	if err := checkExports(exports, &manifest); err != nil {
		return abi.Manifest{}, err
	}
	return manifest, checkImports(info.Imports, &manifest)
}

func checkVersion(exports map[string]*meter.Export, list []meter.Export) error {
	if exports[abi.ExportVersion] != nil {
		return checkFunction(exports, abi.ExportVersion, actionType)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name, abi.VersionPrefix) {
			return fmt.Errorf("module is built for %.64s, this broker runs %s: %w", e.Name, abi.ExportVersion, ErrVersion)
		}
	}
	return fmt.Errorf("%s: %w", abi.ExportVersion, ErrExport)
}

func checkExports(exports map[string]*meter.Export, manifest *abi.Manifest) error {
	if e := exports[abi.ExportMemory]; e == nil || e.Kind != meter.KindMemory {
		return fmt.Errorf("%s: %w", abi.ExportMemory, ErrExport)
	}
	if err := checkFunction(exports, abi.ExportAlloc, allocType); err != nil {
		return err
	}
	for _, h := range manifest.Hooks {
		if err := checkFunction(exports, h.Export(), hookType); err != nil {
			return err
		}
	}
	for _, h := range abi.Hooks() {
		if exports[h.Export()] != nil && !manifest.HasHook(h) {
			return fmt.Errorf("%s is exported and not in the manifest: %w", h.Export(), ErrExport)
		}
	}
	if exports[abi.ExportConfigure] != nil {
		if err := checkFunction(exports, abi.ExportConfigure, configureType); err != nil {
			return err
		}
	}
	if exports[abi.ExportInitialize] != nil {
		return checkFunction(exports, abi.ExportInitialize, actionType)
	}
	return nil
}

func checkFunction(exports map[string]*meter.Export, name string, want meter.FuncType) error {
	e := exports[name]
	if e == nil || e.Kind != meter.KindFunc || !sameType(e.Type.Params, e.Type.Results, want) {
		return fmt.Errorf("%s: %w", name, ErrExport)
	}
	return nil
}

func sameType(params, results []byte, want meter.FuncType) bool {
	return bytes.Equal(params, want.Params) && bytes.Equal(results, want.Results)
}

func checkImports(imports []meter.Import, manifest *abi.Manifest) error {
	for i := range imports {
		im := &imports[i]
		f := host.Lookup(im.Module, im.Name)
		if f == nil {
			return fmt.Errorf("%.64q %.64q: %w", im.Module, im.Name, ErrImport)
		}
		want := meter.FuncType{Params: typeBytes(f.Params), Results: typeBytes(f.Results)}
		if !sameType(im.Params, im.Results, want) {
			return fmt.Errorf("%s %s has another type: %w", im.Module, im.Name, ErrImport)
		}
		if f.Capability != "" && !manifest.Asks(f.Capability) {
			return fmt.Errorf("%s %s needs the capability %q in the manifest: %w", im.Module, im.Name, f.Capability, ErrImport)
		}
	}
	return nil
}

func typeBytes(ts []host.ValueType) []byte {
	b := make([]byte, len(ts))
	for i, t := range ts {
		b[i] = byte(t)
	}
	return b
}
