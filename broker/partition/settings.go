package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/varvelog/varve/broker/storage"
)

// Settings change what apply does, so they are applied from the log like
// everything else: the leader proposes them when the topic's configuration
// differs from what is in force.
type Settings struct {
	SegmentBytes       int64 // segment.bytes
	IndexIntervalBytes int64 // index.interval.bytes
}

// DefaultSettings hold in a new partition until its first settings entry.
func DefaultSettings() Settings {
	return Settings{SegmentBytes: 1 << 30, IndexIntervalBytes: 4096}
}

const (
	settingSegmentBytes       = 1
	settingIndexIntervalBytes = 2
)

func (s Settings) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, settingSegmentBytes)
	b = le.AppendUint64(b, uint64(s.SegmentBytes))
	b = le.AppendUint16(b, settingIndexIntervalBytes)
	return le.AppendUint64(b, uint64(s.IndexIntervalBytes))
}

func decodeSettings(b []byte) (Settings, []byte, error) {
	s := DefaultSettings()
	le := binary.LittleEndian
	if len(b) < 2 {
		return s, nil, errState
	}
	n := int(le.Uint16(b))
	b = b[2:]
	if n > len(b)/10 {
		return s, nil, errState
	}
	for range n {
		id, v := le.Uint16(b), int64(le.Uint64(b[2:]))
		b = b[10:]
		if v < 1 {
			return s, nil, fmt.Errorf("%w: setting %d is %d", errState, id, v)
		}
		switch id {
		case settingSegmentBytes:
			s.SegmentBytes = v
		case settingIndexIntervalBytes:
			s.IndexIntervalBytes = v
		default:
			return s, nil, fmt.Errorf("%w: unknown setting %d", errState, id)
		}
	}
	return s, b, nil
}

func (s Settings) storage() storage.Settings {
	return storage.Settings{SegmentBytes: s.SegmentBytes, IndexIntervalBytes: s.IndexIntervalBytes}
}
