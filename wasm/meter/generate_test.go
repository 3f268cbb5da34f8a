package meter

import "math/rand/v2"

// generator makes random valid modules that end by themselves: loops count
// down, functions call only later ones. Addresses of plain accesses stay in the
// first page; those of bulk instructions are sometimes beyond the memory.
type generator struct {
	r     *rand.Rand
	m     *built
	a     *asm
	f     int    // number of the function
	kinds []byte // blocks around: opBlock, opLoop, typeI32 for a block with a result
	loops int    // loops around
	left  int    // statements that may still be made
	bulk  bool
}

const (
	genFuncs = 5
	// Locals 0, 1: i32; 2: i64; 3: f64; 4, 5: loop counters; 6: v128
	genLoopsMost = 2
)

// generate returns a module that exports run(i32, i32) i32.
func generate(seed uint64, bulk bool) []byte {
	return generateFrom(rand.NewPCG(seed, 7), bulk)
}

// A script is a source of random numbers that gives one number for each of its
// bytes, and when they are used up goes on by itself. So a fuzzer that changes a
// byte changes one decision of a generator and keeps those before it.
type script struct {
	bytes []byte
	rest  rand.PCG
}

// Uint64 repeats the byte, since decisions look at either end of the number.
func (s *script) Uint64() uint64 {
	if len(s.bytes) == 0 {
		return s.rest.Uint64()
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return uint64(b) * 0x0101010101010101
}

// generateFrom returns such a module made of the decisions of a source.
func generateFrom(from rand.Source, bulk bool) []byte {
	g := &generator{r: rand.New(from), m: &built{memory: []uint32{1, 4}}, bulk: bulk}
	m := g.m
	m.imports = []Import{{Module: "env", Name: "add", Params: []byte{typeI32, typeI32}, Results: []byte{typeI32}}}
	binary := m.typ("ii", "i")
	m.globals = []builtGlobal{{typeI32, 1, code().i32(3).end().b}, {typeI64, 1, code().i64(-9).end().b}}
	m.tables = [][2]uint32{{8, 20}}
	offset := code().i32(0).end().b
	m.elements = [][]byte{
		append(append([]byte{0}, offset...), 3, 0, genFuncs, genFuncs-1),
		{1, 0, 2, 0, genFuncs},
	}
	m.datas = [][]byte{
		append([]byte{1, 20}, "passive data segment"...),
		append(append([]byte{0}, offset...), 4, 'a', 'b', 'c', 'd'),
	}
	for g.f = 1; g.f <= genFuncs; g.f++ {
		g.a, g.left = code(), 4+g.r.IntN(30)
		g.statements(3)
		g.expression(3)
		name := ""
		if g.f == 1 {
			name = "run"
		}
		m.function(name, "ii", "i", []byte{typeI64, typeF64, typeI32, typeI32, typeV128}, g.a)
		if m.funcs[g.f-1].typ != binary {
			panic("type of a generated function")
		}
	}
	m.exports = append(m.exports, export{"memory", KindMemory, 0})
	return m.bytes()
}

func (g *generator) oneIn(n int) bool { return g.r.IntN(n) == 0 }

func (g *generator) statements(depth int) {
	for n := 1 + g.r.IntN(5); n > 0 && g.left > 0; n-- {
		g.left--
		g.statement(depth)
	}
}

func (g *generator) statement(depth int) {
	a := g.a
	switch g.r.IntN(20) {
	case 0, 1, 2:
		g.expression(depth)
		a.set(uint32(g.r.IntN(2)))
	case 3:
		g.long(depth)
		a.set(2)
	case 4:
		g.address()
		g.expression(depth)
		a.op(0x36, 0, 4) // i32.store offset=4
	case 5, 6:
		g.condition(depth)
	case 7, 8:
		g.block(depth)
	case 9, 10:
		g.counted(depth)
	case 11:
		g.branch()
	case 12:
		g.table(depth)
	case 13:
		g.expression(depth)
		a.gset(0)
	case 14:
		g.memory(depth)
	case 15:
		g.references(depth)
	case 16:
		a.get(6).get(0).op(opVector, 0x0f)                       // i8x16.splat
		a.op(opVector, 0x8e, 1).with(opLocalTee, 6)              // i16x8.add
		a.op(opVector, 0x1b, byte(g.r.IntN(4))).get(0)           // i32x4.extract_lane
		a.op(0x73).set(1).i32(int32(g.r.IntN(60000))).get(6)     // i32.xor
		a.op(opVector, 11, 0, 0).get(3).op(opF64Const).op(f1...) // v128.store
		a.op(0xa0).set(3)                                        // f64.add
	case 17:
		if g.oneIn(6) {
			for range 200 + g.r.IntN(6000) {
				a.get(0).i32(int32(g.r.IntN(99))).op(opI32Add).set(0)
			}
		}
	case 18:
		if g.oneIn(3) && len(g.kinds) > 0 {
			g.expression(depth)
			a.op(opReturn)
			g.statements(depth - 1)
		}
	case 19:
		g.expression(depth)
		a.op(opDrop)
	}
}

var f1 = []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}

