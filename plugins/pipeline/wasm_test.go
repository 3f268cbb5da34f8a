package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// pools returns a function that makes modules into guests.
func pools(t testing.TB) func(*wasmtest.Module) *wasm.Pool {
	t.Helper()
	r, err := wasm.NewRuntime(wasm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(m *wasmtest.Module) *wasm.Pool {
		c, err := r.Compile(context.Background(), m.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.NewPool(wasm.PoolConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// TestModules runs a chain of real modules: upper case, one trap, every other
// record dropped.
func TestModules(t *testing.T) {
	pool := pools(t)
	c := New(testTopic, []Stage{
		stageOf("upper", pool(wasmtest.Uppercase()), nil),
		stageOf("trap", pool(wasmtest.TrapAt(3)), policy(plugins.OnFailureDeadLetter)),
		stageOf("half", pool(wasmtest.DropEveryOther()), nil),
	}, Options{})
	in := clientBatch(t, record.Zstd, true, numbered(7))
	out := run(t, c, in)
	if _, got := stored(t, out.Batch); fmt.Sprint(got) != fmt.Sprint([]string{
		`0 @0 0 "k0" "V0" "h"="0"`, `2 @2 0 "k2" "V2" "h"="2"`, `4 @4 0 "k4" "V4" "h"="4"`, `6 @6 0 "k6" "V6" "h"="6"`}) {
		t.Fatalf("%q", got)
	}
	if len(out.Emissions) != 1 || out.Emissions[0].Index != 3 || abi.Code(out.Emissions[0].Code) != abi.CodeTrapped || string(out.Emissions[0].Value) != "v3" {
		t.Fatalf("%+v", out.Emissions)
	}
	again := run(t, c, in)
	for i := range out.Stages {
		out.Stages[i].Elapsed, again.Stages[i].Elapsed = 0, 0
		out.Stages[i].Waited, again.Stages[i].Waited = 0, 0
	}
	if !bytes.Equal(out.Batch, again.Batch) || !reflect.DeepEqual(out, again) {
		t.Fatalf("%+v\nthen %+v", out, again)
	}
	if s := out.Stages[1]; s.Fuel == 0 || s.Traps != 1 || s.Calls != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestModuleOutOfFuel(t *testing.T) {
	pool := pools(t)
	keepAll := stageOf("k", pool(wasmtest.Uppercase()), func(s *Stage) {
		s.Spec.OnFailure, s.Spec.Budget = plugins.OnFailureDrop, plugins.Budget{Base: 10}
	})
	out := run(t, New(testTopic, []Stage{keepAll}, Options{}), clientBatch(t, record.None, false, numbered(20)))
	if out.Dropped != 20 || out.Stages[0].Traps != abi.MaxTraps {
		t.Fatalf("%+v", out)
	}
}

// BenchmarkModule is a chain with a real module that keeps everything.
func BenchmarkModule(b *testing.B) {
	pool := pools(b)(wasmtest.KeepAll())
	for _, s := range shapes {
		b.Run(fmt.Sprintf("%dx%d", s.records, s.bytes), func(b *testing.B) {
			benchmarkRun(b, record.None, s.records, s.bytes, pool)
		})
	}
}
