package wasmtest

import "slices"

// Func is a function; Name is its export, if not empty.
type Func struct {
	Name            string
	Params, Results []byte
	Locals          []byte // types of the locals behind the parameters
	Body            *Code
}

// Import is an imported function.
type Import struct {
	Module, Name    string
	Params, Results []byte
}

// Global is a mutable global of type i32 or i64.
type Global struct {
	Type byte
	Init int64
}

// Data is an active data segment.
type Data struct {
	Offset int32
	Bytes  []byte
}

// Custom is a custom section.
type Custom struct {
	Name  string
	Bytes []byte
}

// Module is a module to be encoded by Bytes.
type Module struct {
	Imports  []Import
	Funcs    []Func
	Pages    uint32 // memory 0, exported as "memory"
	PagesMax uint32 // 0: not declared
	NoMemory bool
	Globals  []Global
	Data     []Data
	Table    uint32   // elements of table 0, 0: no table
	Elements []string // exported functions at the start of table 0
	Start    string   // an exported function, or empty
	Customs  []Custom
}

// Index returns the index of the function exported as name, for Code.Call. It
// panics if there is none.
func (m *Module) Index(name string) uint32 {
	i := slices.IndexFunc(m.Funcs, func(f Func) bool { return f.Name == name })
	if i < 0 {
		panic("wasmtest: no function " + name)
	}
	return uint32(len(m.Imports) + i)
}

// Func returns the function exported as name, to change it.
func (m *Module) Func(name string) *Func {
	return &m.Funcs[int(m.Index(name))-len(m.Imports)]
}

// Bytes encodes the module. Function i of imports and functions together has
// type i.
func (m *Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = appendSection(out, 1, m.types())
	out = appendSection(out, 2, m.imports())
	out = appendSection(out, 3, m.functions())
	if m.Table > 0 {
		out = appendSection(out, 4, appendUnsigned([]byte{1, 0x70, 0}, m.Table))
	}
	if !m.NoMemory {
		out = appendSection(out, 5, m.memory())
	}
	out = appendSection(out, 6, m.globals())
	out = appendSection(out, 7, m.exports())
	if m.Start != "" {
		out = appendSection(out, 8, appendUnsigned(nil, m.Index(m.Start)))
	}
	if len(m.Elements) > 0 {
		out = appendSection(out, 9, m.elements())
	}
	out = appendSection(out, 10, m.code())
	if len(m.Data) > 0 {
		out = appendSection(out, 11, m.data())
	}
	for _, c := range m.Customs {
		out = appendSection(out, 0, append(appendName(nil, c.Name), c.Bytes...))
	}
	return out
}

func appendSection(out []byte, id byte, body []byte) []byte {
	return append(appendUnsigned(append(out, id), uint32(len(body))), body...)
}

func appendName(b []byte, s string) []byte {
	return append(appendUnsigned(b, uint32(len(s))), s...)
}

func appendType(b, params, results []byte) []byte {
	b = append(appendUnsigned(append(b, 0x60), uint32(len(params))), params...)
	return append(appendUnsigned(b, uint32(len(results))), results...)
}

func (m *Module) types() []byte {
	b := appendUnsigned(nil, uint32(len(m.Imports)+len(m.Funcs)))
	for _, im := range m.Imports {
		b = appendType(b, im.Params, im.Results)
	}
	for _, f := range m.Funcs {
		b = appendType(b, f.Params, f.Results)
	}
	return b
}

func (m *Module) imports() []byte {
	b := appendUnsigned(nil, uint32(len(m.Imports)))
	for i, im := range m.Imports {
		b = append(appendName(appendName(b, im.Module), im.Name), 0)
		b = appendUnsigned(b, uint32(i))
	}
	return b
}

func (m *Module) functions() []byte {
	b := appendUnsigned(nil, uint32(len(m.Funcs)))
	for i := range m.Funcs {
		b = appendUnsigned(b, uint32(len(m.Imports)+i))
	}
	return b
}

func (m *Module) memory() []byte {
	if m.PagesMax == 0 {
		return appendUnsigned([]byte{1, 0}, m.Pages)
	}
	return appendUnsigned(appendUnsigned([]byte{1, 1}, m.Pages), m.PagesMax)
}

func (m *Module) globals() []byte {
	b := appendUnsigned(nil, uint32(len(m.Globals)))
	for _, g := range m.Globals {
		op := byte(0x41)
		if g.Type == I64 {
			op = 0x42
		}
		b = append(appendSigned(append(b, g.Type, 1, op), g.Init), 0x0b)
	}
	return b
}

func (m *Module) exports() []byte {
	n, b := uint32(0), []byte(nil)
	for i, f := range m.Funcs {
		if f.Name != "" {
			b = appendUnsigned(append(appendName(b, f.Name), 0), uint32(len(m.Imports)+i))
			n++
		}
	}
	if !m.NoMemory {
		b = append(appendName(b, "memory"), 2, 0)
		n++
	}
	return append(appendUnsigned(nil, n), b...)
}

func (m *Module) elements() []byte {
	b := []byte{1, 0, 0x41, 0, 0x0b}
	b = appendUnsigned(b, uint32(len(m.Elements)))
	for _, name := range m.Elements {
		b = appendUnsigned(b, m.Index(name))
	}
	return b
}

func (m *Module) code() []byte {
	b := appendUnsigned(nil, uint32(len(m.Funcs)))
	for _, f := range m.Funcs {
		body := appendUnsigned(nil, uint32(len(f.Locals)))
		for _, t := range f.Locals {
			body = append(body, 1, t)
		}
		if f.Body != nil {
			body = append(body, f.Body.b...)
		}
		body = append(body, 0x0b)
		b = append(appendUnsigned(b, uint32(len(body))), body...)
	}
	return b
}

func (m *Module) data() []byte {
	b := appendUnsigned(nil, uint32(len(m.Data)))
	for _, d := range m.Data {
		b = append(appendSigned(append(b, 0, 0x41), int64(d.Offset)), 0x0b)
		b = append(appendUnsigned(b, uint32(len(d.Bytes))), d.Bytes...)
	}
	return b
}

// AppendCustom appends a custom section to an encoded module.
func AppendCustom(module []byte, name string, b []byte) []byte {
	return appendSection(module, 0, append(appendName(nil, name), b...))
}
