package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// errShape: the counts of a body do not fit the bytes behind them.
var errShape = errors.New("kafka: a count is larger than what follows it")

// A shape is how a part of a request lies in its bytes. Kmsg decodes a body on
// the word of its counts: an array is allocated before its elements are looked
// at, and 4,294,967,295 tagged fields are counted down one by one. So every body
// is walked along its shape first, which allocates nothing.
//
// Shapes are learnt from kmsg by encoding: the fields of a message stand in its
// bytes in their order, and one that changes no byte when it changes does not
// exist in that version.
type shape struct {
	kind  shapeKind
	bytes int     // of a number
	parts []shape // of a structure in order, or the element of an array
	// tagged has the structures among a structure's tagged fields, by their
	// tags.
	tagged map[uint32]*shape
}

type shapeKind uint8

const (
	shapeNumber shapeKind = iota
	shapeText             // length in two bytes, or a varint
	shapeBlob             // length in four bytes, or a varint
	shapeArray
	shapeStruct
)

// checkShape reports errShape unless a body has at least the parts that its
// counts announce. What follows them is not its business.
func checkShape(key, version int16, body []byte) error {
	s := shapes()[shapeKey{key, version}]
	if s == nil {
		return nil
	}
	if _, ok := s.body.skip(body, s.flexible); !ok {
		return fmt.Errorf("%s version %d: %w", kmsg.NameForKey(key), version, errShape)
	}
	return nil
}

type shapeKey struct{ key, version int16 }

type messageShape struct {
	body     *shape
	flexible bool
}

// skip returns what follows the shape at the start of b.
func (s *shape) skip(b []byte, flexible bool) ([]byte, bool) {
	switch s.kind {
	case shapeNumber:
		if len(b) < s.bytes {
			return nil, false
		}
		return b[s.bytes:], true
	case shapeText, shapeBlob:
		n, b, ok := s.count(b, flexible)
		if !ok || n > len(b) {
			return nil, false
		}
		return b[max(n, 0):], true
	case shapeArray:
		n, b, ok := s.count(b, flexible)
		if !ok || n > len(b) {
			return nil, false
		}
		for range n {
			if b, ok = s.parts[0].skip(b, flexible); !ok {
				return nil, false
			}
		}
		return b, true
	}
	ok := true
	for i := range s.parts {
		if b, ok = s.parts[i].skip(b, flexible); !ok {
			return nil, false
		}
	}
	if !flexible {
		return b, true
	}
	return s.skipTags(b)
}

// skipTags skips the tagged fields of a structure.
func (s *shape) skipTags(b []byte) ([]byte, bool) {
	n, b, ok := uvarint32(b)
	if !ok || uint64(n) > uint64(len(b)/2) { // each has two bytes at least
		return nil, false
	}
	for range n {
		var tag, size uint32
		if tag, b, ok = uvarint32(b); !ok {
			return nil, false
		}
		if size, b, ok = uvarint32(b); !ok || uint64(size) > uint64(len(b)) {
			return nil, false
		}
		if inner := s.tagged[tag]; inner != nil {
			if _, ok = inner.skip(b[:size], true); !ok {
				return nil, false
			}
		}
		b = b[size:]
	}
	return b, true
}

// count reads a length or a number of elements; below 0 is null.
func (s *shape) count(b []byte, flexible bool) (n int, rest []byte, ok bool) {
	switch {
	case flexible:
		u, rest, ok := uvarint32(b)
		if s.kind == shapeArray {
			return int(int32(u) - 1), rest, ok // as kmsg takes it
		}
		return int(u) - 1, rest, ok
	case s.kind == shapeText:
		if len(b) < 2 {
			return 0, nil, false
		}
		return int(int16(binary.BigEndian.Uint16(b))), b[2:], true
	}
	if len(b) < 4 {
		return 0, nil, false
	}
	return int(int32(binary.BigEndian.Uint32(b))), b[4:], true
}

