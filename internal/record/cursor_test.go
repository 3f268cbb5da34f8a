package record

import (
	"math/rand/v2"
	"testing"
)

// chunks is a decoder that hands out its source in small pieces.
type chunks struct {
	plainDecoder
	size int
}

func (d *chunks) next(want int) ([]byte, error) {
	chunk := d.src[:min(d.size, len(d.src))]
	d.src = d.src[len(chunk):]
	if len(chunk) == 0 {
		return d.plainDecoder.next(want)
	}
	return chunk, nil
}

// TestScansAgree walks the same bytes by quickScan and scan, and by scan in
// chunks of every small size: right records, damaged ones, and noise.
func TestScansAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for i := range 3000 {
		r := randomRecords(rng, 1)[0]
		b := appendRecord(nil, &r, bodySize(&r))
		for range i % 3 {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if i%5 == 0 {
			b = b[:rng.IntN(len(b))]
		}
		scansAgree(t, b)
	}
	for _, c := range badRecords {
		scansAgree(t, c.b)
	}
}

func scansAgree(t *testing.T, b []byte) {
	t.Helper()
	var quick, whole recordShape
	c := cursor{buf: b}
	what := c.scan(&whole)
	if n := quickScan(b, &quick); n != 0 && (what != "" || n != c.pos || quick != whole) {
		t.Fatalf("%x: quick %d %+v, scan %d %+v %q", b, n, quick, c.pos, whole, what)
	}
	for _, size := range []int{1, 2, 7, 100} {
		r := &Reader{limit: len(b), dec: &chunks{plainDecoder{b}, size}}
		var s recordShape
		p := cursor{src: r}
		got := p.scan(&s)
		if (got == "") != (what == "") || what == "" && (s != whole || p.offset() != c.offset()) {
			t.Fatalf("%x in chunks of %d: %q %+v, whole %q %+v", b, size, got, s, what, whole)
		}
	}
}

func FuzzScansAgree(f *testing.F) {
	r := Record{Key: []byte("k"), Value: []byte("value"), Headers: []RecordHeader{{Key: []byte("h")}}}
	f.Add(appendRecord(nil, &r, bodySize(&r)))
	for _, c := range badRecords {
		f.Add(c.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { scansAgree(t, b) })
}
