package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// maxReadBytes bounds what one Read returns, but for a single larger batch.
const maxReadBytes = 64 << 20

// Chunk is what a Read returns: whole batches, back to back, in pieces for
// writev. The memory is the caller's.
type Chunk struct {
	Buffers [][]byte
	Bytes   int
	Batches int
	// First is the base offset of the first batch, which may lie below the
	// offset asked for. -1 if there is none.
	First ident.Offset
	// NextOffset is where to read on: behind the last batch, or further where
	// nothing but a hole follows, up to until and the end of the tier. With no
	// batches and NextOffset below both, maxBytes was too small.
	NextOffset ident.Offset
}

// Read returns batches of the segments in list, from the one that contains from,
// or the next one if from lies in a hole, up to those that end below until. It
// returns at most maxBytes, and at least the first batch, whatever its size, if
// minOne is set (KIP-74). It ends early rather than wait for a second download.
//
// What it returns was verified (L8). Read may block on the store and on disk, and ends
// with ctx; a download that began goes on and fills the cache. It fails with
// ErrOutside if from is below the list's start or above its end, with
// ErrUnavailable, ErrMissing, ErrDamaged or ErrClosed, or as ctx does. What is
// wrong behind the first batch only ends the Chunk.
func (r *Reader) Read(ctx context.Context, p ident.Partition, list manifest.List, from, until ident.Offset, maxBytes int, minOne bool) (Chunk, error) {
	empty := Chunk{First: -1, NextOffset: from}
	end, ok := list.End()
	if !ok || from < list.Start() || from > end {
		return empty, fmt.Errorf("read %v at offset %d: %w", p, from, ErrOutside)
	}
	if err := ctx.Err(); err != nil {
		return empty, err
	}
	g := reading{
		r: r, p: p, list: list, from: from, at: from, until: min(until, end), minOne: minOne,
		left: int64(max(min(maxBytes, maxReadBytes), 0)), chunk: empty,
	}
	for done := false; !done && g.at < g.until && !g.full(); {
		i, ok := list.Find(g.at)
		if !ok {
			return empty, fmt.Errorf("read %v at offset %d: %w", p, g.at, ErrOutside)
		}
		var err error
		if done, err = g.segment(ctx, i); err == nil {
			continue
		}
		if g.chunk.Batches > 0 {
			break
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return empty, ctx.Err()
		}
		return empty, fmt.Errorf("read %v at offset %d: %w", p, from, err)
	}
	if g.looked {
		r.streams.move(streamKey{p, from}, streamKey{p, g.chunk.NextOffset}, g.stream)
	}
	return g.chunk, nil
}

// reading is the state of one Read.
type reading struct {
	r      *Reader
	p      ident.Partition
	list   manifest.List
	from   ident.Offset
	at     ident.Offset // everything below was looked at
	until  ident.Offset
	left   int64
	minOne bool
	looked bool // the stream is set
	stream stream
	chunk  Chunk
}

// takes reports whether a batch of so many bytes still fits.
func (g *reading) takes(size int64) bool {
	return size <= g.left || (g.minOne && g.chunk.Batches == 0)
}

// full reports that nothing more can fit.
func (g *reading) full() bool { return g.left < record.HeaderSize && g.chunk.Batches > 0 }

// segment takes what fits from segment i.
func (g *reading) segment(ctx context.Context, i int) (done bool, err error) {
	r := g.r
	o := r.object(g.p, g.list.At(i))
	if g.chunk.Batches > 0 && !r.tails.has(o.id) {
		return true, nil
	}
	if g.at == o.seg.Base && !r.tails.has(o.id) {
		r.prefetch(&o, 0) // will be read, whatever the tail says
	}
	tail, err := r.tail(ctx, &o)
	if err != nil {
		return true, err
	}
	err = r.mend(&o, func(fresh span) error {
		w := walk{cursor: cursor{r: r, o: &o, tail: tail, fresh: fresh}}
		defer w.close()
		w.seek(tail.Floor(g.at))
		g.ahead(i, &w)
		done, err = g.take(ctx, &w)
		if err != nil && g.chunk.Batches > 0 {
			done, err = true, nil // the next Read meets it
		}
		return err
	})
	return done, err
}

