package main

import "encoding/binary"

// wireReader reads values of the Kafka protocol. Once something does not fit it
// has failed, and every value is zero.
type wireReader struct {
	b        []byte
	flexible bool // compact lengths and tagged fields (KIP-482)
	failed   bool
}

// skip returns the next n bytes, or nil.
func (d *wireReader) skip(n int) []byte {
	if d.failed || n < 0 || n > len(d.b) {
		d.failed = true
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *wireReader) int16() int16 {
	if p := d.skip(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (d *wireReader) int32() int32 {
	if p := d.skip(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (d *wireReader) uvarint() int {
	v, n := binary.Uvarint(d.b)
	if d.failed || n <= 0 || v > 1<<31 {
		d.failed = true
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

// length reads the length of an array, 0 for null. No element is empty, so it is
// at most the bytes that are left.
func (d *wireReader) length() int {
	n := 0
	if d.flexible {
		n = d.uvarint() - 1
	} else {
		n = int(d.int32())
	}
	if n > len(d.b) {
		d.failed = true
	}
	if d.failed {
		return 0
	}
	return max(n, 0)
}

// text reads a string, "" for null.
func (d *wireReader) text() string {
	n := 0
	if d.flexible {
		n = d.uvarint() - 1
	} else {
		n = int(d.int16())
	}
	return string(d.skip(max(n, 0)))
}

// bytes reads a byte slice, which aliases the input.
func (d *wireReader) bytes() []byte {
	n := 0
	if d.flexible {
		n = d.uvarint() - 1
	} else {
		n = int(d.int32())
	}
	return d.skip(max(n, 0))
}

// topic reads past a topic's name or id.
func (d *wireReader) topic(version int16) {
	if version >= firstTopicID {
		d.skip(16)
		return
	}
	d.text()
}

// tags reads past tagged fields.
func (d *wireReader) tags() {
	if !d.flexible {
		return
	}
	for range d.uvarint() {
		if d.failed {
			return
		}
		d.uvarint()
		d.skip(d.uvarint())
	}
}
