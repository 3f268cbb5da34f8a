package storage

import (
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// Unlimited turns a limit of RetentionSettings off.
const Unlimited = -1

// RetentionSettings are the limits of a log, by time and by size. Every limit
// of Unlimited (or below) is off.
type RetentionSettings struct {
	// Ms deletes segments whose largest timestamp is older (retention.ms,
	// local.retention.ms).
	Ms int64
	// Bytes deletes the oldest segments while all the others together still
	// have that size (retention.bytes, local.retention.bytes).
	Bytes int64
	// SegmentMs closes the active segment when its timestamps span more
	// (segment.ms).
	SegmentMs int64
	// ActiveSinceMs is the clock at which the first batch of the active
	// segment was appended, or Unlimited if it is not known. With it, SegmentMs
	// closes a segment that gets no more batches, too.
	ActiveSinceMs int64
	// UpTo is the first offset that must stay: the high watermark, or for
	// local retention the end of what the tier holds.
	UpTo ident.Offset
}

// PlanRetention says what retention does at the time now (ms): the offset that
// the log start, or the local log start, moves to, never below logStart, and
// whether the active segment is to be closed. segs are the closed segments,
// oldest first.
//
// Segments go from the oldest on, whole ones only. A segment without a
// timestamp, or with one that is not old enough, such as one in the future,
// keeps itself and all later ones from going by time. The active segment goes
// only after it is closed: then roll is true, and newStart is its end unless
// UpTo is lower.
func PlanRetention(now int64, s RetentionSettings, segs []SegmentInfo, active SegmentInfo, logStart ident.Offset) (newStart ident.Offset, roll bool) {
	newStart = logStart
	total := active.Bytes
	for _, g := range segs {
		if g.End > logStart {
			total += g.Bytes
		}
	}
	over := total - s.Bytes
	expired := func(g SegmentInfo) bool {
		if s.Bytes > Unlimited && (over >= g.Bytes || over > 0 && mutant.On(mutant.RetentionTooMuch)) {
			return true
		}
		if g.Bytes == 0 && s.Ms > Unlimited { // a hole keeps nothing
			return true
		}
		return s.Ms > Unlimited && g.MaxTimestamp > noTimestamp && now-g.MaxTimestamp > s.Ms
	}
	blocked := false
	for _, g := range segs {
		if g.End <= logStart {
			continue
		}
		if !expired(g) {
			return newStart, shouldRoll(now, s, active)
		}
		over -= g.Bytes
		blocked = blocked || g.End > s.UpTo
		if !blocked {
			newStart = max(newStart, g.End)
		}
	}
	if active.Bytes == 0 || !expired(active) {
		return newStart, shouldRoll(now, s, active)
	}
	if !blocked && active.End <= s.UpTo {
		newStart = max(newStart, active.End)
	}
	return newStart, true
}

// shouldRoll reports whether segment.ms closes the active segment.
func shouldRoll(now int64, s RetentionSettings, active SegmentInfo) bool {
	if s.SegmentMs <= Unlimited || active.Bytes == 0 {
		return false
	}
	if s.ActiveSinceMs > Unlimited && now-s.ActiveSinceMs > s.SegmentMs {
		return true
	}
	first := active.FirstTimestamp
	return first > noTimestamp && active.MaxTimestamp-first > s.SegmentMs
}
