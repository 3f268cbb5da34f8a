package meter

// built is a module put together by a test.
type built struct {
	types    []FuncType
	imports  []Import
	funcs    []builtFunc
	tables   [][2]uint32 // funcref, minimum and maximum
	memory   []uint32    // minimum, and maximum if there is one
	globals  []builtGlobal
	exports  []export
	start    *uint32
	elements [][]byte
	datas    [][]byte
	custom   [][]byte // name and content
}

type builtFunc struct {
	typ    uint32
	locals []byte
	code   []byte // without the last end
}

type builtGlobal struct {
	typ     byte
	mutable byte
	init    []byte // with its end
}

func (m *built) typ(params, results string) uint32 {
	letters := map[rune]byte{
		'i': typeI32, 'l': typeI64, 'f': typeF32, 'd': typeF64, 'v': typeV128, 'r': typeFuncref, 'x': typeExternref,
	}
	var t FuncType
	for _, c := range params {
		t.Params = append(t.Params, letters[c])
	}
	for _, c := range results {
		t.Results = append(t.Results, letters[c])
	}
	for i, have := range m.types {
		if string(have.Params) == string(t.Params) && string(have.Results) == string(t.Results) {
			return uint32(i)
		}
	}
	m.types = append(m.types, t)
	return uint32(len(m.types) - 1)
}

// function adds a function, exported if it has a name, and returns its index.
func (m *built) function(name, params, results string, locals []byte, code *asm) uint32 {
	m.funcs = append(m.funcs, builtFunc{typ: m.typ(params, results), locals: locals, code: code.b})
	f := uint32(len(m.imports) + len(m.funcs) - 1)
	if name != "" {
		m.exports = append(m.exports, export{name: name, index: f})
	}
	return f
}

func (m *built) bytes() []byte {
	w := &writer{out: append([]byte(nil), preamble...)}
	list := func(id byte, count int, each func(b []byte, i int) []byte) {
		var b []byte
		for i := range count {
			b = each(b, i)
		}
		w.section(id, vector(uint32(count), b))
	}
	list(secType, len(m.types), func(b []byte, i int) []byte {
		return appendBlob(appendBlob(append(b, 0x60), m.types[i].Params), m.types[i].Results)
	})
	list(secImport, len(m.imports), func(b []byte, i int) []byte {
		x := m.imports[i]
		b = append(appendName(appendName(b, x.Module), x.Name), 0)
		for j, t := range m.types {
			if string(t.Params) == string(x.Params) && string(t.Results) == string(x.Results) {
				return appendU32(b, uint32(j))
			}
		}
		panic("import of an unknown type")
	})
	list(secFunction, len(m.funcs), func(b []byte, i int) []byte { return appendU32(b, m.funcs[i].typ) })
	list(secTable, len(m.tables), func(b []byte, i int) []byte {
		return appendU32(appendU32(append(b, typeFuncref, 1), m.tables[i][0]), m.tables[i][1])
	})
	if len(m.memory) > 0 {
		b := []byte{1, byte(len(m.memory) - 1)}
		for _, v := range m.memory {
			b = appendU32(b, v)
		}
		w.section(secMemory, b)
	}
	list(secGlobal, len(m.globals), func(b []byte, i int) []byte {
		g := m.globals[i]
		return append(append(b, g.typ, g.mutable), g.init...)
	})
	list(secExport, len(m.exports), func(b []byte, i int) []byte {
		e := m.exports[i]
		return appendU32(append(appendName(b, e.name), byte(e.kind)), e.index)
	})
	if m.start != nil {
		w.section(secStart, appendU32(nil, *m.start))
	}
	raw := func(of [][]byte) func(b []byte, i int) []byte {
		return func(b []byte, i int) []byte { return append(b, of[i]...) }
	}
	list(secElement, len(m.elements), raw(m.elements))
	if len(m.datas) > 0 {
		w.section(secDataCount, appendU32(nil, uint32(len(m.datas))))
	}
	list(secCode, len(m.funcs), func(b []byte, i int) []byte {
		f := m.funcs[i]
		body := appendU32(nil, uint32(len(f.locals)))
		for _, t := range f.locals {
			body = append(body, 1, t)
		}
		return appendBlob(b, append(append(body, f.code...), opEnd))
	})
	list(secData, len(m.datas), raw(m.datas))
	for _, c := range m.custom {
		w.section(secCustom, c)
	}
	return w.out
}

// counting returns the module with an exported global "executed" that counts,
// one instruction at a time, what the package comment says is an instruction,
// but for calls of imports; and a global "slack" that adds up, whenever a region
// is entered, the instructions that it pays for although they may be skipped.
func counting(module []byte, o Options) []byte {
	o, err := o.complete()
	if err != nil {
		panic(err)
	}
	m, err := parse(module, o)
	if err != nil {
		panic(err)
	}
	counter := uint32(len(m.globals))
	content := map[byte][]byte{}
	r := &reader{b: module, off: len(preamble)}
	for r.rest() > 0 {
		id := r.byte()
		content[id] = r.bytes(r.u32())
	}
	grow := func(id byte, more []byte) {
		n := uint32(0)
		var old []byte
		if c, ok := content[id]; ok {
			r := &reader{b: c}
			n = r.u32()
			old = c[r.off:]
		}
		content[id] = vector(n+1, old, more)
	}
	grow(secGlobal, (&asm{b: []byte{typeI64, 1}}).i64(0).end().b)
	grow(secGlobal, (&asm{b: []byte{typeI64, 1}}).i64(0).end().b)
	grow(secExport, appendU32(append(appendName(nil, "executed"), byte(KindGlobal)), counter))
	grow(secExport, appendU32(append(appendName(nil, "slack"), byte(KindGlobal)), counter+1))
	var code []byte
	p := &planner{m: m, helpers: newHelpers(m)}
	for _, b := range m.bodies {
		if err := p.plan(b); err != nil {
			panic(err)
		}
		code = appendBlob(code, countingBody(m, b, p.points, counter))
	}
	content[secCode] = vector(uint32(len(m.bodies)), code)
	w := &writer{out: append([]byte(nil), preamble...)}
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11} {
		w.section(id, content[id])
	}
	return w.out
}

func countingBody(m *module, b body, points []point, counter uint32) []byte {
	a := &asm{b: append([]byte(nil), b.locals...)}
	walk := &walker{m: m, r: reader{b: b.code}, locals: b.localCount, labels: 1}
	for walk.labels > 0 {
		in, ok := walk.next()
		if !ok {
			panic(walk.r.err)
		}
		for ; len(points) > 0 && points[0].off <= in.start; points = points[1:] {
			if folded := points[0].folded; folded > FoldMax {
				panic("a region pays for more than it may")
			} else if folded > 0 {
				a.gget(counter + 1).i64(folded).op(opI64Add).gset(counter + 1)
			}
		}
		cost := int64(1)
		switch in.op {
		case opBlock, opLoop:
			walk.labels++
			cost = 0
		case opIf:
			walk.labels++
		case opElse:
			cost = 0
		case opEnd:
			walk.labels--
			cost = 0
		case opCall:
			if in.a < uint32(len(m.imports)) {
				cost = 0 // importCalls counts these and those through a table
			}
		}
		if cost > 0 {
			a.gget(counter).i64(cost).op(opI64Add).gset(counter)
		}
		a.op(b.code[in.start:in.end]...)
	}
	return a.b
}