// uvarint32 reads an unsigned varint of at most 32 bits in at most five bytes.
func uvarint32(b []byte) (v uint32, rest []byte, ok bool) {
	u, n := binary.Uvarint(b)
	if n <= 0 || n > 5 || u > 1<<32-1 {
		return 0, nil, false
	}
	return uint32(u), b[n:], true
}

// shapes has the shape of every key and version of the table that kmsg decodes.
var shapes = sync.OnceValue(func() map[shapeKey]*messageShape {
	all := map[shapeKey]*messageShape{}
	for _, a := range table { // order: into a map
		if a.key == produceKey {
			continue // is read in place
		}
		for v := a.min; v <= a.max; v++ {
			q := kmsg.RequestForKey(a.key)
			q.SetVersion(v)
			fillOnce(reflect.ValueOf(q).Elem())
			body := learn(q, reflect.ValueOf(q).Elem())
			if a.key == fetchKey && v >= 15 {
				// ReplicaState: a number, a number, and tagged fields.
				body.tagged = map[uint32]*shape{1: {kind: shapeStruct, parts: []shape{{bytes: 4}, {bytes: 8}}}}
			}
			all[shapeKey{a.key, v}] = &messageShape{&body, q.IsFlexible()}
		}
	}
	return all
})

// fillOnce gives every array of a message one element, so that what is in it
// shows in the bytes.
func fillOnce(v reflect.Value) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "UnknownTags" && f.Name != "Version" {
				fillOnce(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fillOnce(v.Index(0))
		}
	}
}

// learn returns the shape of a structure of q.
func learn(q kmsg.Request, v reflect.Value) shape {
	s := shape{kind: shapeStruct}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() || name == "UnknownTags" || name == "Version" {
			continue
		}
		if part, ok := learnPart(q, v.Field(i)); ok {
			s.parts = append(s.parts, part)
		}
	}
	return s
}

// learnPart returns the shape of a field, and false if it is not there or is a
// tagged one.
func learnPart(q kmsg.Request, v reflect.Value) (s shape, ok bool) {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	before := len(q.AppendTo(nil))
	plain := string(q.AppendTo(nil))
	grown := 0
	switch v.Kind() {
	case reflect.Bool:
		s.bytes = 1
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.bytes = int(v.Type().Size())
		v.SetInt(v.Int() ^ 1)
	case reflect.Float64:
		s.bytes = 8
		v.SetFloat(v.Float() + 1)
	case reflect.Array:
		s.bytes = v.Len()
		v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
	case reflect.String:
		s.kind, grown = shapeText, 1
		v.SetString("x")
	case reflect.Pointer: // to a text
		s.kind, grown = shapeText, 1
		v.Set(reflect.New(v.Type().Elem()))
		v.Elem().SetString("x")
	case reflect.Slice:
		return learnSlice(q, v)
	default:
		return shape{}, false // a structure: only as a tagged field
	}
	changed := q.AppendTo(nil)
	v.Set(was)
	return s, string(changed) != plain && len(changed)-before == grown
}

// learnSlice is learnPart for arrays and blobs.
func learnSlice(q kmsg.Request, v reflect.Value) (shape, bool) {
	was := v.Interface()
	before := len(q.AppendTo(nil))
	defer v.Set(reflect.ValueOf(was))
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes([]byte{1})
		return shape{kind: shapeBlob}, len(q.AppendTo(nil))-before == 1
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	without := len(q.AppendTo(nil))
	v.Set(reflect.ValueOf(was))
	if without == before {
		return shape{}, false
	}
	elem := v.Index(0)
	if elem.Kind() == reflect.Struct {
		return shape{kind: shapeArray, parts: []shape{learn(q, elem)}}, true
	}
	part, ok := learnPart(q, elem)
	return shape{kind: shapeArray, parts: []shape{part}}, ok
}
