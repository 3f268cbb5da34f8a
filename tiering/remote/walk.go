package remote

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// walk goes over the batches of a segment, front to back.
type walk struct {
	cursor
	pos    int64        // of the next batch in the data
	anchor int64        // of the last indexed batch at or before pos
	next   int64        // of the first indexed batch behind it, or the end
	floor  ident.Offset // no batch may begin below
}

// seek moves to the indexed batch at pos.
func (w *walk) seek(pos int64) {
	w.pos, w.anchor, w.next, w.floor = pos, pos, w.tail.Next(pos), w.o.seg.Base
}

// end tells that there are no more batches.
func (w *walk) end() bool { return w.pos >= w.o.seg.DataBytes }

// off returns where the next batch is in the object.
func (w *walk) off() int64 { return manifest.DataOffset + w.pos }

// header returns the header of the next batch. The batch lies wholly before the
// next one that the index names.
func (w *walk) header(ctx context.Context) (record.Header, error) {
	if w.next-w.pos < record.HeaderSize {
		return record.Header{}, w.damaged("%d bytes behind the last batch", w.next-w.pos)
	}
	b, err := w.rest(ctx, w.off())
	if err != nil {
		return record.Header{}, err
	}
	if len(b) < record.HeaderSize {
		cut := make([]byte, record.HeaderSize)
		if err := w.copy(ctx, cut, w.off()); err != nil {
			return record.Header{}, err
		}
		b = cut
	}
	return w.check(b)
}

// check parses the header of the next batch and compares it with the index.
func (w *walk) check(b []byte) (record.Header, error) {
	h, err := record.ParseHeader(b)
	if err != nil {
		return h, w.damaged("batch header: %v", err)
	}
	base, last := ident.Offset(h.BaseOffset), ident.Offset(h.LastOffset())
	switch {
	case base < w.floor || last < base || last >= w.o.seg.End:
		return h, w.damaged("batch at offset %d + %d", base, h.LastOffsetDelta)
	case int64(h.Size()) > w.next-w.pos:
		return h, w.damaged("batch of %d bytes in %d", h.Size(), w.next-w.pos)
	case w.tail.Floor(base) != w.anchor || w.tail.Floor(last) != w.anchor:
		return h, w.damaged("batch at offset %d + %d is elsewhere in the index", base, h.LastOffsetDelta)
	}
	return h, nil
}

// skip moves behind the batch whose header header or check returned.
func (w *walk) skip(h *record.Header) {
	w.pos += int64(h.Size())
	w.floor = ident.Offset(h.LastOffset()) + 1
	if w.pos == w.next {
		w.anchor, w.next = w.pos, w.tail.Next(w.pos)
	}
}

// body fills into, which has its size, with the next batch, and moves behind it.
func (w *walk) body(ctx context.Context, h *record.Header, into []byte) error {
	if err := w.copy(ctx, into, w.off()); err != nil {
		return err
	}
	if !record.VerifyCRC(into) {
		return w.damaged("batch checksum at offset %d", h.BaseOffset)
	}
	w.skip(h)
	return nil
}

// damaged reports damage at the next batch. In doubt is everything between the
// indexed batches around it.
func (w *walk) damaged(format string, args ...any) error {
	from, to := manifest.DataOffset+w.anchor, manifest.DataOffset+max(w.next, w.anchor+1)
	return w.cursor.damage(w.off(), from, to, fmt.Sprintf(format, args...))
}
