package wasmtest

// OutAt is where the plugins made here write their verdicts, in page 0. What is
// between it and the heap, HeapAt, is theirs.
const (
	OutAt  = 4096
	HeapAt = 65536
)

// Offsets of the frame's header and of a record.
const (
	frameCount   = 8
	frameTopic   = 44
	frameCursor  = 48
	frameOutPtr  = 52
	frameOutLen  = 56
	frameRecords = 64
	recordLen    = 0
	recordIndex  = 4
)

// Manifest is the manifest of the plugins made here, unless they are given
// another: a transform that reads all parts.
const Manifest = `{"name":"test","version":"1.0.0","hooks":["transform"],` +
	`"parts":["key","value","headers","timestamp"],"tombstones":true}`

// HookParams and HookResults are the type of a hook.
var (
	HookParams  = []byte{I32, I32}
	HookResults = []byte{I64}
)

// Plugin returns a module of the contract whose transform is body: parameters
// ptr (0) and len (1), and the locals. It has a bump allocator (global 0) in one
// page that grows.
func Plugin(body *Code, locals ...byte) *Module {
	return &Module{
		Pages:   1,
		Globals: []Global{{I32, HeapAt}},
		Funcs: []Func{
			{Name: "varve_abi_1"},
			{Name: "varve_alloc", Params: []byte{I32}, Results: []byte{I32}, Locals: []byte{I32, I32}, Body: allocator()},
			{Name: "varve_transform", Params: HookParams, Results: HookResults, Locals: locals, Body: body},
		},
		Customs: []Custom{{"varve.plugin", []byte(Manifest)}},
	}
}

// WithManifest replaces the manifest and returns m.
func (m *Module) WithManifest(manifest string) *Module {
	m.Customs = []Custom{{"varve.plugin", []byte(manifest)}}
	return m
}

// allocator is varve_alloc: locals ptr (1), missing pages (2).
func allocator() *Code {
	c := new(Code)
	c.GlobalGet(0).Tee(1).Get(0).Op(I32Add).I32(7).Op(I32Add).I32(-8).Op(I32And).GlobalSet(0)
	c.GlobalGet(0).I32(65535).Op(I32Add).I32(16).Op(I32ShrU).MemorySize().Op(I32Sub).Set(2)
	c.GlobalGet(0).I32(65535).Op(I32Add).I32(16).Op(I32ShrU).MemorySize().Op(I32GtU).If()
	c.Get(2).MemoryGrow().I32(-1).Op(I32Eq).If().I32(0).Op(Return).End()
	return c.End().Get(1)
}

// KeepAll keeps every record and touches none.
func KeepAll() *Module {
	c := new(Code).I32(OutAt).Set(2).Get(0).Load32(frameCount).Set(3)
	return Plugin(c.Pack(2, 3), I32, I32)
}

// DropAll drops every record.
func DropAll() *Module {
	c := new(Code).I32(OutAt).Set(2).Get(0).Load32(frameCount).Set(3)
	c.Get(2).I32(1).Get(3).MemoryFill()
	return Plugin(c.Pack(2, 3), I32, I32)
}

// Each is a plugin that walks over the records as SPEC.md section 5 asks, noting
// how far it is, and runs each at every one. Its locals are ptr (0), len (1),
// record (2), position (3), out (4), end of the verdicts (5), and two i32 to use
// (6, 7). It must leave 5 behind the verdict that it wrote there.
func Each(each func(*Code)) *Module {
	c := new(Code)
	// The verdicts go behind the frame, on memory of their own.
	c.Get(1).I32(2).Op(I32Mul).Get(0).Load32(frameCount).I32(2048).Op(I32Mul).Op(I32Add)
	c.Call(1).Tee(4).Op(I32Eqz).If().Op(Unreachable).End()
	c.Get(4).Set(5)
	c.Get(0).Get(0).Load32(0).Op(I32Add).Get(0).Load32(frameTopic).I32(7).Op(I32Add).I32(-8).Op(I32And).Op(I32Add).Set(2)
	c.Block().Loop()
	c.Get(3).Get(0).Load32(frameCount).Op(I32GeU).BrIf(1)
	c.Get(0).Get(4).Store32(frameOutPtr)
	c.Get(0).Get(5).Get(4).Op(I32Sub).Store32(frameOutLen)
	c.Get(0).Get(3).Store32(frameCursor)
	each(c)
	c.Get(2).Get(2).Load32(recordLen).Op(I32Add).Set(2)
	c.Get(3).I32(1).Op(I32Add).Set(3)
	c.Br(0).End().End()
	c.Get(5).Get(4).Op(I32Sub).Set(6)
	return Plugin(c.Pack(4, 6), I32, I32, I32, I32, I32, I32)
}

// verdict appends one byte to the verdicts.
func verdict(c *Code, b int32) { c.Get(5).I32(b).Store8(0).bump(1) }

func (c *Code) bump(n int32) *Code { return c.Get(5).I32(n).Op(I32Add).Set(5) }

// DropEveryOther keeps records of even index and drops the others.
func DropEveryOther() *Module {
	return Each(func(c *Code) {
		c.Get(5).Get(2).Load32(recordIndex).I32(1).Op(I32And).Store8(0).bump(1)
	})
}

// Reject rejects every record with a code and a message of ASCII.
func Reject(code uint16, message string) *Module { return fail(3, code, message) }

// DeadLetter sends every record to the dead-letter topic.
func DeadLetter(code uint16, message string) *Module { return fail(4, code, message) }

func fail(action int32, code uint16, message string) *Module {
	return Each(func(c *Code) {
		verdict(c, action)
		c.Get(5).I32(int32(code)).Store16(0).bump(2)
		c.Get(5).I32(int32(len(message))).Store32(0).bump(4)
		for i := range len(message) {
			verdict(c, int32(message[i]))
		}
	})
}

// TrapAt keeps every record but the one of that index in the batch, where it
// traps.
func TrapAt(index int32) *Module {
	return Each(func(c *Code) {
		c.Get(2).Load32(recordIndex).I32(index).Op(I32Eq).If().Op(Unreachable).End()
		verdict(c, 0)
	})
}

// Uppercase replaces values by their ASCII upper case and keeps null values.
func Uppercase() *Module {
	return Each(func(c *Code) {
		c.Get(2).Load32(20).I32(-1).Op(I32Eq).If()
		verdict(c, 0)
		c.Else()
		verdict(c, 2)
		verdict(c, 2)
		c.Get(5).Get(2).Load32(20).Tee(6).Store32(0).bump(4)
		// 7 is the value: behind the fixed part and the key, if it is not null.
		c.Get(2).I32(32).Op(I32Add).Set(7)
		c.Get(2).Load32(16).I32(-1).Op(I32Ne).If()
		c.Get(7).Get(2).Load32(16).Op(I32Add).Set(7).End()
		c.Block().Loop().Get(6).Op(I32Eqz).BrIf(1)
		c.Get(5).Get(7).Load8(0)
		c.Get(7).Load8(0).I32('a').Op(I32Sub).I32(26).Op(I32LtU).I32(5).Op(I32Shl).Op(I32Sub).Store8(0).bump(1)
		c.Get(7).I32(1).Op(I32Add).Set(7)
		c.Get(6).I32(1).Op(I32Sub).Set(6)
		c.Br(0).End().End()
		c.End()
	})
}
