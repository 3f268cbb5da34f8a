package abi

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Sizes and offsets of the frame's fixed parts, SPEC.md section 3.
const (
	FrameHeaderLen = 64
	RecordFixedLen = 32

	offCount  = 8
	offParts  = 12
	offCursor = 48
	offOutPtr = 52
	offOutLen = 56
)

var le = binary.LittleEndian

// Frame builds the frame of one run in a buffer of the caller. The zero value
// is ready for Begin; a Frame may be used again after Finish.
type Frame struct {
	buf   []byte
	start int
	count int
	parts Parts
}

// Begin starts a frame behind the bytes of dst, which the frame owns until
// Finish. The frame's offsets count from there, so a dst that is not empty
// should be 8-aligned in the caller's own scheme; it does not matter here.
func (f *Frame) Begin(dst []byte, c *Context, parts Parts) {
	f.start, f.count, f.parts = len(dst), 0, parts&AllParts
	topic := c.Topic
	if len(topic) > math.MaxUint16 {
		topic = topic[:math.MaxUint16]
	}
	var h [FrameHeaderLen]byte
	le.PutUint32(h[0:], FrameHeaderLen)
	le.PutUint32(h[4:], RecordFixedLen)
	le.PutUint32(h[offParts:], uint32(f.parts))
	le.PutUint64(h[16:], uint64(c.AppendTime))
	le.PutUint64(h[24:], c.Seed)
	le.PutUint64(h[32:], c.Generation)
	le.PutUint32(h[40:], uint32(c.Partition))
	le.PutUint32(h[44:], uint32(len(topic)))
	f.buf = append(dst, h[:]...)
	f.buf = append(f.buf, topic...)
	f.pad()
}

// Add appends r to the frame, copying the declared parts of it. It returns
// ErrFull if the run's limits leave no room for r, or ErrTooLarge if no frame
// can hold it; the frame is unchanged then.
func (f *Frame) Add(r *Record) error {
	size := RecordSize(r, f.parts)
	total := int64(len(f.buf)-f.start) + size
	if f.count > 0 && (f.count >= MaxRunRecords || total > MaxRunBytes) {
		return ErrFull
	}
	if total > MaxFrameBytes {
		return fmt.Errorf("record %d of %d bytes: %w", r.Index, size, ErrTooLarge)
	}
	at := len(f.buf)
	f.buf = slices.Grow(f.buf, int(size))[:at+RecordFixedLen]
	h := f.buf[at:]
	clear(h)
	le.PutUint32(h[0:], uint32(size))
	le.PutUint32(h[4:], r.Index)
	if f.parts.Has(PartTimestamp) {
		le.PutUint64(h[8:], uint64(r.Timestamp))
	}
	if f.parts.Has(PartKey) {
		le.PutUint32(h[16:], lengthOf(r.Key))
	}
	if f.parts.Has(PartValue) {
		le.PutUint32(h[20:], lengthOf(r.Value))
	}
	if f.parts.Has(PartHeaders) {
		le.PutUint32(h[24:], uint32(len(r.Headers)))
		le.PutUint32(h[28:], uint32(headersSize(r.Headers)))
	}
	if f.parts.Has(PartKey) {
		f.buf = append(f.buf, r.Key...)
	}
	if f.parts.Has(PartValue) {
		f.buf = append(f.buf, r.Value...)
	}
	if f.parts.Has(PartHeaders) {
		f.buf = appendHeaders(f.buf, r.Headers)
	}
	f.pad()
	f.count++
	return nil
}

// Count returns how many records the frame holds.
func (f *Frame) Count() int { return f.count }

// Size returns the frame's bytes so far.
func (f *Frame) Size() int { return len(f.buf) - f.start }

// Finish returns the buffer given to Begin with the whole frame behind what it
// held; the caller owns it again.
func (f *Frame) Finish() []byte {
	b := f.buf
	le.PutUint32(b[f.start+offCount:], uint32(f.count))
	f.buf = nil
	return b
}

// RecordSize returns the bytes that r takes in a frame of these parts.
func RecordSize(r *Record, parts Parts) int64 {
	n := int64(RecordFixedLen)
	if parts.Has(PartKey) {
		n += int64(len(r.Key))
	}
	if parts.Has(PartValue) {
		n += int64(len(r.Value))
	}
	if parts.Has(PartHeaders) {
		n += headersSize(r.Headers)
	}
	return (n + 7) &^ 7
}

func headersSize(hs []Header) int64 {
	n := int64(0)
	for i := range hs {
		n += 8 + int64(len(hs[i].Key)) + int64(len(hs[i].Value))
	}
	return n
}

func appendHeaders(b []byte, hs []Header) []byte {
	for i := range hs {
		b = le.AppendUint32(b, uint32(len(hs[i].Key)))
		b = le.AppendUint32(b, lengthOf(hs[i].Value))
		b = append(b, hs[i].Key...)
		b = append(b, hs[i].Value...)
	}
	return b
}

// lengthOf returns the length field of b: -1 for null.
func lengthOf(b []byte) uint32 {
	if b == nil {
		return math.MaxUint32
	}
	return uint32(len(b))
}

func (f *Frame) pad() {
	var zeros [8]byte
	f.buf = append(f.buf, zeros[:-(len(f.buf)-f.start)&7]...)
}

// FrameCount returns the number of records that a frame declares, 0 if frame is
// too short to be one.
func FrameCount(frame []byte) int {
	if len(frame) < FrameHeaderLen {
		return 0
	}
	return int(le.Uint32(frame[offCount:]))
}

// Progress is what a plugin wrote into its frame's header before it trapped, as
// it wrote it: nothing of it has been checked.
type Progress struct {
	Cursor uint32 // the record being handled, from 0
	OutPtr uint32 // the verdicts of the records before it
	OutLen uint32
}

// ReadProgress reads the fields of a frame's header that the plugin writes. ok
// is false if frame is too short to have them.
func ReadProgress(frame []byte) (p Progress, ok bool) {
	if len(frame) < FrameHeaderLen {
		return Progress{}, false
	}
	return Progress{
		Cursor: le.Uint32(frame[offCursor:]),
		OutPtr: le.Uint32(frame[offOutPtr:]),
		OutLen: le.Uint32(frame[offOutLen:]),
	}, true
}
