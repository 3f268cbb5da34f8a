package replog

import (
	"bytes"
	"math"
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/vfs"
)

func TestPaced(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ debt, bound, budget, want int64 }{
		{0, 200 * mib, 64 * mib, 64 * mib},
		{100 * mib, 200 * mib, 64 * mib, 64 * mib}, // half of the way
		{110 * mib, 200 * mib, 64 * mib, 32 * mib}, // a tenth of the rest
		{115 * mib, 200 * mib, 64 * mib, 24 * mib}, // half a step more
		{120 * mib, 200 * mib, 64 * mib, 16 * mib},
		{150 * mib, 200 * mib, 64 * mib, 2 * mib},
		{190 * mib, 200 * mib, 64 * mib, mib / 8},
		{200*mib - 1, 200 * mib, 64 * mib, 72090},
		{200 * mib, 200 * mib, 64 * mib, 0},
		{300 * mib, 200 * mib, 64 * mib, 0},
		{150 * mib, 200 * mib, 0, 0},
		{1, 1, 64 * mib, 0},
		{0, 1, 64 * mib, 64 * mib},
		{48 << 30, 64 << 30, 64 * mib, 2 * mib}, // the largest setting
	} {
		if got := paced(c.debt, c.bound, c.budget); got != c.want {
			t.Errorf("debt %d of %d, budget %d: %d, want %d", c.debt, c.bound, c.budget, got, c.want)
		}
	}
}

// More debt never lets more through, and what is let through shrinks by little
// steps: a step of a thousandth of the bound takes less than a tenth of it.
func TestPacedShrinksSmoothly(t *testing.T) {
	for _, bound := range []int64{16 << 20, 190<<20 + 12345, 64 << 30, math.MaxInt64 >> 8} {
		const budget = 64 << 20
		last := int64(budget)
		for k := range int64(1000) {
			n := paced(bound/1000*k, bound, budget)
			if n > last || n <= 0 || n < last-last/10-1 {
				t.Fatalf("bound %d: %d of a thousand lets %d through, %d before", bound, k, n, last)
			}
			last = n
		}
		if n := paced(bound, bound, budget); n != 0 {
			t.Fatalf("%d at the bound", n)
		}
	}
}

// With the debt at its bound clients go on one by one, in order and without an
// event from outside, and the broker's own proposals do not wait.
func TestPacedProposalsGoOneByOne(t *testing.T) {
	d := quiet(t)
	d.boot(t, d.big())
	m := d.must(t, 1)
	d.work()
	d.e.pacing.bound = 1
	for range 20 {
		if _, err := d.offer(1, 3000); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.e.stalled); n != 19 {
		t.Fatalf("%d of 20 wait", n)
	}
	before, cost := m.index, wal.Cost(1, 3000)
	if err := d.e.Propose(1, bytes.Repeat([]byte{1}, 100), token{id: 1 << 40, system: true}, true); err != nil {
		t.Fatal(err)
	}
	for len(d.e.stalled) > 0 {
		d.poll()
		if n := d.e.wal.Outstanding(); n > 2*cost {
			t.Fatalf("%d bytes on their way", n)
		}
		if len(d.tasks) == 0 {
			t.Fatalf("%d wait for ever", len(d.e.stalled))
		}
		for len(d.tasks) > 0 {
			d.do(0)
		}
		for len(d.ended) > 0 {
			d.done(0)
		}
	}
	d.work()
	if m.index != before+21 {
		t.Fatalf("%d applied", m.index-before)
	}
}

// A proposal larger than the whole budget goes when nothing else does.
func TestPacedLargeProposal(t *testing.T) {
	d := quiet(t)
	c := d.big()
	c.WaitBytesMax = 10 * kib
	d.boot(t, c)
	m := d.must(t, 1)
	d.work()
	before := m.index
	for _, size := range []int{100, 50 * kib} {
		if _, err := d.offer(1, size); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.e.stalled); n != 1 {
		t.Fatalf("%d of 2 wait", n)
	}
	d.work()
	if m.index != before+2 || len(d.e.stalled) != 0 {
		t.Fatalf("%d applied, %d wait", m.index-before, len(d.e.stalled))
	}
	d.check(t)
}

// The bound of the debt leaves room for rounds to begin, whatever the settings.
func TestDebtBound(t *testing.T) {
	for _, s := range []struct{ bytes, file, reserve, want int64 }{
		{256 << 20, 64 << 20, 2 << 20, 190 << 20},
		{16 << 20, 8 << 20, 2 << 20, 8 << 20},
		{64 << 30, 4 << 30, 2 << 20, 60<<30 - 2<<20},
	} {
		c := DefaultConfig(vfs.NewMem(vfs.MemOptions{}))
		c.WAL.BytesMax, c.WAL.FileBytes, c.WAL.ReserveBytes = s.bytes, s.file, s.reserve
		if n := debtBound(&c); n != s.want {
			t.Errorf("%+v: %d", s, n)
		}
	}
}
