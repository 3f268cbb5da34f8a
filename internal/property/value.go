package property

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Value is a parsed value. The zero Value belongs to no property. It is
// immutable and may be copied.
type Value struct {
	typ    Type
	secret bool
	n      int64 // Bool (0 or 1), Int, Long, Bytes, Duration
	f      float64
	s      string
	list   []string
}

// Bool returns the value of a Bool.
func (v Value) Bool() bool { return v.n != 0 }

// Int64 returns the value of an Int, a Long, of Bytes, or of a Duration in
// milliseconds.
func (v Value) Int64() int64 { return v.n }

// Duration returns the value of a Duration. What exceeds 292 years, such as
// Kafka's greatest long, becomes the longest time.Duration; negative values,
// which stand for "none" or "unlimited", are returned as so many milliseconds.
func (v Value) Duration() time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	switch {
	case v.n > most:
		return 1<<63 - 1
	case v.n < -most:
		return -1 << 63
	}
	return time.Duration(v.n) * time.Millisecond
}

// Float64 returns the value of a Double.
func (v Value) Float64() float64 { return v.f }

// Text returns the value of a String, an Enum or a Password, in the clear.
func (v Value) Text() string { return v.s }

// List returns a copy of the items of a List.
func (v Value) List() []string { return slices.Clone(v.list) }

// Hidden stands where the value of a secret would be shown.
const Hidden = "[hidden]"

// String returns the canonical text of the value, Hidden for a secret.
func (v Value) String() string {
	switch {
	case v.secret:
		return Hidden
	case v.typ == Bool:
		return strconv.FormatBool(v.n != 0)
	case v.typ.numeric():
		return strconv.FormatInt(v.n, 10)
	case v.typ == Double:
		return strconv.FormatFloat(v.f, 'g', -1, 64)
	case v.typ == List:
		return strings.Join(v.list, ",")
	}
	return v.s
}

// Number returns a Value of a numeric type without checking any bounds.
func Number(t Type, n int64) Value { return Value{typ: t, n: n} }
