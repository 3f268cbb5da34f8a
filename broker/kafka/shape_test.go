package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Every seed has exactly the shape of its version, and no prefix of it has.
func TestShapesOfAllRequests(t *testing.T) {
	for _, s := range requestSeeds(t) {
		if s.key == produceKey {
			continue
		}
		sh := shapes()[shapeKey{s.key, s.version}]
		if rest, ok := sh.body.skip(s.body, sh.flexible); !ok || len(rest) != 0 {
			t.Errorf("key %d version %d: %x, %d bytes left, %t", s.key, s.version, s.body, len(rest), ok)
		}
		for n := range s.body {
			if err := checkShape(s.key, s.version, s.body[:n]); !errors.Is(err, errShape) {
				t.Errorf("key %d version %d cut at %d of %d: %v", s.key, s.version, n, len(s.body), err)
			}
		}
	}
}

// What kmsg writes of any values has the shape of its version: nothing that a
// client may send is refused.
func TestShapesOfRandomRequests(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, a := range apis() {
		for v := a.min; v <= a.max && a.key != produceKey; v++ {
			sh := shapes()[shapeKey{a.key, v}]
			for range 30 {
				q := kmsg.RequestForKey(a.key)
				q.SetVersion(v)
				fillRandom(rng, reflect.ValueOf(q).Elem())
				b := q.AppendTo(nil)
				if rest, ok := sh.body.skip(b, sh.flexible); !ok || len(rest) != 0 {
					t.Fatalf("key %d version %d: %x, %d bytes left, %t", a.key, v, b, len(rest), ok)
				}
				q = kmsg.RequestForKey(a.key)
				q.SetVersion(v)
				if err := q.ReadFrom(b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func fillRandom(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			for range rng.IntN(3) {
				tags.Set(100+rng.Uint32N(1000), make([]byte, rng.IntN(4)))
			}
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Version" {
				fillRandom(rng, v.Field(i))
			}
		}
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.Uint64()))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(rng.IntN(256)))
		}
	case reflect.String:
		v.SetString(string(make([]byte, rng.IntN(300))))
	case reflect.Pointer:
		if rng.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillRandom(rng, v.Elem())
		}
	case reflect.Slice:
		n := rng.IntN(4)
		if n == 3 {
			return // null
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if v.Type().Elem().Kind() != reflect.Uint8 {
				fillRandom(rng, v.Index(i))
			}
		}
	}
}

// A shape leaves tagged fields to their sizes. The one structure among them is
// named in shapes, and there is no other, and no array.
func TestTaggedStructures(t *testing.T) {
	for _, a := range apis() {
		var walk func(reflect.Type)
		walk = func(typ reflect.Type) {
			for i := range typ.NumField() {
				f := typ.Field(i)
				switch {
				case f.Name == "UnknownTags" || !f.IsExported():
				case f.Type.Kind() == reflect.Struct && f.Name != "ReplicaState":
					t.Errorf("key %d: %s is a structure", a.key, f.Name)
				case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
					walk(f.Type.Elem())
				}
			}
		}
		walk(reflect.TypeOf(kmsg.RequestForKey(a.key)).Elem())
	}
}

// TestAMillionTaggedFields: 14 bytes that announced 4,294,967,295 tagged fields
// kept the decoder busy for 10 s.
func TestAMillionTaggedFields(t *testing.T) {
	for _, s := range requestSeeds(t) {
		q := kmsg.RequestForKey(s.key)
		if q.SetVersion(s.version); !q.IsFlexible() || s.key == produceKey || s.body[len(s.body)-1] != 0 {
			continue
		}
		lie := binary.AppendUvarint(bytes.Clone(s.body[:len(s.body)-1]), 1<<32-1)
		if err := checkShape(s.key, s.version, lie); !errors.Is(err, errShape) {
			t.Errorf("key %d version %d: %v", s.key, s.version, err)
		}
	}
	inner := append([]byte{1, 1, 17}, make([]byte, 12)...) // ReplicaState
	inner = binary.AppendUvarint(inner, 1<<32-1)
	q := kmsg.NewPtrFetchRequest()
	q.SetVersion(15)
	body := q.AppendTo(nil)
	if err := checkShape(fetchKey, 15, append(body[:len(body)-1], inner...)); !errors.Is(err, errShape) {
		t.Errorf("inside a tagged field: %v", err)
	}
}

