package wasm

import (
	"context"
	"testing"
	"time"
	"fmt"
	"runtime"

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
	l8k := make([]byte, 8000)
	for i := range l8k { l8k[i] = wasmtest.I64 }
	for _, b := range []struct{ n string; f func() []byte }{
		{"arith 2M", func() []byte { return funcs(2, func(c *wasmtest.Code) { c.Repeat((1<<20)/6-8, func(c *wasmtest.Code) { c.I32(7).I32(3).Op(wasmtest.I32Add, wasmtest.Drop) }) }) }},
		{"stores 2M", func() []byte { return funcs(2, func(c *wasmtest.Code) { c.Repeat((1<<20)/7-8, func(c *wasmtest.Code) { c.I32(7).I32(3).Store32(0) }) }) }},
		{"expr 2M", func() []byte { return funcs(2, func(c *wasmtest.Code) { c.I32(1).Repeat((1<<20)/4-8, func(c *wasmtest.Code) { c.I32(3).Op(wasmtest.I32Mul) }).Op(wasmtest.Drop) }) }},
		{"deep stack 1M", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat((1<<20)/4, func(c *wasmtest.Code) { c.I32(3) }).Repeat((1<<20)/4, func(c *wasmtest.Code) { c.Op(wasmtest.Drop) }) }) }},
		{"brtable 1M", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Block().I32(0).Op(0x0e, 0xc0, 0x84, 0x3d); for range 1000001 { c.Op(0) }; c.End() }) }},
		{"locals x blocks", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat(240, func(c *wasmtest.Code) { c.I32(0).If().Get(5).Set(6).End() }) }, l8k...) }},
		{"60000 functions", func() []byte { return funcs(60000, func(c *wasmtest.Code) { }) }},
		{"calls 1M", func() []byte { return funcs(1, func(c *wasmtest.Code) { c.Repeat((1<<20)/2-8, func(c *wasmtest.Code) { c.Call(0) }) }) }},
	} {
		bin := b.f()
		runtime.GC()
		_ = resetPeakX()
		began := time.Now()
		before := residentBytes(t)
		m, err := r.Compile(context.Background(), bin)
		fmt.Printf("%s: %d bytes: %v, %v, peak +%d MiB", b.n, len(bin), time.Since(began), err, (peakX(t)-before)>>20)
		if m != nil { m.Close() }
		runtime.GC()
		fmt.Printf(" settled +%d\n", (residentBytes(t)-before)>>20)
	}
}
