package meter

import (
	"slices"
	"testing"
)

// code starts a function body.
func code() *asm { return &asm{} }

func TestRewriteKeepsResultsAndCounts(t *testing.T) {
	m := &built{memory: []uint32{1, 4}}
	// sum(n): loop that adds n, n-1, ... 1
	m.function("sum", "i", "i", []byte{typeI32}, code().
		block().loop().get(0).op(opI32Eqz).brIf(1).
		get(1).get(0).op(opI32Add).set(1).
		get(0).i32(1).op(opI32Sub).set(0).br(0).end().end().get(1))
	// early(n): return in the middle, several results
	pair := m.function("pair", "i", "il", nil, code().
		get(0).op(opIf, typeEmpty).i32(7).i64(9).op(opReturn).end().i32(1).i64(2))
	m.function("twice", "i", "il", nil, code().
		get(0).call(pair).op(opDrop, opDrop).get(0).op(opIf, typeEmpty).get(0).call(pair).br(1).end().i32(3).i64(4))
	m.function("grow", "i", "iii", nil, code().
		op(opMemorySize, 0).get(0).op(opMemoryGrow, 0).op(opMemorySize, 0))
	r := newRuntime(t)
	for _, c := range []struct {
		name string
		arg  uint64
	}{
		{"sum", 0}, {"sum", 1}, {"sum", 10000}, {"pair", 0}, {"pair", 1}, {"twice", 0}, {"twice", 1},
		{"grow", 0}, {"grow", 3}, {"grow", 4}, {"grow", 0xffffffff},
	} {
		charged, executed, _ := same(t, r, m.bytes(), testOptions(), c.name, c.arg)
		if charged > executed*2+FoldMax {
			t.Errorf("%s(%d): charged %d for %d instructions", c.name, c.arg, charged, executed)
		}
	}
}

func TestGrowStopsAtTheBound(t *testing.T) {
	m := &built{memory: []uint32{1}}
	m.function("grow", "i", "i", nil, code().get(0).op(opMemoryGrow, 0))
	out, info := rewrite(t, m.bytes(), testOptions())
	if info.MemoryPagesMin != 1 || info.MemoryPagesMaxDeclared != 65536 {
		t.Errorf("limits %d to %d", info.MemoryPagesMin, info.MemoryPagesMaxDeclared)
	}
	mod := instantiate(t, newRuntime(t), out)
	// An unexported memory is not visible; the counter says what the guest sees.
	for _, c := range []struct{ delta, old, pages uint64 }{
		{testPages, 0xffffffff, 1}, {testPages - 1, 1, testPages}, {1, 0xffffffff, testPages}, {0, testPages, testPages},
	} {
		got := callMetered(mod, 1000, "grow", c.delta)
		if got.err != nil || got.results[0] != c.old || getGlobal(mod, PagesGlobal) != int64(c.pages) {
			t.Errorf("grow %d: %v %v, %d pages", c.delta, got.results, got.err, getGlobal(mod, PagesGlobal))
		}
	}
}

func TestNoMemory(t *testing.T) {
	m := &built{}
	m.function("spin", "", "", nil, code().loop().br(0).end())
	out, info := rewrite(t, m.bytes(), testOptions())
	if info.HasMemory || info.MemoryPagesMaxDeclared != 0 {
		t.Errorf("info %+v", info)
	}
	got := callMetered(instantiate(t, newRuntime(t), out), 1<<20, "spin")
	if got.err == nil || got.why != WhyFuel || got.charged != 1<<20 {
		t.Errorf("%+v", got)
	}
}

func TestInfo(t *testing.T) {
	m := &built{memory: []uint32{1, 2}, tables: [][2]uint32{{3, 9}}}
	m.imports = []Import{{Module: "env", Name: "add", Params: []byte{typeI32, typeI32}, Results: []byte{typeI32}}}
	m.typ("ii", "i")
	m.globals = []builtGlobal{
		{typeI32, 0, code().i32(5).end().b},
		{typeI64, 1, code().i64(-5).end().b},
		{typeF64, 1, code().op(opF64Const, 0, 0, 0, 0, 0, 0, 0, 0).end().b},
	}
	f := m.function("run", "l", "", nil, code().i32(0).with(opTableGet, 0).op(opDrop))
	m.exports = append(m.exports, export{"memory", KindMemory, 0}, export{"g", KindGlobal, 1})
	m.custom = [][]byte{append(appendName(nil, "varve.plugin"), "{}"...), append(appendName(nil, "name"), 1, 2)}
	g := m.function("", "", "", nil, code())
	m.start = &g
	out, info := rewrite(t, m.bytes(), testOptions())
	again, err := Inspect(m.bytes(), testOptions())
	if err != nil || again.Instructions != info.Instructions {
		t.Errorf("inspect: %v", err)
	}
	if !slices.Equal(info.MutableGlobals, []string{GlobalPrefix + "1", GlobalPrefix + "2", PagesGlobal}) {
		t.Errorf("globals %v", info.MutableGlobals)
	}
	if len(info.Imports) != 1 || info.Imports[0].Name != "add" || len(info.Imports[0].Params) != 2 {
		t.Errorf("imports %+v", info.Imports)
	}
	if e := info.Exports; len(e) != 3 || e[0].Name != "run" || len(e[0].Type.Params) != 1 || e[1].Kind != KindMemory {
		t.Errorf("exports %+v of function %d", e, f)
	}
	if string(info.Custom["varve.plugin"]) != "{}" || info.WritesTables || !info.HasStart || info.Functions != 2 {
		t.Errorf("info %+v", info)
	}
	mod := instantiate(t, newRuntime(t), out)
	if mod.ExportedFunction(StartFunc) == nil || mod.Memory().Size() != testPages*pageBytes {
		t.Error("start function or memory size")
	}
	if getGlobal(mod, GlobalPrefix+"1") != -5 || getGlobal(mod, PagesGlobal) != 1 {
		t.Error("globals")
	}
	if left, err := Inspect(out, testOptions()); err == nil {
		t.Errorf("a rewritten module is accepted again: %+v", left)
	}
}

// An import is paid for however it is called.
func TestImportCost(t *testing.T) {
	m := &built{tables: [][2]uint32{{2, 2}}}
	m.imports = []Import{{Module: "env", Name: "add", Params: []byte{typeI32, typeI32}, Results: []byte{typeI32}}}
	add := m.typ("ii", "i")
	m.function("direct", "", "i", nil, code().i32(1).i32(2).call(0))
	m.function("table", "", "i", nil, code().i32(1).i32(2).i32(0).with(opCallIndirect, add).op(0))
	m.function("reference", "", "i", nil, code().i32(1).with(opRefFunc, 0).with(opTableSet, 0).
		i32(1).i32(2).i32(1).with(opCallIndirect, add).op(0))
	m.elements = [][]byte{(&asm{b: []byte{0}}).i32(0).op(opEnd, 1, 0).b}
	out, _ := rewrite(t, m.bytes(), testOptions())
	mod := instantiate(t, newRuntime(t), out)
	for _, name := range []string{"direct", "table", "reference"} {
		got := callMetered(mod, 1000, name)
		if got.err != nil || got.results[0] != 3 || got.charged < 100 || got.charged > 110 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
