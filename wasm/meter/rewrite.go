package meter

import (
	"fmt"
	"strconv"
)

// Inspect reads a module and says what it is, or why Rewrite would refuse it
// (but for the size of the result). It never panics, whatever the bytes; what it
// returns aliases them.
func Inspect(b []byte, o Options) (Info, error) {
	o, err := o.complete()
	if err != nil {
		return Info{}, fmt.Errorf("options: %w", err)
	}
	m, err := parse(b, o)
	if err != nil {
		return Info{}, fmt.Errorf("read module: %w", err)
	}
	p := &planner{m: m, helpers: newHelpers(m)}
	for i, b := range m.bodies {
		if err := p.plan(b); err != nil {
			return Info{}, fmt.Errorf("function %d, code at byte %d: %w", i+len(m.imports), b.at, err)
		}
	}
	return m.info(p), nil
}

// Rewrite returns the metered form of a module as a new slice, and what Inspect
// says of the original. The result is the same for the same module and options.
func Rewrite(b []byte, o Options) ([]byte, Info, error) {
	o, err := o.complete()
	if err != nil {
		return nil, Info{}, fmt.Errorf("options: %w", err)
	}
	m, err := parse(b, o)
	if err != nil {
		return nil, Info{}, fmt.Errorf("read module: %w", err)
	}
	w := newWriter(m)
	p := &planner{m: m, helpers: w.helpers}
	if err := w.writeBodies(p); err != nil {
		return nil, Info{}, err
	}
	if err := w.writeModule(len(b)); err != nil {
		return nil, Info{}, err
	}
	return w.out, m.info(p), nil
}

func (m *module) info(p *planner) Info {
	info := Info{
		Imports:      m.imports,
		WritesTables: p.writesTables,
		HasStart:     m.start != nil,
		HasMemory:    m.memory != nil,
		Functions:    len(m.funcs),
		Instructions: p.instructions,
		Custom:       m.custom,
	}
	for _, e := range m.exports {
		x := Export{Name: e.name, Kind: e.kind}
		if e.kind == KindFunc {
			x.Type = m.typeOf(e.index)
		}
		info.Exports = append(info.Exports, x)
	}
	for i, g := range m.globals {
		if g.mutable {
			info.MutableGlobals = append(info.MutableGlobals, globalName(i))
		}
	}
	info.MutableGlobals = append(info.MutableGlobals, PagesGlobal)
	if m.memory != nil {
		info.MemoryPagesMin, info.MemoryPagesMaxDeclared = m.memory.min, 65536
		if m.memory.hasMax {
			info.MemoryPagesMaxDeclared = m.memory.max
		}
	}
	return info
}

func globalName(i int) string { return GlobalPrefix + strconv.Itoa(i) }

// writer puts the rewritten module together.
type writer struct {
	m       *module
	helpers *helpers
	n       names

	types      []byte // appended types
	typesAdded uint32
	typesKnown map[string]uint32

	bodies []byte
	out    []byte
}

func newWriter(m *module) *writer {
	g, f := uint32(len(m.globals)), m.functions()
	return &writer{
		m: m, helpers: newHelpers(m), typesKnown: map[string]uint32{},
		n: names{
			fuel: g, slice: g + 1, stop: g + 2, depth: g + 3, pages: g + 4, why: g + 5,
			slow: f, deep: f + 1,
		},
	}
}

// addedGlobals are the globals of names, in its order.
var addedGlobals = []struct {
	name string
	typ  byte
}{
	{FuelGlobal, typeI64}, {SliceGlobal, typeI64}, {StopGlobal, typeI32},
	{DepthGlobal, typeI32}, {PagesGlobal, typeI32}, {WhyGlobal, typeI32},
}

// writeBodies writes the code of the module's own functions.
func (w *writer) writeBodies(p *planner) error {
	var scratch []byte
	for i, b := range w.m.bodies {
		if err := p.plan(b); err != nil {
			return fmt.Errorf("function %d, code at byte %d: %w", i+len(w.m.imports), b.at, err)
		}
		t := w.m.types[w.m.funcs[i]]
		w.bodies, scratch = p.emitBody(w.bodies, scratch, b, t, w.n, w.wrapType)
		if len(w.bodies) > w.m.o.OutputBytesMax {
			return w.tooLarge(len(w.bodies))
		}
	}
	return nil
}

// writeModule writes all sections. References to imports found here may add
// helpers, so the sections that name them come first, apart.
func (w *writer) writeModule(size int) error {
	globals, err := w.globalSection()
	if err != nil {
		return err
	}
	elements, err := w.elementSection()
	if err != nil {
		return err
	}
	funcs, code := w.helperSections()
	m := w.m
	total := uint32(len(m.funcs) + len(w.helpers.keys))
	if size += len(w.bodies) + len(code) + len(elements); size > m.o.OutputBytesMax {
		return w.tooLarge(size)
	}
	w.out = append(make([]byte, 0, size+4096), preamble...)
	w.section(secType, vector(uint32(len(m.types))+w.typesAdded, m.typeBytes, w.types))
	w.section(secImport, vector(uint32(len(m.imports)), m.importBytes))
	w.section(secFunction, vector(total, funcs))
	w.section(secTable, w.tableSection())
	w.section(secMemory, w.memorySection())
	w.section(secGlobal, globals)
	w.section(secExport, w.exportSection())
	w.section(secElement, elements)
	if m.dataCount != nil {
		w.section(secDataCount, appendU32(nil, *m.dataCount))
	}
	w.section(secCode, vector(total, w.bodies, code))
	w.section(secData, vector(m.datas, m.dataBytes))
	if len(w.out) > m.o.OutputBytesMax {
		return w.tooLarge(len(w.out))
	}
	return nil
}

