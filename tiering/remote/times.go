package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// OffsetForTimestamp returns offset and timestamp (ms) of the first record of
// the tier at or above from whose timestamp is at least ts, as ListOffsets does
// (L9). found is false if there is none. It may block on the store, looks at a
// batch at a time, and fails as Read does; it is ErrDamaged too if the records of
// a batch that it had to look at cannot be decoded within the limit.
func (r *Reader) OffsetForTimestamp(ctx context.Context, p ident.Partition, list manifest.List, ts int64, from ident.Offset) (off ident.Offset, at int64, found bool, err error) {
	first := firstSegment(list, from)
	for i := list.SinceTimestamp(first, ts); i < list.Len(); i = list.SinceTimestamp(i+1, ts) {
		off, at, found, err = r.since(ctx, p, list.At(i), ts, from)
		if err != nil {
			return -1, record.NoTimestamp, false, lookupError(ctx, p, err)
		}
		if found {
			return off, at, true, nil
		}
	}
	return -1, record.NoTimestamp, false, nil
}

// MaxTimestamp returns the largest timestamp (ms) of the tier's records at or
// above from, and the first offset that has it (ListOffsets with timestamp -3).
// found is false if no record has a timestamp. It fails as OffsetForTimestamp
// does. If the largest timestamp of the segment that holds from lies below from,
// the rest of that segment is read.
func (r *Reader) MaxTimestamp(ctx context.Context, p ident.Partition, list manifest.List, from ident.Offset) (off ident.Offset, at int64, found bool, err error) {
	first := firstSegment(list, from)
	best, where, lower := int64(record.NoTimestamp), -1, from
	for i := first; i < list.Len(); i++ {
		if seg := list.At(i); seg.Base >= from && seg.MaxTimestamp > best {
			best, where = seg.MaxTimestamp, i
		}
	}
	if first < list.Len() && list.At(first).Base < from {
		// The first record with the largest timestamp may be in the part of
		// this segment, or be below from.
		seg := list.At(first)
		if seg.MaxTimestamp >= best && seg.MaxTimestamp > record.NoTimestamp {
			partAt, partOff, err := r.maxOfPart(ctx, p, seg, from)
			if err != nil {
				return -1, record.NoTimestamp, false, lookupError(ctx, p, err)
			}
			if partAt >= best && partAt > record.NoTimestamp {
				best, where, lower = partAt, first, partOff
			}
		}
	}
	if where < 0 {
		return -1, record.NoTimestamp, false, nil
	}
	off, at, found, err = r.since(ctx, p, list.At(where), best, lower)
	if err != nil {
		return -1, record.NoTimestamp, false, lookupError(ctx, p, err)
	}
	return off, at, found, nil
}

// firstSegment returns the place of the first segment that ends above from.
func firstSegment(list manifest.List, from ident.Offset) int {
	i, _ := list.Find(from)
	return i
}

func lookupError(ctx context.Context, p ident.Partition, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return ctx.Err()
	}
	return fmt.Errorf("look up a timestamp in %v: %w", p, err)
}

// maxOfPart returns the largest timestamp of a segment's records at or above
// from, and an offset at or below the first that has it.
func (r *Reader) maxOfPart(ctx context.Context, p ident.Partition, seg *manifest.Segment, from ident.Offset) (best int64, lower ident.Offset, err error) {
	off, _, found, err := r.since(ctx, p, seg, seg.MaxTimestamp, from)
	if err != nil || found {
		return seg.MaxTimestamp, off, err
	}
	best, lower = record.NoTimestamp, from
	err = r.eachBatch(ctx, p, seg, from, nil, func(h *record.Header, batch []byte) (bool, error) {
		base := ident.Offset(h.BaseOffset)
		switch {
		case h.MaxTimestamp <= best:
			return false, nil
		case base >= from:
			best, lower = h.MaxTimestamp, base
			return false, nil
		}
		return false, r.eachTime(h, batch, func(o ident.Offset, t int64) bool {
			if o >= from && t > best {
				best, lower = t, o
			}
			return false
		})
	})
	return best, lower, err
}

