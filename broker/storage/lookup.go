package storage

import (
	"fmt"
	"io"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// scanAhead is how much a scan reads at once, in bytes.
const scanAhead = 256 << 10

// floorPosition returns a position in the file of v at or before the batch that
// contains off, and what is known of the batches from there on.
func (l *Log) floorPosition(v view, h *handle, off ident.Offset) (int64, *placement, error) {
	relative := int64(off - v.g.base)
	if len(v.pending) > 0 && int64(v.pending[0].relative) <= relative {
		if pos := floorEntry(v.pending, relative); pos < v.limit {
			return pos, newPlacement(v.g.base, nil, v.pending, pos), nil
		}
	}
	entries, err := l.persisted(v, h)
	if err != nil {
		return 0, nil, err
	}
	pos := v.inFile(floorEntry(entries, relative))
	return pos, newPlacement(v.g.base, entries, v.pending, pos), nil
}

// timePosition returns a position in the file of v at or before its first batch
// with a maximum timestamp of at least ts.
func (l *Log) timePosition(v view, h *handle, ts int64) (int64, error) {
	entries, err := l.persisted(v, h)
	if err != nil {
		return 0, err
	}
	if mutant.On(mutant.TimeIndexOff) {
		ts += 1000
	}
	pos := timeEntry(entries, ts)
	if k := len(entries); k == 0 || entries[k-1].maxTime < ts {
		pos = max(pos, timeEntry(v.pending, ts))
	}
	return pos, nil
}

// inFile returns pos, or the start if the batch there is not yet in the file.
func (v *view) inFile(pos int64) int64 {
	if pos >= v.limit {
		return 0
	}
	return pos
}

// persisted returns the entries that are in the index file of v, from memory or
// from the file. If the file is damaged they are rebuilt from the segment.
func (l *Log) persisted(v view, h *handle) ([]indexEntry, error) {
	if v.indexBytes == 0 {
		return nil, nil
	}
	known := l.cache.indexes.get(v.g)
	if known != nil && known.covered >= v.indexBytes {
		return known.entries, nil
	}
	x := &cachedIndex{g: v.g, covered: v.indexBytes}
	var err error
	if x.entries, err = l.loadIndex(v, known); err == nil {
		l.cache.indexes.put(x, false)
		return x.entries, nil
	}
	built, err := l.rebuild(v, h)
	if err != nil {
		return nil, err
	}
	x.entries = built
	l.cache.indexes.put(x, true)
	return built, nil
}

// loadIndex reads the index file of v, or what is new behind a known part.
func (l *Log) loadIndex(v view, known *cachedIndex) ([]indexEntry, error) {
	f, err := l.fs.Open(v.g.idx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if v.indexBytes > size || v.indexBytes > maxIndexBytes(v.limit) {
		return nil, fmt.Errorf("%w: %d bytes", ErrIndex, size)
	}
	if known != nil {
		b := make([]byte, v.indexBytes-known.covered)
		if _, err := f.ReadAt(b, known.covered); err != nil {
			return nil, err
		}
		// Readers share the known entries: the clip makes append copy them.
		entries := known.entries[:len(known.entries):len(known.entries)]
		entries, _, err = parseBlocks(entries, b)
		return entries, err
	}
	b := make([]byte, v.indexBytes)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	entries, _, err := parseIndex(b, v.g.base)
	return entries, err
}

// rebuild makes the entries of v from its segment.
func (l *Log) rebuild(v view, h *handle) ([]indexEntry, error) {
	g := newSegment(l.dir, v.g.base)
	s := &scanner{
		f: h, name: v.g.data, limit: v.limit, floor: v.g.base, whole: v.whole,
		ahead: scanAhead, alloc: l.cache.limits.Alloc,
	}
	if err := indexSegment(g, s, defaultIndexBytes); err != nil {
		return nil, err
	}
	return g.pending, nil
}

// indexSegment adds all batches of the scanner to g, checksums verified.
func indexSegment(g *segment, s *scanner, interval int64) error {
	for {
		h, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.BaseOffset-int64(g.base) > maxRelativeOffset || s.pos > maxSegmentBytes {
			return s.damage("batch at offset %d", h.BaseOffset)
		}
		if _, err := s.body(h); err != nil {
			return err
		}
		g.add(ident.Offset(h.BaseOffset), ident.Offset(h.LastOffset()), h.MaxTimestamp, int64(h.Size()), interval)
		g.end = s.floor
	}
}
