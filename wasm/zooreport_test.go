package wasm

import (
	"context"
	"testing"
	"time"
	"fmt"
	"runtime"

	"github.com/varvelog/varve/wasm/meter"
	"github.com/varvelog/varve/wasm/wasmtest"
)

func TestZZ(t *testing.T) {
	r := newRuntime(t)
	funcs := func(n int, f func(c *wasmtest.Code), locals ...byte) []byte {
		m := wasmtest.KeepAll()
		for range n {
			c := code()
			f(c)
			m.Funcs = append(m.Funcs, wasmtest.Func{Body: c, Locals: locals})
		}
		return m.Bytes()
	}
	btc := func(c *wasmtest.Code, n int) { c.Block().I32(0).Op(0x0e, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)); for range n+1 { c.Op(0) }; c.End() }
	_ = btc
	bt := func(n int) []byte { return funcs(1, func(c *wasmtest.Code) { btc(c, n) }) }
	_ = bt
	l8k := make([]byte, 8000)
	for i := range l8k { l8k[i] = wasmtest.I64 }
	for _, b := range []struct{ n string; f func() []byte }{
		{"br_if 2000", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Block(); for range 2000 { c.I32(0).BrIf(0) }; c.End() }) }},
		{"ifs 2000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 2000 { c.I32(0).If().End() } }) }},
		{"loops 2000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 2000 { c.Loop().End() } }) }},
		{"nested 2000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 2000 { c.Loop() }; for range 2000 { c.I32(0).BrIf(0).End() } }) }},
		{"if return 2000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 2000 { c.I32(0).If().Op(wasmtest.Return).End() } }) }},
		{"br_if 4000", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Block(); for range 4000 { c.I32(0).BrIf(0) }; c.End() }) }},
		{"ifs 4000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 4000 { c.I32(0).If().End() } }) }},
		{"loops 4000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 4000 { c.Loop().End() } }) }},
		{"nested 4000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 4000 { c.Loop() }; for range 4000 { c.I32(0).BrIf(0).End() } }) }},
		{"if return 4000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 4000 { c.I32(0).If().Op(wasmtest.Return).End() } }) }},
		{"br_if 8000", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Block(); for range 8000 { c.I32(0).BrIf(0) }; c.End() }) }},
		{"ifs 8000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 8000 { c.I32(0).If().End() } }) }},
		{"loops 8000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 8000 { c.Loop().End() } }) }},
		{"nested 8000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 8000 { c.Loop() }; for range 8000 { c.I32(0).BrIf(0).End() } }) }},
		{"if return 8000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 8000 { c.I32(0).If().Op(wasmtest.Return).End() } }) }},
		{"br_if 16000", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Block(); for range 16000 { c.I32(0).BrIf(0) }; c.End() }) }},
		{"ifs 16000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 16000 { c.I32(0).If().End() } }) }},
		{"loops 16000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 16000 { c.Loop().End() } }) }},
		{"nested 16000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 16000 { c.Loop() }; for range 16000 { c.I32(0).BrIf(0).End() } }) }},
		{"if return 16000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 16000 { c.I32(0).If().Op(wasmtest.Return).End() } }) }},
	} {
		bin := b.f()
		runtime.GC()
		_ = resetPeakX()
		began := time.Now()
		before := residentBytes(t)
		_, _, rerr := meter.Rewrite(bin, meter.DefaultOptions())
		fmt.Printf("rewrite %v %v; ", time.Since(began), rerr)
		began = time.Now()
		m, err := r.Compile(context.Background(), bin)
		fmt.Printf("%s: %d bytes: %v, %v, peak +%d MiB", b.n, len(bin), time.Since(began), err, (peakX(t)-before)>>20)
		if m != nil { m.Close() }
		runtime.GC()
		fmt.Printf(" settled +%d\n", (residentBytes(t)-before)>>20)
	}
}