// helperSections returns the type indexes of all functions and the code of the
// helpers.
func (w *writer) helperSections() (funcs, code []byte) {
	for _, t := range w.m.funcs {
		funcs = appendU32(funcs, t)
	}
	for _, k := range w.helpers.keys {
		funcs = appendU32(funcs, w.typeIndex(w.m.helperType(k)))
		code = appendBlob(code, w.m.helperBody(k, w.n))
	}
	return funcs, code
}

func (w *writer) tableSection() []byte {
	var b []byte
	for _, t := range w.m.tables {
		most := w.m.o.TableElementsMax
		if t.hasMax {
			most = min(most, t.max)
		}
		b = appendU32(appendU32(append(b, t.ref, 1), t.min), most)
	}
	return vector(uint32(len(w.m.tables)), b)
}

// memorySection fixes the size of the memory. A module without one gets an
// empty one, which the slow path leaves the guest with.
func (w *writer) memorySection() []byte {
	var pages uint32
	if w.m.memory != nil {
		pages = w.m.o.MemoryPagesMax
	}
	return vector(1, appendU32(appendU32([]byte{1}, pages), pages))
}

func (w *writer) globalSection() ([]byte, error) {
	var b []byte
	for _, g := range w.m.globals {
		mutable := byte(0)
		if g.mutable {
			mutable = 1
		}
		b = append(b, g.typ, mutable)
		if g.init.op != opRefFunc {
			b = append(b, g.init.raw...)
			continue
		}
		f, err := w.function(g.init.function)
		if err != nil {
			return nil, err
		}
		b = append(appendU32(append(b, opRefFunc), f), opEnd)
	}
	for _, g := range addedGlobals {
		a := &asm{b: append(b, g.typ, 1)}
		switch {
		case g.typ == typeI64:
			a.i64(0)
		case g.name == PagesGlobal && w.m.memory != nil:
			a.i32(int32(w.m.memory.min))
		default:
			a.i32(0)
		}
		b = a.end().b
	}
	return vector(uint32(len(w.m.globals)+len(addedGlobals)), b), nil
}

// function returns the function to refer to for f: a helper for an import.
func (w *writer) function(f uint32) (uint32, error) {
	if f >= uint32(len(w.m.imports)) {
		return f, nil
	}
	h, err := w.helpers.index(helperKey{kind: helpImport, a: f})
	if err != nil {
		return 0, fmt.Errorf("refer to import %d: %v: %w", f, err, ErrTooLarge)
	}
	return h, nil
}

func (w *writer) exportSection() []byte {
	var b []byte
	count := uint32(0)
	add := func(name string, kind Kind, index uint32) {
		b = appendU32(append(appendName(b, name), byte(kind)), index)
		count++
	}
	for _, e := range w.m.exports {
		add(e.name, e.kind, e.index)
	}
	for i, g := range w.m.globals {
		if g.mutable {
			add(globalName(i), KindGlobal, uint32(i))
		}
	}
	for i, g := range addedGlobals {
		add(g.name, KindGlobal, uint32(len(w.m.globals)+i))
	}
	if w.m.start != nil {
		add(StartFunc, KindFunc, *w.m.start)
	}
	return vector(count, b)
}

// elementSection writes the segments, and one that only declares the helpers
// that the code refers to.
func (w *writer) elementSection() ([]byte, error) {
	var b []byte
	for _, e := range w.m.elements {
		b = appendU32(b, e.flags)
		if e.flags&1 == 0 {
			if e.flags&2 != 0 {
				b = appendU32(b, e.table)
			}
			b = append(b, e.offset.raw...)
		}
		if e.flags&3 != 0 {
			if e.flags&4 != 0 {
				b = append(b, e.ref)
			} else {
				b = append(b, 0)
			}
		}
		b = appendU32(b, uint32(len(e.refs)))
		for _, ref := range e.refs {
			var err error
			if b, err = w.appendRef(b, e, ref); err != nil {
				return nil, err
			}
		}
	}
	count := uint32(len(w.m.elements))
	declared, helpers := []byte(nil), uint32(0)
	for i, k := range w.helpers.keys {
		if k.kind == helpImport {
			declared = appendU32(declared, w.helpers.first+uint32(i))
			helpers++
		}
	}
	if helpers > 0 {
		b = append(appendU32(append(b, 3, 0), helpers), declared...)
		count++
	}
	return vector(count, b), nil
}

func (w *writer) appendRef(b []byte, e element, ref int64) ([]byte, error) {
	if ref < 0 {
		return append(b, opRefNull, e.ref, opEnd), nil
	}
	f, err := w.function(uint32(ref))
	if err != nil {
		return nil, err
	}
	if e.flags&4 == 0 {
		return appendU32(b, f), nil
	}
	return append(appendU32(append(b, opRefFunc), f), opEnd), nil
}
