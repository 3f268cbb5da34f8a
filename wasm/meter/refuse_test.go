package meter

import (
	"bytes"
	"errors"
	"testing"
)

func TestRefusedCode(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		want error
	}{
		{"fuel global", []byte{opGlobalGet, 1, opDrop}, ErrMalformed},
		{"set fuel global", []byte{opI64Const, 9, opGlobalSet, 1}, ErrMalformed},
		{"slow function", []byte{opCall, 1}, ErrMalformed},
		{"reference to it", []byte{opRefFunc, 1, opDrop}, ErrMalformed},
		{"label of the wrapper", []byte{opBr, 1}, ErrMalformed},
		{"label in a table", []byte{opI32Const, 0, opBrTable, 1, 0, 1}, ErrMalformed},
		{"local", []byte{opLocalGet, 0, opDrop}, ErrMalformed},
		{"type of a helper", []byte{opBlock, 1, opEnd}, ErrMalformed},
		{"indirect type", []byte{opI32Const, 0, opCallIndirect, 1, 0}, ErrMalformed},
		{"table", []byte{opI32Const, 0, opTableGet, 1, opDrop}, ErrMalformed},
		{"data segment", []byte{opMisc, miscDataDrop, 0}, ErrMalformed},
		{"element segment", []byte{opMisc, miscElemDrop, 0}, ErrMalformed},
		{"second memory", []byte{opMemorySize, 1, opDrop}, ErrUnsupported},
		{"multi-memory access", []byte{opI32Const, 0, 0x28, 0x42, 1, 0, opDrop}, ErrUnsupported},
		{"atomics", []byte{0xfe, 3, 0}, ErrUnsupported},
		{"tail call", []byte{0x12, 0}, ErrUnsupported},
		{"try", []byte{0x06, 0x40, opEnd}, ErrUnsupported},
		{"try_table", []byte{0x1f, 0x40, 0, opEnd}, ErrUnsupported},
		{"call_ref", []byte{0x14, 0}, ErrUnsupported},
		{"struct.new", []byte{0xfb, 0, 0}, ErrUnsupported},
		{"relaxed SIMD", []byte{opVector, 0x80, 2}, ErrUnsupported},
		{"long SIMD opcode", []byte{opVector, 0x8e, 0}, ErrUnsupported},
		{"long bulk opcode", []byte{opMisc, 0x8b, 0, 0}, ErrUnsupported},
		{"else without if", []byte{opBlock, typeEmpty, opElse, opEnd}, ErrMalformed},
		{"code behind the end", []byte{opEnd, 0x01}, ErrMalformed},
		{"no end", []byte{opBlock, typeEmpty}, ErrMalformed},
		{"long integer", []byte{opI32Const, 0xff, 0xff, 0xff, 0xff, 0x1f, opDrop}, ErrMalformed},
	} {
		m := limitModule()
		m.tables = [][2]uint32{{1, 1}}
		m.function("run", "", "", nil, &asm{b: c.code})
		_, err := Inspect(m.bytes(), testOptions())
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, _, again := Rewrite(m.bytes(), testOptions()); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: Inspect says %v, Rewrite %v", c.name, err, again)
		}
	}
}

func TestMemoryInstructionsNeedAMemory(t *testing.T) {
	for _, body := range []*asm{
		code().op(opMemorySize, 0, opDrop),
		code().i32(0).op(0x28, 2, 0, opDrop),
		code().i32(0).i32(0).i32(0).misc(miscMemoryFill, 0),
	} {
		m := &built{}
		m.function("run", "", "", nil, body)
		if _, err := Inspect(m.bytes(), testOptions()); !errors.Is(err, ErrMalformed) {
			t.Errorf("% x: %v", body.b, err)
		}
	}
}

