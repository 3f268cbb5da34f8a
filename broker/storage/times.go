package storage

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// batchFunc is called with the stored bounds and the bytes of a batch, whose
// placement is set only if it was read from a file. It returns true to stop.
type batchFunc func(base, last ident.Offset, maxTime int64, batch []byte) (bool, error)

// OffsetForTimestamp returns offset and timestamp (ms) of the first record at or
// above the local log start and below until whose timestamp is at least ts, as
// ListOffsets does. until lies between two batches, as watermarks do. found is false if there is none. It may read files, and
// fails with ErrDamaged if a batch that it had to look at is damaged.
func (l *Log) OffsetForTimestamp(ts int64, until ident.Offset) (off ident.Offset, at int64, found bool, err error) {
	off, at, found, err = l.firstSince(l.LocalStart(), until, ts)
	if err != nil {
		return -1, noTimestamp, false, fmt.Errorf("look up timestamp %d in %s: %w", ts, l.dir, err)
	}
	return off, at, found, nil
}

// firstSince finds the first record in [from, until) with a timestamp of at
// least ts.
func (l *Log) firstSince(from, until ident.Offset, ts int64) (off ident.Offset, at int64, found bool, err error) {
	off, at = -1, noTimestamp
	err = l.walk(from, until, ts, func(base, _ ident.Offset, _ int64, batch []byte) (bool, error) {
		err := l.eachTime(base, batch, func(o ident.Offset, t int64) bool {
			if t >= ts && o >= from && o < until {
				off, at, found = o, t, true
			}
			return found
		})
		return found, err
	})
	return off, at, found, err
}

// MaxTimestamp returns the largest timestamp (ms) of the records at or above the
// local log start and below until, and the first offset that has it (ListOffsets
// with timestamp -3). until lies between two batches. found is false if no record has a timestamp. It may read
// files.
func (l *Log) MaxTimestamp(until ident.Offset) (off ident.Offset, at int64, found bool, err error) {
	best, from, err := l.maxTime(until)
	if err == nil && best > noTimestamp {
		off, at, found, err = l.firstSince(from, until, best)
	}
	if err != nil {
		return -1, noTimestamp, false, fmt.Errorf("look up maximum timestamp in %s: %w", l.dir, err)
	}
	if !found {
		return -1, noTimestamp, false, nil
	}
	return off, at, true, nil
}

// maxTime returns the largest timestamp below until and an offset at or below
// the first record that has it.
func (l *Log) maxTime(until ident.Offset) (best int64, from ident.Offset, err error) {
	l.mu.RLock()
	start, end := l.localStart, l.end
	segs := append([]*segment(nil), l.segs...)
	views := make([]segmentTimes, len(segs))
	for i, g := range segs {
		views[i] = segmentTimes{g.base, g.info(end).End, g.maxTime, g.maxTimeAt}
	}
	l.mu.RUnlock()
	best = noTimestamp
	until = min(until, end)
	for _, v := range views {
		lo, hi := max(v.base, start), min(v.end, until)
		if lo >= hi || v.maxTime <= best {
			continue
		}
		if v.maxTimeAt >= lo && v.maxTimeAt < hi {
			best, from = v.maxTime, v.maxTimeAt
			continue
		}
		if best, from, err = l.scanMax(lo, hi, best, from); err != nil {
			return 0, 0, err
		}
	}
	return best, from, nil
}

type segmentTimes struct {
	base, end ident.Offset
	maxTime   int64
	maxTimeAt ident.Offset
}

// scanMax looks for a larger timestamp than best in [lo, hi), batch by batch.
func (l *Log) scanMax(lo, hi ident.Offset, best int64, from ident.Offset) (int64, ident.Offset, error) {
	err := l.walk(lo, hi, math.MinInt64, func(base, _ ident.Offset, maxTime int64, batch []byte) (bool, error) {
		if maxTime <= best {
			return false, nil
		}
		if base >= lo {
			best, from = maxTime, base
			return false, nil
		}
		return false, l.eachTime(base, batch, func(o ident.Offset, t int64) bool {
			if o >= lo && t > best {
				best, from = t, o
			}
			return false
		})
	})
	return best, from, err
}

var errStop = errors.New("stop")

// eachTime calls fn with offset and timestamp of every record of a batch until
// it returns true.
func (l *Log) eachTime(base ident.Offset, batch []byte, fn func(ident.Offset, int64) bool) error {
	h, err := record.ParseHeader(batch)
	if err != nil {
		return err
	}
	err = record.ForEach(batch, l.cache.limits.MaxDecompressedBytes, func(r *record.Record) error {
		t := h.BaseTimestamp + r.TimestampDelta
		if h.TimestampType() == record.LogAppendTime {
			t = h.MaxTimestamp
		}
		if fn(base+ident.Offset(r.OffsetDelta), t) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// walk calls fn with the batches that hold offsets in [from, until), in order.
// Batches whose maximum timestamp is below minTime may be left out.
func (l *Log) walk(from, until ident.Offset, minTime int64, fn batchFunc) error {
	for at := from; ; {
		l.mu.RLock()
		until = min(until, l.end)
		if at >= until {
			l.mu.RUnlock()
			return nil
		}
		if at < l.localStart {
			l.mu.RUnlock()
			return ErrBelowStart
		}
		if at >= l.tail.from {
			e, ok := l.tail.since(at, until, minTime)
			l.mu.RUnlock()
			if !ok {
				return nil
			}
			if stop, err := fn(e.base, e.last, e.maxTime, e.payload); stop || err != nil {
				return err
			}
			at = e.last + 1
			continue
		}
		v, ok := l.viewAt(at)
		l.mu.RUnlock()
		if ok && v.maxTime >= minTime {
			stop, err := l.walkFile(v, at, until, minTime, fn)
			if err != nil {
				return l.explain(at, err)
			}
			if stop {
				return nil
			}
		}
		at = v.next
	}
}

// since returns the first batch that ends at or above at, begins below until
// and has a maximum timestamp of at least minTime.
func (t *tail) since(at, until ident.Offset, minTime int64) (tailEntry, bool) {
	for i := t.search(at); i < len(t.list) && t.list[i].base < until; i++ {
		if t.list[i].maxTime >= minTime {
			return t.list[i], true
		}
	}
	return tailEntry{}, false
}

// walkFile is walk within one segment file.
func (l *Log) walkFile(v view, at, until ident.Offset, minTime int64, fn batchFunc) (stop bool, err error) {
	s, h, err := l.scan(v, at)
	if err != nil {
		return false, err
	}
	defer l.cache.release(h)
	if minTime > noTimestamp {
		pos, err := l.timePosition(v, h, minTime)
		if err != nil {
			return false, err
		}
		if pos >= v.limit {
			return false, nil // what comes first is not yet in the file
		}
		s.pos = max(s.pos, pos)
	}
	for {
		b, err := s.next()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		base, last := ident.Offset(b.BaseOffset), ident.Offset(b.LastOffset())
		if s.pos >= v.stopPos {
			return false, nil
		}
		if base >= v.stop {
			return false, s.damage("batch at offset %d, those from %d on begin at %d", base, v.stop, v.stopPos)
		}
		if last < at {
			if err := s.pass(b, at); err != nil {
				return false, err
			}
			continue
		}
		data, err := s.body(b)
		if err != nil {
			return false, err
		}
		if base >= until {
			return true, nil
		}
		if b.MaxTimestamp < minTime {
			continue
		}
		if stop, err := fn(base, last, b.MaxTimestamp, data); stop || err != nil {
			return stop, err
		}
	}
}
