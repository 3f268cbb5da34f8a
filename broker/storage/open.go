package storage

import (
	"errors"
	"fmt"
	"path"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// Open opens the log in dir as a checkpoint recorded it. What lies behind the
// position is cut off: the caller applies it again. Files of segments behind it
// are removed, those of segments before it become garbage. A log without
// batches needs no directory, and none is made.
//
// The indexes of closed segments are rebuilt where they are missing or damaged.
// It fails with ErrPosition, or with ErrDamaged if segments are missing, shorter
// than they were, or, where an index had to be rebuilt, damaged themselves; the
// files then stay as they are.
func Open(fs vfs.FS, dir string, at Position, set Settings, cache *Cache) (*Log, error) {
	if err := at.check(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	l := &Log{
		fs: fs, dir: dir, cache: cache, set: set.normal(), stale: -1, durable: at,
		start: at.LogStart, localSet: at.LocalStart, localStart: max(at.LogStart, at.LocalStart), end: at.LogEnd,
	}
	l.tail.from = at.LogEnd
	entries, err := fs.List(dir)
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	o := opening{l: l, at: at}
	if err := o.load(entries); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	if g := l.active(); g != nil && mutant.On(mutant.OffsetsReused) {
		l.end = g.base
	}
	l.AdvanceStart(at.LogStart)
	return l, nil
}

// opening is the state of one Open.
type opening struct {
	l       *Log
	at      Position
	index   map[ident.Offset]int64    // sizes of index files
	old     map[ident.Offset]*segment // garbage already
	behind  []string                  // files that the position does not know
	rebuilt bool
}

// load builds the list of segments from the directory.
func (o *opening) load(entries []vfs.Entry) error {
	l := o.l
	o.sort(entries)
	var found []vfs.Entry
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name)
		if ok && !e.Dir && suffix == dataSuffix && base >= o.at.FirstBase && base <= o.at.ActiveBase && o.at.FirstBase >= 0 {
			found = append(found, e)
		}
	}
	if o.at.ActiveBase >= 0 {
		if err := o.orphans(entries, found); err != nil {
			return err
		}
		if err := o.segments(found); err != nil {
			return err
		}
	}
	for _, name := range o.behind {
		if err := l.fs.Remove(path.Join(l.dir, name)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return err
		}
	}
	if o.rebuilt {
		return l.fs.SyncDir(l.dir)
	}
	return nil
}

// sort notes the sizes of indexes, what is garbage and what is to be removed.
func (o *opening) sort(entries []vfs.Entry) {
	o.index, o.old = map[ident.Offset]int64{}, map[ident.Offset]*segment{}
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name)
		switch {
		case !ok || e.Dir:
		case suffix == tempSuffix || base > o.at.ActiveBase:
			o.behind = append(o.behind, e.Name)
		case base < o.at.FirstBase:
			g := o.old[base]
			if g == nil {
				g = newSegment(o.l.dir, base)
				g.sealed, g.discarded = true, true
				o.old[base] = g
				o.l.garbage = append(o.l.garbage, g)
			}
			if suffix == dataSuffix {
				g.bytes = e.Size
			}
		case suffix == indexSuffix:
			o.index[base] = e.Size
		}
	}
}

// orphans looks for indexes of closed segments whose data is missing. What the
// segment before says of its end would tell too, but not while its own index is
// damaged: then the missing one would be taken for a hole.
func (o *opening) orphans(entries, found []vfs.Entry) error {
	data := make(map[ident.Offset]bool, len(found))
	for _, e := range found {
		base, _, _ := parseName(e.Name)
		data[base] = true
	}
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name)
		if ok && !e.Dir && suffix == indexSuffix && base >= o.at.FirstBase && base < o.at.ActiveBase && !data[base] {
			return damaged(newSegment(o.l.dir, base).data, -1, base, "segment is missing, its index is there")
		}
	}
	return nil
}

// segments checks the files from FirstBase to ActiveBase and makes the list.
func (o *opening) segments(found []vfs.Entry) error {
	l, at := o.l, o.at
	if n := len(found); n == 0 || !isBase(found[n-1], at.ActiveBase) {
		found = append(found, vfs.Entry{Name: path.Base(newSegment("", at.ActiveBase).data), Size: -1})
	}
	if !isBase(found[0], at.FirstBase) {
		return damaged(newSegment(l.dir, at.FirstBase).data, -1, at.FirstBase, "segment is missing")
	}
	for i, e := range found[:len(found)-1] {
		base, _, _ := parseName(e.Name)
		next, _, _ := parseName(found[i+1].Name)
		g := newSegment(l.dir, base)
		if err := o.sealed(g, e.Size, next); err != nil {
			return err
		}
		l.segs = append(l.segs, g)
	}
	g := newSegment(l.dir, at.ActiveBase)
	if err := o.active(g, found[len(found)-1].Size); err != nil {
		return err
	}
	l.segs = append(l.segs, g)
	l.dirty = append(l.dirty, g)
	return nil
}

func isBase(e vfs.Entry, base ident.Offset) bool {
	b, _, ok := parseName(e.Name)
	return ok && b == base
}