// since finds the first record of a segment at or above from with a timestamp of
// at least ts.
func (r *Reader) since(ctx context.Context, p ident.Partition, seg *manifest.Segment, ts int64, from ident.Offset) (off ident.Offset, at int64, found bool, err error) {
	off, at = -1, record.NoTimestamp
	err = r.eachBatch(ctx, p, seg, from, &ts, func(h *record.Header, batch []byte) (bool, error) {
		if h.MaxTimestamp < ts {
			return false, nil
		}
		err := r.eachTime(h, batch, func(o ident.Offset, t int64) bool {
			if t >= ts && o >= from {
				off, at, found = o, t, true
			}
			return found
		})
		return found, err
	})
	return off, at, found, err
}

// eachBatch calls fn with the batches of a segment that end at or above from,
// verified, until it returns true. With ts, batches may be left out that come
// before the first whose maximum timestamp is at least that. If a batch is
// mended, fn has seen those before it already and does not see them again.
func (r *Reader) eachBatch(ctx context.Context, p ident.Partition, seg *manifest.Segment, from ident.Offset, ts *int64, fn func(h *record.Header, batch []byte) (bool, error)) error {
	o := r.object(p, seg)
	tail, err := r.tail(ctx, &o)
	if err != nil {
		return err
	}
	at := max(from, seg.Base)
	start := tail.Floor(at)
	if ts != nil {
		pos, ok := tail.SinceTimestamp(*ts)
		if !ok {
			return nil
		}
		start = max(start, pos)
	}
	return r.mend(&o, func(fresh span) error {
		w := walk{cursor: cursor{r: r, o: &o, tail: tail, fresh: fresh}}
		defer w.close()
		var scratch []byte
		for w.seek(max(start, tail.Floor(at))); !w.end(); {
			if err := ctx.Err(); err != nil {
				return err
			}
			h, err := w.header(ctx)
			if err != nil {
				return err
			}
			last := ident.Offset(h.LastOffset())
			if last < at {
				w.skip(&h)
				continue
			}
			b, err := w.whole(ctx, &h, &scratch)
			if err != nil {
				return err
			}
			if stop, err := fn(&h, b); stop || err != nil {
				return err
			}
			at = last + 1
		}
		return nil
	})
}

// whole returns the next batch, verified, and moves behind it. The bytes are
// valid until the next call; scratch is room for a batch that lies in several
// chunks.
func (w *walk) whole(ctx context.Context, h *record.Header, scratch *[]byte) ([]byte, error) {
	b, err := w.rest(ctx, w.off())
	if err != nil {
		return nil, err
	}
	if n := h.Size(); n <= len(b) {
		b = b[:n]
		if !record.VerifyCRC(b) {
			return nil, w.damaged("batch checksum at offset %d", h.BaseOffset)
		}
		w.skip(h)
		return b, nil
	}
	if cap(*scratch) < h.Size() {
		*scratch = make([]byte, h.Size())
	}
	b = (*scratch)[:h.Size()]
	return b, w.body(ctx, h, b)
}

var errStop = errors.New("stop")

// eachTime calls fn with offset and timestamp of every record of a batch until
// it returns true.
func (r *Reader) eachTime(h *record.Header, batch []byte, fn func(ident.Offset, int64) bool) error {
	err := record.ForEach(batch, r.o.MaxDecompressedBytes, func(rec *record.Record) error {
		t := h.BaseTimestamp + rec.TimestampDelta
		if h.TimestampType() == record.LogAppendTime {
			t = h.MaxTimestamp
		}
		if fn(ident.Offset(h.BaseOffset)+ident.Offset(rec.OffsetDelta), t) {
			return errStop
		}
		return nil
	})
	if err == nil || errors.Is(err, errStop) {
		return nil
	}
	return fmt.Errorf("%w: batch at offset %d: %w", ErrDamaged, h.BaseOffset, err)
}
