package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	// HeaderSize is the length of a batch header in bytes.
	HeaderSize = 61
	// Magic is the format version that this package reads and writes.
	Magic = 2
	// NoTimestamp is the timestamp of a record without one, in milliseconds.
	NoTimestamp = -1
	// NoProducerID marks a batch of a producer without idempotence.
	NoProducerID = -1
	// NoProducerEpoch is the epoch that goes with NoProducerID.
	NoProducerEpoch = -1
	// NoSequence is the sequence number that goes with NoProducerID.
	NoSequence = -1
)

const (
	lengthAt          = 8
	epochAt           = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	countAt           = 57

	// lengthOverhead is what Length does not count: base offset and itself.
	lengthOverhead = 12
	// minLength is the Length of a batch without record bytes.
	minLength = HeaderSize - lengthOverhead
	// minOldLength is the smallest message of magic 0. A shorter length is
	// damage or zero fill, whatever the byte at the place of the magic says.
	minOldLength = 14
)

const (
	codecMask        int16 = 0x07
	timestampTypeBit int16 = 1 << 3
	transactionalBit int16 = 1 << 4
	controlBit       int16 = 1 << 5
	deleteHorizonBit int16 = 1 << 6
	maxSequence            = math.MaxInt32
	maxLength              = math.MaxInt32 - lengthOverhead
	placementSize          = 16
	maxFillerSpan    int64 = math.MaxInt32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// TimestampType says whose clock a batch's timestamps come from.
type TimestampType int8

const (
	// CreateTime is the producer's clock, per record.
	CreateTime TimestampType = 0
	// LogAppendTime is the broker's clock: every record of the batch has the
	// batch's maximum timestamp.
	LogAppendTime TimestampType = 1
)

// Header is the decoded header of a batch.
type Header struct {
	BaseOffset      int64
	Length          int32 // bytes behind the length field
	LeaderEpoch     int32
	CRC             uint32 // CRC-32C of everything from the attributes on
	Attributes      int16
	LastOffsetDelta int32 // of sequences as well
	BaseTimestamp   int64 // ms; the delete horizon if that attribute is set
	MaxTimestamp    int64 // ms
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32 // records in the batch
}

// ParseHeader reads the header at the front of b, which must hold HeaderSize
// bytes but not the whole batch. It checks magic and length, and nothing else:
// the other fields may hold any value. b is borrowed. It fails with
// ErrTruncated, ErrCorrupt or ErrMagic.
func ParseHeader(b []byte) (Header, error) {
	if len(b) <= magicAt {
		return Header{}, fmt.Errorf("parse header of %d bytes: %w", len(b), ErrTruncated)
	}
	length := int32(binary.BigEndian.Uint32(b[lengthAt:]))
	if length < minOldLength || length > maxLength {
		return Header{}, fmt.Errorf("parse header: %w: length %d", ErrCorrupt, length)
	}
	if magic := int8(b[magicAt]); magic != Magic {
		return Header{}, fmt.Errorf("parse header: %w %d", ErrMagic, magic)
	}
	if length < minLength {
		return Header{}, fmt.Errorf("parse header: %w: length %d", ErrCorrupt, length)
	}
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("parse header of %d bytes: %w", len(b), ErrTruncated)
	}
	b = b[:HeaderSize]
	be := binary.BigEndian
	return Header{
		BaseOffset:      int64(be.Uint64(b)),
		Length:          length,
		LeaderEpoch:     int32(be.Uint32(b[epochAt:])),
		CRC:             be.Uint32(b[crcAt:]),
		Attributes:      int16(be.Uint16(b[attributesAt:])),
		LastOffsetDelta: int32(be.Uint32(b[lastOffsetDeltaAt:])),
		BaseTimestamp:   int64(be.Uint64(b[baseTimestampAt:])),
		MaxTimestamp:    int64(be.Uint64(b[maxTimestampAt:])),
		ProducerID:      int64(be.Uint64(b[producerIDAt:])),
		ProducerEpoch:   int16(be.Uint16(b[producerEpochAt:])),
		BaseSequence:    int32(be.Uint32(b[baseSequenceAt:])),
		Count:           int32(be.Uint32(b[countAt:])),
	}, nil
}

