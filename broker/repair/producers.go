package repair

import (
	"encoding/binary"
	"math"
)

// Lengths in a partition's state (docs/format/entry.md).
const (
	settingBytes  = 10
	epochBytes    = 12
	producerBytes = 8 + 2 + 8 + 1
	batchBytes    = 4 + 4 + 8 + 8 + 8
)

// lose marks the batches that have an offset in one of the ranges as lost in what
// the state remembers of producers, and reports whether there were any: a retry of
// one, whose answer was lost, must not be told that it is at an offset where nothing
// is. They stay, since the batches behind them follow their sequences. It reports
// false too if the state is of a form that only a broker knows.
func (m *machineState) lose(ranges []OffsetRange) bool {
	le, rest := binary.LittleEndian, append([]byte(nil), m.rest...)
	at := producersAt(rest)
	if at < 0 || len(ranges) == 0 {
		return false
	}
	some := false
	b := rest[at+4:]
	for range le.Uint32(rest[at:]) {
		if len(b) < producerBytes || int64(len(b)) < producerBytes+int64(b[producerBytes-1])*batchBytes {
			return false
		}
		count := int(b[producerBytes-1])
		b = b[producerBytes:]
		for range count {
			base, last := int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))
			if base >= 0 && overlap(ranges, base, last) {
				le.PutUint64(b[8:], math.MaxUint64)
				some = true
			}
			b = b[batchBytes:]
		}
	}
	if some {
		m.rest = rest
	}
	return some
}

// producersAt returns where the producers begin behind settings and epochs, -1 if
// there is no such place.
func producersAt(b []byte) int {
	le := binary.LittleEndian
	if len(b) < 2 {
		return -1
	}
	at := 2 + settingBytes*int64(le.Uint16(b))
	if int64(len(b)) < at+4 {
		return -1
	}
	at += 4 + epochBytes*int64(le.Uint32(b[at:]))
	if int64(len(b)) < at+4 {
		return -1
	}
	return int(at)
}

// overlap reports whether one of the ranges has an offset from base to last.
func overlap(ranges []OffsetRange, base, last int64) bool {
	for _, r := range ranges {
		if base < r.End && r.First <= last {
			return true
		}
	}
	return false
}
