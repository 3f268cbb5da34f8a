package broker

import (
	"context"
	"errors"

	"github.com/varvelog/varve/broker/kafka"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
)

var _ kafka.ColdLog = (*tierHost)(nil)

// Read implements kafka.ColdLog. The offset may also lie in a hole before the
// tier's first record, or behind its last: the read goes on where records are.
func (t *tierHost) Read(ctx context.Context, p *partition.Partition, from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error) {
	at := from
	for {
		w, err := p.Locate(at)
		if err != nil {
			return storage.Chunk{}, err
		}
		if w.Local {
			c, err := p.Read(at, until, maxBytes, minOne)
			if errors.Is(err, partition.ErrTiered) {
				continue // it left the disk meanwhile
			}
			return c, err
		}
		c, err := t.reader.Read(ctx, p.ID(), w.List, w.At, until, maxBytes, minOne)
		if err != nil {
			return storage.Chunk{}, tierError(err)
		}
		chunk := storage.Chunk{Buffers: c.Buffers, Bytes: c.Bytes, Batches: c.Batches, First: c.First, NextOffset: c.NextOffset}
		if c.Batches > 0 || c.NextOffset < min(w.End, until) || c.NextOffset >= until || c.NextOffset <= at {
			return chunk, nil
		}
		at = c.NextOffset // nothing but holes up to the end of the tier
	}
}

// OffsetForTimestamp implements kafka.ColdLog.
func (t *tierHost) OffsetForTimestamp(ctx context.Context, p *partition.Partition, ts int64) (ident.Offset, int64, bool, error) {
	o, err := p.Offsets()
	if err != nil {
		return -1, -1, false, err
	}
	off, at, found, err := t.reader.OffsetForTimestamp(ctx, p.ID(), p.Tiered(), ts, o.LogStart)
	return off, at, found, tierError(err)
}

// MaxTimestamp implements kafka.ColdLog.
func (t *tierHost) MaxTimestamp(ctx context.Context, p *partition.Partition) (ident.Offset, int64, bool, error) {
	o, err := p.Offsets()
	if err != nil {
		return -1, -1, false, err
	}
	off, at, found, err := t.reader.MaxTimestamp(ctx, p.ID(), p.Tiered(), o.LogStart)
	return off, at, found, tierError(err)
}
