package entry

import (
	"bytes"
	"errors"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct{ header, payload string }{{"", ""}, {"h", ""}, {"", "p"}, {"header", "payload"}} {
		b := Build(Batch, 42, []byte(c.header), []byte(c.payload))
		e, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != Batch || e.Time != 42 || string(e.Header) != c.header || string(e.Payload) != c.payload {
			t.Fatalf("%+v", e)
		}
	}
}

func TestEveryBitFlipIsSeen(t *testing.T) {
	good := Build(Settings, 1<<40, []byte{1, 2, 3}, []byte("some payload"))
	for bit := range len(good) * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := Parse(b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for n := range good {
		if _, err := Parse(good[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Build(Batch, 1, []byte("h"), []byte("p")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err == nil && !bytes.Equal(Build(e.Kind, e.Time, e.Header, e.Payload), b) {
			t.Fatal("accepted bytes that it would not write")
		}
	})
}
