package meter

// Value types of the binary format.
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncref   = 0x70
	typeExternref = 0x6f
	typeEmpty     = 0x40 // a block without a result
)

func isNumType(t byte) bool { return t >= typeF64 && t <= typeI32 }
func isRefType(t byte) bool { return t == typeFuncref || t == typeExternref }
func isValType(t byte) bool { return isNumType(t) || t == typeV128 || isRefType(t) }

// pageBytes is the size of a page of memory.
const pageBytes = 65536

// module is the parsed input. Byte slices alias it.
type module struct {
	o Options

	types     []FuncType
	typeBytes []byte // the type section's elements as they are

	imports     []Import
	importTypes []uint32
	importBytes []byte
	funcs       []uint32 // types of the defined functions
	tables      []table
	memory      *limits
	globals     []global
	exports     []export
	start       *uint32
	elements    []element
	dataCount   *uint32
	dataBytes   []byte
	datas       uint32
	bodies      []body
	custom      map[string][]byte
}

// functions returns the number of functions, imported and defined.
func (m *module) functions() uint32 { return uint32(len(m.imports) + len(m.funcs)) }

// typeOf returns the type of function f, which is in range.
func (m *module) typeOf(f uint32) FuncType {
	if n := uint32(len(m.importTypes)); f >= n {
		return m.types[m.funcs[f-n]]
	}
	return m.types[m.importTypes[f]]
}

// limits are those of a memory or table.
type limits struct {
	min, max uint32
	hasMax   bool
}

type table struct {
	limits
	ref byte
}

type global struct {
	typ     byte
	mutable bool
	init    constant
}

type export struct {
	name  string
	kind  Kind
	index uint32
}

// constant is a constant expression: one instruction.
type constant struct {
	raw      []byte // with its end
	op       byte
	i32      int32  // of i32.const
	function uint32 // of ref.func
}

// element is an element segment. Its flags are those of the binary format: 1
// not active, 2 with a table index or declarative, 4 expressions.
type element struct {
	flags  uint32
	table  uint32
	offset constant
	ref    byte    // type of its elements
	refs   []int64 // function indexes, -1 for null
}

// body is the code of one function.
type body struct {
	locals     []byte // the declarations, as they are
	localCount uint32 // with the parameters
	code       []byte // instructions with the last end
	at         int    // offset of code in the module
}
