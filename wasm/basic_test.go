package wasm

import (
	"context"
	"fmt"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

const testFuel = 50_000_000

var testContext = abi.Context{Topic: "orders", Partition: 3, AppendTime: 1_750_000_000_123, Seed: 42, Generation: 7}

func newRuntime(t testing.TB) *Runtime {
	t.Helper()
	r, err := NewRuntime(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := r.MemoryUsed(); n != 0 {
			t.Errorf("%d bytes still counted after close", n)
		}
	})
	return r
}

func compile(t testing.TB, r *Runtime, m *wasmtest.Module) *Module {
	t.Helper()
	c, err := r.Compile(context.Background(), m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newPool(t testing.TB, r *Runtime, m *wasmtest.Module, c PoolConfig) *Pool {
	t.Helper()
	p, err := compile(t, r, m).NewPool(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// frameOf frames n records with values "value-i", from index first on.
func frameOf(t testing.TB, first, n int) []byte {
	t.Helper()
	var f abi.Frame
	f.Begin(nil, &testContext, abi.AllParts)
	for i := first; i < first+n; i++ {
		r := abi.Record{Index: uint32(i), Key: []byte("key"), Value: fmt.Appendf(nil, "value-%d", i)}
		if err := f.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	return f.Finish()
}

func call(t testing.TB, p *Pool, frame []byte) Result {
	t.Helper()
	r, err := p.Call(abi.HookTransform, testContext, frame, testFuel, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verdicts decodes the answer of a call that must not have trapped.
func verdicts(t testing.TB, r Result, count int) []abi.Verdict {
	t.Helper()
	if r.Trap != nil {
		t.Fatalf("trap: %+v", *r.Trap)
	}
	vs, err := abi.DecodeVerdicts(r.Out, count, abi.HookTransform)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestTinyPlugins(t *testing.T) {
	r := newRuntime(t)
	const n = 10
	for _, tc := range []struct {
		name   string
		module *wasmtest.Module
		want   func(i int) string
	}{
		{"keep", wasmtest.KeepAll(), func(int) string { return "keep" }},
		{"drop", wasmtest.DropAll(), func(int) string { return "drop" }},
		{"drop every other", wasmtest.DropEveryOther(), func(i int) string { return [2]string{"keep", "drop"}[i%2] }},
		{"reject", wasmtest.Reject(7, "no"), func(int) string { return "reject 7 no" }},
		{"dead letter", wasmtest.DeadLetter(8, "bad"), func(int) string { return "dead-letter 8 bad" }},
		{"uppercase", wasmtest.Uppercase(), func(i int) string { return fmt.Sprintf("replace VALUE-%d", i) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPool(t, r, tc.module, PoolConfig{})
			for range 3 {
				for i, v := range verdicts(t, call(t, p, frameOf(t, 0, n)), n) {
					got := v.Action.String()
					switch v.Action {
					case abi.Replace:
						got += " " + string(v.Value)
					case abi.Reject, abi.DeadLetter:
						got += fmt.Sprintf(" %d %s", v.Code, v.Message)
					}
					if got != tc.want(i) {
						t.Fatalf("record %d: %s, want %s", i, got, tc.want(i))
					}
				}
			}
		})
	}
}

func TestTrapIsChargedToOneRecord(t *testing.T) {
	p := newPool(t, newRuntime(t), wasmtest.TrapAt(6), PoolConfig{})
	r := call(t, p, frameOf(t, 0, 10))
	if r.Trap == nil || r.Trap.Why != WhyTrapped || r.Trap.Cursor != 6 || r.Trap.Text != "unreachable" {
		t.Fatalf("trap: %+v", r.Trap)
	}
	if vs, err := abi.DecodeVerdicts(r.Trap.Out, 6, abi.HookTransform); err != nil || len(vs) != 6 {
		t.Fatalf("%d verdicts before the trap, %v", len(vs), err)
	}
	verdicts(t, call(t, p, frameOf(t, 7, 3)), 3)
}
