package meter

// afterCall bounds the instructions between the return of a call and the next
// check, since what the callee ran after its last check adds up with it.
const afterCall = 512

// point is a place in a body where fuel is charged before the code goes on.
type point struct {
	off    int
	amount int64
	folded int64 // of the amount, what may be skipped
	check  bool
}

// patch replaces an instruction.
type patch struct {
	off, end int
	op       byte   // opReturn, opMemorySize, or opCall, opRefFunc of function a
	a        uint32 // label of opReturn
}

// frame is a block in which control flow is at the moment. Control enters it at
// its start only, and branches that arrive at a place directly in it come from
// blocks inside it; so a point directly in a frame is passed before everything
// that follows in the frame, and before the blocks in it.
type frame struct {
	op        byte // opBlock (also the function), opLoop, opIf, opElse
	point     int  // the last point passed for certain
	maybe     bool // code here may be skipped after that point
	dead      bool // code here is never reached
	escaped   bool // a branch inside may skip what follows the frame
	called    bool // there is a call inside
	lastCheck int64
}

// planner finds the points and patches of one body. It is used again for the
// next one.
type planner struct {
	m       *module
	helpers *helpers

	points  []point
	patches []patch
	frames  []frame

	segment      int64 // cost of the current straight piece
	segmentStart int
	text         int64 // cost of the live code so far
	leaf         bool  // calls no defined function
	instructions int
	writesTables bool

	locals int64 // of the function
	effort int64 // of compiling all functions so far: locals times blocks

	branches int64 // of the function so far: blocks and branches
	targets  int64 // labels of its br_tables so far
	strained int64 // by all functions so far, see strain
}

// plan walks the body of the defined function with the given type.
func (p *planner) plan(b body) error {
	p.points = append(p.points[:0], point{off: 0, check: true, amount: localsCost(b.localCount)})
	p.patches = p.patches[:0]
	p.frames = append(p.frames[:0], frame{op: opBlock})
	p.segment, p.text, p.leaf = 0, 0, true
	p.locals, p.branches, p.targets = int64(b.localCount), 0, 0
	w := &walker{m: p.m, r: reader{b: b.code}, locals: b.localCount}
	for len(p.frames) > 0 {
		w.labels = len(p.frames)
		in, ok := w.next()
		if !ok {
			return w.r.err
		}
		p.instructions++
		p.strain(&w.r, in)
		p.step(&w.r, in)
		if w.r.err != nil {
			return w.r.err
		}
	}
	if w.r.rest() > 0 {
		w.r.fail(ErrMalformed, "%d bytes behind the end of a function", w.r.rest())
	}
	return w.r.err
}

// strain bounds the time that the compiler needs for what it does worse than in
// proportion to the code: it grows with the square of the branches in a function,
// with the cube of the depth to which blocks are nested, and with the square of
// the labels in tables. A kilobyte of code was enough for seconds, 100 for many
// minutes.
func (p *planner) strain(r *reader, in instr) {
	switch in.op {
	case opBlock, opLoop, opIf:
		depth := int64(len(p.frames))
		p.strained += depth * depth / 2048
	case opBrTable:
		p.targets += int64(in.b)
		p.strained += int64(in.b) * p.targets / 2048
	case opBr, opBrIf, opReturn, opUnreachable:
	default:
		return
	}
	p.branches++
	if p.strained += p.branches / 8; p.strained > p.m.o.StrainMax {
		r.fail(ErrTooLarge, "compiling it would take too long: too many blocks and branches in a function")
	}
}

// localsCost is the price of making very many locals.
func localsCost(locals uint32) int64 {
	if locals <= 64 {
		return 0
	}
	return int64(locals-64) / 4
}

// weight is how much a call of a function counts against the depth: an estimate
// of its stack, 1 for all usual functions.
func weight(b body, text int64) int32 {
	return 1 + int32(b.localCount/64) + int32(text/CheckRun)
}

// step takes in one instruction.
func (p *planner) step(r *reader, in instr) {
	top := &p.frames[len(p.frames)-1]
	switch in.op {
	case opBlock, opLoop, opIf:
		if in.op == opIf {
			p.add(in, 1)
		}
		p.flush()
		p.open(r, in)
	case opElse:
		if top.op != opIf {
			r.fail(ErrMalformed, "else without if")
			return
		}
		p.flush()
		outer := p.frames[len(p.frames)-2]
		*top = frame{
			op: opElse, point: outer.point, maybe: true, dead: outer.dead,
			escaped: top.escaped, called: top.called, lastCheck: outer.lastCheck,
		}
	case opEnd:
		p.flush()
		p.close()
	case opBr, opBrIf, opBrTable, opReturn, opUnreachable:
		p.add(in, 1)
		p.flush()
		p.branch(in)
	default:
		p.plain(r, in)
	}
}

