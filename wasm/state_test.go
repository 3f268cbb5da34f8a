package wasm

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// counting answers with one reject whose code is the given counter, after
// adding 1 to it.
func counting(load func(*wasmtest.Code), store func(*wasmtest.Code)) *wasmtest.Module {
	c := code()
	load(c)
	c.I32(1).Op(wasmtest.I32Add).Set(2)
	store(c)
	c.I32(wasmtest.OutAt).I32(3).Store8(0)
	c.I32(wasmtest.OutAt).Get(2).Store16(1)
	c.I32(wasmtest.OutAt).I32(0).Store32(3)
	return wasmtest.Plugin(c.I64(wasmtest.OutAt<<32|7), wasmtest.I32)
}

// TestNothingIsLeftBetweenCalls counts calls in every kind of state that a module
// has; each call must be the first one (W5).
func TestNothingIsLeftBetweenCalls(t *testing.T) {
	global := counting(func(c *wasmtest.Code) { c.GlobalGet(1) }, func(c *wasmtest.Code) { c.Get(2).GlobalSet(1) })
	global.Globals = append(global.Globals, wasmtest.Global{Type: wasmtest.I32})

	at := func(address int32) *wasmtest.Module {
		return counting(func(c *wasmtest.Code) { c.I32(address).Load32(0) },
			func(c *wasmtest.Code) { c.I32(address).Get(2).Store32(0) })
	}
	initialised := at(0)
	initialised.Data = []wasmtest.Data{{Offset: 64, Bytes: []byte("so that page 0 is part of the image")}}

	// The counter is the number of pages grown, in the memory's size.
	size := counting(func(c *wasmtest.Code) { c.MemorySize().I32(100).Op(wasmtest.I32Sub) },
		func(c *wasmtest.Code) { c.I32(1).MemoryGrow().Op(wasmtest.Drop) })
	size.Pages = 100

	// The counter is 1 if the table's second element is no longer null.
	table := counting(
		func(c *wasmtest.Code) { c.I32(1).Op(0x25, 0).Op(0xd1).Op(wasmtest.I32Eqz) },
		func(c *wasmtest.Code) { c.I32(1).RefFunc(0).TableSet() })
	table.Table, table.Elements = 2, []string{"varve_abi_1"}

	r := newRuntime(t)
	for _, tc := range []struct {
		name   string
		module *wasmtest.Module
	}{
		{"global", global},
		{"memory of the image", initialised},
		{"memory behind the image", at(wasmtest.HeapAt + 3*PageBytes)},
		{"memory of the frame's buffer", at(wasmtest.HeapAt + 2*PageBytes)},
		{"first bytes of the frame's buffer", at(wasmtest.HeapAt + 1024)},
		{"memory that is never grown into", at(200 * PageBytes)},
		{"memory size", size},
		{"table", table},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPool(t, r, tc.module, PoolConfig{InstancesMax: 2})
			for i := range 5 {
				frame := frameOf(t, 0, 1)
				if i%2 == 1 { // resets differ with the frame's size
					frame = append(frame, make([]byte, 200<<10)...)
				}
				v := verdicts(t, call(t, p, frame), 1)[0]
				if v.Code != 1 {
					t.Fatalf("call %d counted %d", i, v.Code)
				}
			}
		})
	}
}

// TestFrameLeavesNothing shows that a long frame does not show behind a short one (W5).
func TestFrameLeavesNothing(t *testing.T) {
	// Answers with the 4 bytes at 100 KiB of the frame's buffer.
	c := code().I32(wasmtest.OutAt).Get(0).Load32(100 << 10).Store32(0)
	p := newPool(t, newRuntime(t), wasmtest.Plugin(c.I64(wasmtest.OutAt<<32|4)), PoolConfig{InstancesMax: 1})
	long := append(frameOf(t, 0, 1), bytes.Repeat([]byte{0xee}, 200<<10)...)
	if r := call(t, p, long); !bytes.Equal(r.Out, []byte{0xee, 0xee, 0xee, 0xee}) {
		t.Fatalf("long frame: %x", r.Out)
	}
	if r := call(t, p, frameOf(t, 0, 1)); !bytes.Equal(r.Out, make([]byte, 4)) {
		t.Fatalf("what a frame left behind: %x", r.Out)
	}
}