// put writes the header, CRC included, to the front of b.
func (h *Header) put(b []byte) {
	b = b[:HeaderSize]
	be := binary.BigEndian
	be.PutUint64(b, uint64(h.BaseOffset))
	be.PutUint32(b[lengthAt:], uint32(h.Length))
	be.PutUint32(b[epochAt:], uint32(h.LeaderEpoch))
	b[magicAt] = Magic
	be.PutUint32(b[crcAt:], h.CRC)
	be.PutUint16(b[attributesAt:], uint16(h.Attributes))
	be.PutUint32(b[lastOffsetDeltaAt:], uint32(h.LastOffsetDelta))
	be.PutUint64(b[baseTimestampAt:], uint64(h.BaseTimestamp))
	be.PutUint64(b[maxTimestampAt:], uint64(h.MaxTimestamp))
	be.PutUint64(b[producerIDAt:], uint64(h.ProducerID))
	be.PutUint16(b[producerEpochAt:], uint16(h.ProducerEpoch))
	be.PutUint32(b[baseSequenceAt:], uint32(h.BaseSequence))
	be.PutUint32(b[countAt:], uint32(h.Count))
}

// Size returns the length of the whole batch in bytes.
func (h *Header) Size() int { return lengthOverhead + int(h.Length) }

// LastOffset returns the offset of the batch's last record, kept or not.
func (h *Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// LastSequence returns the sequence number of the last record, or NoSequence
// without idempotence. 0 follows after 2^31-1.
func (h *Header) LastSequence() int32 {
	if h.BaseSequence < 0 {
		return NoSequence
	}
	return int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & maxSequence)
}

// Codec returns the compression codec, which may be an unknown one.
func (h *Header) Codec() Codec { return Codec(h.Attributes & codecMask) }

// IsControl reports whether the batch holds control records, which clients
// act on and never show.
func (h *Header) IsControl() bool { return h.Attributes&controlBit != 0 }

// IsTransactional reports whether the batch belongs to a transaction.
func (h *Header) IsTransactional() bool { return h.Attributes&transactionalBit != 0 }

// HasDeleteHorizon reports whether the cleaner stored, in place of the base
// timestamp, the time from which the batch's tombstones may go (KIP-534).
func (h *Header) HasDeleteHorizon() bool { return h.Attributes&deleteHorizonBit != 0 }

// TimestampType returns whose clock the timestamps come from.
func (h *Header) TimestampType() TimestampType {
	if h.Attributes&timestampTypeBit != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// VerifyCRC reports whether b starts with a whole batch whose checksum is
// right. Bytes behind the batch are ignored. b is borrowed.
func VerifyCRC(b []byte) bool {
	h, err := ParseHeader(b)
	if err != nil || h.Size() > len(b) {
		return false
	}
	return checksum(b[:h.Size()]) == h.CRC
}

// checksum returns the CRC-32C of a whole batch.
func checksum(b []byte) uint32 { return crc32.Checksum(b[attributesAt:], castagnoli) }

// PatchPlacement writes to dst the first 16 bytes of the batch b as they read
// once base offset and leader epoch are set; the batch then is dst followed by
// b[16:]. b stays as it is, so that bytes which others share can be placed. It
// fails with ErrTruncated if b is shorter than 16 bytes.
func PatchPlacement(dst *[16]byte, b []byte, base int64, epoch int32) error {
	if len(b) < placementSize {
		return fmt.Errorf("place batch of %d bytes: %w", len(b), ErrTruncated)
	}
	binary.BigEndian.PutUint64(dst[:], uint64(base))
	copy(dst[lengthAt:epochAt], b[lengthAt:epochAt])
	binary.BigEndian.PutUint32(dst[epochAt:], uint32(epoch))
	return nil
}

// SetPlacement sets base offset and leader epoch of the batch b in place. The
// checksum does not cover them and stays right. It fails with ErrTruncated if
// b is shorter than 16 bytes.
func SetPlacement(b []byte, base int64, epoch int32) error {
	if len(b) < placementSize {
		return fmt.Errorf("place batch of %d bytes: %w", len(b), ErrTruncated)
	}
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[epochAt:], uint32(epoch))
	return nil
}

// SetTimestamps sets timestamp type and maximum timestamp (ms) of the batch at
// the front of b in place, and renews the checksum if that changed anything.
// Base timestamp and deltas stay: for LogAppendTime readers take max for every
// record. The old checksum is not verified. It fails as ParseHeader does, and
// with ErrTruncated if the batch is not whole.
func SetTimestamps(b []byte, typ TimestampType, max int64) error {
	h, err := ParseHeader(b)
	if err != nil {
		return fmt.Errorf("set timestamps: %w", err)
	}
	if h.Size() > len(b) {
		return fmt.Errorf("set timestamps: %w: %d of %d bytes", ErrTruncated, len(b), h.Size())
	}
	if h.TimestampType() == typ && h.MaxTimestamp == max {
		return nil
	}
	attributes := h.Attributes &^ timestampTypeBit
	if typ == LogAppendTime {
		attributes |= timestampTypeBit
	}
	binary.BigEndian.PutUint16(b[attributesAt:], uint16(attributes))
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(max))
	binary.BigEndian.PutUint32(b[crcAt:], checksum(b[:h.Size()]))
	return nil
}
