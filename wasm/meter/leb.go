package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader reads the binary format. The first error sticks: every read after it
// returns zero values and moves nothing, and rest returns 0, so that loops end.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(kind error, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s at byte %d: %w", fmt.Sprintf(format, args...), r.off, kind)
	}
}

// rest returns the number of bytes not yet read.
func (r *reader) rest() int {
	if r.err != nil {
		return 0
	}
	return len(r.b) - r.off
}

func (r *reader) byte() byte {
	if r.rest() < 1 {
		r.fail(ErrMalformed, "unexpected end")
		return 0
	}
	v := r.b[r.off]
	r.off++
	return v
}

// bytes returns the next n bytes, which alias the input.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.rest()) {
		r.fail(ErrMalformed, "%d bytes wanted, %d left", n, r.rest())
		return nil
	}
	v := r.b[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return v
}

// u32 reads an unsigned LEB128 of at most 5 bytes and 32 bits.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0x0f {
			r.fail(ErrMalformed, "integer beyond 32 bits")
			return 0
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	return v // a fifth byte with its high bit set failed above
}

// signed reads a signed LEB128 of at most the given bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if used := shift + 7; used < 64 {
			v = v << (64 - used) >> (64 - used)
		}
		if left := bits - shift; left < 7 {
			if top := int8(b<<1) >> left; top != 0 && top != -1 {
				r.fail(ErrMalformed, "integer beyond %d bits", bits)
				return 0
			}
		}
		return v
	}
	r.fail(ErrMalformed, "integer too long")
	return 0
}

// count reads the length of a vector whose elements have at least one byte.
func (r *reader) count(what string, most uint32) uint32 {
	n := r.u32()
	switch {
	case r.err != nil:
		return 0
	case n > most:
		r.fail(ErrTooLarge, "%d %s, at most %d", n, what, most)
		return 0
	case uint64(n) > uint64(r.rest()):
		r.fail(ErrMalformed, "%d %s in %d bytes", n, what, r.rest())
		return 0
	}
	return n
}

// index reads an index that must be below n.
func (r *reader) index(what string, n uint32) uint32 {
	v := r.u32()
	if r.err == nil && v >= n {
		r.fail(ErrMalformed, "%s %d of %d", what, v, n)
		return 0
	}
	return v
}

func (r *reader) name(most uint32) string {
	b := r.bytes(r.count("bytes of a name", most))
	if !utf8.Valid(b) {
		r.fail(ErrMalformed, "name is not UTF-8")
		return ""
	}
	return string(b)
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSigned(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

// appendBlob appends a length and the bytes.
func appendBlob(b, blob []byte) []byte {
	return append(appendU32(b, uint32(len(blob))), blob...)
}

func appendName(b []byte, name string) []byte {
	return append(appendU32(b, uint32(len(name))), name...)
}
