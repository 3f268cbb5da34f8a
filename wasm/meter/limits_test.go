package meter

import (
	"context"
	"runtime"
	"testing"
)

// progress adds k to global 0: the tests see how far a stopped guest came.
func (a *asm) progress(k int64) *asm { return a.gget(0).i64(k).op(opI64Add).gset(0) }

func limitModule() *built {
	return &built{memory: []uint32{1}, globals: []builtGlobal{{typeI64, 1, code().i64(0).end().b}}}
}

func TestFuelStops(t *testing.T) {
	const huge = 0xffffff
	m := limitModule()
	m.function("endless", "", "", nil, code().loop().progress(5).br(0).end())
	divisions := code().loop()
	for range 1000 {
		divisions.progress(7).i64(1000).get(0).op(0x7f).op(opDrop) // i64.div_s
	}
	m.function("divisions", "l", "", nil, divisions.br(0).end())
	straight := code()
	for range 20000 {
		straight.progress(4)
	}
	m.function("straight", "", "", nil, straight)
	m.function("fill", "", "", nil, code().i32(0).i32(1).i32(huge+1).misc(miscMemoryFill, 0))
	m.function("copy", "", "", nil, code().i32(1).i32(0).i32(huge).misc(miscMemoryCopy, 0, 0))
	m.function("copyDown", "", "", nil, code().i32(0).i32(1).i32(huge).misc(miscMemoryCopy, 0, 0))
	m.function("many", "", "", nil, code().loop().i32(0).i32(1).i32(65536).misc(miscMemoryFill, 0).br(0).end())
	m.memory = []uint32{256}
	o := testOptions()
	o.MemoryPagesMax = 256
	out, _ := rewrite(t, m.bytes(), o)
	mod := instantiate(t, newRuntime(t), out)
	const fuel = 50000
	for _, name := range []string{"endless", "divisions", "straight", "fill", "copy", "copyDown", "many"} {
		setGlobal(mod, GlobalPrefix+"0", 0)
		got := callMetered(mod, fuel, name, make([]uint64, len(mod.ExportedFunction(name).Definition().ParamTypes()))...)
		if name == "divisions" {
			got = callMetered(mod, fuel, name, 3)
		}
		if got.err == nil || got.why != WhyFuel || got.charged != fuel {
			t.Errorf("%s: %v, why %d, charged %d", name, got.err, got.why, got.charged)
		}
		if p := getGlobal(mod, GlobalPrefix+"0"); p > fuel+CheckRun+FoldMax {
			t.Errorf("%s: executed %d with fuel for %d", name, p, fuel)
		}
	}
	if got := callMetered(mod, 3<<20, "fill"); got.err != nil || got.charged < 1<<21 {
		t.Errorf("fill with enough fuel: %+v", got)
	}
	if got := callMetered(mod, 0, "straight"); got.why != WhyFuel {
		t.Errorf("no fuel: %+v", got)
	}
}

func TestNoFuelInANewInstance(t *testing.T) {
	m := limitModule()
	m.function("run", "", "", nil, code().progress(1))
	out, _ := rewrite(t, m.bytes(), testOptions())
	mod := instantiate(t, newRuntime(t), out)
	if _, err := mod.ExportedFunction("run").Call(context.Background()); err == nil || getGlobal(mod, WhyGlobal) != WhyFuel {
		t.Errorf("%v", err)
	}
}

func TestDepthStops(t *testing.T) {
	m := limitModule()
	m.function("deep", "", "", nil, code().progress(1).call(0))
	m.function("down", "i", "i", nil, code().
		get(0).op(opI32Eqz, opIf, typeEmpty).i32(0).op(opReturn).end().get(0).i32(1).op(opI32Sub).call(1).i32(1).op(opI32Add))
	m.function("heavy", "i", "i", make640(), code().
		get(0).op(opI32Eqz, opIf, typeEmpty).i32(0).op(opReturn).end().get(0).i32(1).op(opI32Sub).call(2))
	m.tables = [][2]uint32{{1, 1}}
	m.function("indirect", "", "", nil, code().progress(1).i32(0).with(opCallIndirect, m.typ("", "")).op(0))
	m.elements = [][]byte{(&asm{b: []byte{0}}).i32(0).op(opEnd, 1, 3).b}
	o := testOptions()
	out, _ := rewrite(t, m.bytes(), o)
	mod := instantiate(t, newRuntime(t), out)
	for _, name := range []string{"deep", "indirect"} {
		setGlobal(mod, GlobalPrefix+"0", 0)
		got := callMetered(mod, 1<<30, name)
		if got.err == nil || got.why != WhyDepth || getGlobal(mod, GlobalPrefix+"0") != int64(o.DepthMax) {
			t.Errorf("%s: %v, why %d, %d calls", name, got.err, got.why, getGlobal(mod, GlobalPrefix+"0"))
		}
	}
	for _, c := range []struct {
		name string
		n    uint64
		why  int64
	}{
		{"down", 1023, 0}, {"down", 1024, WhyDepth}, {"down", 10, 0},
		{"heavy", 92, 0}, {"heavy", 93, WhyDepth},
	} {
		if got := callMetered(mod, 1<<30, c.name, c.n); got.why != c.why || (got.err != nil) != (c.why != 0) {
			t.Errorf("%s(%d): %v, why %d", c.name, c.n, got.err, got.why)
		}
	}
}

// make640 returns locals that make a function weigh 11.
func make640() []byte {
	locals := make([]byte, 640)
	for i := range locals {
		locals[i] = typeI64
	}
	return locals
}

// What runs when a chain of calls comes back adds up; it is checked too.
func TestReturningCallsAreChecked(t *testing.T) {
	m := limitModule()
	c := code().get(0).op(opIf, typeEmpty).get(0).i32(1).op(opI32Sub).call(0).end()
	for range 1000 {
		c.progress(4)
	}
	m.function("run", "i", "", nil, c)
	out, _ := rewrite(t, m.bytes(), testOptions())
	mod := instantiate(t, newRuntime(t), out)
	const fuel = 50000
	got := callMetered(mod, fuel, "run", 1000)
	if p := getGlobal(mod, GlobalPrefix+"0"); got.why != WhyFuel || p > fuel+2*CheckRun {
		t.Errorf("why %d, executed %d with fuel for %d", got.why, p, fuel)
	}
}

// A collection gets through while the guest loops, and a stop ends it: both
// would hang without the passage through Go.
func TestCollectionAndStop(t *testing.T) {
	m := limitModule()
	m.function("spin", "", "", nil, code().loop().progress(1).br(0).end())
	m.imports = []Import{{Module: "env", Name: "add", Params: []byte{typeI32, typeI32}, Results: []byte{typeI32}}}
	m.typ("ii", "i")
	m.exports[0].index = 1
	out, _ := rewrite(t, m.bytes(), testOptions())
	mod := instantiate(t, newRuntime(t), out)
	done := make(chan fuelled)
	started := make(chan struct{})
	go func() {
		close(started)
		done <- callMetered(mod, 1<<60, "spin")
	}()
	<-started
	for range 3 {
		runtime.GC()
	}
	setGlobal(mod, StopGlobal, 1)
	got := <-done
	if got.err == nil || got.why != WhyStop {
		t.Errorf("%v, why %d", got.err, got.why)
	}
	setGlobal(mod, StopGlobal, 0)
	if got := callMetered(mod, 1<<20, "spin"); got.why != WhyFuel {
		t.Errorf("after a stop: %+v", got)
	}
}
