package kafka

import (
	"context"
	"errors"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
)

// ColdLog reads what is in the cold tier. Its methods block on the object store,
// may be called from any goroutine, and end with the context.
type ColdLog interface {
	// Read is partition.Read for an offset that is in the tier; it goes on in the
	// local log where the tier holds nothing more below it.
	Read(ctx context.Context, p *partition.Partition, from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error)
	// OffsetForTimestamp returns the first record of the tier, below the local
	// log start, whose timestamp (ms) is at least ts.
	OffsetForTimestamp(ctx context.Context, p *partition.Partition, ts int64) (o ident.Offset, at int64, found bool, err error)
	// MaxTimestamp returns the first record of those with the largest timestamp
	// in the tier, below the local log start.
	MaxTimestamp(ctx context.Context, p *partition.Partition) (o ident.Offset, at int64, found bool, err error)
}

// coldRead is a read of one partition from the cold tier, for one fetch. Its
// outcome is set once, under the fetch's mutex.
type coldRead struct {
	from     ident.Offset
	until    ident.Offset
	maxBytes int
	minOne   bool

	done  bool
	chunk storage.Chunk
	err   error
}

// wantCold notes that a partition is to be read from the cold tier, and returns
// what was read if it is there. It reports false while it is not.
func (f *fetchCall) wantCold(part *fetchPart, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if part.cold == nil {
		part.cold = &coldRead{from: part.from, until: until, maxBytes: maxBytes, minOne: minOne}
	}
	return part.cold.chunk, part.cold.done, part.cold.err
}

// coldBytes returns what was read from the cold tier for this fetch: it is
// charged to the response before anything else, or a busy partition would keep
// it out for ever.
func (f *fetchCall) coldBytes() (bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.parts {
		if c := f.parts[i].cold; c != nil && c.done {
			bytes += c.chunk.Bytes
		}
	}
	return bytes
}

// beginCold starts the reads that the look at the partitions asked for, and
// reports whether there are any that were not started before. They have their
// own workers, so that they never slow readers of the tail; a download goes on
// when the fetch has given up, for the next one.
func (f *fetchCall) beginCold() bool {
	if f.cold {
		return false
	}
	for i := range f.parts {
		part := &f.parts[i]
		if part.cold == nil {
			continue
		}
		if !f.cold {
			f.cold = true
			f.waitForTier() // before a read can look whether it is over
		}
		c, p := part.cold, part.p
		// Refused: too many wait. The wait ends with nothing for the partition.
		f.h.b.RunCold(func(ctx context.Context) {
			if f.ended() {
				return
			}
			ctx, cancel := context.WithTimeout(ctx, f.h.b.Config().RemoteFetchMaxWait)
			chunk, err := f.h.b.Cold().Read(ctx, p, c.from, c.until, c.maxBytes, c.minOne)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				chunk, err = storage.Chunk{NextOffset: c.from}, nil // it goes on for the next fetch
			}
			f.mu.Lock()
			c.done, c.chunk, c.err = true, chunk, err
			f.mu.Unlock()
			f.Notify()
		})
	}
	return f.cold
}

// ended reports whether nobody waits for the fetch any more.
func (f *fetchCall) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over || f.gone
}

// waitForTier replaces the deadline: a fetch from the cold tier waits for it, and
// for nothing else, whatever the client's own wait is.
func (f *fetchCall) waitForTier() {
	f.wait = f.h.b.Config().RemoteFetchMaxWait
	f.mu.Lock()
	f.over = false
	f.mu.Unlock()
	if f.waiting {
		f.stopTimer()
		f.stopTimer = f.h.b.After(f.wait, f.expire)
	}
}

// coldDone reports whether every read from the cold tier has ended.
func (f *fetchCall) coldDone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.parts {
		if c := f.parts[i].cold; c != nil && !c.done {
			return false
		}
	}
	return true
}

// coldError tells readers to try again, unless the log has moved on meanwhile.
func (part *fetchPart) coldError(err error) error {
	if o, now := part.p.Offsets(); now == nil && part.from < o.LogStart {
		return partition.ErrOffsetOutOfRange
	}
	if errors.Is(err, context.Canceled) {
		return errors.Join(partition.ErrTierUnavailable, err)
	}
	return err
}
