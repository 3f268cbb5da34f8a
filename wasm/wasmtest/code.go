package wasmtest

// Value types.
const (
	I32  byte = 0x7f
	I64  byte = 0x7e
	V128 byte = 0x7b
)

// Code is the body of a function, written instruction by instruction. Methods
// append and return the receiver.
type Code struct{ b []byte }

// Instructions without immediates, for Op.
const (
	Unreachable byte = 0x00
	Nop         byte = 0x01
	Return      byte = 0x0f
	Drop        byte = 0x1a
	I32Eqz      byte = 0x45
	I32Eq       byte = 0x46
	I32Ne       byte = 0x47
	I32LtU      byte = 0x49
	I32GtU      byte = 0x4b
	I32GeU      byte = 0x4f
	I32Add      byte = 0x6a
	I32Sub      byte = 0x6b
	I32Mul      byte = 0x6c
	I32DivU     byte = 0x6e
	I32And      byte = 0x71
	I32Or       byte = 0x72
	I32Shl      byte = 0x74
	I32ShrU     byte = 0x76
	I64Add      byte = 0x7c
	I64DivU     byte = 0x80
	I64Or       byte = 0x84
	I64Shl      byte = 0x86
	I64ExtendU  byte = 0xad
)

// Op appends instructions without immediates.
func (c *Code) Op(ops ...byte) *Code {
	c.b = append(c.b, ops...)
	return c
}

// I32 appends i32.const.
func (c *Code) I32(n int32) *Code {
	c.b = appendSigned(append(c.b, 0x41), int64(n))
	return c
}

// I64 appends i64.const.
func (c *Code) I64(n int64) *Code {
	c.b = appendSigned(append(c.b, 0x42), n)
	return c
}

func (c *Code) index(op byte, i uint32) *Code {
	c.b = appendUnsigned(append(c.b, op), i)
	return c
}

// Get appends local.get.
func (c *Code) Get(i uint32) *Code { return c.index(0x20, i) }

// Set appends local.set.
func (c *Code) Set(i uint32) *Code { return c.index(0x21, i) }

// Tee appends local.tee.
func (c *Code) Tee(i uint32) *Code { return c.index(0x22, i) }

// GlobalGet appends global.get.
func (c *Code) GlobalGet(i uint32) *Code { return c.index(0x23, i) }

// GlobalSet appends global.set.
func (c *Code) GlobalSet(i uint32) *Code { return c.index(0x24, i) }

// Call appends call.
func (c *Code) Call(f uint32) *Code { return c.index(0x10, f) }

// Br appends br.
func (c *Code) Br(depth uint32) *Code { return c.index(0x0c, depth) }

// BrIf appends br_if.
func (c *Code) BrIf(depth uint32) *Code { return c.index(0x0d, depth) }

// Block begins a block without results.
func (c *Code) Block() *Code { return c.Op(0x02, 0x40) }

// Loop begins a loop without results.
func (c *Code) Loop() *Code { return c.Op(0x03, 0x40) }

// If begins an if without results.
func (c *Code) If() *Code { return c.Op(0x04, 0x40) }

// Else begins its other arm.
func (c *Code) Else() *Code { return c.Op(0x05) }

// End ends a block, loop or if.
func (c *Code) End() *Code { return c.Op(0x0b) }

func (c *Code) memory(op byte, offset uint32) *Code {
	c.b = appendUnsigned(append(c.b, op, 0), offset)
	return c
}

// Load32 appends i32.load.
func (c *Code) Load32(offset uint32) *Code { return c.memory(0x28, offset) }

// Load8 appends i32.load8_u.
func (c *Code) Load8(offset uint32) *Code { return c.memory(0x2d, offset) }

// Store32 appends i32.store.
func (c *Code) Store32(offset uint32) *Code { return c.memory(0x36, offset) }

// Store8 appends i32.store8.
func (c *Code) Store8(offset uint32) *Code { return c.memory(0x3a, offset) }

// Store16 appends i32.store16.
func (c *Code) Store16(offset uint32) *Code { return c.memory(0x3b, offset) }

// MemorySize appends memory.size.
func (c *Code) MemorySize() *Code { return c.Op(0x3f, 0) }

// MemoryGrow appends memory.grow.
func (c *Code) MemoryGrow() *Code { return c.Op(0x40, 0) }

// MemoryFill appends memory.fill.
func (c *Code) MemoryFill() *Code { return c.Op(0xfc, 0x0b, 0) }

// MemoryCopy appends memory.copy.
func (c *Code) MemoryCopy() *Code { return c.Op(0xfc, 0x0a, 0, 0) }

// TableSet appends table.set of table 0.
func (c *Code) TableSet() *Code { return c.Op(0x26, 0) }

// CallIndirect appends call_indirect of type t through table 0.
func (c *Code) CallIndirect(t uint32) *Code { return c.index(0x11, t).Op(0) }

// RefFunc appends ref.func.
func (c *Code) RefFunc(f uint32) *Code { return c.index(0xd2, f) }

// Pack turns the two i32 locals into the i64 that a hook returns.
func (c *Code) Pack(ptr, n uint32) *Code {
	return c.Get(ptr).Op(I64ExtendU).I64(32).Op(I64Shl).Get(n).Op(I64ExtendU, I64Or)
}

// Repeat appends body n times.
func (c *Code) Repeat(n int, body func(*Code)) *Code {
	for range n {
		body(c)
	}
	return c
}

func appendUnsigned(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSigned(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}
