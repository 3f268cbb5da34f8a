package group

import "encoding/binary"

// reader walks bytes that may be anything. After the first read beyond the end,
// or of a length that cannot be, it is bad and returns zero values. What it
// returns aliases its bytes.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// length reads the length of a string, of bytes or of an array: -1 for null. In
// the flexible form it is one more, as an unsigned varint.
func (r *reader) length(flexible bool, size int) int {
	switch {
	case flexible:
		return int(r.uvarint()) - 1
	case size == 2:
		return int(r.int16())
	}
	return int(r.int32())
}

func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || n > 5 || v > 1<<31-1 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

// bytes reads a string (size 2) or bytes (size 4) that must not be null.
func (r *reader) bytes(flexible bool, size int) []byte {
	return r.take(r.length(flexible, size))
}

// nullable reads a string or bytes; null is nil.
func (r *reader) nullable(flexible bool, size int) []byte {
	n := r.length(flexible, size)
	if n == -1 {
		return nil
	}
	return r.take(n)
}

// array reads the length of an array whose elements take at least size bytes
// each, so that what is allocated for it is bounded by what is there.
func (r *reader) array(flexible bool, size int) int {
	n := r.length(flexible, 4)
	if r.bad || n < 0 || n > len(r.b)/size {
		r.bad = true
		return 0
	}
	return n
}

// tags skips tagged fields.
func (r *reader) tags(flexible bool) { r.tagged(flexible, func(uint32, []byte) {}) }

// tagged calls field for each tagged field. Each takes at least two bytes.
func (r *reader) tagged(flexible bool, field func(tag uint32, b []byte)) {
	if !flexible {
		return
	}
	n := int(r.uvarint())
	if r.bad || n > len(r.b)/2 {
		r.bad = true
		return
	}
	for range n {
		tag := r.uvarint()
		if b := r.take(int(r.uvarint())); !r.bad {
			field(tag, b)
		}
	}
}

// end reports whether everything was read and nothing was wrong.
func (r *reader) end() bool { return !r.bad && len(r.b) == 0 }
