package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

var logImport = wasmtest.Import{
	Module: abi.ImportVarve, Name: "log", Params: []byte{wasmtest.I32, wasmtest.I32, wasmtest.I32},
}

const logManifest = `{"name":"test","version":"1","hooks":["transform"],"parts":["value"],"capabilities":["log"]}`

func TestPoolConcurrently(t *testing.T) {
	p := newPool(t, newRuntime(t), wasmtest.Uppercase(), PoolConfig{InstancesMax: 3})
	frame := frameOf(t, 0, 20)
	want := call(t, p, frame)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var dst []byte
			for range 50 {
				r, err := p.Call(abi.HookTransform, testContext, frame, testFuel, dst)
				if err != nil || !bytes.Equal(r.Out, want.Out) || r.FuelUsed != want.FuelUsed {
					t.Errorf("%v, fuel %d", err, r.FuelUsed)
					return
				}
				dst = r.Out
			}
		})
	}
	wg.Wait()
	if n := len(p.all); n < 1 || n > 3 {
		t.Fatalf("%d instances", n)
	}
}

func TestMemoryBound(t *testing.T) {
	const limit = 18 << 20 // one running call of 16 MiB and little more
	r, err := NewRuntime(Options{MemoryBytesMax: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	m := compile(t, r, endless(func(*wasmtest.Code) {}))
	p, err := m.NewPool(PoolConfig{InstancesMax: 2})
	if err != nil {
		t.Fatal(err)
	}
	frame := frameOf(t, 0, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.Call(abi.HookTransform, testContext, frame, 1<<60, nil)
	}()
	for r.MemoryUsed() < 16<<20 {
		runtime.Gosched()
	}
	if _, err := p.Call(abi.HookTransform, testContext, frame, testFuel, nil); !errors.Is(err, ErrMemory) {
		t.Errorf("second call: %v", err)
	}
	if _, err := compile(t, r, wasmtest.KeepAll()).NewPool(PoolConfig{}); !errors.Is(err, ErrMemory) {
		t.Errorf("second pool: %v", err)
	}
	if used := r.MemoryUsed(); used > limit {
		t.Errorf("%d bytes used", used)
	}
	p.Stop()
	<-done
	if q := newPool(t, r, wasmtest.KeepAll(), PoolConfig{}); q == nil {
		t.Error("no pool after the call ended")
	}
}

// TestWaitingCallIsStopped stops a pool whose only instance is busy.
func TestWaitingCallIsStopped(t *testing.T) {
	p := newPool(t, newRuntime(t), endless(func(*wasmtest.Code) {}), PoolConfig{InstancesMax: 1})
	frame := frameOf(t, 0, 1)
	type outcome struct {
		r   Result
		err error
	}
	results := make(chan outcome)
	for range 2 {
		go func() {
			r, err := p.Call(abi.HookTransform, testContext, frame, 1<<60, nil)
			results <- outcome{r, err}
		}()
	}
	for len(p.slots) == 0 {
		runtime.Gosched()
	}
	p.Stop()
	stopped, refused := 0, 0
	for range 2 {
		switch o := <-results; {
		case errors.Is(o.err, ErrStopped):
			refused++
		case o.err == nil && o.r.Trap != nil && o.r.Trap.Why == WhyStopped:
			stopped++
		default:
			t.Fatalf("%+v, %v", o.r, o.err)
		}
	}
	if stopped > 1 || refused < 1 {
		t.Fatalf("%d stopped, %d refused", stopped, refused)
	}
}

func TestCloseGivesEverythingBack(t *testing.T) {
	regions, images := mapped.Load(), imageMappings()
	files := openFiles()
	for range 3 {
		r, err := NewRuntime(Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := wasmtest.Uppercase()
		m.Data = []wasmtest.Data{{Offset: 8, Bytes: []byte("image")}}
		p := newPool(t, r, m, PoolConfig{InstancesMax: 3})
		newPool(t, r, wasmtest.TrapAt(0), PoolConfig{})
		refused := wasmtest.KeepAll()
		refused.Func("varve_alloc").Body = code().I32(0)
		if _, err := compile(t, r, refused).NewPool(PoolConfig{}); err == nil {
			t.Fatal("a pool without buffers")
		}
		frame := frameOf(t, 0, 10)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { // some of them are cut off by Close
				_, err := p.Call(abi.HookTransform, testContext, frame, testFuel, nil)
				if err != nil && !errors.Is(err, ErrStopped) {
					t.Error(err)
				}
			})
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if n := r.MemoryUsed(); n != 0 {
			t.Fatalf("%d bytes counted after close", n)
		}
		if _, err := p.Call(abi.HookTransform, testContext, frame, testFuel, nil); !errors.Is(err, ErrStopped) {
			t.Fatalf("call after close: %v", err)
		}
		if _, err := r.Compile(context.Background(), m.Bytes()); !errors.Is(err, ErrClosed) {
			t.Fatalf("compile after close: %v", err)
		}
		if err := errors.Join(r.Close(), p.Close()); err != nil {
			t.Fatalf("second close: %v", err)
		}
	}
	if n := mapped.Load(); n != regions {
		t.Errorf("%d bytes mapped, %d before", n, regions)
	}
	if n := imageMappings(); n != images {
		t.Errorf("%d mappings of images, %d before", n, images)
	}
	if n := openFiles(); n != files {
		t.Errorf("%d open files, %d before", n, files)
	}
}

// openFiles counts the open files of the process, or returns 0 where the system
// does not say.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// configured is a plugin whose varve_configure is body (parameters ptr, len).
func configured(body *wasmtest.Code) *wasmtest.Module {
	m := wasmtest.KeepAll()
	m.Funcs = append(m.Funcs, wasmtest.Func{
		Name: "varve_configure", Params: []byte{wasmtest.I32, wasmtest.I32}, Results: []byte{wasmtest.I32}, Body: body,
	})
	return m
}

func TestConfigure(t *testing.T) {
	r := newRuntime(t)
	// Accepts parameters whose second byte is '"', else refuses with 9.
	m := compile(t, r, configured(code().Get(0).Load8(1).I32('"').Op(wasmtest.I32Ne).I32(9).Op(wasmtest.I32Mul)))
	if _, err := m.NewPool(PoolConfig{Parameters: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	for _, parameters := range []string{"", "{ }"} {
		var refused *ConfigureError
		if _, err := m.NewPool(PoolConfig{Parameters: []byte(parameters)}); !errors.As(err, &refused) || refused.Code != 9 {
			t.Fatalf("%q: %v", parameters, err)
		}
	}
	trapping := compile(t, r, configured(code().Op(wasmtest.Unreachable)))
	if _, err := trapping.NewPool(PoolConfig{}); !errors.Is(err, ErrStart) {
		t.Fatalf("trap in configure: %v", err)
	}
}

func TestConfigureIsPartOfTheImage(t *testing.T) {
	// configure stores the length of the parameters; transform rejects with it.
	m := configured(code().I32(16).Get(1).Store32(0).I32(0))
	c := code().I32(wasmtest.OutAt).I32(3).Store8(0).I32(wasmtest.OutAt).I32(16).Load32(0).Store16(1)
	m.Func("varve_transform").Body = c.I64(wasmtest.OutAt<<32 | 7)
	m.Func("varve_transform").Locals = nil
	p := newPool(t, newRuntime(t), m, PoolConfig{Parameters: []byte(`{"a":12}`), InstancesMax: 4})
	first, err := p.acquire() // the one that ran configure
	if err != nil {
		t.Fatal(err)
	}
	if r := call(t, p, frameOf(t, 0, 1)); len(r.Out) != 7 || r.Out[1] != 8 {
		t.Errorf("in a copy: %x", r.Out)
	}
	if err := p.release(first, 0); err != nil {
		t.Fatal(err)
	}
	if len(p.all) != 2 || p.idle[1] != first {
		t.Fatalf("%d instances", len(p.all))
	}
	if r := call(t, p, frameOf(t, 0, 1)); len(r.Out) != 7 || r.Out[1] != 8 {
		t.Errorf("in the first one: %x", r.Out)
	}
}

func TestLog(t *testing.T) {
	// Logs the two bytes at 16 as a warning, 20 times.
	c := code().Repeat(20, func(c *wasmtest.Code) { c.I32(2).I32(16).I32(2).Call(0) })
	m := importing(c.I32(-1).I32(-1).I32(-1).Call(0).I64(wasmtest.OutAt<<32|1), logImport).WithManifest(logManifest)
	m.Data = []wasmtest.Data{{Offset: 16, Bytes: []byte("h\xff")}}
	module := compile(t, newRuntime(t), m)
	if _, err := module.NewPool(PoolConfig{}); !errors.Is(err, ErrCapability) {
		t.Fatalf("not granted: %v", err)
	}
	var lines []string
	p, err := module.NewPool(PoolConfig{
		Capabilities: []abi.Capability{abi.CapabilityLog},
		Log: func(level int, line string) {
			if level != 2 {
				t.Errorf("level %d", level)
			}
			lines = append(lines, line)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		lines = nil
		r := call(t, p, frameOf(t, 0, 1))
		if len(lines) != abi.MaxLogLines || lines[0] != "h\uFFFD" || r.LogDropped != 20-abi.MaxLogLines {
			t.Fatalf("%d lines, %q, %d dropped", len(lines), lines, r.LogDropped)
		}
	}
}

func TestLargeFrames(t *testing.T) {
	p := newPool(t, newRuntime(t), wasmtest.KeepAll(), PoolConfig{MemoryPages: 64})
	frame := func(n int) []byte {
		var f abi.Frame
		f.Begin(nil, &testContext, abi.AllParts)
		if err := f.Add(&abi.Record{Value: make([]byte, n)}); err != nil {
			t.Fatal(err)
		}
		return f.Finish()
	}
	small := call(t, p, frame(10)).FuelUsed
	for range 3 {
		r := call(t, p, frame(3<<20))
		verdicts(t, r, 1)
		if r.FuelUsed <= small {
			t.Fatalf("fuel %d, without another buffer %d", r.FuelUsed, small)
		}
	}
	for _, n := range []int{4 << 20, 5 << 20} { // what alloc refuses, and what cannot be asked for
		if r := call(t, p, frame(n)); r.Trap == nil || r.Trap.Why != WhyTooLarge || r.Trap.Why.Code() != abi.CodeTooLarge {
			t.Fatalf("%d bytes: %+v", n, r.Trap)
		}
	}
	if r := call(t, p, frame(10)); r.FuelUsed != small {
		t.Fatalf("fuel %d afterwards, %d before", r.FuelUsed, small)
	}
}

// TestMemoryLimitIsThePools grows by 100 pages in pools of different limits.
func TestMemoryLimitIsThePools(t *testing.T) {
	c := code().I32(100).MemoryGrow().I32(-1).Op(wasmtest.I32Eq).If().Op(wasmtest.Unreachable).End()
	m := compile(t, newRuntime(t), wasmtest.Plugin(c.I64(wasmtest.OutAt<<32|1)))
	for pages, ok := range map[uint32]bool{64: false, 90: false, 128: true, 0: true} {
		p, err := m.NewPool(PoolConfig{MemoryPages: pages})
		if err != nil {
			t.Fatal(err)
		}
		if r := call(t, p, frameOf(t, 0, 1)); (r.Trap == nil) != ok {
			t.Fatalf("%d pages: %+v", pages, r.Trap)
		}
	}
	if _, err := m.NewPool(PoolConfig{MemoryPages: 3}); !errors.Is(err, ErrStart) {
		t.Fatalf("3 pages: %v", err)
	}
}

// TestHostFunctionsAreCharged fills a megabyte from random_get.
func TestHostFunctionsAreCharged(t *testing.T) {
	const n = 1 << 20
	c := code().I32(0).I32(n).Call(0).Op(wasmtest.Drop)
	m := importing(c.I64(wasmtest.OutAt<<32|1), wasmtest.Import{
		Module: abi.ImportWASI, Name: "random_get", Params: []byte{wasmtest.I32, wasmtest.I32}, Results: []byte{wasmtest.I32},
	})
	m.Pages = 32
	p := newPool(t, newRuntime(t), m, PoolConfig{})
	frame := frameOf(t, 0, 1)
	first := call(t, p, frame)
	if first.FuelUsed < n/8+100 || first.FuelUsed > n/8+1000 {
		t.Fatalf("fuel %d", first.FuelUsed)
	}
	if again := call(t, p, frame); !bytes.Equal(again.Out, first.Out) {
		t.Fatalf("another random byte: %x, %x", again.Out, first.Out)
	}
}

func TestUndeclaredHook(t *testing.T) {
	p := newPool(t, newRuntime(t), wasmtest.KeepAll(), PoolConfig{})
	for _, h := range []abi.Hook{abi.HookValidate, 99} {
		if _, err := p.Call(h, testContext, frameOf(t, 0, 1), testFuel, nil); !errors.Is(err, ErrHook) {
			t.Errorf("hook %d: %v", h, err)
		}
	}
}

func TestCompilationCache(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		r, err := NewRuntime(Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		m := compile(t, r, wasmtest.KeepAll())
		if m.Manifest().Name != "test" || m.Digest() == [32]byte{} {
			t.Errorf("%+v", m.Manifest())
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRuntime(Options{CacheDir: file}); err == nil || !strings.Contains(err.Error(), "cache") {
		t.Fatalf("cache in a file: %v", err)
	}
}
