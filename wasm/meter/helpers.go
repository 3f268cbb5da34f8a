package meter

import "fmt"

// helperKind is what an appended function does.
type helperKind byte

const (
	helpSlow helperKind = iota
	helpDeep
	helpMemoryGrow
	helpMemoryFill
	helpMemoryCopy
	helpMemoryInit // a: data segment
	helpTableInit  // a: element segment, b: table
	helpTableCopy  // a: to, b: from
	helpTableGrow  // a: table
	helpTableFill  // a: table
	helpImport     // a: import that is called through a reference
)

// helperKey names an appended function.
type helperKey struct {
	kind helperKind
	a, b uint32
}

// helpersMax bounds the appended functions.
const helpersMax = 65536

// helpers are the appended functions, in the order of their first use.
type helpers struct {
	first uint32 // index of the first one: the number of the module's own
	keys  []helperKey
	known map[helperKey]uint32
}

func newHelpers(m *module) *helpers {
	h := &helpers{first: m.functions(), known: map[helperKey]uint32{}}
	h.keys = append(h.keys, helperKey{kind: helpSlow}, helperKey{kind: helpDeep})
	return h
}

// index returns the function index of a helper, which is added if it is new.
func (h *helpers) index(k helperKey) (uint32, error) {
	if f, ok := h.known[k]; ok {
		return f, nil
	}
	if len(h.keys) >= helpersMax {
		return 0, fmt.Errorf("more than %d different bulk instructions", helpersMax)
	}
	f := h.first + uint32(len(h.keys))
	h.known[k] = f
	h.keys = append(h.keys, k)
	return f, nil
}

// helperFor returns the helper that replaces an instruction.
func (m *module) helperFor(in instr) (helperKey, bool) {
	switch in.op {
	case opMemoryGrow:
		return helperKey{kind: helpMemoryGrow}, true
	case opRefFunc:
		return helperKey{kind: helpImport, a: in.a}, in.a < uint32(len(m.imports))
	case opMisc:
		switch in.sub {
		case miscMemoryInit:
			return helperKey{kind: helpMemoryInit, a: in.a}, true
		case miscMemoryCopy:
			return helperKey{kind: helpMemoryCopy}, true
		case miscMemoryFill:
			return helperKey{kind: helpMemoryFill}, true
		case miscTableInit:
			return helperKey{kind: helpTableInit, a: in.a, b: in.b}, true
		case miscTableCopy:
			return helperKey{kind: helpTableCopy, a: in.a, b: in.b}, true
		case miscTableGrow:
			return helperKey{kind: helpTableGrow, a: in.a}, true
		case miscTableFill:
			return helperKey{kind: helpTableFill, a: in.a}, true
		}
	}
	return helperKey{}, false
}

// helperType returns the type of a helper.
func (m *module) helperType(k helperKey) FuncType {
	three := []byte{typeI32, typeI32, typeI32}
	switch k.kind {
	case helpMemoryGrow:
		return FuncType{Params: []byte{typeI32}, Results: []byte{typeI32}}
	case helpMemoryFill, helpMemoryCopy, helpMemoryInit, helpTableInit, helpTableCopy:
		return FuncType{Params: three}
	case helpTableGrow:
		return FuncType{Params: []byte{m.tables[k.a].ref, typeI32}, Results: []byte{typeI32}}
	case helpTableFill:
		return FuncType{Params: []byte{typeI32, m.tables[k.a].ref, typeI32}}
	case helpImport:
		return m.typeOf(k.a)
	}
	return FuncType{}
}

// helperBody returns the code of a helper, with its locals.
func (m *module) helperBody(k helperKey, n names) []byte {
	switch k.kind {
	case helpSlow:
		return slowBody(n, m.o)
	case helpDeep:
		return deepBody(n)
	case helpMemoryGrow:
		return memoryGrowBody(n, m.pagesMax())
	case helpMemoryFill:
		return memoryFillBody(n)
	case helpMemoryCopy:
		return memoryCopyBody(n)
	case helpMemoryInit:
		return memoryInitBody(n, k.a)
	case helpTableGrow:
		return tableGrowBody(n, k.a, m.o.TableElementsMax)
	case helpTableInit:
		return tableBody(n, k.b, 2, miscTableInit, k.a, k.b)
	case helpTableCopy:
		return tableBody(n, k.a, 2, miscTableCopy, k.a, k.b)
	case helpTableFill:
		return tableBody(n, k.a, 2, miscTableFill, k.a)
	}
	return m.importBody(n, k.a)
}

// importBody calls an import at its price; references to imports lead here.
func (m *module) importBody(n names, f uint32) []byte {
	a := &asm{b: []byte{0}}
	a.charge(n, m.o.ImportCost).check(n)
	for i := range m.typeOf(f).Params {
		a.get(uint32(i))
	}
	return a.call(f).end().b
}

// pagesMax is the most pages that the guest can grow to.
func (m *module) pagesMax() uint32 {
	if m.memory != nil && m.memory.hasMax {
		return min(m.memory.max, m.o.MemoryPagesMax)
	}
	return m.o.MemoryPagesMax
}
