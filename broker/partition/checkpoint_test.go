package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"testing"

	"github.com/varvelog/varve/broker/storage"
)

// rich makes a state that has something of everything.
func rich(t testing.TB) *harness {
	h := newHarness(t)
	h.segments(5000)
	for i := range int32(8) {
		h.produce(spec{id: 7, epoch: 2, seq: math.MaxInt32 - 3 + i&3, n: 1, gen: 3, size: 900})
		h.produce(spec{id: int64(i) << 40, seq: i, gen: 3, size: 500})
		h.apply(-1)
		if i%3 == 2 {
			h.lead()
		}
	}
	h.deleteRecords(2)
	h.apply(-1)
	h.same()
	return h
}

func TestSavedRoundTrip(t *testing.T) {
	h := rich(t)
	s, err := decodeSaved(h.state)
	if err != nil {
		t.Fatal(err)
	}
	if s.position != h.p.log.Durable() || s.generation != 3 || s.settings != h.p.settings || s.position.LogStart != 2 {
		t.Fatalf("%+v", s)
	}
	if !reflect.DeepEqual(s.epochs, *h.p.epochs.Load()) || !reflect.DeepEqual(s.producers, h.p.producers) {
		t.Fatal("epochs or producers differ")
	}
	if len(s.epochs) < 2 || len(s.producers.byID) != 9 {
		t.Fatalf("a poor state: %d epochs, %d producers", len(s.epochs), len(s.producers.byID))
	}
	h.site.open(h.log)
	if !bytes.Equal(encodeSaved(s.incarnation, s.position, h.p.encodeRest()), h.state) {
		t.Fatal("it does not encode to the same bytes")
	}
}

func TestSavedDamaged(t *testing.T) {
	good := rich(t).state
	check := func(what string, at int, b []byte) {
		t.Helper()
		if _, err := decodeSaved(b); !errors.Is(err, errState) {
			t.Fatalf("%s %d: %v", what, at, err)
		}
	}
	for n := range good {
		check("prefix", n, good[:n])
	}
	for bit := range len(good) * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		check("bit", bit, b)
	}
	check("longer by", 1, append(bytes.Clone(good), 0))
	// With a good CRC around it, every cut is still seen.
	for n := 1; n < len(good)-4; n++ {
		b := binary.LittleEndian.AppendUint32(bytes.Clone(good[:n]), crc32.Checksum(good[:n], castagnoli))
		if _, err := decodeSaved(b); !errors.Is(err, errState) && !errors.Is(err, storage.ErrPosition) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := Open(Config{FS: newHarness(t).fs, Dir: testDir, Cache: storage.NewCache(storage.Limits{})}, good[:9]); !errors.Is(err, errState) {
		t.Fatal(err)
	}
}

func FuzzDecodeSaved(f *testing.F) {
	good := rich(f).state
	f.Add(good[:len(good)-4])
	f.Add([]byte{stateVersion})
	f.Add(encodeSaved(0, storage.EmptyPosition(5), bytes.Repeat([]byte{255}, 40)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		s, err := decodeSaved(b)
		if err != nil {
			return
		}
		p := &Partition{generation: s.generation, settings: s.settings, producers: s.producers, outbox: s.outbox, origins: s.origins, asOf: s.asOf}
		p.epochs.Store(&s.epochs)
		again, err := decodeSaved(encodeSaved(s.incarnation, s.position, p.encodeRest()))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v is not %+v: %v", again, s, err)
		}
	})
}

func FuzzDecodeSettings(f *testing.F) {
	f.Add(DefaultSettings().appendTo(nil))
	f.Add([]byte{1, 0, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, err := decodeSettings(b)
		if err != nil {
			return
		}
		if s.SegmentBytes < 1 || s.IndexIntervalBytes < 1 || len(rest) > len(b) {
			t.Fatalf("%+v, %d bytes left of %d", s, len(rest), len(b))
		}
		again, left, err := decodeSettings(append(s.appendTo(nil), rest...))
		if err != nil || again != s || !bytes.Equal(left, rest) {
			t.Fatalf("%+v is taken as %+v again, %v", s, again, err)
		}
	})
}
