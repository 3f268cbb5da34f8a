package coordinator

import (
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

const (
	// batchBytesMax is how much of what waits goes into one batch; the records
	// of a single operation may be more.
	batchBytesMax = 1 << 20
	// recordsBytesMax bounds the records of one operation.
	recordsBytesMax = 4 << 20
	// waitingBytesMax bounds what waits to be appended to one partition.
	waitingBytesMax = 32 << 20
	// recordOverhead is what a record takes beside key and value, at most.
	recordOverhead = 32
)

// operation is the records of one operation, and who waits for them.
type operation struct {
	records []group.Record
	bytes   int64
	done    func(time.Time, error)
}

// writer puts records into the shard's log: one batch at a time (O3).
type writer struct {
	waiting      []operation
	waitingBytes int64
	flying       []operation // in the batch that is being appended
	busy         bool        // a batch is being appended
	logBytes     int64       // of the log since its start
}

var _ group.Log = (*shard)(nil)

func bytesOf(records []group.Record) (n int64) {
	for _, r := range records {
		n += int64(len(r.Key)+len(r.Value)) + recordOverhead
	}
	return n
}

// Append implements group.Log.
func (s *shard) Append(_ time.Time, records []group.Record, done func(time.Time, error)) {
	op := operation{records: records, bytes: bytesOf(records), done: done}
	var err error
	switch {
	case op.bytes > recordsBytesMax:
		err = fmt.Errorf("%w: %d bytes", ErrTooLarge, op.bytes)
	case s.waitingBytes+op.bytes > waitingBytesMax:
		err = fmt.Errorf("%w: %d bytes wait to be appended to partition %d", ErrUnavailable, s.waitingBytes, s.id.Index)
	}
	if err != nil || len(records) == 0 {
		s.c.h.Later(func() {
			if !s.stopped {
				done(s.c.now, err)
			}
		})
		return
	}
	s.waiting = append(s.waiting, op)
	s.waitingBytes += op.bytes
}

// idle reports whether nothing of the shard waits to be appended or is.
func (s *shard) idle() bool { return !s.busy && len(s.waiting) == 0 }

// abandon forgets who waits: the shard of package group answers them itself.
func (s *shard) abandon() { s.waiting, s.flying, s.waitingBytes = nil, nil, 0 }

// flush appends the next batch, if none is being appended.
func (s *shard) flush(now time.Time) {
	switch {
	case s.busy || s.stopped:
		return
	case s.rewriting():
		s.flushSnapshot(now)
		return
	case s.wantsRewrite(now):
		s.beginRewrite(now)
		return
	case len(s.waiting) == 0:
		if s.draining {
			s.stop(ErrNotCoordinator)
		}
		return
	}
	n, bytes := 0, int64(0)
	var records []group.Record
	for n < len(s.waiting) && (n == 0 || bytes+s.waiting[n].bytes <= batchBytesMax) {
		bytes += s.waiting[n].bytes
		records = append(records, s.waiting[n].records...)
		n++
	}
	s.flying = append([]operation(nil), s.waiting[:n]...)
	s.waiting = append([]operation(nil), s.waiting[n:]...)
	s.waitingBytes -= bytes
	s.write(now, records, s.landed)
}

// write appends records as one batch and calls landed with the outcome, on the
// coordinator's goroutine, if the shard is still there.
func (s *shard) write(now time.Time, records []group.Record, landed func(*partition.Append)) {
	s.busy = true
	s.c.writes[s.p]++
	a, err := buildAppend(records, now)
	if err != nil {
		a = &partition.Append{Err: err}
	}
	a.Done = func(a *partition.Append) {
		s.c.h.Later(func() {
			if s.c.writes[s.p]--; s.c.writes[s.p] == 0 {
				delete(s.c.writes, s.p)
			}
			if s.stopped {
				s.c.check() // its successor may wait for this
				return
			}
			s.busy = false
			if a.Err == nil {
				s.logBytes += int64(a.Header.Size())
			}
			landed(a)
		})
	}
	if err != nil {
		a.Done(a)
		return
	}
	s.c.h.Post(func() {
		if s.p.LeaderEpoch() != s.epoch { // (O1)
			a.Err = partition.ErrNotLeader
			a.Done(a)
			return
		}
		if mutant.On(mutant.CommitBeforeAppend) {
			a.Done(a)
			a.Done = func(*partition.Append) {}
		}
		s.p.Produce(a)
	})
}

// buildAppend makes one batch of records.
func buildAppend(records []group.Record, now time.Time) (*partition.Append, error) {
	own := make([]record.Record, 0, len(records))
	for _, r := range records {
		own = append(own, record.Record{Key: r.Key, Value: r.Value})
	}
	a, err := partition.NewAppend(own, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return a, nil
}

// landed answers the operations of a batch.
func (s *shard) landed(a *partition.Append) {
	ops := s.flying
	s.flying = nil
	err, lost := outcome(a.Err)
	if lost {
		s.stop(err)
		return
	}
	now := s.c.now
	failpoint.Hit(failpoint.GroupLanded)
	for _, op := range ops {
		op.done(now, err)
	}
	failpoint.Hit(failpoint.GroupAnswered)
}

// outcome names the failure of an append in this package's terms. lost says that
// it is not known whether the records are in the log, or that nothing can be
// appended any more: what the shard holds counts for nothing then.
func outcome(err error) (named error, lost bool) {
	switch {
	case err == nil:
		return nil, false
	case errors.Is(err, ErrTooLarge):
		return err, false
	case errors.Is(err, partition.ErrNoSpace), errors.Is(err, partition.ErrQueueFull):
		return fmt.Errorf("%w: %w", ErrUnavailable, err), false
	case errors.Is(err, partition.ErrDamaged):
		return fmt.Errorf("%w: %w", ErrUnavailable, err), true
	}
	return fmt.Errorf("%w: %w", ErrNotCoordinator, err), true
}
