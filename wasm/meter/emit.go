package meter

import "fmt"

// emitBody appends the rewritten body of a function of type t, with its size.
//
// A function that calls others counts its depth around its code, which is put
// into a block: what was the label of the function becomes the label of that
// block, so every exit but return comes to the code behind it by itself.
func (p *planner) emitBody(out, scratch []byte, b body, t FuncType, n names, wrap func(FuncType) []byte) (_, _ []byte) {
	a := &asm{b: append(scratch[:0], b.locals...)}
	if p.leaf {
		p.emitCode(a, b, n)
	} else {
		w := weight(b, p.text)
		a.gget(n.depth).i32(w).op(opI32Add).gset(n.depth)
		a.gget(n.depth).i32(p.m.o.DepthMax).op(opI32GtS).iff().call(n.deep).end()
		a.op(opBlock).op(wrap(t)...)
		p.emitCode(a, b, n)
		a.gget(n.depth).i32(w).op(opI32Sub).gset(n.depth)
		a.end()
	}
	return appendBlob(out, a.b), a.b
}

// emitCode appends the code of a body with its points and patches.
func (p *planner) emitCode(a *asm, b body, n names) {
	at := 0
	points, patches := p.points, p.patches
	for len(points) > 0 || len(patches) > 0 {
		if len(patches) == 0 || len(points) > 0 && points[0].off <= patches[0].off {
			a.op(b.code[at:points[0].off]...)
			at = points[0].off
			a.emitPoint(n, points[0])
			points = points[1:]
			continue
		}
		next := patches[0]
		patches = patches[1:]
		a.op(b.code[at:next.off]...)
		at = next.end
		switch {
		case next.op == opMemorySize:
			a.gget(n.pages)
		case next.op != opReturn:
			a.with(next.op, next.a)
		case p.leaf:
			a.op(opReturn)
		default:
			a.br(next.a)
		}
	}
	a.op(b.code[at:]...)
}

func (a *asm) emitPoint(n names, pt point) {
	if pt.amount == 0 && pt.off != 0 {
		return
	}
	a.charge(n, pt.amount)
	if pt.check {
		a.check(n)
	}
}

// wrapType returns the block type for the results of t; several results need a
// type of their own.
func (w *writer) wrapType(t FuncType) []byte {
	switch len(t.Results) {
	case 0:
		return []byte{typeEmpty}
	case 1:
		return t.Results
	}
	return appendSigned(nil, int64(w.typeIndex(FuncType{Results: t.Results})))
}

// typeIndex returns the index of an appended type.
func (w *writer) typeIndex(t FuncType) uint32 {
	raw := append([]byte{0x60}, appendBlob(nil, t.Params)...)
	raw = appendBlob(raw, t.Results)
	if i, ok := w.typesKnown[string(raw)]; ok {
		return i
	}
	i := uint32(len(w.m.types)) + w.typesAdded
	w.typesKnown[string(raw)] = i
	w.typesAdded++
	w.types = append(w.types, raw...)
	return i
}

// section appends a section, unless it is empty.
func (w *writer) section(id byte, content []byte) {
	if len(content) > 0 {
		w.out = appendBlob(append(w.out, id), content)
	}
}

// vector returns count and elements as the content of a section.
func vector(count uint32, parts ...[]byte) []byte {
	if count == 0 {
		return nil
	}
	b := appendU32(nil, count)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func (w *writer) tooLarge(size int) error {
	return fmt.Errorf("result of at least %d bytes, at most %d: %w", size, w.m.o.OutputBytesMax, ErrTooLarge)
}
