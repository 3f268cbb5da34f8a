package storage

import (
	"fmt"
	"io"
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// SealedFile reads the bytes of one closed segment, for an upload. It may be
// used by any goroutine, blocks on disk, and must be closed. The bytes are not
// verified, but for what Check is told. It goes on to work when the segment becomes garbage meanwhile.
type SealedFile struct {
	l      *Log
	h      *handle
	name   string
	size   int64
	placed *placement
	next   ident.Offset // behind the batch that was checked last
}

// OpenSealed opens the closed segment with that base offset. It fails with
// ErrBelowStart if there is none (any more), and with ErrUnwritten if not all of
// it is in its file yet. It reads the segment's index, and fails with ErrDamaged
// if that and the segment are damaged. Any goroutine may call it; it may block.
func (l *Log) OpenSealed(base ident.Offset) (*SealedFile, error) {
	l.mu.RLock()
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base >= base })
	if i >= len(l.segs)-1 || l.segs[i].base != base {
		l.mu.RUnlock()
		return nil, fmt.Errorf("open segment %d of %s: %w", base, l.dir, ErrBelowStart)
	}
	g := l.segs[i]
	v := view{g: g, limit: g.written, whole: true, sealed: true, indexBytes: g.indexBytes, pending: g.pending}
	size := g.bytes
	l.mu.RUnlock()
	if v.limit < size {
		return nil, fmt.Errorf("open segment %d of %s: %w", base, l.dir, ErrUnwritten)
	}
	h, err := l.cache.acquire(l.fs, g)
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", g.data, l.explain(base, err))
	}
	entries, err := l.persisted(v, h)
	if err != nil {
		l.cache.release(h)
		return nil, fmt.Errorf("open index of segment %s: %w", g.data, l.explain(base, err))
	}
	return &SealedFile{l: l, h: h, name: g.data, size: size, placed: newPlacement(g.base, entries, v.pending, 0)}, nil
}

// Check compares a batch, by its header and its position in the file, with what is
// known of its base offset and leader epoch, which its own checksum does not cover.
// It is to be called for every batch whose checksum is right, first to last, by one
// goroutine, and fails with ErrDamaged.
func (f *SealedFile) Check(pos int64, h *record.Header) error {
	base, last := ident.Offset(h.BaseOffset), ident.Offset(h.LastOffset())
	want, named := f.placed.named(pos)
	if !named {
		want = f.next
	}
	f.next = last + 1
	if base != want {
		return damaged(f.name, pos, want, "batch at offset %d, %d belongs here", base, want)
	}
	return f.l.checkEpoch(f.name, pos, h)
}

// Size returns the length of the batches in the segment.
func (f *SealedFile) Size() int64 { return f.size }

// ReadAt implements io.ReaderAt, up to Size.
func (f *SealedFile) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off > f.size {
		return 0, fmt.Errorf("read at %d of %d: %w", off, f.size, io.EOF)
	}
	short := int64(len(b)) > f.size-off
	if short {
		b = b[:f.size-off]
	}
	n, err := f.h.ReadAt(b, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Close gives the file back.
func (f *SealedFile) Close() { f.l.cache.release(f.h) }

// Written reports whether all bytes of the closed segment with that base offset
// are in its file. It belongs to the owner.
func (l *Log) Written(base ident.Offset) bool {
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base >= base })
	return i < len(l.segs)-1 && l.segs[i].base == base && l.segs[i].written == l.segs[i].bytes
}