func TestRefusedModules(t *testing.T) {
	type change func(m *built)
	for _, c := range []struct {
		name string
		do   change
		want error
	}{
		{"export name", func(m *built) { m.exports[0].name = "__varve_x" }, ErrUnsupported},
		{"import name", func(m *built) {
			m.imports = []Import{{Module: "env", Name: FuelGlobal}}
		}, ErrUnsupported},
		{"twice", func(m *built) { m.exports = append(m.exports, m.exports[0]) }, ErrMalformed},
		{"memory too large", func(m *built) { m.memory = []uint32{testPages + 1} }, ErrTooLarge},
		{"memory beyond 4 GiB", func(m *built) { m.memory = []uint32{1, 65537} }, ErrMalformed},
		{"table too large", func(m *built) { m.tables = [][2]uint32{{1 << 30, 1 << 30}} }, ErrTooLarge},
		{"mutable vector", func(m *built) {
			m.globals = append(m.globals, builtGlobal{typeV128, 1, append(append([]byte{opVector, vecConst}, make([]byte, 16)...), opEnd)})
		}, ErrUnsupported},
		{"mutable reference", func(m *built) {
			m.globals = append(m.globals, builtGlobal{typeFuncref, 1, []byte{opRefNull, typeFuncref, opEnd}})
		}, ErrUnsupported},
		{"global from a global", func(m *built) {
			m.globals = append(m.globals, builtGlobal{typeI64, 0, []byte{opGlobalGet, 0, opEnd}})
		}, ErrUnsupported},
		{"data beyond the memory", func(m *built) {
			m.datas = [][]byte{code().op(0).i32(65535).op(opEnd, 2, 1, 1).b}
		}, ErrMalformed},
		{"start with parameters", func(m *built) {
			f := m.function("", "i", "", nil, code())
			m.start = &f
		}, ErrMalformed},
		{"custom twice", func(m *built) { m.custom = [][]byte{{1, 'a'}, {1, 'a', 1}} }, ErrUnsupported},
		{"too many globals", func(m *built) {
			for range 1025 {
				m.globals = append(m.globals, m.globals[0])
			}
		}, ErrTooLarge},
		{"deep nesting", func(m *built) {
			c := code()
			for range 20000 {
				c.block()
			}
			m.function("nest", "", "", nil, c.op(bytes.Repeat([]byte{opEnd}, 20000)...))
		}, ErrTooLarge},
		{"takes too long to compile", func(m *built) {
			// 25 KB that the compiler needed minutes for.
			loops := code().op(bytes.Repeat([]byte{opLoop, typeEmpty, 0x01, opEnd}, 1000)...)
			m.function("effort", "", "", bytes.Repeat([]byte{0x7f}, 4000), loops)
		}, ErrTooLarge},
		{"tables take too long to compile", func(m *built) { // minutes
			table := code().block().i32(0).with(opBrTable, 250_000).op(make([]byte, 250_001)...).end()
			m.function("table", "", "", nil, table)
		}, ErrTooLarge},
		{"nested loops take too long to compile", func(m *built) { // minutes
			loops := code().op(bytes.Repeat([]byte{opLoop, typeEmpty}, 8000)...)
			m.function("loops", "", "", nil, loops.op(bytes.Repeat([]byte{opI32Const, 0, opBrIf, 0, opEnd}, 8000)...))
		}, ErrTooLarge},
		{"branches take too long to compile", func(m *built) { // a minute
			m.function("branches", "", "", nil, code().op(bytes.Repeat([]byte{opI32Const, 0, opIf, typeEmpty, opEnd}, 50_000)...))
		}, ErrTooLarge},
		{"too many locals", func(m *built) { m.function("locals", "", "", make([]byte, 0), code()); m.many() }, ErrTooLarge},
	} {
		m := limitModule()
		m.function("run", "", "", nil, code().progress(1))
		c.do(m)
		if _, err := Inspect(m.bytes(), testOptions()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// many gives the last function 9,000 locals.
func (m *built) many() {
	f := &m.funcs[len(m.funcs)-1]
	for range 9000 {
		f.locals = append(f.locals, typeI32)
	}
}

func TestRefusedAtOnce(t *testing.T) {
	huge := append(append([]byte(nil), preamble...), make([]byte, 100<<20)...)
	if _, _, err := Rewrite(huge, testOptions()); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	for _, b := range [][]byte{
		nil, {0}, preamble[:7], []byte("\x00asm\x0d\x00\x01\x00"),
		append(bytes.Clone(preamble), 1, 0xff, 0xff, 0xff, 0xff, 0x0f),
		append(bytes.Clone(preamble), 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f),
		append(bytes.Clone(preamble), 3, 1, 0, 1, 1, 0),
		append(bytes.Clone(preamble), 13, 1, 0),
	} {
		if _, err := Inspect(b, testOptions()); err == nil {
			t.Errorf("% x accepted", b)
		}
	}
	loops := code().op(bytes.Repeat([]byte{opLoop, typeEmpty, 0x01, opEnd}, 50000)...)
	m := &built{}
	m.function("loops", "", "", nil, loops)
	o := testOptions()
	o.OutputBytesMax = 1 << 20
	if _, _, err := Rewrite(m.bytes(), o); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	for _, o := range []Options{{MemoryPagesMax: 65537}, {DepthMax: -1}, {Slice: -1}, {ImportCost: CheckRun + 1}} {
		if _, err := Inspect(preamble, o); err == nil {
			t.Errorf("options %+v accepted", o)
		}
	}
}

// Any cut of a module is refused or accepted, without a panic, and so are
// modules with one byte changed.
func TestDamagedModules(t *testing.T) {
	module := generate(11, true)
	if len(module) > 4096 {
		module = module[:4096]
	}
	for i := 0; i < len(module); i += 3 {
		_, _ = Inspect(module[:i], testOptions())
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			b := bytes.Clone(module)
			b[i] = v
			_, _, _ = Rewrite(b, testOptions())
		}
	}
}
