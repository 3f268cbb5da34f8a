package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var (
	// ErrOrder reports offset deltas that do not rise, or a last one below them.
	ErrOrder = errors.New("record: offset deltas out of order")
	// ErrEmpty reports a batch without records, which is never stored or served.
	ErrEmpty = errors.New("record: no records in batch")
)

// Params describes a batch that the broker builds. DefaultParams gives values
// to start from: in a zero Params, producer id 0 is a producer.
type Params struct {
	Codec Codec
	// Level has Kafka's meaning, see Compress. 0 is the codec's default.
	Level         int
	BaseOffset    int64
	LeaderEpoch   int32
	BaseTimestamp int64 // ms, what TimestampDelta of the records refers to
	// TimestampType is normally CreateTime. With LogAppendTime, AppendTime (ms)
	// becomes the maximum timestamp, and thereby every record's timestamp.
	TimestampType TimestampType
	AppendTime    int64
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
}

// DefaultParams returns parameters of a batch without producer and leader
// epoch, at offset 0, with timestamps of type CreateTime.
func DefaultParams(codec Codec, baseTimestamp int64) Params {
	return Params{
		Codec:         codec,
		LeaderEpoch:   -1,
		BaseTimestamp: baseTimestamp,
		ProducerID:    NoProducerID,
		ProducerEpoch: NoProducerEpoch,
		BaseSequence:  NoSequence,
	}
}

func (p *Params) attributes() int16 {
	a := int16(p.Codec)
	if p.TimestampType == LogAppendTime {
		a |= timestampTypeBit
	}
	if p.Transactional {
		a |= transactionalBit
	}
	if p.Control {
		a |= controlBit
	}
	return a
}

// Builder makes one batch of records that are appended in order. Their offset
// deltas may leave gaps. It belongs to one goroutine.
type Builder struct {
	params       Params
	buf          []byte // room for the header, then the records
	count        int32
	last         int32
	maxTimestamp int64
}

// NewBuilder returns an empty Builder.
func NewBuilder(p Params) *Builder {
	b := &Builder{}
	b.Reset(p)
	return b
}

// Reset empties the Builder and gives it new parameters.
func (b *Builder) Reset(p Params) {
	if b.buf == nil {
		b.buf = make([]byte, HeaderSize, 1024)
	}
	*b = Builder{params: p, buf: b.buf[:HeaderSize], last: -1, maxTimestamp: NoTimestamp}
}

// Count returns the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// Size returns the size that the batch would have uncompressed, in bytes.
func (b *Builder) Size() int { return len(b.buf) }

// Append copies r into the batch. Its offset delta must be above the one
// before, else the error is ErrOrder; ErrInvalidRecord reports a header without
// key and ErrTooLarge a batch beyond 2 GiB. After an error the batch is as it
// was.
func (b *Builder) Append(r *Record) error {
	if r.OffsetDelta <= b.last {
		return fmt.Errorf("append record: %w: %d after %d", ErrOrder, r.OffsetDelta, b.last)
	}
	for i := range r.Headers {
		if r.Headers[i].Key == nil {
			return fmt.Errorf("append record: %w: header %d without key", ErrInvalidRecord, i)
		}
	}
	size := bodySize(r)
	if size > maxLength || len(b.buf)+varintSize(size)+int(size) > maxLength {
		return fmt.Errorf("append record of %d bytes: %w", size, ErrTooLarge)
	}
	b.buf = appendRecord(b.buf, r, size)
	b.count++
	b.last = r.OffsetDelta
	b.maxTimestamp = max(b.maxTimestamp, b.params.BaseTimestamp+r.TimestampDelta)
	return nil
}

// Finish returns the batch, with checksum, as a slice that the caller owns. Its
// last offset delta is lastOffsetDelta, at least that of the last record
// (ErrOrder); -1 means that of the last record. Without records it fails with
// ErrEmpty. The Builder may be Reset and used again.
func (b *Builder) Finish(lastOffsetDelta int32) ([]byte, error) {
	if lastOffsetDelta == -1 {
		lastOffsetDelta = b.last
	}
	if b.count == 0 {
		return nil, fmt.Errorf("finish batch: %w", ErrEmpty)
	}
	if lastOffsetDelta < b.last {
		return nil, fmt.Errorf("finish batch: %w: last %d, record at %d", ErrOrder, lastOffsetDelta, b.last)
	}
	// Room for the typical ratio of 2, so that the result is not much larger
	// than the batch.
	room := len(b.buf)
	if b.params.Codec != None {
		room = HeaderSize + len(b.buf)/2
	}
	out, err := appendCompressed(make([]byte, HeaderSize, room), b.params.Codec, b.params.Level, b.buf[HeaderSize:])
	if err != nil {
		return nil, fmt.Errorf("finish batch: %w", err)
	}
	if len(out) > maxLength {
		return nil, fmt.Errorf("finish batch of %d bytes: %w", len(out), ErrTooLarge)
	}
	h := Header{
		BaseOffset:      b.params.BaseOffset,
		Length:          int32(len(out) - lengthOverhead),
		LeaderEpoch:     b.params.LeaderEpoch,
		Attributes:      b.params.attributes(),
		LastOffsetDelta: lastOffsetDelta,
		BaseTimestamp:   b.params.BaseTimestamp,
		MaxTimestamp:    b.maxTimestamp,
		ProducerID:      b.params.ProducerID,
		ProducerEpoch:   b.params.ProducerEpoch,
		BaseSequence:    b.params.BaseSequence,
		Count:           b.count,
	}
	if b.params.TimestampType == LogAppendTime {
		h.MaxTimestamp = b.params.AppendTime
	}
	seal(out, &h)
	return out, nil
}

// seal writes the header to the front of the whole batch b, with its checksum.
func seal(b []byte, h *Header) {
	h.put(b)
	h.CRC = checksum(b)
	binary.BigEndian.PutUint32(b[crcAt:], h.CRC)
}

const (
	// FillerKeyVersion and FillerKeyType are the key of a filler's record. Kafka
	// gives control types out from 0 upwards; clients ignore those they do not
	// know.
	FillerKeyVersion int16 = 0
	FillerKeyType    int16 = math.MaxInt16
)

// Filler returns a batch that stands for the offsets from base to last, of
// which none is stored: one control record of a reserved type at last, without
// producer and timestamps. Clients skip it and go on behind last. A span of more
// than 2^31-1 offsets is filled in part, from base; last below base counts as
// base. The caller owns the result.
func Filler(base, last int64, epoch int32) []byte {
	delta := int32(min(max(uint64(max(last, base))-uint64(base), 0), math.MaxInt32))
	var key [4]byte
	binary.BigEndian.PutUint16(key[:], uint16(FillerKeyVersion))
	binary.BigEndian.PutUint16(key[2:], uint16(FillerKeyType))
	r := Record{OffsetDelta: delta, Key: key[:], Value: []byte{}}
	size := bodySize(&r)
	out := appendRecord(make([]byte, HeaderSize, HeaderSize+varintSize(size)+int(size)), &r, size)
	seal(out, &Header{
		BaseOffset:      base,
		Length:          int32(len(out) - lengthOverhead),
		LeaderEpoch:     epoch,
		Attributes:      controlBit,
		LastOffsetDelta: delta,
		BaseTimestamp:   NoTimestamp,
		MaxTimestamp:    NoTimestamp,
		ProducerID:      NoProducerID,
		ProducerEpoch:   NoProducerEpoch,
		BaseSequence:    NoSequence,
		Count:           1,
	})
	return out
}
