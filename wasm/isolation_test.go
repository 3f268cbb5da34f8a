package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// An ending is how a hook ends after it did its work.
type ending struct {
	name string
	code func(*wasmtest.Code)
	why  Why
}

var endings = []ending{
	{"unreachable", func(c *wasmtest.Code) { c.Op(wasmtest.Unreachable) }, WhyTrapped},
	{"bad address", func(c *wasmtest.Code) { c.I32(-1).Load32(0).Op(wasmtest.Drop) }, WhyTrapped},
	{"exit", func(c *wasmtest.Code) { c.I32(1).Call(0) }, WhyExit},
	{"out of fuel", func(c *wasmtest.Code) { c.Loop().Br(0).End() }, WhyFuel},
	{"too deep", func(c *wasmtest.Code) { c.I32(0).I32(0).Call(4).Op(wasmtest.Drop) }, WhyDepth},
}

// TestNothingIsLeftAfterTraps counts calls in every kind of state that a module
// has, and ends each in every way that is not a return: the next call must be the
// first one again (W5).
func TestNothingIsLeftAfterTraps(t *testing.T) {
	at := func(address int32) [2]func(*wasmtest.Code) {
		return [2]func(*wasmtest.Code){
			func(c *wasmtest.Code) { c.I32(address).Load32(0) },
			func(c *wasmtest.Code) { c.I32(address).Get(2).Store32(0) },
		}
	}
	grown := [2]func(*wasmtest.Code){
		func(c *wasmtest.Code) { c.MemorySize().I32(100).Op(wasmtest.I32Sub) },
		func(c *wasmtest.Code) { c.I32(1).MemoryGrow().Op(wasmtest.Drop) },
	}
	global := [2]func(*wasmtest.Code){
		func(c *wasmtest.Code) { c.GlobalGet(1) },
		func(c *wasmtest.Code) { c.Get(2).GlobalSet(1) },
	}
	table := [2]func(*wasmtest.Code){
		func(c *wasmtest.Code) { c.I32(1).Op(0x25, 0).Op(0xd1).Op(wasmtest.I32Eqz) },
		func(c *wasmtest.Code) { c.I32(1).RefFunc(1).TableSet() },
	}
	r := newRuntime(t)
	for _, state := range []struct {
		name string
		code [2]func(*wasmtest.Code)
	}{
		{"global", global}, {"memory of the image", at(64)}, {"memory behind the image", at(150 * PageBytes)},
		{"memory size", grown}, {"table", table},
	} {
		for _, e := range endings {
			m := counting(state.code[0], func(c *wasmtest.Code) {
				state.code[1](c)
				// The verdict of record 0 stands, and record 1 is being handled.
				c.I32(wasmtest.OutAt).I32(3).Store8(0).I32(wasmtest.OutAt).Get(2).Store16(1).I32(wasmtest.OutAt).I32(0).Store32(3)
				c.Get(0).I32(wasmtest.OutAt).Store32(52).Get(0).I32(7).Store32(56).Get(0).I32(1).Store32(48)
				e.code(c)
			})
			m.Imports = []wasmtest.Import{procExit}
			m.Funcs = append(m.Funcs, wasmtest.Func{
				Params: wasmtest.HookParams, Results: wasmtest.HookResults, Body: code().Get(0).Get(1).Call(4),
			})
			m.Pages, m.Globals = 100, append(m.Globals, wasmtest.Global{Type: wasmtest.I32})
			m.Data = []wasmtest.Data{{Offset: 80, Bytes: []byte("so that page 0 is part of the image")}}
			m.Table, m.Elements = 2, []string{"varve_abi_1"}
			p := newPool(t, r, m, PoolConfig{InstancesMax: 1, MemoryPages: 200})
			var fuel int64
			for i := range 5 {
				res, err := p.Call(abi.HookTransform, testContext, frameOf(t, 0, 2), 1_000_000, nil)
				if err != nil || res.Trap == nil || res.Trap.Why != e.why {
					t.Fatalf("%s, %s: %+v, %v", state.name, e.name, res.Trap, err)
				}
				vs, err := abi.DecodeVerdicts(res.Trap.Out, 1, abi.HookTransform)
				if err != nil || vs[0].Code != 1 {
					t.Fatalf("%s, %s: call %d counted %+v, %v", state.name, e.name, i, vs, err)
				}
				if i > 0 && res.FuelUsed != fuel {
					t.Fatalf("%s, %s: call %d used %d fuel, before %d", state.name, e.name, i, res.FuelUsed, fuel)
				}
				fuel = res.FuelUsed
			}
		}
	}
}

