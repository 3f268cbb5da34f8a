package meter

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const guestSource = `package main

import (
	"sort"
	"strconv"
	"strings"
)

func main() {}

//go:wasmexport work
func work(n int32) int32 {
	words := strings.Fields(strings.Repeat("stream topic partition offset ", int(n)))
	sort.Strings(words)
	counts := map[string]int{}
	var b strings.Builder
	for i, w := range words {
		counts[w]++
		b.WriteString(strconv.Itoa(i) + strings.ToUpper(w))
	}
	return int32(b.Len()) + int32(counts["topic"])
}

//go:wasmexport grow
func grow(n int32) int32 {
	var sum int
	for i := range n {
		sum += len(make([]byte, 1<<20)) + int(i)
	}
	return int32(sum)
}

//go:wasmexport spin
func spin() {
	for {
	}
}

//go:wasmexport panics
func panics() { var m map[string]int; m["a"] = 1 }
`

var guest struct {
	once   sync.Once
	module []byte
	err    error
	out    []byte
}

// goGuest returns a module built with the Go toolchain that runs the test.
func goGuest(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	guest.once.Do(func() {
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				guest.err = err
			}
		}
		write("main.go", guestSource)
		write("go.mod", "module guest\n\ngo 1.26\n")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "guest.wasm", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
		if guest.out, guest.err = cmd.CombinedOutput(); guest.err == nil {
			guest.module, guest.err = os.ReadFile(filepath.Join(dir, "guest.wasm"))
		}
	})
	if guest.err != nil {
		t.Fatalf("build the guest: %v\n%s", guest.err, guest.out)
	}
	return guest.module
}

func TestGoGuest(t *testing.T) {
	module := goGuest(t)
	o := testOptions()
	o.MemoryPagesMax = 512
	out, info := rewrite(t, module, o)
	t.Logf("%d bytes to %d; %d functions, %d instructions", len(module), len(out), info.Functions, info.Instructions)
	if len(out) > 2*len(module) || info.WritesTables || len(info.Imports) == 0 {
		t.Errorf("%d bytes to %d, info %+v", len(module), len(out), info.Imports)
	}
	again, _ := rewrite(t, module, o)
	if !bytes.Equal(out, again) {
		t.Error("rewriting is not deterministic")
	}
	r := newRuntime(t)
	wasi_snapshot_preview1.MustInstantiate(context.Background(), r)
	ctx := context.Background()
	plain := instantiate(t, r, counting(module, o))
	if _, err := plain.ExportedFunction("_initialize").Call(ctx); err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, out)
	if err != nil {
		t.Fatal(err)
	}
	metered := startGuest(t, r, compiled)
	for _, n := range []uint64{1, 10, 300} {
		before := getGlobal(plain, "executed")
		want, err := plain.ExportedFunction("work").Call(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		executed := getGlobal(plain, "executed") - before
		got := callMetered(metered, 1<<40, "work", n)
		if got.err != nil || got.results[0] != want[0] {
			t.Fatalf("work(%d): %v %v, why %d", n, got.results, got.err, got.why)
		}
		t.Logf("work(%d): charged %d, executed %d in another instance", n, got.charged, executed)
		// The guest's maps are seeded at random, so the two runs differ a little.
		if ratio := float64(got.charged) / float64(executed); ratio < 0.5 || ratio > 3 {
			t.Errorf("work(%d): charged %.2f times what was executed", n, ratio)
		}
	}
	if got := callMetered(metered, 1<<40, "grow", 20); got.err != nil {
		t.Errorf("grow: %v, why %d", got.err, got.why)
	}
	if got := callMetered(metered, 1<<22, "spin"); got.err == nil || got.why != WhyFuel {
		t.Errorf("spin: %v, why %d", got.err, got.why)
	}
	if got := callMetered(startGuest(t, r, compiled), 1<<40, "panics"); got.err == nil || got.why != 0 {
		t.Errorf("panics: %v, why %d", got.err, got.why)
	}
}

func startGuest(t *testing.T, r wazero.Runtime, compiled wazero.CompiledModule) api.Module {
	t.Helper()
	ctx := context.Background()
	mod, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close(ctx) })
	if got := callMetered(mod, 1<<40, "_initialize"); got.err != nil {
		t.Fatalf("_initialize: %v, why %d", got.err, got.why)
	}
	return mod
}

func BenchmarkRewriteGoGuest(b *testing.B) {
	module := goGuest(b)
	o := testOptions()
	o.MemoryPagesMax = 512
	b.SetBytes(int64(len(module)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Rewrite(module, o); err != nil {
			b.Fatal(err)
		}
	}
}

// byteLoop makes a module whose run(n) turns n bytes to upper case.
func byteLoop() []byte {
	m := &built{memory: []uint32{1}}
	m.function("run", "i", "", []byte{typeI32, typeI32}, code().
		loop().get(1).op(0x2d, 0, 0).with(opLocalTee, 2). // i32.load8_u
		i32('a').op(opI32Sub).i32(26).op(opI32LtU).iff().
		get(1).get(2).i32(32).op(opI32Sub, 0x3a, 0, 0).end(). // i32.store8
		get(1).i32(1).op(opI32Add).with(opLocalTee, 1).get(0).op(opI32LtU).brIf(0).end())
	return m.bytes()
}

func BenchmarkByteLoop(b *testing.B) {
	const n = 60000
	out, _ := rewrite(b, byteLoop(), testOptions())
	r := newRuntime(b)
	for _, c := range []struct {
		name   string
		module []byte
	}{{"original", byteLoop()}, {"rewritten", out}} {
		b.Run(c.name, func(b *testing.B) {
			mod := instantiate(b, r, c.module)
			f := mod.ExportedFunction("run")
			stack := []uint64{n}
			b.SetBytes(n)
			b.ReportAllocs()
			for b.Loop() {
				if mod.ExportedGlobal(FuelGlobal) != nil {
					setGlobal(mod, FuelGlobal, 1<<40)
				}
				stack[0] = n
				if err := f.CallWithStack(context.Background(), stack); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
