package record

import "fmt"

const (
	maxVarintBytes  = 5
	maxVarlongBytes = 10
	// minRecord is the smallest record: a length, attributes, two deltas, two
	// lengths of fields and a count of headers, one byte each.
	minRecord = 7
	// minRecordHeader is the smallest record header: two lengths.
	minRecordHeader = 2
)

// cursor walks over record bytes that come in one piece, or in chunks from a
// Reader. A failed step leaves it where it is of no more use; err tells
// whether the source failed or the bytes are wrong.
type cursor struct {
	buf  []byte // the current chunk
	pos  int    // in buf
	base int64  // length of the chunks before buf
	src  *Reader
	err  error
}

// offset returns how many bytes are behind the cursor.
func (c *cursor) offset() int64 { return c.base + int64(c.pos) }

// more replaces the chunk, which must be used up, by the next one.
func (c *cursor) more() bool {
	if c.src == nil {
		return false
	}
	c.base += int64(len(c.buf))
	c.buf, c.pos = nil, 0
	chunk, err := c.src.next()
	if err != nil {
		c.err = eofIsNil(err)
		c.src = nil
		return false
	}
	c.buf = chunk
	return true
}

// fail returns the source's error, else an ErrInvalidRecord about the record.
func (c *cursor) fail(index int, what string) error {
	if c.err != nil {
		return c.err
	}
	return fmt.Errorf("%w: record %d: %s", ErrInvalidRecord, index, what)
}

// finish checks that nothing follows.
func (c *cursor) finish() error {
	if c.pos < len(c.buf) || c.more() {
		return fmt.Errorf("%w: bytes behind the last record", ErrInvalidRecord)
	}
	return c.err
}

func (c *cursor) byte() (byte, bool) {
	if c.pos >= len(c.buf) && !c.more() {
		return 0, false
	}
	b := c.buf[c.pos]
	c.pos++
	return b, true
}

// varint reads a zigzag number of at most 5 bytes and 32 bits.
func (c *cursor) varint() (int32, bool) {
	if c.pos < len(c.buf) && c.buf[c.pos] < 0x80 {
		b := c.buf[c.pos]
		c.pos++
		return int32(b>>1) ^ -int32(b&1), true
	}
	return c.longVarint()
}

func (c *cursor) longVarint() (int32, bool) {
	if c.pos+1 < len(c.buf) && c.buf[c.pos+1] < 0x80 {
		// Not a short number here, or varint had taken it.
		u := uint32(c.buf[c.pos]&0x7f) | uint32(c.buf[c.pos+1])<<7
		c.pos += 2
		return int32(u>>1) ^ -int32(u&1), true
	}
	u, ok := c.uvarint(maxVarintBytes, 1<<4-1)
	return int32(uint32(u)>>1) ^ -int32(u&1), ok
}

// varlong reads a zigzag number of at most 10 bytes and 64 bits.
func (c *cursor) varlong() (int64, bool) {
	if c.pos < len(c.buf) && c.buf[c.pos] < 0x80 {
		b := c.buf[c.pos]
		c.pos++
		return int64(b>>1) ^ -int64(b&1), true
	}
	u, ok := c.uvarint(maxVarlongBytes, 1)
	return int64(u>>1) ^ -int64(u&1), ok
}

// uvarint reads a base 128 number of at most size bytes, the last of which is
// at most top.
func (c *cursor) uvarint(size int, top byte) (uint64, bool) {
	var u uint64
	for i := range size {
		b, ok := c.byte()
		if !ok {
			return 0, false
		}
		u |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return u, i < size-1 || b <= top
		}
	}
	return 0, false
}

// skip passes over n bytes, which must not reach beyond end.
func (c *cursor) skip(n int32, end int64) bool {
	if n < 0 || int64(n) > end-c.offset() {
		return false
	}
	if int(n) <= len(c.buf)-c.pos {
		c.pos += int(n)
		return true
	}
	return c.skipChunks(int(n))
}

// skipChunks passes over more bytes than are left in the chunk.
func (c *cursor) skipChunks(left int) bool {
	for left > len(c.buf)-c.pos {
		left -= len(c.buf) - c.pos
		c.pos = len(c.buf)
		if !c.more() {
			return false
		}
	}
	c.pos += left
	return true
}

// skipField passes over a nullable field and returns its length, -1 for null.
func (c *cursor) skipField(end int64) (int32, bool) {
	n, ok := c.varint()
	if !ok || n < 0 {
		return n, ok && n == -1
	}
	return n, c.skip(n, end)
}

// recordShape is what the produce check needs of a record.
type recordShape struct {
	timestampDelta int64
	offsetDelta    int32
	keyLen         int32 // -1 for null
	valueLen       int32 // -1 for null
}

// begin reads length and attributes of a record and returns where it ends.
func (c *cursor) begin() (end int64, attributes byte, what string) {
	n, ok := c.varint()
	if !ok || n < minRecord-1 {
		return 0, 0, "bad length"
	}
	end = c.offset() + int64(n)
	if c.src == nil && int64(n) > int64(len(c.buf)-c.pos) {
		return 0, 0, "longer than the batch"
	}
	// Bits of this byte have no meaning yet; like Kafka, ignore them.
	if attributes, ok = c.byte(); !ok {
		return 0, 0, "no attributes"
	}
	return end, attributes, ""
}

// next walks over one record without looking at its contents. It returns what
// is wrong, or nothing.
func (c *cursor) next(s *recordShape) (what string) {
	if n := quickScan(c.buf[c.pos:], s); n > 0 {
		c.pos += n
		return ""
	}
	return c.scan(s)
}

// scan is next for a record of any size, in any number of chunks.
func (c *cursor) scan(s *recordShape) (what string) {
	end, _, what := c.begin()
	if what != "" {
		return what
	}
	var ok bool
	if s.timestampDelta, ok = c.varlong(); !ok {
		return "bad timestamp delta"
	}
	if s.offsetDelta, ok = c.varint(); !ok {
		return "bad offset delta"
	}
	if s.keyLen, ok = c.skipField(end); !ok {
		return "bad key length"
	}
	if s.valueLen, ok = c.skipField(end); !ok {
		return "bad value length"
	}
	count, ok := c.varint()
	if !ok || count < 0 || int64(count)*minRecordHeader > end-c.offset() {
		return "bad header count"
	}
	for range count {
		n, ok := c.varint()
		if !ok || !c.skip(n, end) {
			return "bad header key length"
		}
		if _, ok = c.skipField(end); !ok {
			return "bad header value length"
		}
	}
	if c.offset() != end {
		return "fields do not fill the length"
	}
	return ""
}
