package abi

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Action is what a plugin answers for a record.
type Action uint8

// The actions of this version.
const (
	Keep Action = iota
	Drop
	Replace
	Reject
	DeadLetter
	actionCount
)

var actionNames = [actionCount]string{"keep", "drop", "replace", "reject", "dead-letter"}

// String returns the action's name.
func (a Action) String() string {
	if a >= actionCount {
		return "unknown"
	}
	return actionNames[a]
}

// Verdict is the answer for one record. Its slices alias the buffer it was
// decoded from.
type Verdict struct {
	Action Action

	// Replace: the parts of Mask take these values, the others stay.
	Mask      Parts
	Key       []byte // nil is null, as for Value
	Value     []byte
	Headers   RawHeaders
	Timestamp int64 // ms

	// Reject and DeadLetter.
	Code    Code
	Message []byte // at most MaxMessageBytes; may be invalid UTF-8
}

// RawHeaders is an encoded list of headers, as checked by DecodeVerdicts or made
// by EncodeHeaders. The zero value is the empty list.
type RawHeaders struct {
	count uint32
	bytes []byte
}

// EncodeHeaders copies hs into a list for a Verdict.
func EncodeHeaders(hs []Header) RawHeaders {
	return RawHeaders{count: uint32(len(hs)), bytes: appendHeaders(nil, hs)}
}

// Len returns the number of headers.
func (h RawHeaders) Len() int { return int(h.count) }

// AppendTo appends the headers to dst. Their slices alias the buffer that h was
// decoded from.
func (h RawHeaders) AppendTo(dst []Header) []Header {
	r := reader{b: h.bytes}
	for range h.count {
		header, ok := r.header()
		if !ok {
			return dst
		}
		dst = append(dst, header)
	}
	return dst
}

// DecodeVerdicts reads the verdicts of count records that hook answered with
// out. It returns the verdicts before the first one that does not decode,
// together with an error that wraps ErrGarbage and names that one. Bytes behind
// the last verdict put all of them in doubt: then no verdict is returned.
//
// The verdicts alias out; at most min(count, len(out)) of them are allocated.
func DecodeVerdicts(out []byte, count int, hook Hook) ([]Verdict, error) {
	return AppendVerdicts(nil, out, count, hook)
}

// AppendVerdicts is DecodeVerdicts into dst, which it returns extended.
func AppendVerdicts(dst []Verdict, out []byte, count int, hook Hook) ([]Verdict, error) {
	start := len(dst)
	if n := min(count, len(out)); cap(dst)-start < n {
		dst = append(make([]Verdict, 0, start+n), dst...)
	}
	r := reader{b: out}
	for i := range count {
		dst = append(dst, Verdict{})
		if len(r.b) > 0 && Action(r.b[0]) == Keep {
			r.b = r.b[1:]
			continue
		}
		if fault := r.verdict(&dst[len(dst)-1], hook); fault != "" {
			return dst[:len(dst)-1], fmt.Errorf("verdict %d of %d: %s: %w", i, count, fault, ErrGarbage)
		}
	}
	if len(r.b) > 0 {
		return dst[:start], fmt.Errorf("%d bytes behind %d verdicts: %w", len(r.b), count, ErrGarbage)
	}
	return dst, nil
}

// AppendVerdict appends the encoding of v to dst. A message longer than
// MaxMessageBytes is cut.
func AppendVerdict(dst []byte, v *Verdict) []byte {
	dst = append(dst, byte(v.Action))
	switch v.Action {
	case Replace:
		dst = append(dst, byte(v.Mask))
		if v.Mask.Has(PartKey) {
			dst = append(le.AppendUint32(dst, lengthOf(v.Key)), v.Key...)
		}
		if v.Mask.Has(PartValue) {
			dst = append(le.AppendUint32(dst, lengthOf(v.Value)), v.Value...)
		}
		if v.Mask.Has(PartHeaders) {
			dst = append(le.AppendUint32(dst, v.Headers.count), v.Headers.bytes...)
		}
		if v.Mask.Has(PartTimestamp) {
			dst = le.AppendUint64(dst, uint64(v.Timestamp))
		}
	case Reject, DeadLetter:
		m := cutMessage(v.Message)
		dst = le.AppendUint16(dst, uint16(v.Code))
		dst = append(le.AppendUint32(dst, uint32(len(m))), m...)
	}
	return dst
}

