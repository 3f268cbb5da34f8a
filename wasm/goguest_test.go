package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// buildGoGuest builds testdata/goguest once for all tests of the process.
var buildGoGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "goguest")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "plugin.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(msg)))
	}
	bin, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return wasmtest.AppendCustom(bin, abi.ManifestSection, []byte(logManifest)), nil
})

func goGuest(t *testing.T, r *Runtime) *Module {
	t.Helper()
	bin, err := buildGoGuest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Compile(context.Background(), bin)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// frameOfValues frames records with these values.
func frameOfValues(t *testing.T, values ...string) []byte {
	t.Helper()
	var f abi.Frame
	f.Begin(nil, &testContext, abi.PartValue)
	for i, v := range values {
		if err := f.Add(&abi.Record{Index: uint32(i), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	return f.Finish()
}

func TestGoGuest(t *testing.T) {
	m := goGuest(t, newRuntime(t))
	var lines []string
	c := PoolConfig{
		Parameters: []byte(`"hi"`), InstancesMax: 2,
		Capabilities: []abi.Capability{abi.CapabilityLog},
		Log:          func(_ int, line string) { lines = append(lines, line) },
	}
	p, err := m.NewPool(c)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("equal calls are equal", func(t *testing.T) {
		frame := frameOfValues(t, "one", "two", "three")
		want := call(t, p, frame)
		vs := verdicts(t, want, 3)
		if s := string(vs[1].Value); !strings.HasPrefix(s, `"hi" TWO 1 `) || !strings.HasSuffix(s, " 2025-06-15T15:06:40.123Z") {
			t.Fatalf("value %q", s)
		}
		for i := range 100 {
			r := call(t, p, frame)
			if !bytes.Equal(r.Out, want.Out) || r.FuelUsed != want.FuelUsed {
				t.Fatalf("call %d: fuel %d, want %d", i, r.FuelUsed, want.FuelUsed)
			}
		}
		q, err := m.NewPool(c) // and in another pool
		if err != nil {
			t.Fatal(err)
		}
		if r := call(t, q, frame); !bytes.Equal(r.Out, want.Out) || r.FuelUsed != want.FuelUsed {
			t.Fatalf("another pool: fuel %d, want %d", r.FuelUsed, want.FuelUsed)
		}
	})

	t.Run("traps", func(t *testing.T) {
		for value, want := range map[string]Why{"panic": WhyTrapped, "exit": WhyExit} {
			for range 2 {
				r := call(t, p, frameOfValues(t, "one", "two", value, "four"))
				if r.Trap == nil || r.Trap.Why != want || r.Trap.Cursor != 2 {
					t.Fatalf("%s: %+v", value, r.Trap)
				}
				if vs, err := abi.DecodeVerdicts(r.Trap.Out, 2, abi.HookTransform); err != nil || len(vs) != 2 {
					t.Fatalf("%s: %d verdicts before the trap, %v", value, len(vs), err)
				}
			}
		}
		verdicts(t, call(t, p, frameOfValues(t, "one")), 1)
	})

	t.Run("memory", func(t *testing.T) {
		r, err := p.Call(abi.HookTransform, testContext, frameOfValues(t, "one", "eat"), 1<<40, nil)
		if err != nil || r.Trap == nil || r.Trap.Cursor != 1 || r.Trap.Why != WhyExit && r.Trap.Why != WhyMemory {
			t.Fatalf("%+v, %v", r.Trap, err)
		}
		verdicts(t, call(t, p, frameOfValues(t, "one")), 1)
	})

	t.Run("the clock is the plugin's own", func(t *testing.T) {
		vs := verdicts(t, call(t, p, frameOfValues(t, "sleep", "after")), 2)
		if s := string(vs[1].Value); !strings.Contains(s, " 2025-06-15T16:06:40.") {
			t.Fatalf("after an hour of sleep: %q", s)
		}
	})

	t.Run("log", func(t *testing.T) {
		lines = nil
		verdicts(t, call(t, p, frameOfValues(t, "log", "log")), 2)
		if len(lines) != 2 || lines[0] != "a line of 1" {
			t.Fatalf("%q", lines)
		}
	})

	t.Run("configure refuses", func(t *testing.T) {
		c := c
		c.Parameters = []byte(`"no"`)
		var refused *ConfigureError
		if _, err := m.NewPool(c); !errors.As(err, &refused) || refused.Code != 5 {
			t.Fatal(err)
		}
	})
}
