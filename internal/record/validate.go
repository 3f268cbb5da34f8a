package record

import "fmt"

// Limits says what Validate accepts.
type Limits struct {
	// MaxBatchBytes is max.message.bytes, the largest size of the batch as it
	// is sent. 0 means no limit.
	MaxBatchBytes int
	// MaxDecompressedBytes bounds the decompressed records. 0 means
	// DefaultMaxDecompressedBytes. It bounds time; memory is bounded anyway.
	MaxDecompressedBytes int
	// AllowTransactional permits the transactional attribute: the request
	// carries a transactional id that the client may use.
	AllowTransactional bool
	// RefuseZstd is for Produce below 7, whose clients do not know zstd
	// (KIP-110).
	RefuseZstd bool
	// RequireKey refuses records with a null key, as compacted topics do.
	RequireKey bool
	// CheckTimestamps turns the next three on. A topic with LogAppendTime
	// leaves it off.
	CheckTimestamps bool
	// Now is the broker's clock in ms.
	Now int64
	// TimestampBeforeMax is message.timestamp.before.max.ms, not negative: how
	// far a timestamp may lie before Now. Records without timestamp pass.
	TimestampBeforeMax int64
	// TimestampAfterMax is message.timestamp.after.max.ms, not negative: how
	// far a timestamp may lie after Now (KIP-937).
	TimestampAfterMax int64
}

// Info is what Validate found out about a batch.
type Info struct {
	Header Header
	// MaxTimestamp is the true maximum of the record timestamps in ms, or
	// NoTimestamp. If it differs from Header.MaxTimestamp, and the topic has
	// CreateTime, the batch is to be corrected with SetTimestamps.
	MaxTimestamp int64
	// OffsetOfMaxTimestamp is the offset delta of the first record with that
	// timestamp, or -1 if no record has a timestamp.
	OffsetOfMaxTimestamp int32
	// UncompressedBytes is the size of the records, without the batch header.
	UncompressedBytes int64
	// NullKeys and NullValues count records with a null key or value.
	NullKeys, NullValues int
}

// Validate makes the check of the produce path: b is one batch as a client may
// send it, and nothing more. The whole batch is walked once, through a Reader if
// it is compressed, without looking at keys, values and headers beyond their
// lengths. b is borrowed and not changed.
//
// Accepted is a whole batch of magic 2 with a right checksum, a known codec and
// no broker-only attribute, with records whose offset deltas are 0, 1, 2 to the
// last offset delta, which fill the batch exactly; an idempotent producer's
// batch has an epoch and a base sequence. Base offset, leader epoch and maximum
// timestamp may hold anything, and so may unused attribute bits.
//
// Stricter than Kafka: LogAppendTime set by a producer is always refused (Kafka
// clears it from records with a valid timestamp), so are the delete horizon
// attribute, a producer id below -1, lengths below -1, offset deltas out of
// order (Kafka rewrites such a batch) and linked LZ4 blocks.
//
// The error is a *RecordsError if only single records are at fault, else one of
// the package's sentinels, wrapped. A batch whose checksum is right never gives
// ErrCorrupt: clients would send it again for ever.
func Validate(b []byte, lim Limits) (Info, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Info{}, fmt.Errorf("validate batch: %w", err)
	}
	if err := checkBatch(b, &h, &lim); err != nil {
		return Info{}, fmt.Errorf("validate batch: %w", err)
	}
	w := walker{lim: lim, info: Info{Header: h, MaxTimestamp: NoTimestamp, OffsetOfMaxTimestamp: -1}}
	records := b[HeaderSize:]
	if h.Codec() == None {
		err = w.walk(&cursor{buf: records})
	} else {
		var r *Reader
		if r, err = NewReader(h.Codec(), records, lim.MaxDecompressedBytes); err == nil {
			err = w.walk(&cursor{src: r})
			r.Close()
		}
	}
	if err != nil {
		return Info{}, fmt.Errorf("validate batch: %w", err)
	}
	return w.info, nil
}

// checkBatch checks what can be told without the records.
func checkBatch(b []byte, h *Header, lim *Limits) error {
	switch size := h.Size(); {
	case lim.MaxBatchBytes > 0 && size > lim.MaxBatchBytes:
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, size, lim.MaxBatchBytes)
	case size > len(b):
		return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, len(b), size)
	case size < len(b):
		return fmt.Errorf("%w: %d bytes behind the batch", ErrInvalidRecord, len(b)-size)
	}
	if crc := checksum(b); crc != h.CRC {
		return fmt.Errorf("%w: checksum %08x, computed %08x", ErrCorrupt, h.CRC, crc)
	}
	if err := checkAttributes(h, lim); err != nil {
		return err
	}
	if h.Count < 1 || int64(h.Count) != int64(h.LastOffsetDelta)+1 {
		return fmt.Errorf("%w: %d records, last offset delta %d", ErrInvalidRecord, h.Count, h.LastOffsetDelta)
	}
	if most := maxRecordBytes(b, h, lim); int64(h.Count)*minRecord > most {
		return fmt.Errorf("%w: %d records do not fit in %d bytes", ErrInvalidRecord, h.Count, most)
	}
	return nil
}

