package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
)

// errFrame: a request that does not decode. Its connection is closed.
var errFrame = errors.New("kafka: request does not decode")

// producePartitionsMax bounds the partitions of one Produce request, since each
// costs more than its few bytes in the frame.
const producePartitionsMax = 1 << 16

// produceFrame is a Produce request, version 3 to 13, that lies in its frame.
// Everything in it was walked over once: each does not fail.
type produceFrame struct {
	version       int16
	transactional bool // it has a transactional id
	acks          int16
	timeoutMs     int32
	topics        int // counted
	partitions    int // counted
	list          []byte
}

// produceVisitor is shown what a frame holds, in order. The slices are parts of
// the frame.
type produceVisitor interface {
	topic(name []byte, id ident.TopicID)
	// partition belongs to the topic before it. records is nil for null.
	partition(index int32, records []byte)
}

// parseProduce reads a request's body, which is borrowed. It allocates nothing
// (K3), and fails with errFrame unless the body is exactly one request.
func parseProduce(version int16, body []byte) (produceFrame, error) {
	f := produceFrame{version: version}
	r := frameReader{b: body, flexible: f.flexible()}
	f.transactional = r.nullableString() != nil
	f.acks = r.int16()
	f.timeoutMs = r.int32()
	f.list = r.b
	f.topics, f.partitions = walkProduce(&r, version, nil)
	r.tags()
	switch {
	case r.bad:
		return produceFrame{}, fmt.Errorf("produce version %d, %d bytes from the end: %w", version, len(r.b), errFrame)
	case len(r.b) != 0:
		return produceFrame{}, fmt.Errorf("produce version %d, %d bytes too many: %w", version, len(r.b), errFrame)
	case max(f.partitions, f.topics) > producePartitionsMax:
		return produceFrame{}, fmt.Errorf("produce to %d topics and %d partitions, at most %d: %w",
			f.topics, f.partitions, producePartitionsMax, errFrame)
	}
	return f, nil
}

func (f *produceFrame) flexible() bool { return f.version >= 9 }

// each shows everything to v.
func (f *produceFrame) each(v produceVisitor) {
	r := frameReader{b: f.list, flexible: f.flexible()}
	walkProduce(&r, f.version, v)
}

// walkProduce reads the array of topics, shows it to v unless that is nil, and
// counts what is really there.
func walkProduce(r *frameReader, version int16, v produceVisitor) (topics, partitions int) {
	for range r.count() {
		var name []byte
		var id ident.TopicID
		if version >= 13 {
			copy(id[:], r.take(len(id)))
		} else {
			name = r.string()
		}
		if r.bad {
			return 0, 0
		}
		topics++
		if v != nil {
			v.topic(name, id)
		}
		for range r.count() {
			index := r.int32()
			records := r.nullableBytes()
			r.tags()
			if r.bad {
				return 0, 0
			}
			partitions++
			if v != nil {
				v.partition(index, records)
			}
		}
		if r.tags(); r.bad {
			return 0, 0
		}
	}
	return topics, partitions
}

// frameReader takes fields off the front of b. After the first field that is
// not there, bad is set and every field is zero.
type frameReader struct {
	b        []byte
	flexible bool
	bad      bool
}

// take returns the next n bytes.
func (r *frameReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *frameReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *frameReader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *frameReader) uvarint() int64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > 1<<32-1 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

// length reads a length or count, -1 for null. wide is whether it has 32 bits
// where versions are not flexible.
func (r *frameReader) length(wide bool) int64 {
	switch {
	case r.flexible:
		return r.uvarint() - 1
	case wide:
		return int64(r.int32())
	}
	return int64(r.int16())
}

// count reads the length of an array, whose elements have a byte at least, so
// that no count is believed beyond what is left.
func (r *frameReader) count() int64 {
	n := r.length(true)
	if n < 0 || n > int64(len(r.b)) {
		r.bad = true
		return 0
	}
	return n
}

// field reads a string or bytes, nil for null.
func (r *frameReader) field(wide bool) []byte {
	n := r.length(wide)
	if r.bad || n == -1 {
		return nil
	}
	if n < 0 || n > int64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

func (r *frameReader) nullableString() []byte { return r.field(false) }
func (r *frameReader) nullableBytes() []byte  { return r.field(true) }

func (r *frameReader) string() []byte {
	b := r.field(false)
	if b == nil {
		r.bad = true
	}
	return b
}

// tags passes over tagged fields, of which this reader knows none.
func (r *frameReader) tags() {
	if !r.flexible {
		return
	}
	n := r.uvarint()
	if n > int64(len(r.b)/2) { // a field has two bytes at least
		r.bad = true
		return
	}
	for range n {
		r.uvarint()
		size := r.uvarint()
		if r.bad || size > int64(len(r.b)) {
			r.bad = true
			return
		}
		r.take(int(size))
	}
}
