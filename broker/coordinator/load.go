package coordinator

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// loadBytes is how much of a log is read at a time.
const loadBytes = 1 << 20

// enqueue has a shard loaded: at once if it is its turn, else soon. One that is
// loaded serves if it can by now. What an earlier shard of the partition is still
// appending comes first, or the replay would miss it; the next check tries again.
func (c *Core) enqueue(s *shard, first bool) {
	if s.replayed != nil {
		s.serve(s.replayed, s.logBytes)
		return
	}
	if s.loading || s.queued && !first || c.writes[s.p] > 0 {
		return
	}
	if s.queued {
		for i, other := range c.toLoad {
			if other == s {
				c.toLoad = append(c.toLoad[:i], c.toLoad[i+1:]...)
				break
			}
		}
	}
	s.queued = true
	if first {
		c.toLoad = append([]*shard{s}, c.toLoad...)
	} else {
		c.toLoad = append(c.toLoad, s)
	}
	c.loadNext()
}

// loadNext begins to load what waits.
func (c *Core) loadNext() {
	for c.loads < loadsMax && len(c.toLoad) > 0 {
		s := c.toLoad[0]
		c.toLoad = c.toLoad[1:]
		s.queued = false
		if s.stopped {
			continue
		}
		s.loading = true
		c.loads++
		c.h.Run(func() {
			g, size, err := s.replay()
			c.h.Later(func() { c.loaded(s, g, size, err) })
		})
	}
}

// loaded takes what replay made.
func (c *Core) loaded(s *shard, g *group.Shard, size int64, err error) {
	c.loads--
	s.loading = false
	if !s.stopped {
		if _, o, now := c.replica(s.id.Index); now != nil || o.LeaderEpoch != s.epoch {
			s.stop(ErrNotCoordinator)
		} else if err != nil {
			s.failed, s.retry = err, c.now.Add(retryAfter)
			c.log.Error("groups cannot be loaded; tried again", "topic", Topic, "partition", s.id.Index, "error", err)
		} else {
			s.serve(g, size)
		}
	}
	c.loadNext()
	c.answerAll()
}

var errClosing = errors.New("coordinator: closing")

// replay builds the groups from the log. It blocks on disk; nobody else uses
// what it builds meanwhile.
func (s *shard) replay() (g *group.Shard, size int64, err error) {
	defer func() {
		if r := recover(); r != nil { // a mistake of ours, or damage that nobody thought of
			g, err = nil, fmt.Errorf("%w: replay failed: %v\n%s", group.ErrCorrupt, r, debug.Stack())
		}
	}()
	g = group.New(s.c.s.Group, s)
	o, err := s.p.Offsets()
	if err != nil {
		return nil, 0, err
	}
	for at := o.LogStart; at < o.HighWatermark; {
		if s.c.closing.Load() {
			return nil, 0, errClosing
		}
		c, err := s.p.Read(at, o.HighWatermark, loadBytes, true)
		if err != nil {
			return nil, 0, fmt.Errorf("read offset %d: %w", at, err)
		}
		if c.NextOffset <= at {
			return nil, 0, fmt.Errorf("read offset %d: nothing comes", at)
		}
		if err := replayBatches(g, bytes.Join(c.Buffers, nil), at); err != nil {
			return nil, 0, err
		}
		size += int64(c.Bytes)
		at = c.NextOffset
	}
	return g, size, nil
}

// replayBatches replays the records of whole batches from an offset on.
func replayBatches(g *group.Shard, all []byte, from ident.Offset) error {
	for batch, err := range record.Batches(all) {
		if err != nil {
			return fmt.Errorf("read behind offset %d: %w", from, err)
		}
		h, err := record.ParseHeader(batch)
		if err != nil {
			return fmt.Errorf("read behind offset %d: %w", from, err)
		}
		if h.IsControl() {
			continue
		}
		if err := record.ForEach(batch, 0, func(r *record.Record) error {
			at := h.BaseOffset + int64(r.OffsetDelta)
			if at < int64(from) { // the log may begin within a batch
				return nil
			}
			if err := g.Replay(bytes.Clone(r.Key), bytes.Clone(r.Value)); err != nil {
				return fmt.Errorf("replay offset %d: %w", at, err)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
