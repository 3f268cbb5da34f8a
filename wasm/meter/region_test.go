package meter

import "testing"

// work adds n instructions.
func (a *asm) work(n int) *asm {
	for range n / 4 {
		a.progress(4)
	}
	return a
}

// Code that a branch goes around is not charged.
func TestSkippedCodeIsNotCharged(t *testing.T) {
	m := limitModule()
	m.function("block", "i", "", nil, code().block().get(0).brIf(0).work(400).end())
	m.function("outer", "i", "", nil, code().block().block().get(0).brIf(1).end().work(400).end())
	m.function("return", "i", "", nil, code().get(0).op(opIf, typeEmpty, opReturn).end().work(400))
	m.function("arm", "i", "", nil, code().get(0).op(opIf, typeEmpty).work(8).op(opElse).work(400).end())
	m.function("loop", "i", "", nil, code().block().loop().get(0).brIf(1).work(400).br(0).end().end())
	m.function("table", "i", "", nil, code().block().block().block().get(0).op(opBrTable, 2, 0, 2, 1).end().
		work(400).end().work(400).end())
	m.function("dead", "i", "", nil, code().op(opReturn).work(400).loop().work(40).br(0).end())
	out, _ := rewrite(t, m.bytes(), testOptions())
	mod := instantiate(t, newRuntime(t), out)
	for _, e := range m.exports {
		if got := callMetered(mod, 1<<20, e.name, 1); got.err != nil || got.charged > 12+FoldMax {
			t.Errorf("%s: %v, charged %d", e.name, got.err, got.charged)
		}
	}
	if got := callMetered(mod, 1<<20, "table", 0); got.charged < 800 {
		t.Errorf("table through all code: charged %d", got.charged)
	}
}

// checks returns the distances between the checks of the last function, in
// instructions of its text.
func checks(t *testing.T, m *built) []int {
	t.Helper()
	o, _ := testOptions().complete()
	parsed, err := parse(m.bytes(), o)
	if err != nil {
		t.Fatal(err)
	}
	p := &planner{m: parsed, helpers: newHelpers(parsed)}
	b := parsed.bodies[len(parsed.bodies)-1]
	if err := p.plan(b); err != nil {
		t.Fatal(err)
	}
	w := &walker{m: parsed, r: reader{b: b.code}, locals: b.localCount, labels: 1}
	var out []int
	count := 0
	points := p.points[1:]
	for w.r.rest() > 0 {
		for len(points) > 0 && points[0].off == w.r.off {
			if points[0].check {
				out, count = append(out, count), 0
			}
			points = points[1:]
		}
		if _, ok := w.next(); !ok {
			t.Fatal(w.r.err)
		}
		count++
	}
	if len(points) > 0 {
		t.Fatal("a point inside an instruction")
	}
	return append(out, count)
}

func TestChecksAreClose(t *testing.T) {
	m := limitModule()
	m.function("straight", "", "", nil, code().work(20000))
	for i, d := range checks(t, m) {
		if d > CheckRun {
			t.Errorf("straight: %d instructions before check %d", d, i)
		}
	}
	m.function("behind", "", "", nil, code().block().work(4000).end().block().work(4000).end().work(4000))
	if got := checks(t, m); len(got) < 3 {
		t.Errorf("behind blocks: distances %v", got)
	}
	// What runs when a chain of calls comes back adds up.
	m.function("call", "", "", nil, code().call(0).work(4000))
	if got := checks(t, m); len(got) < 2 || got[0] > afterCall+2 {
		t.Errorf("behind a call: distances %v", got)
	}
	m.function("inner", "", "", nil, code().block().block().call(0).end().end().work(4000))
	if got := checks(t, m); len(got) < 2 || got[0] > afterCall+6 {
		t.Errorf("behind a call in a block: distances %v", got)
	}
}

// Bulk instructions longer than a piece, overlapping, and at every bound.
func TestBulkBounds(t *testing.T) {
	const size = 4 * pageBytes
	m := &built{memory: []uint32{4, 4}}
	m.datas = [][]byte{append(appendU32([]byte{1}, 70000), make([]byte, 70000)...)}
	for i := range 70000 {
		m.datas[0][len(m.datas[0])-1-i] = byte(i*7 + i>>8)
	}
	start := func() *asm { return code().i32(1000).i32(0).i32(70000).misc(miscMemoryInit, 0, 0) }
	m.function("copy", "iii", "", nil, start().get(0).get(1).get(2).misc(miscMemoryCopy, 0, 0))
	m.function("fill", "iii", "", nil, start().get(0).get(1).get(2).misc(miscMemoryFill, 0))
	m.function("init", "iii", "", nil, start().get(0).get(1).get(2).misc(miscMemoryInit, 0, 0))
	m.function("dropped", "iii", "", nil, start().misc(miscDataDrop, 0).get(0).get(1).get(2).misc(miscMemoryInit, 0, 0))
	m.exports = append(m.exports, export{"memory", KindMemory, 0})
	r := newRuntime(t)
	const far = 0xffffffff
	traps := 0
	for _, name := range []string{"copy", "fill", "init", "dropped"} {
		for _, c := range [][3]uint64{
			{5, 0, 200000}, {0, 5, 200000}, {70000, 0, 150000}, {0, 70000, 150000}, {9, 9, 130000},
			{0, 0, size}, {1, 0, size}, {0, 1, size}, {0, 0, size + 1}, {size, 0, 0}, {size + 1, 0, 0},
			{0, size, 0}, {0, size + 1, 0}, {0, size - 1, 2}, {far, 0, 1}, {0, far, 1}, {0, 0, far}, {far, far, far},
			{0, 70000, 0}, {0, 70001, 0}, {0, 0, 70000}, {100000, 1, 69999}, {0, 1, 70000}, {0, far, 2}, {2, 1, far},
		} {
			if _, _, trap := same(t, r, m.bytes(), testOptions(), name, c[0], c[1], c[2]); trap != "" {
				traps++
			}
		}
	}
	if traps < 30 || traps > 80 {
		t.Errorf("%d of 100 trapped", traps)
	}
}