// TestFrameBufferOfTheImage is a buffer that is not zero in the image and does not
// begin at a page: a long frame over it must not show later (W5).
func TestFrameBufferOfTheImage(t *testing.T) {
	const start = wasmtest.HeapAt + 1032
	pattern := make([]byte, 4*PageBytes)
	for i := range len(pattern) / 4 {
		binary.LittleEndian.PutUint32(pattern[4*i:], uint32(i)+1)
	}
	// Answers with the 4 bytes at 100 KiB of the frame's buffer.
	m := wasmtest.Plugin(code().I32(wasmtest.OutAt).Get(0).Load32(100 << 10).Store32(0).I64(wasmtest.OutAt<<32 | 4))
	m.Pages, m.Globals[0].Init = 8, start
	m.Data = []wasmtest.Data{{Offset: wasmtest.HeapAt, Bytes: pattern}}
	p := newPool(t, newRuntime(t), m, PoolConfig{InstancesMax: 1})
	want := pattern[start-wasmtest.HeapAt+100<<10:][:4]
	long := append(frameOf(t, 0, 1), bytes.Repeat([]byte{0xee}, 200<<10)...)
	for range 2 {
		if r := call(t, p, frameOf(t, 0, 1)); !bytes.Equal(r.Out, want) {
			t.Fatalf("%x in the buffer, want %x", r.Out, want)
		}
		if r := call(t, p, long); !bytes.Equal(r.Out, []byte{0xee, 0xee, 0xee, 0xee}) {
			t.Fatalf("long frame: %x", r.Out)
		}
	}
}

// TestEqualCallsAreEqual makes 100 equal calls on several instances, after traps
// and other calls (W2).
func TestEqualCallsAreEqual(t *testing.T) {
	r := newRuntime(t)
	frame, other := frameOf(t, 0, 50), frameOf(t, 3, 7)
	for _, tc := range []struct {
		name   string
		module *wasmtest.Module
	}{{"uppercase", wasmtest.Uppercase()}, {"trap", wasmtest.TrapAt(20)}} {
		p := newPool(t, r, tc.module, PoolConfig{InstancesMax: 3})
		want := call(t, p, frame)
		for i := range 100 {
			if i%3 == 0 {
				call(t, p, other)
			}
			if i%10 == 0 { // out of fuel in the middle
				if _, err := p.Call(abi.HookTransform, testContext, frame, want.FuelUsed/2, nil); err != nil {
					t.Fatal(err)
				}
			}
			got := call(t, p, frame)
			if got.FuelUsed != want.FuelUsed || !bytes.Equal(got.Out, want.Out) || (got.Trap == nil) != (want.Trap == nil) {
				t.Fatalf("%s, call %d: fuel %d and %d bytes, want %d and %d", tc.name, i,
					got.FuelUsed, len(got.Out), want.FuelUsed, len(want.Out))
			}
			if want.Trap != nil && !bytes.Equal(got.Trap.Out, want.Trap.Out) {
				t.Fatalf("%s, call %d: other verdicts before the trap", tc.name, i)
			}
		}
	}
}

// TestExactFuel shows that a call's own fuel suffices for it and that less does
// not.
func TestExactFuel(t *testing.T) {
	p := newPool(t, newRuntime(t), wasmtest.Uppercase(), PoolConfig{})
	frame := frameOf(t, 0, 20)
	used := call(t, p, frame).FuelUsed
	for _, tc := range []struct {
		fuel int64
		ok   bool
	}{{used, true}, {used - 1, false}, {1, false}, {0, false}, {-5, false}} {
		r, err := p.Call(abi.HookTransform, testContext, frame, tc.fuel, nil)
		if err != nil || (r.Trap == nil) != tc.ok {
			t.Fatalf("with %d of %d fuel: %+v, %v", tc.fuel, used, r.Trap, err)
		}
		if !tc.ok && (r.Trap.Why != WhyFuel || r.FuelUsed > max(tc.fuel, 0)+8192) {
			t.Fatalf("with %d of %d fuel: %+v, used %d", tc.fuel, used, r.Trap, r.FuelUsed)
		}
	}
}
