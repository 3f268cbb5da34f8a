package meter

import (
	"bytes"
	"strings"
)

// Sections of the binary format.
const (
	secCustom    = 0
	secType      = 1
	secImport    = 2
	secFunction  = 3
	secTable     = 4
	secMemory    = 5
	secGlobal    = 6
	secExport    = 7
	secStart     = 8
	secElement   = 9
	secCode      = 10
	secData      = 11
	secDataCount = 12
)

// sectionOrder is the place of each section but custom in a module.
var sectionOrder = [...]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5,
	secGlobal: 6, secExport: 7, secStart: 8, secElement: 9, secDataCount: 10,
	secCode: 11, secData: 12,
}

var preamble = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}

// parse reads all sections of b. Function bodies are cut out, not walked.
func parse(b []byte, o Options) (*module, error) {
	m := &module{o: o}
	r := &reader{b: b}
	if len(b) > o.ModuleBytesMax {
		r.fail(ErrTooLarge, "%d bytes, at most %d", len(b), o.ModuleBytesMax)
		return nil, r.err
	}
	if !bytes.HasPrefix(b, preamble) {
		r.fail(ErrMalformed, "not a WebAssembly 1.0 core module")
		return nil, r.err
	}
	r.off = len(preamble)
	last, customs := 0, 0
	for r.rest() > 0 {
		id := r.byte()
		size := r.u32()
		start := r.off
		if uint64(size) > uint64(r.rest()) {
			r.fail(ErrMalformed, "section %d of %d bytes, %d left", id, size, r.rest())
			break
		}
		sub := &reader{b: b[:start+int(size)], off: start, err: r.err}
		if id == secCustom {
			customs++
			m.readCustom(sub, customs)
		} else {
			if int(id) >= len(sectionOrder) {
				sub.fail(ErrUnsupported, "section %d", id)
			} else if place := sectionOrder[id]; place <= last {
				sub.fail(ErrMalformed, "section %d out of order", id)
			} else {
				last = place
			}
			m.readSection(sub, id)
			if sub.rest() > 0 {
				sub.fail(ErrMalformed, "%d bytes too many in section %d", sub.rest(), id)
			}
		}
		r.err = sub.err
		r.off = start + int(size)
	}
	m.checkWhole(r)
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func (m *module) readSection(r *reader, id byte) {
	if r.err != nil {
		return
	}
	switch id {
	case secType:
		m.readTypes(r)
	case secImport:
		m.readImports(r)
	case secFunction:
		m.readFunctions(r)
	case secTable:
		m.readTables(r)
	case secMemory:
		m.readMemory(r)
	case secGlobal:
		m.readGlobals(r)
	case secExport:
		m.readExports(r)
	case secStart:
		m.readStart(r)
	case secElement:
		m.readElements(r)
	case secDataCount:
		n := r.u32()
		m.dataCount = &n
	case secCode:
		m.readCode(r)
	case secData:
		m.readData(r)
	}
}

// checkWhole checks what can be seen only at the end.
func (m *module) checkWhole(r *reader) {
	if len(m.bodies) != len(m.funcs) {
		r.fail(ErrMalformed, "%d functions but %d bodies", len(m.funcs), len(m.bodies))
	}
	if m.dataCount != nil && *m.dataCount != m.datas {
		r.fail(ErrMalformed, "%d data segments announced, %d found", *m.dataCount, m.datas)
	}
}

func (m *module) readCustom(r *reader, count int) {
	if count > m.o.CustomMax {
		r.fail(ErrTooLarge, "more than %d custom sections", m.o.CustomMax)
	}
	name := r.name(m.o.NameBytesMax)
	if r.err != nil {
		return
	}
	if _, twice := m.custom[name]; twice {
		r.fail(ErrUnsupported, "two custom sections with the name %q", name)
		return
	}
	if m.custom == nil {
		m.custom = map[string][]byte{}
	}
	m.custom[name] = r.bytes(uint32(r.rest()))
}

func (m *module) readTypes(r *reader) {
	n := r.count("types", m.o.TypesMax)
	start := r.off
	for range n {
		if form := r.byte(); r.err == nil && form != 0x60 {
			r.fail(ErrUnsupported, "type form 0x%02x: only functions", form)
		}
		params := m.readTypeList(r, "parameters")
		results := m.readTypeList(r, "results")
		if r.err != nil {
			return
		}
		m.types = append(m.types, FuncType{Params: params, Results: results})
	}
	m.typeBytes = r.b[start:r.off]
}

func (m *module) readTypeList(r *reader, what string) []byte {
	list := r.bytes(r.count(what, m.o.ParamsMax))
	for _, t := range list {
		if !isValType(t) {
			r.fail(ErrUnsupported, "value type 0x%02x", t)
			return nil
		}
	}
	return list
}

func (m *module) readImports(r *reader) {
	n := r.count("imports", m.o.FunctionsMax)
	start := r.off
	for range n {
		mod, name := r.name(m.o.NameBytesMax), r.name(m.o.NameBytesMax)
		kind := Kind(r.byte())
		if r.err != nil {
			return
		}
		if kind != KindFunc {
			r.fail(ErrUnsupported, "import of %s %q.%q: only functions", kind, mod, name)
			return
		}
		if strings.HasPrefix(mod, Prefix) || strings.HasPrefix(name, Prefix) {
			r.fail(ErrUnsupported, "import %q.%q: names with %s belong to the broker", mod, name, Prefix)
			return
		}
		t := r.index("type", uint32(len(m.types)))
		if r.err != nil {
			return
		}
		m.importTypes = append(m.importTypes, t)
		m.imports = append(m.imports, Import{
			Module: mod, Name: name, Params: m.types[t].Params, Results: m.types[t].Results,
		})
	}
	m.importBytes = r.b[start:r.off]
}

func (m *module) readFunctions(r *reader) {
	n := r.count("functions", m.o.FunctionsMax-min(m.o.FunctionsMax, uint32(len(m.imports))))
	for range n {
		m.funcs = append(m.funcs, r.index("type", uint32(len(m.types))))
	}
}

// readLimits reads the limits of a memory or table.
func readLimits(r *reader, what string) limits {
	var l limits
	switch flags := r.byte(); flags {
	case 0:
		l.min = r.u32()
	case 1:
		l.min, l.max, l.hasMax = r.u32(), r.u32(), true
		if l.max < l.min {
			r.fail(ErrMalformed, "%s with a minimum of %d and a maximum of %d", what, l.min, l.max)
		}
	default:
		r.fail(ErrUnsupported, "%s with limits 0x%02x: neither shared nor 64-bit", what, flags)
	}
	return l
}

func (m *module) readTables(r *reader) {
	var sum uint64
	for range r.count("tables", m.o.TablesMax) {
		t := table{ref: r.byte()}
		if r.err == nil && !isRefType(t.ref) {
			r.fail(ErrUnsupported, "table of type 0x%02x", t.ref)
		}
		t.limits = readLimits(r, "table")
		sum += uint64(t.min)
		if sum > uint64(m.o.TableElementsMax) {
			r.fail(ErrTooLarge, "tables of %d elements, at most %d", sum, m.o.TableElementsMax)
		}
		m.tables = append(m.tables, t)
	}
}

func (m *module) readMemory(r *reader) {
	n := r.u32()
	if n > 1 {
		r.fail(ErrUnsupported, "%d memories: only one", n)
	}
	if r.err != nil || n == 0 {
		return
	}
	l := readLimits(r, "memory")
	if l.min > 65536 || l.max > 65536 {
		r.fail(ErrMalformed, "memory beyond 65536 pages")
	}
	if l.min > m.o.MemoryPagesMax {
		r.fail(ErrTooLarge, "memory of %d pages, at most %d", l.min, m.o.MemoryPagesMax)
	}
	m.memory = &l
}

func (m *module) readGlobals(r *reader) {
	for i := range r.count("globals", m.o.GlobalsMax) {
		g := global{typ: r.byte()}
		mut := r.byte()
		g.mutable = mut == 1
		switch {
		case r.err != nil:
			return
		case !isValType(g.typ):
			r.fail(ErrUnsupported, "global %d of type 0x%02x", i, g.typ)
		case mut > 1:
			r.fail(ErrMalformed, "global %d with mutability %d", i, mut)
		case g.mutable && !isNumType(g.typ):
			r.fail(ErrUnsupported, "mutable global %d of a vector or reference type: it could not be put back", i)
		}
		g.init = m.readConstant(r)
		m.globals = append(m.globals, g)
	}
}

// readConstant reads a constant expression: a single instruction and its end.
// Those that read globals need imported ones, which are refused.
func (m *module) readConstant(r *reader) constant {
	start := r.off
	c := constant{op: r.byte()}
	switch c.op {
	case opI32Const:
		c.i32 = int32(r.signed(32))
	case opI64Const:
		r.signed(64)
	case opF32Const:
		r.bytes(4)
	case opF64Const:
		r.bytes(8)
	case opRefNull:
		if t := r.byte(); r.err == nil && !isRefType(t) {
			r.fail(ErrUnsupported, "null of type 0x%02x", t)
		}
	case opRefFunc:
		c.function = r.index("function", m.functions())
	case opVector:
		if r.byte() != vecConst {
			r.fail(ErrUnsupported, "constant expression")
		}
		r.bytes(16)
	default:
		r.fail(ErrUnsupported, "constant expression with opcode 0x%02x", c.op)
	}
	if end := r.byte(); r.err == nil && end != opEnd {
		r.fail(ErrUnsupported, "constant expression with more than one instruction")
	}
	if r.err == nil {
		c.raw = r.b[start:r.off]
	}
	return c
}
