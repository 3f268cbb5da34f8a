package wasm

import (
	"fmt"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// BenchmarkCall calls plugins with runs of records of 100 bytes.
func BenchmarkCall(b *testing.B) {
	for _, bc := range []struct {
		name    string
		module  *wasmtest.Module
		records int
	}{
		{"keep", wasmtest.KeepAll(), 1000},
		{"keep", wasmtest.KeepAll(), 1},
		{"uppercase", wasmtest.Uppercase(), 1000},
		{"trap", wasmtest.TrapAt(0), 1},
	} {
		b.Run(fmt.Sprintf("%s/%d", bc.name, bc.records), func(b *testing.B) {
			p := newPool(b, newRuntime(b), bc.module, PoolConfig{})
			var f abi.Frame
			f.Begin(nil, &testContext, abi.PartValue)
			value := make([]byte, 100)
			for i := range bc.records {
				if err := f.Add(&abi.Record{Index: uint32(i), Value: value}); err != nil {
					b.Fatal(err)
				}
			}
			frame := f.Finish()
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				r, err := p.Call(abi.HookTransform, testContext, frame, testFuel, dst)
				if err != nil {
					b.Fatal(err)
				}
				dst = r.Out
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bc.records), "ns/record")
		})
	}
}