const (
	secret      = "s3cr3t!!" // what the spy looks for
	spyPages    = 48
	spyFuel     = 1 << 30
	i64Load     = 0x29
	i64Eq       = 0x51
	spyCopiesAt = (spyPages - 8) * PageBytes
)

// spy counts how often the secret is anywhere in all the memory that it can get,
// or in its global, and answers with one reject of that code. Then it leaves its
// frame and the secret wherever it can, and ends as told.
func spy(end func(*wasmtest.Code)) *wasmtest.Module {
	word := int64(binary.LittleEndian.Uint64([]byte(secret)))
	c := code().I32(spyPages).MemorySize().Op(wasmtest.I32Sub).MemoryGrow().Op(wasmtest.Drop)
	c.GlobalGet(1).I64(word).Op(i64Eq).Set(2)
	c.Block().Loop().Get(3).I32(spyPages*PageBytes - 8).Op(wasmtest.I32GtU).BrIf(1)
	c.Get(2).Get(3).Op(i64Load, 0, 0).I64(word).Op(i64Eq, wasmtest.I32Add).Set(2)
	c.Get(3).I32(1).Op(wasmtest.I32Add).Set(3).Br(0).End().End()
	c.I64(word).GlobalSet(1)
	c.I32(spyCopiesAt).Get(0).Get(1).MemoryCopy()
	c.I32(wasmtest.OutAt).I32(3).Store8(0).I32(wasmtest.OutAt).Get(2).Store16(1).I32(wasmtest.OutAt).I32(0).Store32(3)
	c.Get(0).I32(wasmtest.OutAt).Store32(52).Get(0).I32(7).Store32(56).Get(0).I32(1).Store32(48)
	end(c)
	m := wasmtest.Plugin(c.I64(wasmtest.OutAt<<32|7), wasmtest.I32, wasmtest.I32)
	m.Globals = append(m.Globals, wasmtest.Global{Type: wasmtest.I64})
	m.Funcs = append(m.Funcs, wasmtest.Func{ // the parameters stay where they were put
		Name: "varve_configure", Params: []byte{wasmtest.I32, wasmtest.I32}, Results: []byte{wasmtest.I32}, Body: code().I32(0),
	})
	return m
}

