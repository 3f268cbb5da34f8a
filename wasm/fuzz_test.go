package wasm

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// FuzzModule takes any bytes for a module as far as they go: whatever they do is
// an error or a result, two calls are equal, and another plugin still works.
func FuzzModule(f *testing.F) {
	for _, b := range zoo() {
		if bin := b.module.Bytes(); len(bin) < 4096 {
			f.Add(bin)
		}
	}
	for _, m := range []*wasmtest.Module{wasmtest.KeepAll(), wasmtest.DropAll(), wasmtest.Uppercase(), wasmtest.TrapAt(1)} {
		f.Add(m.Bytes())
	}
	r, err := NewRuntime(Options{MemoryBytesMax: 64 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = r.Close() })
	healthy, err := r.Compile(context.Background(), wasmtest.DropAll().Bytes())
	if err != nil {
		f.Fatal(err)
	}
	pool, err := healthy.NewPool(PoolConfig{MemoryPages: 8})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, bin []byte) {
		frame := frameOf(t, 0, 3)
		if m, err := r.Compile(context.Background(), bin); err == nil {
			fuzzPool(t, m, frame)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, ErrModule) {
			t.Fatal(err)
		}
		verdicts(t, call(t, pool, frame), 3)
		if n := r.MemoryUsed(); n > 16<<20 {
			t.Fatalf("%d bytes counted between modules", n)
		}
	})
}

func fuzzPool(t *testing.T, m *Module, frame []byte) {
	p, err := m.NewPool(PoolConfig{MemoryPages: 32, StartFuel: 1_000_000, Capabilities: []abi.Capability{abi.CapabilityLog}})
	if err != nil {
		return
	}
	for _, h := range m.manifest.Hooks {
		const fuel = 1_000_000
		first, err := p.Call(h, testContext, frame, fuel, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.Call(h, testContext, frame, fuel, nil)
		if err != nil {
			t.Fatal(err)
		}
		if first.FuelUsed != again.FuelUsed || !bytes.Equal(first.Out, again.Out) || (first.Trap == nil) != (again.Trap == nil) {
			t.Fatalf("%+v, then %+v", first, again)
		}
		if first.FuelUsed < 0 || first.FuelUsed > 2*fuel {
			t.Fatalf("%d fuel used of %d", first.FuelUsed, fuel)
		}
	}
}