func (g *generator) open(kind byte) { g.kinds = append(g.kinds, kind) }
func (g *generator) closeLast()     { g.kinds = g.kinds[:len(g.kinds)-1]; g.a.end() }
func (g *generator) address()       { g.expression(1); g.a.i32(0xfff0).op(0x71) }
func (g *generator) small(most int) { g.a.i32(int32(g.r.IntN(most))) }
func (g *generator) wild(most int32) {
	if g.oneIn(12) {
		g.a.i32(int32(g.r.Uint32()))
	} else {
		g.a.i32(g.r.Int32N(most))
	}
}

func (g *generator) condition(depth int) {
	if depth <= 0 {
		return
	}
	g.expression(depth - 1)
	g.a.iff()
	g.open(opBlock)
	g.statements(depth - 1)
	if g.oneIn(2) {
		g.a.op(opElse)
		g.statements(depth - 1)
	}
	g.closeLast()
}

func (g *generator) block(depth int) {
	if depth <= 0 {
		return
	}
	g.a.block()
	g.open(opBlock)
	g.statements(depth - 1)
	g.closeLast()
}

// counted makes a loop whose body may go on with the next turn at any place.
func (g *generator) counted(depth int) {
	if depth <= 0 || g.loops >= genLoopsMost {
		return
	}
	counter := uint32(4 + g.loops)
	g.small(5)
	g.a.set(counter).block().loop()
	g.open(opBlock)
	g.open(opLoop)
	g.loops++
	g.a.get(counter).op(opI32Eqz).brIf(1)
	g.a.get(counter).i32(1).op(opI32Sub).set(counter)
	g.statements(depth - 1)
	g.a.br(0)
	g.loops--
	g.closeLast()
	g.closeLast()
}

// label returns a label without a result.
func (g *generator) label() (uint32, bool) {
	var fit []uint32
	for i := range g.kinds {
		if g.kinds[len(g.kinds)-1-i] != typeI32 {
			fit = append(fit, uint32(i))
		}
	}
	if len(fit) == 0 {
		return 0, false
	}
	return fit[g.r.IntN(len(fit))], true
}

func (g *generator) branch() {
	label, ok := g.label()
	if !ok {
		return
	}
	g.expression(1)
	switch g.r.IntN(4) {
	case 0:
		g.a.op(opDrop).br(label)
		g.statements(0)
	case 1:
		other, _ := g.label()
		g.a.i32(3).op(0x71) // i32.and
		g.a.with(opBrTable, 2).b = appendU32(appendU32(appendU32(g.a.b, label), other), label)
	default:
		g.a.brIf(label)
	}
}

// table makes a switch: blocks in each other, with code behind each.
func (g *generator) table(depth int) {
	if depth <= 0 {
		return
	}
	n := 1 + g.r.IntN(5)
	for range n + 1 {
		g.a.block()
		g.open(opBlock)
	}
	g.expression(1)
	g.a.i32(7).op(0x71).with(opBrTable, uint32(n))
	for i := range n + 1 {
		g.a.b = appendU32(g.a.b, uint32(i))
	}
	for range n {
		g.closeLast()
		g.statements(depth - 1)
		if label, ok := g.label(); ok && g.oneIn(2) {
			g.a.get(0).brIf(label)
		}
	}
	g.closeLast()
}

