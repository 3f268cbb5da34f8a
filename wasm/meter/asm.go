package meter

// asm appends instructions to b.
type asm struct{ b []byte }

func (a *asm) op(ops ...byte) *asm { a.b = append(a.b, ops...); return a }

func (a *asm) with(op byte, index uint32) *asm {
	a.b = appendU32(append(a.b, op), index)
	return a
}

func (a *asm) get(local uint32) *asm   { return a.with(opLocalGet, local) }
func (a *asm) set(local uint32) *asm   { return a.with(opLocalSet, local) }
func (a *asm) gget(global uint32) *asm { return a.with(opGlobalGet, global) }
func (a *asm) gset(global uint32) *asm { return a.with(opGlobalSet, global) }
func (a *asm) call(f uint32) *asm      { return a.with(opCall, f) }
func (a *asm) br(label uint32) *asm    { return a.with(opBr, label) }
func (a *asm) brIf(label uint32) *asm  { return a.with(opBrIf, label) }

func (a *asm) i32(v int32) *asm {
	a.b = appendSigned(append(a.b, opI32Const), int64(v))
	return a
}

func (a *asm) i64(v int64) *asm {
	a.b = appendSigned(append(a.b, opI64Const), v)
	return a
}

// misc appends an instruction behind opMisc with one-byte immediates or indexes.
func (a *asm) misc(sub byte, indexes ...uint32) *asm {
	a.b = append(a.b, opMisc, sub)
	for _, i := range indexes {
		a.b = appendU32(a.b, i)
	}
	return a
}

// wide turns the unsigned i32 in a local to an i64.
func (a *asm) wide(local uint32) *asm { return a.get(local).op(opI64ExtendU) }

func (a *asm) iff() *asm   { return a.op(opIf, typeEmpty) }
func (a *asm) loop() *asm  { return a.op(opLoop, typeEmpty) }
func (a *asm) block() *asm { return a.op(opBlock, typeEmpty) }
func (a *asm) end() *asm   { return a.op(opEnd) }

// names are the indexes, in the rewritten module, of what the rewriter adds
// first: globals behind those of the module, functions likewise.
type names struct {
	fuel, slice, stop, depth, pages, why uint32
	slow, deep                           uint32
}

// charge takes a constant from the slice.
func (a *asm) charge(n names, amount int64) *asm {
	if amount == 0 {
		return a
	}
	return a.gget(n.slice).i64(amount).op(opI64Sub).gset(n.slice)
}

// check calls the slow path if the slice is used up.
func (a *asm) check(n names) *asm {
	return a.gget(n.slice).i64(0).op(opI64LtS).iff().call(n.slow).end()
}

// trap sets the reason and traps.
func (a *asm) trap(n names, why int32) *asm {
	return a.i32(why).gset(n.why).op(opUnreachable)
}
