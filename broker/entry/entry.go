package entry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Kind says what an entry does when it is applied.
type Kind uint8

// The kinds of entries.
const (
	Batch          Kind = 1  // one record batch as the client sent it
	LogStart       Kind = 2  // the log start offset moves up
	Roll           Kind = 3  // the active segment is closed
	Settings       Kind = 4  // settings that change what apply does
	ProducerExpiry Kind = 5  // producers that were silent for long are forgotten
	Chained        Kind = 6  // one record batch after the topic's chain, with what the chain emitted
	Emitted        Kind = 7  // one record batch that another partition's outbox delivers
	OutboxTrim     Kind = 8  // emissions were delivered
	ForgetOrigin   Kind = 9  // a topic whose outboxes delivered here was deleted
	TierCommit     Kind = 10 // a segment is in the cold tier
	LocalStart     Kind = 11 // the local log start moves up
	TierTrim       Kind = 12 // objects of the cold tier were deleted
	TierDrop       Kind = 13 // the cold tier of the partition is given up
	Command        Kind = 32 // one command for the cluster metadata
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Batch:
		return "batch"
	case LogStart:
		return "log start"
	case Roll:
		return "roll"
	case Settings:
		return "settings"
	case ProducerExpiry:
		return "producer expiry"
	case Chained:
		return "chained batch"
	case Emitted:
		return "emitted batch"
	case OutboxTrim:
		return "outbox trim"
	case ForgetOrigin:
		return "forget origin"
	case TierCommit:
		return "tier commit"
	case LocalStart:
		return "local start"
	case TierTrim:
		return "tier trim"
	case TierDrop:
		return "tier drop"
	case Command:
		return "command"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// HeaderBytes is the length of the common header.
const HeaderBytes = 24

const version = 1

// ErrDamaged: bytes that are not an entry, or not an undamaged one.
var ErrDamaged = errors.New("entry: damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Entry is a parsed entry. Header and Payload alias its bytes.
type Entry struct {
	Kind    Kind
	Time    int64 // leader's clock when it was proposed, ms since 1970
	Header  []byte
	Payload []byte
}

// New allocates an entry and returns its bytes with room for header and payload
// bytes, which the caller fills in and then seals with Seal.
func New(kind Kind, time int64, header, payload int) (b, h, p []byte) {
	b = make([]byte, HeaderBytes+header+payload)
	le := binary.LittleEndian
	b[0], b[1] = version, byte(kind)
	le.PutUint32(b[4:], uint32(header))
	le.PutUint32(b[8:], uint32(payload))
	le.PutUint64(b[16:], uint64(time))
	return b, b[HeaderBytes : HeaderBytes+header : HeaderBytes+header], b[HeaderBytes+header:]
}

// Seal sets the CRC of what New returned, once its parts are filled in. From
// then on the bytes must not change.
func Seal(b []byte) { binary.LittleEndian.PutUint32(b[12:], checksum(b)) }

// TimeOf returns the time of an entry that New made.
func TimeOf(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b[16:])) }

// Build makes a sealed entry from copies of header and payload.
func Build(kind Kind, time int64, header, payload []byte) []byte {
	b, h, p := New(kind, time, len(header), len(payload))
	copy(h, header)
	copy(p, payload)
	Seal(b)
	return b
}

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:])
}

// Parse checks an entry's frame and CRC. It does not look into header and
// payload, and accepts any kind.
func Parse(b []byte) (Entry, error) {
	e, err := ParseOwn(b)
	if err == nil && binary.LittleEndian.Uint32(b[12:]) != checksum(b) {
		return Entry{}, fmt.Errorf("%w: CRC", ErrDamaged)
	}
	return e, err
}

// ParseOwn is Parse for an entry that this process sealed and that has not left
// its memory since: the CRC, which would be read right after it was made, is not
// checked.
func ParseOwn(b []byte) (Entry, error) {
	if len(b) < HeaderBytes {
		return Entry{}, fmt.Errorf("%w: %d bytes", ErrDamaged, len(b))
	}
	le := binary.LittleEndian
	if b[0] != version || b[2] != 0 || b[3] != 0 {
		return Entry{}, fmt.Errorf("%w: version %d, flags %x", ErrDamaged, b[0], b[2:4])
	}
	h, p := int64(le.Uint32(b[4:])), int64(le.Uint32(b[8:]))
	if HeaderBytes+h+p != int64(len(b)) {
		return Entry{}, fmt.Errorf("%w: lengths %d and %d in %d bytes", ErrDamaged, h, p, len(b))
	}
	at := HeaderBytes + h
	return Entry{Kind: Kind(b[1]), Time: TimeOf(b), Header: b[HeaderBytes:at:at], Payload: b[at:]}, nil
}