// cutMessage returns the kept prefix of m, cut between two characters.
func cutMessage(m []byte) []byte {
	if len(m) <= MaxMessageBytes {
		return m
	}
	n := MaxMessageBytes
	for n > MaxMessageBytes-utf8.UTFMax && !utf8.RuneStart(m[n]) {
		n--
	}
	return m[:n:n]
}

// A reader takes fields from the front of b. Its methods report false or a
// fault when b is too short, and what they return aliases b.
type reader struct{ b []byte }

func (r *reader) bytes(n uint32) ([]byte, bool) {
	if uint64(n) > uint64(len(r.b)) {
		return nil, false
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p, true
}

func (r *reader) u32() (uint32, bool) {
	p, ok := r.bytes(4)
	if !ok {
		return 0, false
	}
	return le.Uint32(p), true
}

// nullable takes an i32 length and the bytes; -1 is null, other negative lengths
// are longer than any buffer.
func (r *reader) nullable() ([]byte, bool) {
	n, ok := r.u32()
	if !ok || n == math.MaxUint32 {
		return nil, ok
	}
	return r.bytes(n)
}

func (r *reader) header() (Header, bool) {
	nameLen, ok1 := r.u32()
	valueLen, ok2 := r.u32()
	name, ok3 := r.bytes(nameLen)
	if !ok1 || !ok2 || !ok3 {
		return Header{}, false
	}
	if valueLen == math.MaxUint32 {
		return Header{Key: name}, true
	}
	value, ok := r.bytes(valueLen)
	return Header{Key: name, Value: value}, ok
}

func (r *reader) headers() (RawHeaders, bool) {
	count, ok := r.u32()
	if !ok || uint64(count)*8 > uint64(len(r.b)) {
		return RawHeaders{}, false
	}
	all := r.b
	for range count {
		if _, ok := r.header(); !ok {
			return RawHeaders{}, false
		}
	}
	n := len(all) - len(r.b)
	return RawHeaders{count: count, bytes: all[:n:n]}, true
}

// verdict takes one verdict into v, which is zero. fault says what is wrong with
// it, or is empty.
func (r *reader) verdict(v *Verdict, hook Hook) (fault string) {
	p, ok := r.bytes(1)
	if !ok {
		return "missing"
	}
	v.Action = Action(p[0])
	switch v.Action {
	case Keep:
		return ""
	case Drop, Replace:
		if hook != HookTransform {
			return v.Action.String() + " is not an answer of " + hook.String()
		}
		if v.Action == Drop {
			return ""
		}
		return r.replacement(v)
	case Reject, DeadLetter:
		return r.failure(v)
	}
	return "unknown kind"
}

func (r *reader) replacement(v *Verdict) (fault string) {
	p, ok := r.bytes(1)
	if !ok {
		return "mask is missing"
	}
	v.Mask = Parts(p[0])
	if v.Mask&^AllParts != 0 {
		return "unknown part in the mask"
	}
	if v.Mask.Has(PartKey) {
		if v.Key, ok = r.nullable(); !ok {
			return "key is cut short"
		}
	}
	if v.Mask.Has(PartValue) {
		if v.Value, ok = r.nullable(); !ok {
			return "value is cut short"
		}
	}
	if v.Mask.Has(PartHeaders) {
		if v.Headers, ok = r.headers(); !ok {
			return "headers are cut short"
		}
	}
	if v.Mask.Has(PartTimestamp) {
		p, ok := r.bytes(8)
		if !ok {
			return "timestamp is cut short"
		}
		v.Timestamp = int64(le.Uint64(p))
	}
	return ""
}

func (r *reader) failure(v *Verdict) (fault string) {
	p, ok := r.bytes(2)
	if !ok {
		return "code is missing"
	}
	v.Code = Code(le.Uint16(p))
	if v.Code > MaxPluginCode {
		return "code is not a plugin's"
	}
	n, ok := r.u32()
	if !ok {
		return "message length is missing"
	}
	m, ok := r.bytes(n)
	if !ok {
		return "message is cut short"
	}
	v.Message = cutMessage(m)
	return ""
}