// spied returns how many secrets a call found, whether it returned or trapped.
func spied(t *testing.T, p *Pool, topic, value string) abi.Code {
	t.Helper()
	c := testContext
	c.Topic = topic
	if value != "" { // longer by pages than the next frame, which does not overwrite its end
		value = strings.Repeat("x", 9000) + value
	}
	var f abi.Frame
	f.Begin(nil, &c, abi.AllParts)
	for i := range 2 {
		if err := f.Add(&abi.Record{Index: uint32(i), Value: []byte(strings.Repeat(value, 1-i))}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := p.Call(abi.HookTransform, c, f.Finish(), spyFuel, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := r.Out
	if r.Trap != nil {
		out = r.Trap.Out
	}
	vs, err := abi.DecodeVerdicts(out, 1, abi.HookTransform)
	if err != nil {
		t.Fatalf("%v, trap %+v", err, r.Trap)
	}
	return vs[0].Code
}

// TestNoSecretIsFound: a plugin that searches all its memory finds in a call what
// the call was given and what its own stage's parameters are: nothing of another
// topic's records, of another tenant's call, of another stage's parameters, be it
// that the call before returned or trapped, and nothing of what it left in memory
// that it grew (W5).
func TestNoSecretIsFound(t *testing.T) {
	r := newRuntime(t)
	for _, e := range []ending{{name: "return", code: func(*wasmtest.Code) {}}, endings[0]} {
		m := compile(t, r, spy(e.code))
		pool := func(parameters string) *Pool {
			p, err := m.NewPool(PoolConfig{Parameters: []byte(parameters), MemoryPages: spyPages, InstancesMax: 1})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		shared, other, ours := pool(`{}`), pool(`{"no": 1}`), pool(`{"key": "`+secret+`"}`)
		for i := range 3 {
			for _, c := range []struct {
				pool         *Pool
				topic, value string
				want         abi.Code
			}{
				{shared, "tenant-a", secret, 1},
				{shared, "tenant-b", "", 0},
				{shared, secret, "", 1},
				{shared, "tenant-b", "", 0},
				{ours, "tenant-a", "", 1}, // its parameters
				{other, "tenant-a", "", 0},
				{ours, "tenant-a", secret + secret, 3},
				{ours, "tenant-b", "", 1},
				{shared, "tenant-b", "", 0},
			} {
				if got := spied(t, c.pool, c.topic, c.value); got != c.want {
					t.Fatalf("%s, round %d: topic %s with %q found %d secrets, want %d", e.name, i, c.topic, c.value, got, c.want)
				}
			}
		}
	}
}

// TestEqualInAnyPool: output and fuel of one batch are the same in every pool and
// in another runtime, whatever other batches run before and at the same time (W2).
func TestEqualInAnyPool(t *testing.T) {
	random := importing(code().I32(wasmtest.OutAt).I32(64).Call(0).Op(wasmtest.Drop).I64(wasmtest.OutAt<<32|64), wasmtest.Import{
		Module: abi.ImportWASI, Name: "random_get", Params: []byte{wasmtest.I32, wasmtest.I32}, Results: []byte{wasmtest.I32},
	})
	frame, other := frameOf(t, 0, 60), frameOf(t, 11, 90)
	for _, tc := range []struct {
		name   string
		module *wasmtest.Module
	}{
		{"uppercase", wasmtest.Uppercase()}, {"trap", wasmtest.TrapAt(37)}, {"random", random}, {"bomb", memoryBomb()},
		{"fuel", endless(divisions)},
	} {
		first, second := newRuntime(t), newRuntime(t)
		m := compile(t, first, tc.module)
		var pools []*Pool
		for _, c := range []PoolConfig{{InstancesMax: 1}, {InstancesMax: 3, Parameters: []byte(`{"other": "parameters"}`)}} {
			p, err := m.NewPool(c)
			if err != nil {
				t.Fatal(err)
			}
			pools = append(pools, p)
		}
		pools = append(pools, newPool(t, second, tc.module, PoolConfig{InstancesMax: 2}))
		const fuel = 300_000
		result := func(p *Pool, frame []byte) string {
			r, err := p.Call(abi.HookTransform, testContext, frame, fuel, nil)
			if err != nil {
				t.Error(err)
			}
			s := fmt.Sprintf("fuel %d, out %x, fault %s", r.FuelUsed, r.Out, r.Fault)
			if r.Trap != nil {
				s += fmt.Sprintf(", %s at %d: %s, %x", r.Trap.Why, r.Trap.Cursor, r.Trap.Text, r.Trap.Out)
			}
			return s
		}
		want := result(pools[0], frame)
		var wg sync.WaitGroup
		for w := range 5 {
			wg.Go(func() {
				for i := range 20 {
					p := pools[(w+i)%len(pools)]
					if i%3 == w%3 {
						result(p, other)
					}
					if got := result(p, frame); got != want {
						t.Errorf("%s, call %d of worker %d:\n%.300s\nwant\n%.300s", tc.name, i, w, got, want)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestContextIsAllThatDiffers: what a plugin gets for randomness depends on the
// seed, and on nothing else (W2).
func TestContextIsAllThatDiffers(t *testing.T) {
	m := importing(code().I32(wasmtest.OutAt).I32(16).Call(0).Op(wasmtest.Drop).I64(wasmtest.OutAt<<32|16), wasmtest.Import{
		Module: abi.ImportWASI, Name: "random_get", Params: []byte{wasmtest.I32, wasmtest.I32}, Results: []byte{wasmtest.I32},
	})
	compiled, err := newRuntime(t).Compile(context.Background(), m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64][]byte{}
	for range 2 {
		p, err := compiled.NewPool(PoolConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(50) {
			c := testContext
			c.Seed = seed
			r, err := p.Call(abi.HookTransform, c, frameOf(t, 0, 1), testFuel, nil)
			if err != nil || len(r.Out) != 16 {
				t.Fatalf("%x, %v", r.Out, err)
			}
			if was, ok := seen[seed]; ok && !bytes.Equal(was, r.Out) {
				t.Fatalf("seed %d gave %x, then %x", seed, was, r.Out)
			}
			seen[seed] = bytes.Clone(r.Out)
		}
	}
	distinct := map[string]bool{}
	for _, b := range seen {
		distinct[string(b)] = true
	}
	if len(distinct) != len(seen) {
		t.Fatalf("%d answers to %d seeds", len(distinct), len(seen))
	}
}
