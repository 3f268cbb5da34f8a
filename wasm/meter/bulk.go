package meter

// pieceBytes is the most that one bulk instruction works on.
const pieceBytes = 65536

// memoryGrowBody moves the counter that stands for the memory's size.
func memoryGrowBody(n names, most uint32) []byte {
	const delta = 0
	a := &asm{b: []byte{0}}
	a.wide(delta).gget(n.pages).op(opI64ExtendU, opI64Add).i64(int64(most)).op(opI64GtU)
	a.iff().i32(-1).op(opReturn).end()
	a.gget(n.pages)
	a.gget(n.pages).get(delta).op(opI32Add).gset(n.pages)
	return a.end().b
}

// bounds traps like the instruction itself if address + length is beyond the
// memory that the guest sees: a fill at the end of the address space is beyond
// any memory.
func (a *asm) bounds(n names, address, length uint32) *asm {
	a.wide(address).wide(length).op(opI64Add)
	a.gget(n.pages).op(opI64ExtendU).i64(16).op(opI64Shl, opI64GtU)
	return a.iff().i32(-1).i32(0).i32(2).misc(miscMemoryFill, 0).end()
}

// piece puts min(length, pieceBytes) into a local and pays for it.
func (a *asm) piece(n names, length, piece uint32) *asm {
	a.get(length).i32(pieceBytes).get(length).i32(pieceBytes).op(opI32LtU, opSelect).set(piece)
	a.gget(n.slice).wide(piece).i64(7).op(opI64Add).i64(3).op(opI64ShrU, opI64Sub).gset(n.slice)
	return a.check(n)
}

// add adds the value of a local to another.
func (a *asm) add(to, by uint32) *asm { return a.get(to).get(by).op(opI32Add).set(to) }

// sub subtracts the value of a local from another.
func (a *asm) sub(from, by uint32) *asm { return a.get(from).get(by).op(opI32Sub).set(from) }

// forward runs step with rising pieces until length is 0; the step moves the
// addresses.
func (a *asm) forward(n names, length, piece uint32, step func()) *asm {
	a.block().loop()
	a.get(length).op(opI32Eqz).brIf(1)
	a.piece(n, length, piece)
	step()
	a.sub(length, piece).br(0)
	return a.end().end()
}

func memoryFillBody(n names) []byte {
	const to, value, length, piece = 0, 1, 2, 3
	a := &asm{b: []byte{1, 1, typeI32}}
	a.bounds(n, to, length)
	a.forward(n, length, piece, func() {
		a.get(to).get(value).get(piece).misc(miscMemoryFill, 0)
		a.add(to, piece)
	})
	return a.end().b
}

// memoryCopyBody copies forward if the destination is before the source, else
// backward, so that no piece overwrites what a later one reads.
func memoryCopyBody(n names) []byte {
	const to, from, length, piece = 0, 1, 2, 3
	a := &asm{b: []byte{1, 1, typeI32}}
	a.bounds(n, to, length).bounds(n, from, length)
	a.get(to).get(from).op(opI32GtU).iff()
	a.block().loop()
	a.get(length).op(opI32Eqz).brIf(1)
	a.piece(n, length, piece)
	a.sub(length, piece)
	a.get(to).get(length).op(opI32Add)
	a.get(from).get(length).op(opI32Add)
	a.get(piece).misc(miscMemoryCopy, 0, 0)
	a.br(0).end().end()
	a.op(opElse)
	a.forward(n, length, piece, func() {
		a.get(to).get(from).get(piece).misc(miscMemoryCopy, 0, 0)
		a.add(to, piece).add(from, piece)
	})
	return a.end().end().b
}

// memoryInitBody copies from a data segment. Whether the segment is long enough
// (a dropped one has length 0) is asked with an empty copy from its far
// end. If that end is beyond 32 bits, the first piece traps.
func memoryInitBody(n names, segment uint32) []byte {
	const to, from, length, piece = 0, 1, 2, 3
	a := &asm{b: []byte{1, 1, typeI32}}
	a.bounds(n, to, length)
	a.i32(0).get(from).get(length).op(opI32Add).i32(0).misc(miscMemoryInit, segment, 0)
	a.forward(n, length, piece, func() {
		a.get(to).get(from).get(piece).misc(miscMemoryInit, segment, 0)
		a.add(to, piece).add(from, piece)
	})
	return a.end().b
}

// payElements pays for the elements counted by a local.
func (a *asm) payElements(n names, length uint32) *asm {
	return a.gget(n.slice).wide(length).op(opI64Sub).gset(n.slice).check(n)
}

// tableBody runs a table instruction of three operands. Tables are small
// (Options.TableElementsMax), so it is one piece; if it is longer than the
// table it traps, unpaid.
func tableBody(n names, table, length uint32, sub byte, indexes ...uint32) []byte {
	a := &asm{b: []byte{0}}
	a.get(length).misc(miscTableSize, table).op(opI32GtU, opI32Eqz).iff()
	a.payElements(n, length)
	a.end()
	return a.get(0).get(1).get(2).misc(sub, indexes...).end().b
}

// tableGrowBody refuses at once what is beyond any table.
func tableGrowBody(n names, table, most uint32) []byte {
	const value, delta = 0, 1
	a := &asm{b: []byte{0}}
	a.get(delta).i32(int32(most)).op(opI32GtU).iff().i32(-1).op(opReturn).end()
	a.payElements(n, delta)
	return a.get(value).get(delta).misc(miscTableGrow, table).end().b
}
