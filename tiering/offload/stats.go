package offload

import (
	"errors"
	"sync/atomic"
)

// Stats counts what uploads did. All counters only grow, and may be read by any
// goroutine at any time. The zero value is ready for use.
type Stats struct {
	Uploads         atomic.Int64 // that returned a Segment
	UploadedBytes   atomic.Int64 // of the objects of those
	Failures        atomic.Int64 // uploads that returned an error, also Canceled
	Damaged         atomic.Int64 // of those: Damage
	Unverified      atomic.Int64 // of those: ErrUnverified
	ByChecksum      atomic.Int64 // uploads whose data the store's checksum vouched for
	ByReadBack      atomic.Int64 // uploads whose data was read back and found right
	ReadBackBytes   atomic.Int64 // read from the store to verify uploads, tails included
	Resolved        atomic.Int64 // puts of unknown outcome that had succeeded
	Discarded       atomic.Int64 // objects that failed uploads deleted again
	DiscardFailures atomic.Int64 // and could not: orphans
}

// done counts the end of an upload.
func (s *Stats) done(bytes int64, err error) {
	if err == nil {
		s.Uploads.Add(1)
		s.UploadedBytes.Add(bytes)
		return
	}
	s.Failures.Add(1)
	if ClassOf(err) == Damage {
		s.Damaged.Add(1)
	}
	if errors.Is(err, ErrUnverified) {
		s.Unverified.Add(1)
	}
}