// ahead notes where the Read begins and opens its window.
func (g *reading) ahead(i int, w *walk) {
	if g.looked {
		return
	}
	off := g.r.chunkStart(w.off())
	g.looked = true
	g.stream = g.r.streams.step(streamKey{g.p, g.from}, ChunkID{Object: w.o.id, Offset: off}, g.r.o.Now())
	g.r.readAhead(g.p, g.list, i, off, g.stream.window)
}

// take takes what fits from the position of w on.
func (g *reading) take(ctx context.Context, w *walk) (done bool, err error) {
	for {
		if w.end() {
			g.passed(w.o.seg.End)
			return false, nil
		}
		if g.full() {
			return true, nil
		}
		if g.chunk.Batches > 0 && !(w.cheap(w.off()) && w.cheap(w.off()+record.HeaderSize-1)) {
			return true, nil
		}
		h, err := w.header(ctx)
		if err != nil {
			return true, err
		}
		last, size := ident.Offset(h.LastOffset()), int64(h.Size())
		switch {
		case last < g.at:
			w.skip(&h)
			continue
		case last >= g.until:
			g.passed(g.until)
			return true, nil
		case !g.takes(size):
			return true, nil
		}
		b, err := w.rest(ctx, w.off())
		if err != nil {
			return true, err
		}
		if size > int64(len(b)) {
			done, err = g.cut(ctx, w, &h)
		} else {
			done, err = g.run(w, b, &h)
		}
		if done || err != nil {
			return true, err
		}
	}
}

// passed notes that no batch is left below an offset.
func (g *reading) passed(o ident.Offset) {
	g.at = max(g.at, o)
	g.chunk.NextOffset = max(g.chunk.NextOffset, min(o, g.until))
}

// cut takes one batch that lies in several chunks.
func (g *reading) cut(ctx context.Context, w *walk, h *record.Header) (done bool, err error) {
	if g.chunk.Batches > 0 {
		end := w.off() + int64(h.Size())
		for off := w.off(); off < end; off += int64(w.r.o.ChunkBytes) {
			if !w.cheap(off) {
				return true, nil
			}
		}
		if !w.cheap(end - 1) {
			return true, nil
		}
	}
	out := make([]byte, h.Size())
	if err := w.body(ctx, h, out); err != nil {
		return true, err
	}
	g.took(h)
	g.chunk.Buffers = append(g.chunk.Buffers, out)
	return false, nil
}

// run takes batches that lie wholly in b, the rest of a chunk, which begins with
// that of h. Their own checksums cover less than those of the blocks, which the
// chunk was verified with, and would cost about as much as the copy.
func (g *reading) run(w *walk, b []byte, h *record.Header) (done bool, err error) {
	n := g.plan(*w, b, *h)
	out := append([]byte(nil), b[:n]...)
	for used := 0; used < n; {
		h, err := w.check(out[used:])
		if err != nil {
			if used > 0 {
				g.chunk.Buffers = append(g.chunk.Buffers, out[:used])
			}
			return true, err
		}
		w.skip(&h)
		g.took(&h)
		used += h.Size()
	}
	g.chunk.Buffers = append(g.chunk.Buffers, out)
	return false, nil
}

// plan returns how many bytes of b are whole batches that fit, the first of
// which is that of h, and does. w is a copy.
func (g *reading) plan(w walk, b []byte, h record.Header) (n int) {
	for {
		n += h.Size()
		w.skip(&h)
		if w.end() || len(b)-n < record.HeaderSize {
			return n
		}
		var err error
		if h, err = w.check(b[n:]); err != nil {
			return n // it is reported when it is the next one
		}
		if h.Size() > len(b)-n || int64(n+h.Size()) > g.left || ident.Offset(h.LastOffset()) >= g.until {
			return n
		}
	}
}

// took notes a batch that was taken.
func (g *reading) took(h *record.Header) {
	c := &g.chunk
	if c.Batches == 0 {
		c.First = ident.Offset(h.BaseOffset)
	}
	c.Batches++
	c.Bytes += h.Size()
	c.NextOffset = ident.Offset(h.LastOffset()) + 1
	g.at = c.NextOffset
	g.left = max(g.left-int64(h.Size()), 0)
}
