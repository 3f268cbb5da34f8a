package meter

import "strings"

func (m *module) readExports(r *reader) {
	n := r.count("exports", m.o.ExportsMax)
	seen := make(map[string]bool, n)
	for range n {
		e := export{name: r.name(m.o.NameBytesMax), kind: Kind(r.byte())}
		if r.err != nil {
			return
		}
		switch e.kind {
		case KindFunc:
			e.index = r.index("function", m.functions())
		case KindTable:
			e.index = r.index("table", uint32(len(m.tables)))
		case KindMemory:
			e.index = r.index("memory", m.memories())
		case KindGlobal:
			e.index = r.index("global", uint32(len(m.globals)))
		default:
			r.fail(ErrUnsupported, "export %q of kind %d", e.name, e.kind)
		}
		switch {
		case seen[e.name]:
			r.fail(ErrMalformed, "export %q twice", e.name)
		case strings.HasPrefix(e.name, Prefix):
			r.fail(ErrUnsupported, "export %q: names with %s belong to the broker", e.name, Prefix)
		}
		seen[e.name] = true
		m.exports = append(m.exports, e)
	}
}

func (m *module) memories() uint32 {
	if m.memory == nil {
		return 0
	}
	return 1
}

func (m *module) readStart(r *reader) {
	f := r.index("start function", m.functions())
	if r.err != nil {
		return
	}
	if t := m.typeOf(f); len(t.Params)+len(t.Results) > 0 {
		r.fail(ErrMalformed, "start function %d with parameters or results", f)
	}
	m.start = &f
}

func (m *module) readElements(r *reader) {
	var sum uint64
	for range r.count("element segments", m.o.SegmentsMax) {
		e := element{flags: r.u32(), ref: typeFuncref}
		if e.flags > 7 {
			r.fail(ErrUnsupported, "element segment with flags %d", e.flags)
		}
		if e.flags&1 == 0 {
			if e.flags&2 != 0 {
				e.table = r.u32()
			}
			if r.err == nil && e.table >= uint32(len(m.tables)) {
				r.fail(ErrMalformed, "table %d of %d", e.table, len(m.tables))
			}
			e.offset = m.readConstant(r)
			if r.err == nil && e.offset.op != opI32Const {
				r.fail(ErrMalformed, "offset of an element segment is no i32")
			}
		}
		if e.flags&3 != 0 {
			e.ref = m.readElementType(r, e.flags)
		}
		m.readRefs(r, &e)
		if sum += uint64(len(e.refs)); sum > 4*uint64(m.o.TableElementsMax) {
			r.fail(ErrTooLarge, "element segments of more than %d elements", 4*m.o.TableElementsMax)
		}
		if r.err != nil {
			return
		}
		m.elements = append(m.elements, e)
	}
}

func (m *module) readElementType(r *reader, flags uint32) byte {
	t := r.byte()
	if flags&4 != 0 {
		if r.err == nil && !isRefType(t) {
			r.fail(ErrUnsupported, "elements of type 0x%02x", t)
		}
		return t
	}
	if r.err == nil && t != 0 {
		r.fail(ErrUnsupported, "elements of kind 0x%02x", t)
	}
	return typeFuncref
}

func (m *module) readRefs(r *reader, e *element) {
	n := r.count("elements", m.o.TableElementsMax)
	if r.err != nil {
		return
	}
	e.refs = make([]int64, 0, n)
	for range n {
		if e.flags&4 == 0 {
			e.refs = append(e.refs, int64(r.index("function", m.functions())))
			continue
		}
		switch c := m.readConstant(r); c.op {
		case opRefFunc:
			if e.ref != typeFuncref {
				r.fail(ErrMalformed, "function among elements of type 0x%02x", e.ref)
			}
			e.refs = append(e.refs, int64(c.function))
		case opRefNull:
			if r.err == nil && c.raw[1] != e.ref {
				r.fail(ErrMalformed, "null of another type among elements of type 0x%02x", e.ref)
			}
			e.refs = append(e.refs, -1)
		default:
			r.fail(ErrMalformed, "element that is no reference")
		}
	}
}

// readData checks the data segments; they are copied as they are.
func (m *module) readData(r *reader) {
	m.datas = r.count("data segments", m.o.SegmentsMax)
	start := r.off
	for i := range m.datas {
		flags := r.u32()
		switch {
		case flags > 2:
			r.fail(ErrUnsupported, "data segment with flags %d", flags)
		case flags == 2 && r.u32() != 0:
			r.fail(ErrUnsupported, "data segment for another memory")
		}
		var offset constant
		if flags != 1 {
			if m.memory == nil {
				r.fail(ErrMalformed, "data segment without a memory")
			}
			offset = m.readConstant(r)
			if r.err == nil && offset.op != opI32Const {
				r.fail(ErrMalformed, "offset of a data segment is no i32")
			}
		}
		content := r.bytes(r.u32())
		if r.err != nil {
			return
		}
		if flags != 1 && uint64(uint32(offset.i32))+uint64(len(content)) > uint64(m.memory.min)*pageBytes {
			r.fail(ErrMalformed, "data segment %d ends beyond the memory", i)
			return
		}
	}
	m.dataBytes = r.b[start:r.off]
}

func (m *module) readCode(r *reader) {
	if r.rest() > m.o.CodeBytesMax {
		r.fail(ErrTooLarge, "code of %d bytes, at most %d", r.rest(), m.o.CodeBytesMax)
	}
	n := r.count("function bodies", m.o.FunctionsMax)
	if r.err == nil && int(n) != len(m.funcs) {
		r.fail(ErrMalformed, "%d functions but %d bodies", len(m.funcs), n)
	}
	for i := range n {
		size := r.u32()
		if r.err == nil && uint64(size) > uint64(m.o.FunctionBytesMax) {
			r.fail(ErrTooLarge, "function body of %d bytes, at most %d", size, m.o.FunctionBytesMax)
		}
		start := r.off
		r.bytes(size)
		if r.err != nil {
			return
		}
		sub := &reader{b: r.b[:r.off], off: start}
		b := m.readLocals(sub, m.types[m.funcs[i]])
		b.at = sub.off
		b.code = sub.b[sub.off:]
		if r.err = sub.err; r.err != nil {
			return
		}
		m.bodies = append(m.bodies, b)
	}
}

func (m *module) readLocals(r *reader, t FuncType) body {
	start := r.off
	total := uint64(len(t.Params))
	for range r.count("local declarations", m.o.LocalsMax) {
		total += uint64(r.u32())
		if typ := r.byte(); r.err == nil && !isValType(typ) {
			r.fail(ErrUnsupported, "local of type 0x%02x", typ)
		}
		if total > uint64(m.o.LocalsMax) {
			r.fail(ErrTooLarge, "more than %d locals", m.o.LocalsMax)
		}
	}
	if r.err != nil {
		return body{}
	}
	return body{locals: r.b[start:r.off], localCount: uint32(total)}
}
