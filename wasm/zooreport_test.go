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
		{"brtable 1k", func() []byte { return bt(1000) }},
		{"brtable 10k", func() []byte { return bt(10000) }},
		{"brtable 40k", func() []byte { return bt(40000) }},
		{"brtable 100x1k", func() []byte { return funcs(100, func(c *wasmtest.Code) { btc(c, 1000) }) }},
		{"brtable 1 func 100x1k", func() []byte { return funcs(1, func(c *wasmtest.Code) { for range 100 { btc(c, 1000) } }) }},
		{"locals x blocks", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat(240, func(c *wasmtest.Code) { c.I32(0).If().Get(5).Set(6).End() }) }, l8k...) }},
		{"60000 functions", func() []byte { return funcs(60000, func(c *wasmtest.Code) { }) }},
		{"calls 1M", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat((1<<20)/2-8, func(c *wasmtest.Code) { c.Call(0) }) }) }},
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
