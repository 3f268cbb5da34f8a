package partition

import (
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

// The bytes that are counted are those that a checkpoint has, whatever happens to
// producers.
func TestProducerBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	s := &producers{byID: map[int64]*producer{}}
	check := func() {
		t.Helper()
		if got := int64(len(s.appendTo(nil)) - 4); got != s.bytes {
			t.Fatalf("%d bytes are counted, the checkpoint has %d", s.bytes, got)
		}
	}
	for i := range int64(3000) {
		q := sequence{id: rng.Int64N(100) - 1, epoch: int16(rng.IntN(3)), first: int32(i), last: int32(i)}
		s.add(q, ident.Offset(i), ident.Offset(i), i)
		if rng.IntN(50) == 0 {
			s.expire(i - rng.Int64N(200))
		}
		check()
	}
	d, _, err := decodeProducers(s.appendTo(nil))
	if err != nil || d.bytes != s.bytes || s.bytes == 0 {
		t.Fatalf("%d bytes after a restart, %d before: %v", d.bytes, s.bytes, err)
	}
}

// Those that were silent for longest go first, and no more than needed.
func TestCutoff(t *testing.T) {
	s := &producers{byID: map[int64]*producer{}}
	for i := range int64(10) {
		s.add(sequence{id: i}, 0, 0, 100+i/2) // two at each time
	}
	one := s.bytes / 10
	for _, c := range []struct{ bytes, before, shed int64 }{
		{1, 101, 2 * one}, {2 * one, 101, 2 * one}, {2*one + 1, 102, 4 * one}, {10 * one, 105, 10 * one}, {1 << 40, 105, 10 * one},
	} {
		if before, shed := s.cutoff(c.bytes, 1000); before != c.before || shed != c.shed {
			t.Errorf("cutoff(%d) = %d, %d; want %d, %d", c.bytes, before, shed, c.before, c.shed)
		}
	}
}

func TestShedProducers(t *testing.T) {
	h := newHarness(t)
	for i := range int64(6) {
		h.produce(spec{id: i, seq: 0})
		h.apply(-1)
	}
	all := h.p.ProducerBytes()
	if shed := h.p.ShedProducers(5000, 1); shed != all { // all wrote at the same time
		t.Fatalf("shed %d of %d bytes", shed, all)
	}
	if h.p.ShedProducers(5000, 1) != 0 {
		t.Fatal("shed twice")
	}
	h.apply(-1)
	if h.p.ProducerBytes() != 0 || h.p.ShedProducers(5000, 1) != 0 {
		t.Fatalf("%d bytes are left", h.p.ProducerBytes())
	}
	h.same()
}