// TestArraysAreNotBelieved puts a count that is as large as what follows, at
// every place of every request: what is allocated stays within what the request
// is charged. It was twice as much.
func TestArraysAreNotBelieved(t *testing.T) {
	for _, fill := range []byte{0, 1, 2} {
		pad := bytes.Repeat([]byte{fill}, 4096)
		for _, s := range requestSeeds(t) {
			if s.key == produceKey {
				continue
			}
			for at := range s.body {
				for _, flexible := range []bool{false, true} {
					lie := binary.BigEndian.AppendUint32(bytes.Clone(s.body[:at]), uint32(len(pad)))
					if flexible {
						lie = binary.AppendUvarint(bytes.Clone(s.body[:at]), uint64(len(pad))+1)
					}
					lie = append(lie, pad...)
					if checkShape(s.key, s.version, lie) == nil {
						checkDecode(t, s.key, s.version, lie)
					}
				}
			}
		}
	}
}

// smallest appends the fewest bytes that have a shape, but for many elements of
// the array that is many. With tags, each structure has a tagged field that
// nobody knows.
func (s *shape) smallest(b []byte, flexible bool, many *shape, n int, tags bool) []byte {
	if s == many && !flexible {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	} else if s == many {
		b = binary.AppendUvarint(b, uint64(n)+1)
	}
	switch {
	case s == many:
		for range n {
			b = s.parts[0].smallest(b, flexible, many, n, tags)
		}
	case s.kind == shapeNumber:
		b = append(b, make([]byte, s.bytes)...)
	case s.kind == shapeStruct:
		for i := range s.parts {
			b = s.parts[i].smallest(b, flexible, many, n, tags)
		}
		if flexible && tags {
			b = append(b, 1, 99, 0)
		} else if flexible {
			b = append(b, 0)
		}
	case s.holds(many) && flexible:
		b = s.parts[0].smallest(append(b, 2), flexible, many, n, tags)
	case flexible: // of length 0, as an array too
		b = append(b, 1)
	case s.kind == shapeText:
		b = append(b, 0, 0)
	case s.holds(many):
		b = s.parts[0].smallest(append(b, 0, 0, 0, 1), flexible, many, n, tags)
	default:
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

func (s *shape) holds(other *shape) bool {
	for i := range s.parts {
		if &s.parts[i] == other || s.parts[i].holds(other) {
			return true
		}
	}
	return false
}

func (s *shape) arrays(into []*shape) []*shape {
	if s.kind == shapeArray {
		into = append(into, s)
	}
	for i := range s.parts {
		into = s.parts[i].arrays(into)
	}
	return into
}

// TestCheapestElements: what a request decodes to is within what it is charged
// also when it is made of the elements that grow most.
func TestCheapestElements(t *testing.T) {
	for _, a := range apis() {
		for v := a.min; v <= a.max; v++ {
			sh := shapes()[shapeKey{a.key, v}]
			if sh == nil {
				continue
			}
			for _, many := range sh.body.arrays(nil) {
				for _, tags := range []bool{false, true} {
					b := sh.body.smallest(nil, sh.flexible, many, 2000, tags)
					if err := checkShape(a.key, v, b); err != nil {
						t.Fatalf("key %d version %d: %v", a.key, v, err)
					}
					if !checkDecode(t, a.key, v, b) {
						t.Fatalf("key %d version %d: does not decode: %x", a.key, v, b[:100])
					}
				}
			}
		}
	}
}

func BenchmarkCheckShape(b *testing.B) {
	q := rigFetch(seedTopic, seedTopicID, 0, 0)
	for range 99 {
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, q.Topics[0].Partitions[0])
	}
	q.SetVersion(13)
	body := q.AppendTo(nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := checkShape(fetchKey, 13, body); err != nil {
			b.Fatal(err)
		}
	}
}