// maxRecordBytes returns an upper bound of the size of the records.
func maxRecordBytes(b []byte, h *Header, lim *Limits) int64 {
	if h.Codec() == None {
		return int64(len(b) - HeaderSize)
	}
	return int64(limitOrDefault(lim.MaxDecompressedBytes))
}

func checkAttributes(h *Header, lim *Limits) error {
	codec := h.Codec()
	switch {
	case !codec.Known() || codec == Zstd && lim.RefuseZstd:
		return fmt.Errorf("%w: %v", ErrCodec, codec)
	case h.IsControl():
		return fmt.Errorf("%w: a client may not write control records", ErrInvalidRecord)
	case h.HasDeleteHorizon():
		return fmt.Errorf("%w: a client may not set a delete horizon", ErrInvalidRecord)
	case h.TimestampType() != CreateTime:
		return fmt.Errorf("%w: a client may not set LogAppendTime", ErrInvalidTimestamp)
	case h.IsTransactional() && !lim.AllowTransactional:
		return ErrTransactional
	case h.ProducerID < NoProducerID:
		return fmt.Errorf("%w: producer id %d", ErrInvalidRecord, h.ProducerID)
	case h.ProducerID == NoProducerID && h.IsTransactional():
		return fmt.Errorf("%w: transactional without a producer id", ErrInvalidRecord)
	case h.ProducerID != NoProducerID && h.ProducerEpoch < 0:
		return fmt.Errorf("%w: producer epoch %d", ErrInvalidRecord, h.ProducerEpoch)
	case h.ProducerID != NoProducerID && h.BaseSequence < 0:
		return fmt.Errorf("%w: base sequence %d", ErrInvalidRecord, h.BaseSequence)
	}
	return nil
}

// walker is the state of the walk over the records of one batch. It holds no
// pointers into Validate's frame, which would move to the heap with errs.
type walker struct {
	lim  Limits
	info Info
	errs *RecordsError
}

func (w *walker) walk(c *cursor) error {
	var s recordShape
	for i := range int(w.info.Header.Count) {
		if what := c.next(&s); what != "" {
			return c.fail(i, what)
		}
		w.check(i, &s)
	}
	if err := c.finish(); err != nil {
		return err
	}
	w.info.UncompressedBytes = c.offset()
	if w.errs != nil {
		return w.errs
	}
	return nil
}

// check looks at one well-formed record. The first rule that it breaks counts.
func (w *walker) check(i int, s *recordShape) {
	if s.valueLen < 0 {
		w.info.NullValues++
	}
	if s.keyLen < 0 {
		w.info.NullKeys++
	}
	timestamp := w.info.Header.BaseTimestamp + s.timestampDelta // wraps as in clients
	switch {
	case int(s.offsetDelta) != i:
		w.refuse(i, ErrInvalidRecord, badOffset, int64(s.offsetDelta))
	case w.lim.RequireKey && s.keyLen < 0:
		w.refuse(i, ErrInvalidRecord, noKey, 0)
	case w.lim.CheckTimestamps && timestamp != NoTimestamp && w.outside(timestamp):
		w.refuse(i, ErrInvalidTimestamp, badTimestamp, timestamp)
	}
	if timestamp > w.info.MaxTimestamp {
		w.info.MaxTimestamp = timestamp
		w.info.OffsetOfMaxTimestamp = s.offsetDelta
	}
}

// outside reports whether a timestamp lies outside the topic's bounds. The
// differences are exact as unsigned numbers, whatever the operands.
func (w *walker) outside(timestamp int64) bool {
	now := w.lim.Now
	if timestamp < now {
		return uint64(now)-uint64(timestamp) > uint64(max(w.lim.TimestampBeforeMax, 0))
	}
	return uint64(timestamp)-uint64(now) > uint64(max(w.lim.TimestampAfterMax, 0))
}

type rule int8

const (
	badOffset rule = iota
	noKey
	badTimestamp
)

func (w *walker) refuse(i int, kind error, broken rule, got int64) {
	if w.errs == nil {
		w.errs = new(RecordsError)
	}
	var message string
	if !w.errs.full() {
		switch broken {
		case badOffset:
			message = fmt.Sprintf("offset delta %d at index %d", got, i)
		case noKey:
			message = "null key in a compacted topic"
		case badTimestamp:
			message = fmt.Sprintf("timestamp %d is more than %d ms before or %d ms after the broker's clock %d",
				got, w.lim.TimestampBeforeMax, w.lim.TimestampAfterMax, w.lim.Now)
		}
	}
	w.errs.add(i, kind, message)
}