// open enters the block that begins at in.
func (p *planner) open(r *reader, in instr) {
	if len(p.frames) > p.m.o.NestingMax {
		r.fail(ErrTooLarge, "more than %d nested blocks", p.m.o.NestingMax)
		return
	}
	if p.effort += p.locals; p.effort > p.m.o.EffortMax {
		r.fail(ErrTooLarge, "compiling it would take too long: locals times blocks, over all functions, is more than %d", p.m.o.EffortMax)
		return
	}
	f := p.frames[len(p.frames)-1]
	f.op, f.escaped, f.called = in.op, false, false
	switch {
	case in.op == opIf:
		f.maybe = true
	case in.op == opLoop && !f.dead:
		f.point, f.maybe, f.lastCheck = len(p.points), false, p.text
		p.points = append(p.points, point{off: in.end, check: true})
	}
	p.frames = append(p.frames, f)
}

// close leaves the innermost block.
func (p *planner) close() {
	inner := p.frames[len(p.frames)-1]
	p.frames = p.frames[:len(p.frames)-1]
	if len(p.frames) == 0 {
		return
	}
	f := &p.frames[len(p.frames)-1]
	f.maybe = f.maybe || inner.escaped
	f.dead = f.dead || inner.op == opLoop && inner.dead // no branch leads behind a loop
	if inner.called {
		p.calledIn(f)
	}
}

// calledIn asks for a check soon after a call in f.
func (p *planner) calledIn(f *frame) {
	f.called = true
	f.lastCheck = min(f.lastCheck, p.text-(CheckRun-afterCall))
}

// branch takes in an instruction that may leave blocks.
func (p *planner) branch(in instr) {
	n := len(p.frames)
	top := &p.frames[n-1]
	label := int(in.a)
	if in.op == opReturn {
		label = n - 1
		p.patches = append(p.patches, patch{off: in.start, end: in.end, op: opReturn, a: uint32(label)})
	}
	if top.dead {
		return
	}
	if in.op != opUnreachable {
		for i := range label {
			p.frames[n-1-i].escaped = true
		}
	}
	if in.op == opBrIf {
		top.maybe = true
	} else {
		top.dead = true
	}
}

// plain takes in an instruction that goes on to the next one.
func (p *planner) plain(r *reader, in instr) {
	cost := int64(1)
	called := false
	switch in.op {
	case opCall:
		if in.a < uint32(len(p.m.imports)) {
			cost = p.m.o.ImportCost
		} else {
			called, p.leaf = true, false
		}
	case opCallIndirect:
		called, p.leaf = true, false
	case opTableSet:
		p.writesTables = true
	}
	p.replace(r, in)
	p.add(in, cost)
	if top := &p.frames[len(p.frames)-1]; called && !top.dead {
		p.calledIn(top)
	}
}

// replace notes a patch if the instruction is not kept.
func (p *planner) replace(r *reader, in instr) {
	if in.op == opMisc && in.sub >= miscMemoryInit {
		switch in.sub {
		case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill, miscElemDrop, miscDataDrop:
			p.writesTables = true
		}
	}
	if in.op == opMemorySize {
		p.patches = append(p.patches, patch{off: in.start, end: in.end, op: opMemorySize})
		return
	}
	key, ok := p.m.helperFor(in)
	if !ok {
		return
	}
	f, err := p.helpers.index(key)
	if err != nil {
		r.fail(ErrTooLarge, "%v", err)
		return
	}
	op := byte(opCall)
	if in.op == opRefFunc {
		op = opRefFunc
	}
	p.patches = append(p.patches, patch{off: in.start, end: in.end, op: op, a: f})
}

// add counts an instruction, with a check before it if the last one is far.
func (p *planner) add(in instr, cost int64) {
	f := &p.frames[len(p.frames)-1]
	if f.dead {
		return
	}
	if p.text-f.lastCheck+cost > CheckRun {
		p.flush()
		f.point, f.maybe, f.lastCheck = len(p.points), false, p.text
		p.points = append(p.points, point{off: in.start, check: true})
	}
	if p.segment == 0 {
		p.segmentStart = in.start
	}
	p.segment += cost
	p.text += cost
}

// flush charges the straight piece that ends here: at the last point if it is
// certain to be executed after that or small, else at its own start.
func (p *planner) flush() {
	if p.segment == 0 {
		return
	}
	f := &p.frames[len(p.frames)-1]
	last := &p.points[f.point]
	switch {
	case !f.maybe:
		last.amount += p.segment
	case last.folded+p.segment <= FoldMax:
		last.amount += p.segment
		last.folded += p.segment
	default:
		f.point, f.maybe = len(p.points), false
		p.points = append(p.points, point{off: p.segmentStart, amount: p.segment})
	}
	p.segment = 0
}
