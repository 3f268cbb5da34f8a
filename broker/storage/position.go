package storage

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/varvelog/varve/internal/ident"
)

// positionVersion is the version of the encoding.
const positionVersion = 1

// noTimestamp is the timestamp of records without one.
const noTimestamp = -1

// Position is what a checkpoint records of a log: all that Open needs to go on
// without reading a segment. The zero value is not valid; a new log starts from
// EmptyPosition.
type Position struct {
	LogStart   ident.Offset // first offset of the partition, here or in the tier
	LocalStart ident.Offset // first offset that may be here
	LogEnd     ident.Offset // offset of the next record

	FirstBase  ident.Offset // base offset of the oldest segment, -1: no segment
	ActiveBase ident.Offset // base offset of the active segment, -1: no segment

	ActiveBytes              int64        // length of the active segment
	ActiveIndexBytes         int64        // length of its index file
	ActiveIndexed            int64        // position of its last index entry, -1: none
	ActiveMaxTimestamp       int64        // ms, -1: none
	ActiveMaxTimestampOffset ident.Offset // base offset of the first batch that has it, -1: none
	ActiveFirstTimestamp     int64        // maximum timestamp of its first batch in ms, -1: none
	ActiveEnd                ident.Offset // behind its last batch, -1: there is none, or it is not known
}

// EmptyPosition is the position of a log without batches that starts, and
// ends, at start.
func EmptyPosition(start ident.Offset) Position {
	return Position{
		LogStart: start, LocalStart: start, LogEnd: start,
		FirstBase: -1, ActiveBase: -1, ActiveIndexed: -1,
		ActiveMaxTimestamp: noTimestamp, ActiveMaxTimestampOffset: -1, ActiveFirstTimestamp: noTimestamp, ActiveEnd: -1,
	}
}

// fields lists the position's numbers in the order of the encoding.
func (p *Position) fields() [12]*int64 {
	return [12]*int64{
		(*int64)(&p.LogStart), (*int64)(&p.LocalStart), (*int64)(&p.LogEnd),
		(*int64)(&p.FirstBase), (*int64)(&p.ActiveBase),
		&p.ActiveBytes, &p.ActiveIndexBytes, &p.ActiveIndexed,
		&p.ActiveMaxTimestamp, (*int64)(&p.ActiveMaxTimestampOffset), &p.ActiveFirstTimestamp, (*int64)(&p.ActiveEnd),
	}
}

// Append adds the encoded position to dst: a version byte and signed varints.
func (p Position) Append(dst []byte) []byte {
	dst = append(dst, positionVersion)
	for _, f := range p.fields() {
		dst = binary.AppendVarint(dst, *f)
	}
	return dst
}

// DecodePosition reads what Append wrote and returns the bytes behind it. It
// fails with ErrPosition.
func DecodePosition(b []byte) (Position, []byte, error) {
	var p Position
	switch {
	case len(b) == 0:
		return Position{}, b, fmt.Errorf("%w: no bytes", ErrPosition)
	case b[0] != positionVersion:
		return Position{}, b, fmt.Errorf("%w: version %d, this broker reads %d", ErrPosition, b[0], positionVersion)
	}
	rest := b[1:]
	for i, f := range p.fields() {
		v, n := binary.Varint(rest)
		if n <= 0 {
			return Position{}, b, fmt.Errorf("%w: field %d", ErrPosition, i)
		}
		*f, rest = v, rest[n:]
	}
	if err := p.check(); err != nil {
		return Position{}, b, err
	}
	return p, rest, nil
}

// check reports fields that contradict each other.
func (p *Position) check() error {
	ok := p.LogStart >= 0 && p.LocalStart >= 0 && p.LogEnd >= p.LogStart && p.LogEnd >= p.LocalStart
	ok = ok && p.ActiveBytes >= 0 && p.ActiveBytes <= math.MaxInt64/2
	if p.ActiveBase < 0 {
		ok = ok && p.ActiveBase == -1 && p.FirstBase == -1 && p.ActiveBytes == 0 && p.ActiveIndexBytes == 0 && p.ActiveEnd == -1
	} else {
		ok = ok && p.FirstBase >= 0 && p.FirstBase <= p.ActiveBase && p.ActiveBase <= p.LogEnd
		ok = ok && p.ActiveIndexBytes >= 0 && p.ActiveIndexBytes <= maxIndexBytes(p.ActiveBytes)
		ok = ok && p.ActiveIndexed >= -1 && p.ActiveIndexed < max(p.ActiveBytes, 1)
		ok = ok && (p.ActiveEnd == -1 || p.ActiveBytes > 0 && p.ActiveEnd > p.ActiveBase && p.ActiveEnd <= p.LogEnd)
	}
	if !ok {
		return fmt.Errorf("%w: %+v", ErrPosition, *p)
	}
	return nil
}
