package wasm

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// A beast is a module whose hook misbehaves, and what the host is to get.
type beast struct {
	name   string
	module *wasmtest.Module
	fuel   int64
	why    Why
	text   string
	cursor int
	fault  string
	// garbage means that the hook returns and its answer does not decode.
	garbage bool
}

func code() *wasmtest.Code { return new(wasmtest.Code) }

// returning makes a hook that returns the fixed pointer and length.
func returning(ptr, n uint32) *wasmtest.Module {
	return wasmtest.Plugin(code().I64(int64(uint64(ptr)<<32 | uint64(n))))
}

// trapping makes a hook that notes a cursor and an output and then traps.
func trapping(cursor, ptr, n int32) *wasmtest.Module {
	c := code().Get(0).I32(cursor).Store32(48).Get(0).I32(ptr).Store32(52).Get(0).I32(n).Store32(56)
	return wasmtest.Plugin(c.Op(wasmtest.Unreachable))
}

func importing(body *wasmtest.Code, im ...wasmtest.Import) *wasmtest.Module {
	m := wasmtest.Plugin(body)
	m.Imports = im
	return m
}

// recursing calls itself for ever; its frames hold the given number of locals
// that live across the call.
func recursing(locals int) *wasmtest.Module {
	c := code()
	for i := range locals {
		c.Get(0).Load8(uint32(i)).Set(uint32(2 + i))
	}
	c.Get(0).Get(1).Call(2).Op(wasmtest.Drop)
	for i := range locals {
		c.Get(0).Get(uint32(2 + i)).Store8(uint32(i))
	}
	return wasmtest.Plugin(c.I64(0), bytes.Repeat([]byte{wasmtest.I32}, locals)...)
}

func memoryBomb() *wasmtest.Module {
	c := code().Loop()
	c.I32(1).MemoryGrow().Tee(2).I32(-1).Op(wasmtest.I32Eq).If().Op(wasmtest.Unreachable).End()
	c.Get(2).I32(16).Op(wasmtest.I32Shl).I32(0xaa).I32(PageBytes).MemoryFill().Br(0).End()
	return wasmtest.Plugin(c.I64(0), wasmtest.I32)
}

// endless has what an endless loop does in its body.
func endless(body func(*wasmtest.Code)) *wasmtest.Module {
	c := code().Loop()
	body(c)
	m := wasmtest.Plugin(c.Br(0).End().I64(0))
	m.Pages = DefaultMemoryPages
	return m
}

func divisions(c *wasmtest.Code) {
	c.I64(1<<62+12345).Repeat(1000, func(c *wasmtest.Code) { c.I64(3).Op(wasmtest.I64DivU) }).Op(wasmtest.Drop)
}

func fill16MiB(c *wasmtest.Code) {
	c.I32(0).I32(1).I32(16 << 20).MemoryFill()
}

var procExit = wasmtest.Import{Module: abi.ImportWASI, Name: "proc_exit", Params: []byte{wasmtest.I32}}

const frameRecords = 10

func zoo() []beast {
	return []beast{
		{name: "endless loop", module: endless(func(*wasmtest.Code) {}), fuel: 200_000_000, why: WhyFuel, text: "out of fuel"},
		{name: "unrolled divisions", module: endless(divisions), fuel: 50_000_000, why: WhyFuel, text: "out of fuel"},
		{name: "big fills", module: endless(fill16MiB), fuel: 500_000_000, why: WhyFuel, text: "out of fuel", cursor: frameRecords - 1},
		{name: "recursion", module: recursing(0), why: WhyDepth, text: "calls nested too deep"},
		{name: "recursion with wide frames", module: recursing(4000), why: WhyDepth, text: "calls nested too deep"},
		{name: "memory bomb", module: memoryBomb(), fuel: 500_000_000, why: WhyMemory, text: "unreachable"},
		{name: "bad address", module: wasmtest.Plugin(code().I32(-1).Load32(0xffffffff).Op(wasmtest.Drop).I64(0)), text: "out of bounds memory access"},
		{name: "division by zero", module: wasmtest.Plugin(code().I32(1).I32(0).Op(wasmtest.I32DivU, wasmtest.Drop).I64(0)), text: "integer divide by zero"},
		{name: "exit", module: importing(code().I32(3).Call(0).I64(0), procExit), why: WhyExit, text: "plugin exited with code 3"},
		{name: "exit with 0", module: importing(code().I32(0).Call(0).I64(0), procExit), why: WhyExit, text: "plugin exited with code 0"},
		{name: "verdicts outside", module: returning(0xfffffff0, 32), fault: "verdicts outside of the plugin's memory", garbage: true},
		{name: "huge verdicts", module: returning(0, 16<<20), why: WhyTooLarge, cursor: frameRecords - 1, text: "verdicts are too many bytes"},
		{name: "no verdicts", module: returning(0, 0), garbage: true},
		{name: "too few verdicts", module: returning(wasmtest.OutAt, frameRecords-1), garbage: true},
		{name: "too many verdicts", module: returning(wasmtest.OutAt, frameRecords+1), garbage: true},
		{name: "cursor beyond", module: trapping(-1, wasmtest.OutAt, 4), text: "unreachable", cursor: frameRecords - 1},
		{name: "output note outside", module: trapping(4, -1, 4), text: "unreachable", cursor: 4},
		{name: "output note too long", module: trapping(4, 0, -1), text: "unreachable", cursor: 4},
	}
}

