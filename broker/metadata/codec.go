package metadata

import (
	"encoding/binary"
	"fmt"
)

// encoder appends little-endian fields to buf. The first bound that a value
// breaks stays in err, so callers check once, at the end.
type encoder struct {
	buf []byte
	err error
}

func (e *encoder) u8(v uint8)   { e.buf = append(e.buf, v) }
func (e *encoder) u16(v uint16) { e.buf = binary.LittleEndian.AppendUint16(e.buf, v) }
func (e *encoder) u32(v uint32) { e.buf = binary.LittleEndian.AppendUint32(e.buf, v) }
func (e *encoder) u64(v uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }

func (e *encoder) boolean(v bool) {
	if v {
		e.u8(1)
		return
	}
	e.u8(0)
}

func (e *encoder) raw(b []byte) { e.buf = append(e.buf, b...) }

func (e *encoder) bounded(what string, n, limit int) bool {
	if n > limit && e.err == nil {
		e.err = fmt.Errorf("%w: %s %d, at most %d", ErrBound, what, n, limit)
	}
	return n <= limit
}

// str writes a u16 length and the bytes.
func (e *encoder) str(what, s string, limit int) {
	if e.bounded(what, len(s), limit) {
		e.u16(uint16(len(s)))
		e.buf = append(e.buf, s...)
	}
}

// text writes a u32 length and the bytes of a string.
func (e *encoder) text(what, s string, limit int) {
	if e.bounded(what, len(s), limit) {
		e.u32(uint32(len(s)))
		e.buf = append(e.buf, s...)
	}
}

// blob writes a u32 length and the bytes.
func (e *encoder) blob(what string, b []byte, limit int) {
	if e.bounded(what, len(b), limit) {
		e.u32(uint32(len(b)))
		e.buf = append(e.buf, b...)
	}
}

// count writes a u32 number of elements.
func (e *encoder) count(what string, n, limit int) {
	if e.bounded(what, n, limit) {
		e.u32(uint32(n))
	}
}

// configs writes a list of settings in the order given.
func (e *encoder) configs(kvs []KV) {
	e.count("settings", len(kvs), MaxConfigs)
	for _, kv := range kvs {
		e.str("setting name", kv.Name, MaxName)
		e.text("setting value", kv.Value, MaxConfigValue)
	}
}

// names writes a list of setting names in the order given.
func (e *encoder) names(names []string) {
	e.count("setting names", len(names), MaxConfigs)
	for _, n := range names {
		e.str("setting name", n, MaxName)
	}
}

// decoder reads what an encoder wrote. After the first failure, which stays in
// err, every read returns a zero value. Nothing that it returns shares memory
// with buf, except for what take returns.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.buf = nil
}

func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.buf) {
		d.fail(fmt.Errorf("%w: %d bytes wanted, %d left", ErrTruncated, n, len(d.buf)))
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) u8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) boolean() bool {
	v := d.u8()
	if v > 1 {
		d.fail(fmt.Errorf("%w: boolean %d", ErrValue, v))
	}
	return v == 1
}

// length checks a length against its bound. The bytes are checked by take.
func (d *decoder) length(what string, n uint32, limit int) int {
	if uint64(n) > uint64(limit) {
		d.fail(fmt.Errorf("%w: %s %d, at most %d", ErrBound, what, n, limit))
		return 0
	}
	return int(n)
}

func (d *decoder) str(what string, limit int) string {
	return string(d.take(d.length(what, uint32(d.u16()), limit)))
}

func (d *decoder) text(what string, limit int) string {
	return string(d.take(d.length(what, d.u32(), limit)))
}

// blob returns a copy, nil if it is empty.
func (d *decoder) blob(what string, limit int) []byte {
	return append([]byte(nil), d.take(d.length(what, d.u32(), limit))...)
}

// count reads a number of elements that take at least size bytes each, and
// fails unless the rest is long enough, so the caller may allocate for them.
func (d *decoder) count(what string, limit, size int) int {
	n := d.length(what, d.u32(), limit)
	if n > len(d.buf)/size {
		d.fail(fmt.Errorf("%w: %d %s in %d bytes", ErrTruncated, n, what, len(d.buf)))
		return 0
	}
	return n
}

func (d *decoder) configs() []KV {
	n := d.count("settings", MaxConfigs, 6)
	if n == 0 {
		return nil
	}
	kvs := make([]KV, 0, n)
	for range n {
		kvs = append(kvs, KV{Name: d.str("setting name", MaxName), Value: d.text("setting value", MaxConfigValue)})
	}
	return kvs
}

func (d *decoder) names() []string {
	n := d.count("setting names", MaxConfigs, 2)
	if n == 0 {
		return nil
	}
	names := make([]string, 0, n)
	for range n {
		names = append(names, d.str("setting name", MaxName))
	}
	return names
}

// end fails unless everything was read.
func (d *decoder) end() error {
	if d.err == nil && len(d.buf) > 0 {
		d.fail(fmt.Errorf("%w: %d", ErrTrailing, len(d.buf)))
	}
	return d.err
}
