package record

import (
	"fmt"
	"sync"
)

// RecordHeader is one header of a record.
type RecordHeader struct {
	Key   []byte
	Value []byte // nil is null
}

// Record is one record of a batch. Its offset and timestamp are the batch's
// base plus its delta.
type Record struct {
	OffsetDelta    int32
	TimestampDelta int64 // ms
	Attributes     int8  // unused by Kafka
	Key            []byte
	Value          []byte // nil is null, as for Key
	Headers        []RecordHeader
}

// maxPooledHeaders is the longest list of headers that is kept for reuse.
const maxPooledHeaders = 1024

// forEachState is the reusable memory of ForEach.
type forEachState struct {
	record  Record
	headers []RecordHeader
	buf     []byte
}

var forEachPool = sync.Pool{New: func() any { return new(forEachState) }}

// ForEach decodes the batch at the front of b, client's or broker's, and calls
// fn with each record in order. Record, keys, values and headers are valid until
// fn returns; they alias b or a reused buffer, so fn neither changes nor keeps
// them. At most limit bytes are decompressed (0: DefaultMaxDecompressedBytes),
// all of them before the first call.
//
// Offset deltas must rise and stay within the last offset delta; gaps are
// allowed, as compaction and filters leave them. The checksum is not verified.
// An error of fn ends the walk and is returned as it is; others are those of
// ParseHeader and Decompress, and ErrInvalidRecord, possibly after some calls.
func ForEach(b []byte, limit int, fn func(*Record) error) error {
	h, err := ParseHeader(b)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	if h.Size() > len(b) {
		return fmt.Errorf("read records: %w: %d of %d bytes", ErrTruncated, len(b), h.Size())
	}
	if h.Count < 0 {
		return fmt.Errorf("read records: %w: count %d", ErrInvalidRecord, h.Count)
	}
	s := forEachPool.Get().(*forEachState)
	defer s.release()
	records := b[HeaderSize:h.Size()]
	if h.Codec() != None {
		records, err = appendDecompressed(s.buf[:0], h.Codec(), records, limit)
		if records != nil {
			s.buf = records
		}
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
	}
	return s.each(&h, records, fn)
}

func (s *forEachState) each(h *Header, records []byte, fn func(*Record) error) error {
	c := cursor{buf: records}
	last := int32(-1)
	for i := range int(h.Count) {
		if what := s.decode(&c); what != "" {
			return fmt.Errorf("read records: %w", c.fail(i, what))
		}
		if s.record.OffsetDelta <= last || s.record.OffsetDelta > h.LastOffsetDelta {
			return fmt.Errorf("read records: %w", c.fail(i, "offset delta out of order"))
		}
		last = s.record.OffsetDelta
		if err := fn(&s.record); err != nil {
			return err
		}
	}
	if err := c.finish(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return nil
}

func (s *forEachState) release() {
	s.record = Record{}
	if cap(s.headers) > maxPooledHeaders {
		s.headers = nil
	}
	clear(s.headers[:cap(s.headers)])
	if cap(s.buf) > maxPooledScratch {
		s.buf = nil
	}
	forEachPool.Put(s)
}

// decode reads one record, as cursor.next does, and keeps its fields.
func (s *forEachState) decode(c *cursor) (what string) {
	end, attributes, what := c.begin()
	if what != "" {
		return what
	}
	r := &s.record
	r.Attributes = int8(attributes)
	var ok bool
	if r.TimestampDelta, ok = c.varlong(); !ok {
		return "bad timestamp delta"
	}
	if r.OffsetDelta, ok = c.varint(); !ok {
		return "bad offset delta"
	}
	if r.Key, ok = c.field(end); !ok {
		return "bad key length"
	}
	if r.Value, ok = c.field(end); !ok {
		return "bad value length"
	}
	count, ok := c.varint()
	if !ok || count < 0 || int64(count)*minRecordHeader > end-c.offset() {
		return "bad header count"
	}
	s.headers = s.headers[:0]
	for range count {
		var h RecordHeader
		if h.Key, ok = c.field(end); !ok || h.Key == nil {
			return "bad header key length"
		}
		if h.Value, ok = c.field(end); !ok {
			return "bad header value length"
		}
		s.headers = append(s.headers, h)
	}
	r.Headers = s.headers
	if c.offset() != end {
		return "fields do not fill the length"
	}
	return ""
}

// field reads a nullable field of a cursor whose bytes are in one piece. The
// result aliases them; it is nil for null and only then.
func (c *cursor) field(end int64) ([]byte, bool) {
	n, ok := c.skipField(end)
	if !ok || n < 0 {
		return nil, ok
	}
	return c.buf[c.pos-int(n) : c.pos : c.pos], true
}