// TestZoo calls every beast several times: each ends as it must, with the same
// fuel each time, and after each a healthy plugin works as before (W4).
func TestZoo(t *testing.T) {
	r := newRuntime(t)
	healthy := newPool(t, r, wasmtest.KeepAll(), PoolConfig{})
	frame := frameOf(t, 0, frameRecords)
	before := residentBytes(t)
	for _, b := range zoo() {
		t.Run(b.name, func(t *testing.T) {
			m := compile(t, r, b.module)
			p, err := m.NewPool(PoolConfig{OutBytesMax: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if b.fuel == 0 {
				b.fuel = testFuel
			}
			var first Result
			for i := range 3 {
				got, err := p.Call(abi.HookTransform, testContext, frame, b.fuel, nil)
				if err != nil {
					t.Fatal(err)
				}
				b.check(t, got)
				got.Waited, got.Elapsed = 0, 0
				if i == 0 {
					first = got
				} else if got.FuelUsed != first.FuelUsed {
					t.Fatalf("fuel %d, then %d", first.FuelUsed, got.FuelUsed)
				}
			}
			verdicts(t, call(t, healthy, frame), frameRecords)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
	runtime.GC()
	if grown := residentBytes(t) - before; grown > 256<<20 {
		t.Errorf("resident memory grew by %d bytes", grown)
	}
}

func (b *beast) check(t *testing.T, r Result) {
	t.Helper()
	if b.garbage {
		if r.Trap != nil || r.Fault != b.fault {
			t.Fatalf("trap %+v, fault %q", r.Trap, r.Fault)
		}
		if _, err := abi.DecodeVerdicts(r.Out, frameRecords, abi.HookTransform); !errors.Is(err, abi.ErrGarbage) {
			t.Fatalf("decode: %v", err)
		}
		return
	}
	if r.Trap == nil {
		t.Fatalf("no trap: %+v", r)
	}
	if r.Trap.Why != b.why || r.Trap.Text != b.text || r.Trap.Cursor != b.cursor {
		t.Fatalf("trap %+v, want %s %q at %d", *r.Trap, b.why, b.text, b.cursor)
	}
	if len(r.Out) != 0 {
		t.Fatalf("%d bytes of verdicts beside a trap", len(r.Out))
	}
	if slack := int64(1 << 17); r.FuelUsed < 0 || r.FuelUsed > b.fuel+slack {
		t.Fatalf("%d of %d fuel used", r.FuelUsed, b.fuel)
	}
}

// TestRefusedModules: what is no plugin is refused by name, and a plugin that runs
// does not notice (W4).
func TestRefusedModules(t *testing.T) {
	r := newRuntime(t)
	healthy := newPool(t, r, wasmtest.KeepAll(), PoolConfig{})
	edit := func(f func(*wasmtest.Module)) []byte {
		m := wasmtest.KeepAll()
		f(m)
		return m.Bytes()
	}
	rename := func(from, to string) []byte {
		return edit(func(m *wasmtest.Module) { m.Func(from).Name = to })
	}
	manifest := func(s string) []byte {
		return edit(func(m *wasmtest.Module) { m.WithManifest(s) })
	}
	imported := func(module, name string, params ...byte) []byte {
		return importing(code().I64(0), wasmtest.Import{Module: module, Name: name, Params: params}).Bytes()
	}
	keep := wasmtest.KeepAll().Bytes()
	for _, tc := range []struct {
		name string
		bin  []byte
		want error
	}{
		{"nothing", nil, ErrModule},
		{"text", []byte("not a module"), ErrModule},
		{"cut short", keep[:len(keep)/2], ErrModule},
		{"100 MB", make([]byte, 100<<20), ErrModule},
		{"100 MB of custom section", edit(func(m *wasmtest.Module) {
			m.Customs = append(m.Customs, wasmtest.Custom{Name: "x", Bytes: make([]byte, 100<<20)})
		}), ErrModule},
		{"type error", wasmtest.Plugin(code().I32(0)).Bytes(), ErrModule},
		{"component", append([]byte("\x00asm\x0d\x00\x01\x00"), keep[8:]...), ErrModule},
		{"version 2", rename("varve_abi_1", "varve_abi_2"), ErrVersion},
		{"no version", rename("varve_abi_1", ""), ErrExport},
		{"no alloc", rename("varve_alloc", ""), ErrExport},
		{"no hook", rename("varve_transform", ""), ErrExport},
		{"no memory", edit(func(m *wasmtest.Module) {
			m.NoMemory = true
			m.Func("varve_alloc").Body = code().I32(0)
			m.Func("varve_transform").Body = code().I64(0)
		}), ErrExport},
		{"hook of another type", edit(func(m *wasmtest.Module) {
			*m.Func("varve_transform") = wasmtest.Func{Name: "varve_transform"}
		}), ErrExport},
		{"hook not in the manifest", edit(func(m *wasmtest.Module) {
			m.Funcs = append(m.Funcs, wasmtest.Func{
				Name: "varve_validate", Params: wasmtest.HookParams, Results: wasmtest.HookResults, Body: code().I64(0),
			})
		}), ErrExport},
		{"reserved export", edit(func(m *wasmtest.Module) {
			m.Funcs = append(m.Funcs, wasmtest.Func{Name: "__varve_fuel"})
		}), ErrModule},
		{"data outside", edit(func(m *wasmtest.Module) {
			m.Data = []wasmtest.Data{{Offset: -4, Bytes: []byte("12345678")}}
		}), ErrModule},
		{"no manifest", edit(func(m *wasmtest.Module) { m.Customs = nil }), abi.ErrManifest},
		{"bad manifest", manifest("{"), abi.ErrManifest},
		{"two manifests", edit(func(m *wasmtest.Module) { m.Customs = append(m.Customs, m.Customs...) }), ErrModule},
		{"unknown function", imported("env", "abort"), ErrImport},
		{"unknown WASI function", imported(abi.ImportWASI, "path_open"), ErrImport},
		{"import of another type", imported(abi.ImportWASI, "proc_exit"), ErrImport},
		{"log not asked for", imported(abi.ImportVarve, "log", wasmtest.I32, wasmtest.I32, wasmtest.I32), ErrImport},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := r.Compile(context.Background(), tc.bin)
			if !errors.Is(err, tc.want) || !errors.Is(err, ErrModule) || m != nil {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if len(err.Error()) > 1024 || strings.ContainsRune(err.Error(), '\n') {
				t.Fatalf("error of %d bytes: %q", len(err.Error()), err)
			}
			verdicts(t, call(t, healthy, frameOf(t, 0, 3)), 3)
		})
	}
}

func TestRefusedStarts(t *testing.T) {
	r := newRuntime(t)
	alloc := func(c *wasmtest.Code) *wasmtest.Module {
		m := wasmtest.KeepAll()
		m.Func("varve_alloc").Body = c
		return m
	}
	with := func(name string, params, results []byte, c *wasmtest.Code) *wasmtest.Module {
		m := wasmtest.KeepAll()
		m.Funcs = append(m.Funcs, wasmtest.Func{Name: name, Params: params, Results: results, Body: c})
		return m
	}
	forEver := code().Loop().Br(0).End()
	start := with("begin", nil, nil, code().Op(wasmtest.Unreachable))
	start.Start = "begin"
	used := r.MemoryUsed()
	for _, tc := range []struct {
		name   string
		module *wasmtest.Module
		text   string
	}{
		{"alloc refuses", alloc(code().I32(0)), "no usable buffer"},
		{"alloc outside", alloc(code().I32(-8)), "no usable buffer"},
		{"alloc at the end", alloc(code().I32(16<<20 - 8)), "no usable buffer"},
		{"alloc not aligned", alloc(code().I32(65537)), "no usable buffer"},
		{"alloc traps", alloc(code().Op(wasmtest.Unreachable)), "unreachable"},
		{"initialize for ever", with("_initialize", nil, nil, forEver), "out of fuel"},
		{"start function traps", start, "start function: trapped: unreachable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := compile(t, r, tc.module)
			p, err := m.NewPool(PoolConfig{StartFuel: 10_000_000})
			if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), tc.text) || p != nil {
				t.Fatalf("got %v", err)
			}
			if n := r.MemoryUsed(); n != used {
				t.Fatalf("%d bytes counted, %d before", n, used)
			}
		})
	}
}

// TestCollectorIsNotBlocked collects garbage while a guest burns its budget,
// which ends only when it is stopped afterwards: with a guest that never passes
// through Go, the collection would wait for ever (W4).
func TestCollectorIsNotBlocked(t *testing.T) {
	for _, tc := range []struct {
		name string
		body func(*wasmtest.Code)
	}{{"loop", func(*wasmtest.Code) {}}, {"divisions", divisions}, {"fills", fill16MiB}} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPool(t, newRuntime(t), endless(tc.body), PoolConfig{})
			done := make(chan Result)
			frame := frameOf(t, 0, 1)
			go func() {
				r, err := p.Call(abi.HookTransform, testContext, frame, 1<<60, nil)
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
			for len(p.slots) == 0 {
				runtime.Gosched()
			}
			for range 3 {
				runtime.GC()
			}
			select {
			case r := <-done:
				t.Fatalf("ended by itself: %+v", r)
			default:
			}
			p.Stop()
			if r := <-done; r.Trap == nil || r.Trap.Why != WhyStopped {
				t.Fatalf("after stop: %+v", r)
			}
			if _, err := p.Call(abi.HookTransform, testContext, frame, testFuel, nil); !errors.Is(err, ErrStopped) {
				t.Fatalf("call after stop: %v", err)
			}
		})
	}
}
