package meter

// instr is one decoded instruction: bytes start to end of the walker's code.
type instr struct {
	op         byte
	sub        uint32 // second opcode of opMisc and opVector
	start, end int
	a, b       uint32 // indexes; a is the label or, of br_table, the outermost, b its count of labels
}

// walker decodes the instructions of one body and checks every index against
// the input, so that nothing in it can reach what the rewriter adds. labels is
// kept by the caller: the number of labels in scope.
type walker struct {
	m      *module
	r      reader
	locals uint32
	labels int
}

func (w *walker) next() (instr, bool) {
	r := &w.r
	in := instr{start: r.off}
	in.op = r.byte() // after start is taken: the order of operands is not defined
	if r.err != nil {
		return in, false
	}
	switch immediates[in.op] {
	case immNone:
	case immBlock:
		w.blockType()
	case immLabel:
		in.a = r.index("label", uint32(w.labels))
	case immBrTable:
		in.a, in.b = w.brTable()
	case immFunc:
		in.a = r.index("function", w.m.functions())
	case immCallIndirect:
		in.a = r.index("type", uint32(len(w.m.types)))
		in.b = r.index("table", uint32(len(w.m.tables)))
	case immSelect:
		w.selectTypes()
	case immLocal:
		in.a = r.index("local", w.locals)
	case immGlobal:
		in.a = r.index("global", uint32(len(w.m.globals)))
	case immTable:
		in.a = r.index("table", uint32(len(w.m.tables)))
	case immMemArg:
		w.memArg()
	case immMemory:
		w.memoryIndex()
	case immI32:
		r.signed(32)
	case immI64:
		r.signed(64)
	case immF32:
		r.bytes(4)
	case immF64:
		r.bytes(8)
	case immRefType:
		if t := r.byte(); r.err == nil && !isRefType(t) {
			r.fail(ErrUnsupported, "null of type 0x%02x", t)
		}
	case immMisc:
		w.misc(&in)
	case immVector:
		w.vector(&in)
	default:
		r.fail(ErrUnsupported, "opcode 0x%02x: %s", in.op, refusal(in.op))
	}
	in.end = r.off
	return in, r.err == nil
}

func (w *walker) blockType() {
	r := &w.r
	at := r.off
	v := r.signed(33)
	if r.err != nil {
		return
	}
	if v >= 0 {
		if v >= int64(len(w.m.types)) {
			r.fail(ErrMalformed, "block type %d of %d", v, len(w.m.types))
		}
		return
	}
	if t := r.b[at]; r.off-at != 1 || t != typeEmpty && !isValType(t) {
		r.fail(ErrUnsupported, "block type 0x%02x", t)
	}
}

// brTable returns the outermost of the labels, and how many there are.
func (w *walker) brTable() (outermost, labels uint32) {
	r := &w.r
	n := r.count("labels", 1<<31-1)
	outermost = r.index("label", uint32(w.labels)) // at least the default
	for range n {
		if r.err != nil {
			return 0, 0
		}
		outermost = max(outermost, r.index("label", uint32(w.labels)))
	}
	return outermost, n + 1
}

func (w *walker) selectTypes() {
	if n := w.r.u32(); w.r.err == nil && n != 1 {
		w.r.fail(ErrUnsupported, "select of %d types", n)
	}
	if t := w.r.byte(); w.r.err == nil && !isValType(t) {
		w.r.fail(ErrUnsupported, "select of type 0x%02x", t)
	}
}

func (w *walker) needMemory() {
	if w.m.memory == nil {
		w.r.fail(ErrMalformed, "memory instruction without a memory")
	}
}

func (w *walker) memArg() {
	w.needMemory()
	if align := w.r.u32(); w.r.err == nil && align > 4 {
		w.r.fail(ErrUnsupported, "alignment 2^%d: neither beyond 16 bytes nor for another memory", align)
	}
	w.r.u32()
}

// memoryIndex reads the index of a memory: one zero byte.
func (w *walker) memoryIndex() {
	w.needMemory()
	if i := w.r.byte(); w.r.err == nil && i != 0 {
		w.r.fail(ErrUnsupported, "memory %d: only one", i)
	}
}

func (w *walker) misc(in *instr) {
	r := &w.r
	at := r.off
	in.sub = r.u32()
	if r.err == nil && (in.sub > miscLast || r.off-at != 1) {
		r.fail(ErrUnsupported, "opcode 0xfc 0x%02x", in.sub)
		return
	}
	tables, elements := uint32(len(w.m.tables)), uint32(len(w.m.elements))
	switch in.sub {
	case miscMemoryInit, miscDataDrop:
		if r.err == nil && w.m.dataCount == nil {
			r.fail(ErrMalformed, "data segment used without a data count section")
			return
		}
		in.a = r.u32()
		if r.err == nil && in.a >= *w.m.dataCount {
			r.fail(ErrMalformed, "data segment %d of %d", in.a, *w.m.dataCount)
		}
		if in.sub == miscMemoryInit {
			w.memoryIndex()
		}
	case miscMemoryCopy:
		w.memoryIndex()
		w.memoryIndex()
	case miscMemoryFill:
		w.memoryIndex()
	case miscTableInit:
		in.a = r.index("element segment", elements)
		in.b = r.index("table", tables)
	case miscElemDrop:
		in.a = r.index("element segment", elements)
	case miscTableCopy:
		in.a = r.index("table", tables)
		in.b = r.index("table", tables)
	case miscTableGrow, miscTableSize, miscTableFill:
		in.a = r.index("table", tables)
	}
}

// vector reads a SIMD instruction. Its second opcode is one byte, or two of
// which the second is 1; relaxed SIMD begins at 0x100.
func (w *walker) vector(in *instr) {
	r := &w.r
	at := r.off
	in.sub = r.u32()
	if r.err != nil {
		return
	}
	if in.sub >= 0x100 {
		r.fail(ErrUnsupported, "opcode 0xfd 0x%x: relaxed SIMD is not supported", in.sub)
		return
	}
	if size := r.off - at; in.sub < 0x80 && size != 1 || in.sub >= 0x80 && size != 2 {
		r.fail(ErrUnsupported, "opcode 0xfd 0x%x in %d bytes", in.sub, size)
		return
	}
	switch s := in.sub; {
	case s <= 11, s == 92, s == 93:
		w.memArg()
	case s == vecConst, s == 13: // i8x16.shuffle
		r.bytes(16)
	case s >= 21 && s <= 34: // lanes
		r.byte()
	case s >= 84 && s <= 91: // loads and stores of lanes
		w.memArg()
		r.byte()
	}
}