// memory makes an instruction that works on the memory as a whole.
func (g *generator) memory(depth int) {
	a := g.a
	if !g.bulk || g.oneIn(5) {
		g.small(3)
		a.op(opMemoryGrow, 0).set(0)
		return
	}
	switch g.r.IntN(5) {
	case 0:
		g.wild(1 << 18)
		g.expression(depth - 1)
		g.wild(1 << 17)
		a.misc(miscMemoryFill, 0)
	case 1, 2:
		g.wild(1 << 17)
		g.wild(1 << 17)
		g.wild(1 << 18)
		a.misc(miscMemoryCopy, 0, 0)
	case 3:
		g.wild(65536)
		g.wild(12)
		g.wild(10)
		a.misc(miscMemoryInit, uint32(g.r.IntN(2)), 0)
	case 4:
		if g.oneIn(4) {
			a.misc(miscDataDrop, 0)
		}
	}
}

// references makes an instruction that works on the table.
func (g *generator) references(depth int) {
	a := g.a
	if !g.bulk || g.oneIn(2) {
		// Only the last function and the import, so that calls end.
		g.expression(depth - 1)
		g.expression(depth - 1)
		if g.f < genFuncs-1 {
			g.small(3)
		} else {
			a.i32(0)
		}
		a.with(opCallIndirect, 0).op(0).set(1)
		return
	}
	switch g.r.IntN(5) {
	case 0:
		g.wild(10)
		a.with(opRefFunc, 0)
		g.wild(4)
		a.misc(miscTableFill, 0)
	case 1:
		a.op(opRefNull, typeFuncref)
		g.wild(6)
		a.misc(miscTableGrow, 0).set(0)
	case 2:
		for range 3 {
			a.i32(3)
			g.wild(4)
			a.op(opI32Add)
		}
		a.misc(miscTableCopy, 0, 0)
	case 3:
		a.i32(4)
		g.wild(3)
		g.wild(3)
		a.misc(miscTableInit, 1, 0)
	case 4:
		a.misc(miscTableSize, 0).set(0)
	}
}

func (g *generator) long(depth int) {
	switch g.r.IntN(4) {
	case 0:
		g.a.i64(g.r.Int64())
	case 1:
		g.a.gget(1).get(2).op(opI64Add).with(opLocalTee, 2).gset(1).get(2)
	case 2:
		g.expression(depth - 1)
		g.a.op(0xac) // i64.extend_i32_s
	default:
		g.a.get(2).i64(int64(g.r.IntN(1 << 20))).op(0x7e) // i64.mul
	}
}

// expression leaves an i32.
func (g *generator) expression(depth int) {
	a := g.a
	if depth <= 0 {
		if g.oneIn(2) {
			a.i32(int32(g.r.IntN(64)) - 32)
		} else {
			a.get(uint32(g.r.IntN(2)))
		}
		return
	}
	switch g.r.IntN(14) {
	case 0, 1, 2, 3:
		g.expression(depth - 1)
		g.expression(depth - 1)
		ops := []byte{0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x46, 0x48, 0x4b}
		a.op(ops[g.r.IntN(len(ops))])
	case 4:
		g.expression(depth - 1)
		g.expression(depth - 1)
		if g.oneIn(8) {
			a.op(0x6d + byte(g.r.IntN(4))) // division: may trap
		} else {
			a.i32(1).op(0x72, 0x6e+2*byte(g.r.IntN(2))) // by an odd number
		}
	case 5:
		g.address()
		a.op(0x28, 0, 2) // i32.load
	case 6:
		a.op(opMemorySize, 0)
	case 7:
		g.expression(depth - 1)
		g.expression(depth - 1)
		g.expression(depth - 1)
		a.op(opSelect)
	case 8:
		g.expression(depth - 1)
		a.op(opIf, typeI32)
		g.open(typeI32)
		g.expression(depth - 1)
		a.op(opElse)
		g.expression(depth - 1)
		g.closeLast()
	case 9:
		g.long(depth)
		a.op(0xa7) // i32.wrap_i64
	case 10:
		a.gget(0)
	case 11:
		if g.f < genFuncs && g.loops < genLoopsMost {
			g.expression(depth - 1)
			g.expression(depth - 1)
			a.call(uint32(g.f + 1 + g.r.IntN(genFuncs-g.f)))
			return
		}
		a.get(0)
	case 12:
		g.expression(depth - 1)
		g.expression(depth - 1)
		a.call(0)
	default:
		g.expression(depth - 1)
		a.op(opI32Eqz)
	}
}
