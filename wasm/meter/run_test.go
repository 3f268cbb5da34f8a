package meter

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// testPages is the memory bound of all test programs.
const testPages = 8

func testOptions() Options {
	o := DefaultOptions()
	o.MemoryPagesMax = testPages
	return o
}

// importCalls counts the calls of env.add.
var importCalls atomic.Int64

// newRuntime returns a runtime with a host module: env.add(i32, i32) i32.
func newRuntime(t testing.TB) wazero.Runtime {
	t.Helper()
	return runtimeOf(t, wazero.NewRuntimeConfigCompiler())
}

func runtimeOf(t testing.TB, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(1024))
	t.Cleanup(func() { r.Close(ctx) })
	_, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithFunc(func(a, b uint32) uint32 { importCalls.Add(1); return a + b }).Export("add").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func instantiate(t testing.TB, r wazero.Runtime, module []byte) api.Module {
	t.Helper()
	ctx := context.Background()
	mod, err := r.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatalf("instantiate: %v", err)
	}
	t.Cleanup(func() { mod.Close(ctx) })
	return mod
}

func rewrite(t testing.TB, module []byte, o Options) ([]byte, Info) {
	t.Helper()
	out, info, err := Rewrite(module, o)
	if err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	return out, info
}

func setGlobal(mod api.Module, name string, v uint64) {
	mod.ExportedGlobal(name).(api.MutableGlobal).Set(v)
}

func getGlobal(mod api.Module, name string) int64 { return int64(mod.ExportedGlobal(name).Get()) }

// fuelled is what a metered call did.
type fuelled struct {
	results []uint64
	err     error
	charged int64
	why     int64
}

// callMetered runs an export of a rewritten module with a budget, as a host does.
func callMetered(mod api.Module, fuel int64, name string, args ...uint64) fuelled {
	setGlobal(mod, FuelGlobal, uint64(fuel))
	setGlobal(mod, SliceGlobal, 0)
	setGlobal(mod, WhyGlobal, 0)
	setGlobal(mod, DepthGlobal, 0)
	var f fuelled
	f.results, f.err = mod.ExportedFunction(name).Call(context.Background(), args...)
	f.charged = fuel - getGlobal(mod, FuelGlobal) - getGlobal(mod, SliceGlobal)
	f.why = getGlobal(mod, WhyGlobal)
	return f
}

// trapText returns the kind of a trap, without the guest's stack.
func trapText(err error) string {
	if err == nil {
		return ""
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return exit.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// memoryOf returns the bytes that the guest sees, and those it does not.
func memoryOf(mod api.Module) (seen, unseen []byte) {
	mem := mod.Memory()
	if mem == nil {
		return nil, nil
	}
	all, _ := mem.Read(0, mem.Size())
	if g := mod.ExportedGlobal(PagesGlobal); g != nil {
		n := uint32(g.Get()) * pageBytes
		return all[:n], all[n:]
	}
	return all, nil
}

// same compares a run of a module and of its rewritten form, and returns the
// charged fuel and the instructions executed. A run that ends without a trap is
// charged exactly that, and no more than what its regions may skip.
func same(t *testing.T, r wazero.Runtime, module []byte, o Options, name string, args ...uint64) (charged, executed int64, trap string) {
	t.Helper()
	out, _ := rewrite(t, module, o)
	plain, metered := instantiate(t, r, counting(module, o)), instantiate(t, r, out)
	calls := importCalls.Load()
	want, wantErr := plain.ExportedFunction(name).Call(context.Background(), args...)
	calls = importCalls.Load() - calls
	got := callMetered(metered, 1<<40, name, args...)
	if a, b := trapText(wantErr), trapText(got.err); a != b {
		t.Fatalf("trap %q, rewritten %q (why %d)", a, b, got.why)
	}
	for i := range want {
		if want[i] != got.results[i] {
			t.Fatalf("result %d is %#x, rewritten %#x", i, want[i], got.results[i])
		}
	}
	a, _ := memoryOf(plain)
	b, unseen := memoryOf(metered)
	if !bytes.Equal(a, b) {
		t.Fatalf("memories of %d and %d bytes differ", len(a), len(b))
	}
	if bytes.Count(unseen, []byte{0}) != len(unseen) {
		t.Fatal("bytes beyond the memory were written")
	}
	if d := getGlobal(metered, DepthGlobal); got.err == nil && d != 0 {
		t.Fatalf("depth is %d after the call", d)
	}
	executed = getGlobal(plain, "executed") + calls*testOptions().ImportCost
	if got.charged < executed {
		t.Fatalf("charged %d for %d instructions", got.charged, executed)
	}
	// Bulk instructions cost more by what they move, which is not counted.
	if slack := getGlobal(plain, "slack"); wantErr == nil && !pricesMore(module, o) && got.charged > executed+slack {
		t.Fatalf("charged %d for %d instructions and at most %d that were skipped", got.charged, executed, slack)
	}
	return got.charged, executed, trapText(wantErr)
}

// pricesMore reports whether a module has instructions or functions that cost
// more than their number.
func pricesMore(module []byte, o Options) bool {
	o, err := o.complete()
	if err != nil {
		panic(err)
	}
	m, err := parse(module, o)
	if err != nil {
		panic(err)
	}
	for _, b := range m.bodies {
		if localsCost(b.localCount) > 0 {
			return true
		}
		walk := &walker{m: m, r: reader{b: b.code}, locals: b.localCount, labels: 1 << 20} // which it does not track
		for walk.r.rest() > 0 {
			in, ok := walk.next()
			if !ok {
				panic(walk.r.err)
			}
			if in.op == opMisc && in.sub >= 8 { // behind the saturating conversions
				return true
			}
		}
	}
	return false
}