// sealed loads what the footer says of a closed segment, and rebuilds the index
// if it does not.
func (o *opening) sealed(g *segment, size int64, next ident.Offset) error {
	g.created, g.sealed, g.closed = true, true, true
	f, err := o.footer(g)
	if errors.Is(err, ErrIndex) || errors.Is(err, vfs.ErrNotExist) {
		return o.rebuild(g, size, next)
	}
	if err != nil {
		return err
	}
	if f.end != next {
		return damaged(g.data, -1, f.end, "segment ends at offset %d, the next one found starts at %d", f.end, next)
	}
	if size < f.bytes {
		return damaged(g.data, size, g.base, "file has %d bytes, %d were written", size, f.bytes)
	}
	g.end, g.bytes, g.maxTime, g.maxTimeAt, g.firstTime = f.end, f.bytes, f.maxTime, f.maxTimeAt, f.firstTime
	g.written, g.synced = f.bytes, f.bytes
	g.indexBytes = o.index[g.base]
	return nil
}

// footer reads the footer of an index file.
func (o *opening) footer(g *segment) (*footer, error) {
	size, ok := o.index[g.base]
	if !ok {
		return nil, vfs.ErrNotExist
	}
	if size < indexHeaderSize+indexFooterSize {
		return nil, ErrIndex
	}
	f, err := o.l.fs.Open(g.idx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b [indexFooterSize]byte
	if _, err := f.ReadAt(b[:], size-indexFooterSize); err != nil {
		return nil, fmt.Errorf("read index %s: %w", g.idx, err)
	}
	foot, err := parseFooter(b[:])
	if err == nil && foot.base != g.base {
		return nil, fmt.Errorf("%w: footer of base offset %d", ErrIndex, foot.base)
	}
	return foot, err
}

// rebuild makes the index of a closed segment again, from all of its bytes. If
// the disk is full the index stays as it was and is rebuilt in memory when it
// is needed.
func (o *opening) rebuild(g *segment, size int64, next ident.Offset) error {
	f, err := o.l.fs.Open(g.data)
	if err != nil {
		return err
	}
	defer f.Close()
	s := &scanner{
		f: f, name: g.data, limit: size, floor: g.base, whole: true,
		ahead: scanAhead, alloc: o.l.cache.limits.Alloc,
	}
	if err := indexSegment(g, s, o.l.set.IndexIntervalBytes); err != nil {
		return err
	}
	if g.end > next {
		return damaged(g.data, size, next, "segment holds offset %d, the next one starts at %d", g.end-1, next)
	}
	o.l.cache.indexes.noteRebuilt()
	g.end, g.written, g.synced = next, size, size
	b := appendIndexHeader(nil, g.base)
	b = appendFooter(appendBlocks(b, g.pending), g.footer())
	g.pending, g.indexBytes = nil, int64(len(b))
	err = o.replaceIndex(g, b)
	if errors.Is(err, vfs.ErrNoSpace) {
		return nil
	}
	return err
}

// replaceIndex writes an index file under a temporary name, syncs it and moves
// it into place.
func (o *opening) replaceIndex(g *segment, b []byte) error {
	fs, temp := o.l.fs, g.idx+".tmp"
	if err := fs.Remove(temp); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write index %s: %w", temp, err)
	}
	o.rebuilt = true
	return fs.Rename(temp, g.idx)
}

// active restores the active segment from the position and cuts data and index
// back to it. size is that of the file, -1 if there is none.
func (o *opening) active(g *segment, size int64) error {
	at := o.at
	if size < at.ActiveBytes && (size >= 0 || at.ActiveBytes > 0) {
		return damaged(g.data, max(size, 0), g.base, "file has %d bytes, %d were written", max(size, 0), at.ActiveBytes)
	}
	g.created = size >= 0
	g.bytes, g.written, g.synced = at.ActiveBytes, at.ActiveBytes, at.ActiveBytes
	g.indexed, g.maxTime = at.ActiveIndexed, at.ActiveMaxTimestamp
	g.maxTimeAt, g.firstTime = at.ActiveMaxTimestampOffset, at.ActiveFirstTimestamp
	g.next = at.ActiveEnd
	// Up to a block behind the end may be the padding of a run.
	if size > roundUp(at.ActiveBytes) {
		if err := o.cut(g.data, at.ActiveBytes); err != nil {
			return err
		}
	}
	have, ok := o.index[g.base]
	switch {
	case have < at.ActiveIndexBytes, at.ActiveBytes > 0 && at.ActiveEnd < 0: // the index may lack entries
		return o.reindexActive(g)
	case ok && have > at.ActiveIndexBytes:
		if err := o.cut(g.idx, at.ActiveIndexBytes); err != nil {
			return err
		}
	}
	g.indexBytes = at.ActiveIndexBytes
	return nil
}

// reindexActive makes the entries of the active segment again. The next Sync
// writes them to a new index file.
func (o *opening) reindexActive(g *segment) error {
	f, err := o.l.fs.Open(g.data)
	if err != nil {
		return err
	}
	defer f.Close()
	s := &scanner{
		f: f, name: g.data, limit: g.bytes, floor: g.base, whole: true,
		ahead: scanAhead, alloc: o.l.cache.limits.Alloc,
	}
	fresh := newSegment(o.l.dir, g.base)
	if err := indexSegment(fresh, s, o.l.set.IndexIntervalBytes); err != nil {
		return err
	}
	o.l.cache.indexes.noteRebuilt()
	g.pending, g.indexed, g.next = fresh.pending, fresh.indexed, fresh.next
	return nil
}

func (o *opening) cut(name string, size int64) error {
	f, err := o.l.fs.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
