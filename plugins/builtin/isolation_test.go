package builtin

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// TestPoolsOfOneModuleAreApart calls each built-in with two sets of parameters and
// with two pools of each set, all of one compiled module, in turn and at the same
// time, with traps in between: every pool answers by its own parameters (W5), and
// equal parameters and records give equal bytes and equal fuel, 100 times (W2).
func TestPoolsOfOneModuleAreApart(t *testing.T) {
	runtime, err := wasm.NewRuntime(wasm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runtime.Close(); err != nil {
			t.Error(err)
		}
	})
	records := values(`{"a": "1", "b": "2"}`, `{"b": "2"}`, `{"a": "1"}`, `no`)
	for name, tc := range map[string]struct {
		parameters [2]string
		want       [2][]string
	}{
		"redact": {
			[2]string{`{"fields": ["a"], "replacement": "first"}`, `{"fields": ["b"], "replacement": "2nd"}`},
			[2][]string{
				{`replace {"a": "first", "b": "2"}`, "keep", `replace {"a": "first"}`, "reject 1 value is not JSON: expected a value at byte 0"},
				{`replace {"a": "1", "b": "2nd"}`, `replace {"b": "2nd"}`, "keep", "reject 1 value is not JSON: expected a value at byte 0"},
			},
		},
		"filter": {
			[2]string{`{"keep": {"json": "a", "exists": true}}`, `{"drop": {"json": "a", "equals": "1"}, "invalid_json": "no-match"}`},
			[2][]string{
				{"keep", "drop", "keep", "reject 1 value is not JSON: expected a value at byte 0"},
				{"drop", "keep", "drop", "keep"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			module := compileBuiltin(t, runtime, name)
			var pools [4]*wasm.Pool // 0 and 2 have the first parameters
			for i := range pools {
				c := wasm.PoolConfig{Parameters: []byte(tc.parameters[i%2]), InstancesMax: 1 + i/2}
				if pools[i], err = module.NewPool(c); err != nil {
					t.Fatal(err)
				}
			}
			var wants [2]wasm.Result
			for i := range wants {
				equalLines(t, run(t, pools[i], records), tc.want[i]...)
				wants[i] = callAll(t, pools[i], records, 1<<30)
			}
			other := values(`{"a": {"a": [1, 2, {"b": 3}]}, "b": "another batch, which is longer"}`)
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for i := range 25 {
						at := (w + i) % 4
						p, want := pools[at], wants[at%2]
						switch i % 3 {
						case 0:
							callAll(t, p, other, 1<<30)
						case 1:
							callAll(t, p, records, want.FuelUsed/2) // traps on the way
						}
						got := callAll(t, p, records, 1<<30)
						if !bytes.Equal(got.Out, want.Out) || got.FuelUsed != want.FuelUsed {
							t.Errorf("pool %d, call %d: %q with %d fuel, want %q with %d", at, i, got.Out, got.FuelUsed, want.Out, want.FuelUsed)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func compileBuiltin(t *testing.T, runtime *wasm.Runtime, name string) *wasm.Module {
	t.Helper()
	for _, m := range Modules() {
		if m.Name == name {
			module, err := runtime.Compile(context.Background(), m.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			return module
		}
	}
	t.Fatalf("no module %s", name)
	return nil
}

// callAll calls a plugin with fuel, which may be too little. It may be called by
// any goroutine of a test.
func callAll(t *testing.T, p *wasm.Pool, records []abi.Record, fuel int64) wasm.Result {
	var f abi.Frame
	f.Begin(nil, &testContext, p.Manifest().Parts)
	for i := range records {
		if err := f.Add(&records[i]); err != nil {
			t.Error(err)
		}
	}
	r, err := p.Call(abi.HookTransform, testContext, f.Finish(), fuel, nil)
	if err != nil {
		t.Error(errors.Join(err, errors.New(p.Manifest().Name)))
	}
	return r
}
