package meter

// FuncType is the type of a function, as value type bytes of the binary format
// (0x7f i32, 0x7e i64, 0x7d f32, 0x7c f64, 0x7b v128, 0x70 funcref, 0x6f
// externref).
type FuncType struct {
	Params, Results []byte
}

// Import is an imported function; nothing else can be imported.
type Import struct {
	Module, Name    string
	Params, Results []byte
}

// Kind says what an export is, in the encoding of the binary format.
type Kind byte

// Kinds of exports.
const (
	KindFunc   Kind = 0
	KindTable  Kind = 1
	KindMemory Kind = 2
	KindGlobal Kind = 3
)

// String returns the kind's name in the text format.
func (k Kind) String() string {
	switch k {
	case KindFunc:
		return "func"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	case KindGlobal:
		return "global"
	}
	return "unknown"
}

// Export is an export of the module. Type is set for functions only.
type Export struct {
	Name string
	Kind Kind
	Type FuncType
}

// Info is what a module is, before it is rewritten. Params, Results and Custom
// alias the input; all lists are in the order of the module.
type Info struct {
	Imports []Import
	Exports []Export
	// MutableGlobals are the export names, in the rewritten module, of all
	// mutable globals that the module defines (i32, i64, f32 or f64), and of
	// PagesGlobal: to be saved and put back with the bytes of the memory.
	MutableGlobals []string
	// WritesTables: the module has an instruction that changes a table or drops
	// a segment, so only a new instance puts everything back.
	WritesTables bool
	// HasStart: the module has a start function. The rewritten module exports
	// it as StartFunc, and the host calls it before anything else.
	HasStart  bool
	HasMemory bool
	// MemoryPagesMin and MemoryPagesMaxDeclared are the declared limits, in
	// 64 KiB pages; the maximum is 65,536 if none is declared, and both are 0
	// without a memory.
	MemoryPagesMin, MemoryPagesMaxDeclared uint32
	// Functions counts the defined functions, Instructions those in them.
	Functions, Instructions int
	// Custom are the custom sections by name; no two may have the same name.
	Custom map[string][]byte
}
