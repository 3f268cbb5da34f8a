package wire

import "testing"

// TestChargeBeyondItsBudget: what a small frame decodes to may be more than the
// budget of small frames. It was charged that budget and no more, so that memory
// went beyond all bounds.
func TestChargeBeyondItsBudget(t *testing.T) {
	const factor = 100
	arrived := make(chan *Request, 10)
	set := Settings{
		FrameBytesMax: 1 << 20, SmallFrameBytesMax: 64 << 10, MemoryBytes: 4 << 20,
		Known: func(int16, int16) Limits { return Limits{Known: true, MemoryFactor: factor} },
	}
	g := newRig(t, set, handlerFunc(func(r *Request) { arrived <- r }))
	small, large := g.s.Budgets()
	for _, c := range []struct {
		bytes            int64
		inSmall, inLarge bool
	}{{small / factor / 2, true, false}, {small/factor + 1000, false, true}, {large/factor - 1000, false, true}} {
		cl := g.dial()
		cl.send(keyMetadata, 0, 1, make([]byte, c.bytes))
		r := get(t, arrived)
		s := g.s.Stats()
		if s.SmallBytes+s.LargeBytes < min(c.bytes*factor, large) || s.SmallBytes > 0 != c.inSmall || s.LargeBytes > 0 != c.inLarge {
			t.Errorf("%d bytes: %+v", c.bytes, s)
		}
		r.Reply()
		cl.expect(1, nil)
		g.eventually("it is given back", func() bool { s := g.s.Stats(); return s.SmallBytes+s.LargeBytes == 0 })
	}
	cl := g.dial()
	cl.send(keyMetadata, 0, 1, make([]byte, large/factor))
	cl.expectClosed()
	if l, _ := g.s.set.limits(prefix{key: keyMetadata}); int64(l.FrameBytesMax)*factor > large {
		t.Errorf("frames of %d bytes may decode to more than %d", l.FrameBytesMax, large)
	}
}
