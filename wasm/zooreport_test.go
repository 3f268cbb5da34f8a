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
	bt := func(n int) []byte { return funcs(1, func(c *wasmtest.Code) { btc(c, n) }) }
	l8k := make([]byte, 8000)
	for i := range l8k { l8k[i] = wasmtest.I64 }
	for _, b := range []struct{ n string; f func() []byte }{
		{"brtable 40k", func() []byte { return bt(40000) }},
		{"brtable 2000 x 1000", func() []byte { return funcs(2000, func(c *wasmtest.Code) { btc(c, 990) }) }},
		{"br_if 250K", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Block(); for range 60000 { c.I32(0).BrIf(0) }; c.End() }) }},
		{"br_if func 125K", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 30000 { c.I32(0).BrIf(0) } }) }},
		{"ifs 250K", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 50000 { c.I32(0).If().End() } }) }},
		{"loops 250K", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 80000 { c.Loop().End() } }) }},
		{"nested 16000", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 16000 { c.Loop() }; for range 16000 { c.I32(0).BrIf(0).End() } }) }},
		{"if return", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 40000 { c.I32(0).If().Op(wasmtest.Return).End() } }) }},
		{"calls 256K", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat((256<<10)/2-8, func(c *wasmtest.Code) { c.Call(0) }) }) }},
		{"stores 256K", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat((256<<10)/7-8, func(c *wasmtest.Code) { c.I32(7).I32(3).Store32(0) }) }) }},
		{"calls 2M in 8", func() []byte { return funcs(8, func(c *wasmtest.Code) { c.Repeat((256<<10)/2-8, func(c *wasmtest.Code) { c.Call(0) }) }) }},
		{"locals gets", func() []byte { return funcs(1, func(c *wasmtest.Code) { for i := range 60000 { c.Get(uint32(i%4000)).Set(uint32((i*7)%4000)) } }, l8k[:4000]...) }},
		{"live locals x ifs", func() []byte { return funcs(1, func(c *wasmtest.Code) { for i := range 240 { c.Get(0).I32(0).Op(0x51, 0x1a) ; _ = i }; for i := range 240 { c.I32(0).If().I64(5).Set(uint32(i)).End() }; for i := range 8000 { c.Get(uint32(i)).Op(0x1a) } }, l8k...) }},
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
