package deadletter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/plugins/pipeline"
	"github.com/varvelog/varve/wasm/abi"
)

// Layout of an emission, docs/format/emission.md.
const (
	emissionVersion = 1
	kindDeadLetter  = 1
	flagPayload     = 1

	lengthBytes = 4
	fixedBytes  = 28 // behind the length

	minHeaderBytes = 8
)

// MaxEmissionBytes bounds an encoded emission: more than any record, which came
// in a batch.
const MaxEmissionBytes = 1 << 30

// ErrDamaged says that bytes are not an emission.
var ErrDamaged = errors.New("damaged emission")

var le = binary.LittleEndian

// AppendEmission appends the encoding of e to dst. Topic and Stage are names as
// package plugins checks them and Message is at most abi.MaxMessageBytes, as in
// what a Chain emits; others do not decode. Key and Value count only with
// Payload.
func AppendEmission(dst []byte, e *pipeline.Emission) []byte {
	at := len(dst)
	var h [lengthBytes + fixedBytes]byte
	h[4], h[5] = emissionVersion, kindDeadLetter
	if e.Payload {
		h[6] = flagPayload
	}
	le.PutUint32(h[8:], uint32(e.Index))
	le.PutUint64(h[12:], uint64(e.Timestamp))
	le.PutUint16(h[20:], e.Code)
	le.PutUint16(h[22:], uint16(len(e.Topic)))
	le.PutUint16(h[24:], uint16(len(e.Stage)))
	le.PutUint16(h[26:], uint16(len(e.Message)))
	le.PutUint32(h[28:], uint32(len(e.Headers)))
	dst = append(dst, h[:]...)
	dst = append(dst, e.Topic...)
	dst = append(dst, e.Stage...)
	dst = append(dst, e.Message...)
	if e.Payload {
		dst = appendNullable(dst, e.Key)
		dst = appendNullable(dst, e.Value)
	}
	for i := range e.Headers {
		dst = le.AppendUint32(dst, uint32(len(e.Headers[i].Key)))
		dst = append(dst, e.Headers[i].Key...)
		dst = appendNullable(dst, e.Headers[i].Value)
	}
	le.PutUint32(dst[at:], uint32(len(dst)-at-lengthBytes))
	return dst
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return le.AppendUint32(dst, math.MaxUint32)
	}
	return append(le.AppendUint32(dst, uint32(len(b))), b...)
}

// DecodeEmission reads the emission at the front of b and returns the bytes
// behind it. Key, value, headers and rest alias b. Errors wrap ErrDamaged.
func DecodeEmission(b []byte) (e pipeline.Emission, rest []byte, err error) {
	if len(b) < lengthBytes+fixedBytes {
		return e, nil, fmt.Errorf("%w: %d bytes", ErrDamaged, len(b))
	}
	n := int64(le.Uint32(b))
	if n < fixedBytes || n > MaxEmissionBytes || n > int64(len(b)-lengthBytes) {
		return e, nil, fmt.Errorf("%w: length %d in %d bytes", ErrDamaged, n, len(b))
	}
	rest = b[lengthBytes+n:]
	b = b[lengthBytes : lengthBytes+n]
	if b[0] != emissionVersion || b[1] != kindDeadLetter || b[2]&^flagPayload != 0 || b[3] != 0 {
		return e, nil, fmt.Errorf("%w: version %d, kind %d, flags %x", ErrDamaged, b[0], b[1], b[2:4])
	}
	if what := decode(&e, b); what != "" {
		return pipeline.Emission{}, nil, fmt.Errorf("%w: %s", ErrDamaged, what)
	}
	return e, rest, nil
}

// decode reads what lies behind the length. It returns what is wrong.
func decode(e *pipeline.Emission, b []byte) (what string) {
	e.Payload = b[2]&flagPayload != 0
	e.Index = int32(le.Uint32(b[4:]))
	e.Timestamp = int64(le.Uint64(b[8:]))
	e.Code = le.Uint16(b[16:])
	topic, stage, message := le.Uint16(b[18:]), le.Uint16(b[20:]), le.Uint16(b[22:])
	headers := le.Uint32(b[24:])
	if topic == 0 || topic > plugins.MaxTopicBytes || stage == 0 || stage > plugins.MaxNameBytes || message > abi.MaxMessageBytes {
		return "a name is missing or too long"
	}
	if e.Index < 0 {
		return "negative index"
	}
	r := reader{b: b[fixedBytes:], ok: true}
	e.Topic = string(r.bytes(uint32(topic)))
	e.Stage = string(r.bytes(uint32(stage)))
	e.Message = string(r.bytes(uint32(message)))
	if e.Payload {
		e.Key, e.Value = r.nullable(), r.nullable()
	}
	if !r.ok || uint64(headers)*minHeaderBytes > uint64(len(r.b)) {
		return "cut short"
	}
	if headers > 0 {
		e.Headers = make([]record.RecordHeader, headers)
	}
	for i := range e.Headers {
		e.Headers[i] = record.RecordHeader{Key: r.bytes(r.u32()), Value: r.nullable()}
	}
	if !r.ok || len(r.b) > 0 {
		return "fields do not fill the length"
	}
	return ""
}

// A reader takes fields from the front of b. Once one is cut short ok is false
// and all that follow are empty.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) bytes(n uint32) []byte {
	if !r.ok || uint64(n) > uint64(len(r.b)) {
		r.ok = false
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u32() uint32 {
	if p := r.bytes(4); p != nil {
		return le.Uint32(p)
	}
	return 0
}

// nullable takes a length and as many bytes; all ones are null.
func (r *reader) nullable() []byte {
	n := r.u32()
	if n == math.MaxUint32 {
		return nil
	}
	return r.bytes(n)
}
