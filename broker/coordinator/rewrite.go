package coordinator

import (
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

const (
	// rewriteRatio is how many times the bytes of its state a log may hold.
	rewriteRatio = 4
	// rewriteRetry is how long after a failure no rewrite is tried.
	rewriteRetry = time.Minute
	// snapshotBatchBytes is the usual size of a snapshot's batches.
	snapshotBatchBytes = 512 << 10
)

// rewriter replaces the shard's log by a snapshot of its state (O4).
type rewriter struct {
	stateBytes int64          // of the last snapshot
	pause      time.Time      // no rewrite before
	parts      []group.Record // of the snapshot, not yet appended
	active     bool           // a snapshot is being appended
	trimming   bool           // the log start is being moved
	first      ident.Offset   // of the snapshot, -1 before it is known
	before     int64          // bytes of the log before the snapshot
}

func (s *shard) rewriting() bool { return s.active }

// wantsRewrite reports whether the log may hold too much. Nothing is being
// appended.
func (s *shard) wantsRewrite(now time.Time) bool {
	return !s.trimming && !s.draining && s.logBytes > s.c.s.RewriteBytes && s.logBytes > rewriteRatio*s.stateBytes && !now.Before(s.pause)
}

// beginRewrite takes the snapshot, and appends its first part if the log does
// hold too much.
func (s *shard) beginRewrite(now time.Time) {
	parts := s.g.Snapshot()
	s.stateBytes = bytesOf(parts)
	if !s.wantsRewrite(now) {
		s.flush(now)
		return
	}
	s.active, s.parts, s.first, s.before = true, parts, -1, s.logBytes
	s.flushSnapshot(now)
}

// flushSnapshot appends the next part of the snapshot, or ends it.
func (s *shard) flushSnapshot(now time.Time) {
	if len(s.parts) == 0 || s.first >= 0 && mutant.On(mutant.TrimBeforeSnapshot) {
		s.active = false
		s.trim()
		s.flush(now)
		return
	}
	n, bytes := 0, int64(0)
	for n < len(s.parts) && (n == 0 || bytes < s.c.s.SnapshotBytes) {
		bytes += bytesOf(s.parts[n : n+1])
		n++
	}
	part := s.parts[:n]
	s.parts = s.parts[n:]
	s.write(now, part, func(a *partition.Append) {
		err, lost := outcome(a.Err)
		switch {
		case lost:
			s.stop(err)
		case err != nil: // what is in the log of it does no harm
			s.active, s.parts = false, nil
			s.pause = s.c.now.Add(rewriteRetry)
			s.c.log.Warn("the log of groups cannot be rewritten; tried again later", "partition", s.id.Index, "error", err)
		case s.first < 0:
			s.first = a.Base
		}
	})
}

// trim moves the log start up to the snapshot, all of which is committed. Without
// any state in it the log begins at its end.
func (s *shard) trim() {
	s.trimming = true
	first, before, now := s.first, s.before, s.c.now
	r := &partition.StartRequest{Offset: first, Done: func(_ ident.Offset, err error) {
		s.c.h.Later(func() {
			s.trimming = false
			if err != nil {
				s.pause = s.c.now.Add(rewriteRetry)
				return
			}
			s.logBytes -= before
		})
	}}
	s.c.h.Post(func() {
		if s.p.LeaderEpoch() != s.epoch {
			r.Done(-1, partition.ErrNotLeader)
			return
		}
		s.p.DeleteRecords(r, now.UnixMilli())
	})
}
