package storage

import "math"

const (
	blockSize           = 4096 // alignment of runs, in bytes
	batchHeaderSize     = 61
	placementSize       = 16
	maxSegmentBytes     = math.MaxUint32 // positions are u32 in the index
	maxRelativeOffset   = math.MaxUint32
	defaultSegmentBytes = 1 << 30
	defaultIndexBytes   = 4096
	defaultRunBytes     = 1 << 20
	maxRunBytes         = 16 << 20
)

// Settings are what decides the layout of a log. SegmentBytes and
// IndexIntervalBytes must change at the same entry on every replica.
type Settings struct {
	// SegmentBytes is the size at which a segment is closed (segment.bytes).
	// 0 means 1 GiB; more than 4 GiB - 1 means that.
	SegmentBytes int64
	// IndexIntervalBytes is how many bytes of batches lie between two index
	// entries (index.interval.bytes). 0 means 4096.
	IndexIntervalBytes int64
	// RunBytes is the largest write to a segment, rounded up to 4 KiB and at
	// most 16 MiB. 0 means 1 MiB.
	RunBytes int64
}

// normal returns the settings with defaults and bounds applied.
func (s Settings) normal() Settings {
	if s.SegmentBytes <= 0 {
		s.SegmentBytes = defaultSegmentBytes
	}
	s.SegmentBytes = min(s.SegmentBytes, maxSegmentBytes)
	if s.IndexIntervalBytes <= 0 {
		s.IndexIntervalBytes = defaultIndexBytes
	}
	if s.RunBytes <= 0 {
		s.RunBytes = defaultRunBytes
	}
	s.RunBytes = min(roundUp(s.RunBytes), maxRunBytes)
	return s
}

func roundDown(n int64) int64 { return n &^ (blockSize - 1) }
func roundUp(n int64) int64   { return (n + blockSize - 1) &^ (blockSize - 1) }
