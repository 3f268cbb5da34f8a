package meter

// slowBody is the function behind a check that failed: it leaves the guest,
// obeys a stop, and fills the slice from the fuel. The debt of the slice is
// paid first, so the sum of both is right at any time.
//
//	memory.grow 0
//	if stop: trap
//	left = fuel + slice
//	if left < 0: trap
//	slice = min(left, Slice); fuel = left - slice
func slowBody(n names, o Options) []byte {
	const left, part = 0, 1
	a := &asm{b: []byte{1, 2, typeI64}}
	a.i32(0).op(opMemoryGrow, 0, opDrop)
	a.gget(n.stop).iff().trap(n, WhyStop).end()
	a.gget(n.fuel).gget(n.slice).op(opI64Add).with(opLocalTee, left)
	a.i64(0).op(opI64LtS).iff()
	a.i64(0).gset(n.fuel).i64(0).gset(n.slice).trap(n, WhyFuel)
	a.end()
	a.get(left).i64(o.Slice)
	a.get(left).i64(o.Slice).op(opI64LtS, opSelect).with(opLocalTee, part).gset(n.slice)
	a.get(left).get(part).op(opI64Sub).gset(n.fuel)
	return a.end().b
}

// deepBody is the function behind calls that are nested too deep.
func deepBody(n names) []byte {
	a := &asm{b: []byte{0}}
	return a.trap(n, WhyDepth).end().b
}
