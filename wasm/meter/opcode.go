package meter

// Opcodes that the rewriter names; see immediates for all of them.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Eqz       = 0x45
	opI32LtU       = 0x49
	opI32GtS       = 0x4a
	opI32GtU       = 0x4b
	opI64LtS       = 0x53
	opI64GtU       = 0x56
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
	opSelect       = 0x1b
	opI64Shl       = 0x86
)

// Second opcodes behind opMisc, and vecConst behind opVector.
const (
	miscMemoryInit = 8
	miscDataDrop   = 9
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscElemDrop   = 13
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableSize  = 16
	miscTableFill  = 17
	miscLast       = miscTableFill

	vecConst = 12
)

// immediate says what follows an opcode.
type immediate byte

const (
	immUnknown immediate = iota
	immNone
	immBlock
	immLabel
	immBrTable
	immFunc
	immCallIndirect
	immSelect
	immLocal
	immGlobal
	immTable
	immMemArg
	immMemory
	immI32
	immI64
	immF32
	immF64
	immRefType
	immMisc
	immVector
)

// immediates is the table of one-byte opcodes.
var immediates = immediateTable()

func immediateTable() [256]immediate {
	var t [256]immediate
	set := func(from, to int, i immediate) {
		for op := from; op <= to; op++ {
			t[op] = i
		}
	}
	set(0x00, 0x01, immNone) // unreachable, nop
	set(opBlock, opIf, immBlock)
	set(opElse, opElse, immNone)
	set(opEnd, opEnd, immNone)
	set(opBr, opBrIf, immLabel)
	set(opBrTable, opBrTable, immBrTable)
	set(opReturn, opReturn, immNone)
	set(opCall, opCall, immFunc)
	set(opCallIndirect, opCallIndirect, immCallIndirect)
	set(opDrop, opSelect, immNone)
	set(0x1c, 0x1c, immSelect)
	set(opLocalGet, opLocalTee, immLocal)
	set(opGlobalGet, opGlobalSet, immGlobal)
	set(opTableGet, opTableSet, immTable)
	set(0x28, 0x3e, immMemArg)
	set(opMemorySize, opMemoryGrow, immMemory)
	set(opI32Const, opI32Const, immI32)
	set(opI64Const, opI64Const, immI64)
	set(opF32Const, opF32Const, immF32)
	set(opF64Const, opF64Const, immF64)
	set(0x45, 0xc4, immNone) // comparisons, arithmetic, conversions, sign extension
	set(opRefNull, opRefNull, immRefType)
	set(0xd1, 0xd1, immNone) // ref.is_null
	set(opRefFunc, opRefFunc, immFunc)
	set(opMisc, opMisc, immMisc)
	set(opVector, opVector, immVector)
	return t
}

// refusal names the proposal that an unknown opcode belongs to.
func refusal(op byte) string {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return "exception handling is not supported"
	case 0x12, 0x13:
		return "tail calls are not supported"
	case 0x14, 0x15, 0xd3, 0xd4, 0xd5, 0xd6:
		return "typed function references are not supported"
	case 0xfb:
		return "garbage collected types are not supported"
	case 0xfe:
		return "threads are not supported"
	}
	return "unknown instruction"
}
