package storage

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// Mark is a point in the life of a log that a checkpoint is to record: take it
// with Mark, write until Reached, then PlanSync. Appends go on meanwhile.
type Mark struct {
	pos     Position
	entries int // entries of the active segment's index, counted as persisted is
}

// LogEnd returns the log end offset at the mark.
func (m Mark) LogEnd() ident.Offset { return m.pos.LogEnd }

// Mark takes the present state.
func (l *Log) Mark() Mark {
	m := Mark{pos: EmptyPosition(0)}
	p := &m.pos
	p.LogStart, p.LocalStart, p.LogEnd = l.start, l.localSet, l.end
	if g := l.active(); g != nil {
		p.FirstBase, p.ActiveBase = l.segs[0].base, g.base
		p.ActiveBytes, p.ActiveIndexed = g.bytes, g.indexed
		p.ActiveMaxTimestamp, p.ActiveMaxTimestampOffset, p.ActiveFirstTimestamp = g.maxTime, g.maxTimeAt, g.firstTime
		p.ActiveEnd = g.next
		m.entries = g.persisted + len(g.pending)
	}
	return m
}

// Reached reports whether all bytes that the mark covers are written, so that
// PlanSync will not fail with ErrUnwritten. A stale mark is reached.
func (l *Log) Reached(m Mark) bool {
	for _, g := range l.dirty {
		switch {
		case g.base < m.pos.ActiveBase && g.written < g.bytes,
			g.base == m.pos.ActiveBase && g.written < m.pos.ActiveBytes:
			return false
		}
	}
	return true
}

// Owed returns how many bytes of the disk all that is not in a file yet will take,
// in whole blocks: batches, and what their indexes lack.
func (l *Log) Owed() int64 {
	n := int64(0)
	for _, g := range l.dirty {
		n += roundUp(g.bytes) - roundUp(g.written)
		if g.bytes > 0 {
			index := indexHeaderSize + g.indexBytes + indexBlockSize + int64(len(g.pending))*indexEntrySize + indexFooterSize
			n += roundUp(index) - roundUp(g.indexBytes)
		}
	}
	return n
}

// syncPart is what a Sync does for one segment.
type syncPart struct {
	g       *segment
	created bool   // the data file exists
	size    int64  // length that the closed data file gets, -1: still open
	written int64  // bytes of the data file that will be durable
	data    bool   // the data file needs a sync
	index   []byte // to be written at indexAt
	indexAt int64
	entries int // entries in index
}

// Sync makes everything up to a Mark durable. Between PlanSync and SyncDone it
// belongs to whoever carries it out.
type Sync struct {
	l     *Log
	pos   Position
	parts []syncPart
	names int  // value of Log.names that SyncDir covers
	dir   bool // the directory needs a sync
}

// Position returns what the checkpoint records once SyncDone succeeded.
func (s *Sync) Position() Position { return s.pos }

// Idle reports that there is nothing to do: Do returns at once.
func (s *Sync) Idle() bool { return len(s.parts) == 0 && !s.dir }

// PlanSync plans the Sync of a mark. One Sync of a log is in flight at a time.
// It fails with ErrUnwritten, ErrStaleMark, ErrBusy or ErrSyncFailed.
func (l *Log) PlanSync(m Mark) (*Sync, error) {
	switch {
	case l.syncErr != nil:
		return nil, fmt.Errorf("plan sync of %s: %w", l.dir, l.syncErr)
	case l.syncing != nil:
		return nil, fmt.Errorf("plan sync of %s: %w", l.dir, ErrBusy)
	case l.stale >= 0 && m.pos.FirstBase >= 0 && m.pos.FirstBase <= l.stale:
		return nil, fmt.Errorf("plan sync of %s: %w", l.dir, ErrStaleMark)
	case !l.Reached(m):
		return nil, fmt.Errorf("plan sync of %s: %w", l.dir, ErrUnwritten)
	}
	s := &Sync{l: l, pos: m.pos, names: l.names, dir: l.names > l.synced}
	for _, g := range l.dirty {
		if g.base > m.pos.ActiveBase {
			break
		}
		if p, ok := planPart(g, m); ok {
			s.parts = append(s.parts, p)
			s.dir = s.dir || p.indexAt == 0 && len(p.index) > 0 || !p.created && p.size >= 0
			g.busy++
		}
		if g.base == m.pos.ActiveBase {
			s.pos.ActiveIndexBytes = g.indexBytes
			if k := len(s.parts); k > 0 && s.parts[k-1].g == g {
				s.pos.ActiveIndexBytes += int64(len(s.parts[k-1].index))
			}
		}
	}
	l.syncing = s
	return s, nil
}

// planPart returns what the mark needs of g.
func planPart(g *segment, m Mark) (syncPart, bool) {
	closing := g.sealed && g.base < m.pos.ActiveBase
	p := syncPart{g: g, created: g.created, size: -1, written: g.written, indexAt: g.indexBytes}
	p.data = g.written > g.synced
	p.entries = len(g.pending)
	if !closing {
		p.entries = max(min(m.entries-g.persisted, p.entries), 0)
	}
	if p.entries > 0 || closing {
		p.index = make([]byte, 0, indexHeaderSize+indexBlocksSize(p.entries)+indexFooterSize)
		if g.indexBytes == 0 {
			p.index = appendIndexHeader(p.index, g.base)
		}
		p.index = appendBlocks(p.index, g.pending[:p.entries])
	}
	if closing {
		p.index = appendFooter(p.index, g.footer())
		p.size, p.data = g.bytes, true
	}
	return p, p.data || len(p.index) > 0
}

// Do carries the Sync out: Write, then Flush. It may block. After an error of
// Write, such as vfs.ErrNoSpace, it may be called again; after one of Flush, an
// ErrSyncFailed, never.
func (s *Sync) Do() error {
	if err := s.Write(); err != nil {
		return err
	}
	return s.Flush()
}

// Direct reports whether segments are written past the page cache here, so that
// little is left to write when Write is done. It may change with the first run.
func (s *Sync) Direct() bool { return s.l.cache.direct.Load() }

// Write writes the index and trims closed segments. It makes nothing durable: a
// caller that syncs the whole file system once for many logs calls Write for
// each, then that, and not Flush.
func (s *Sync) Write() error {
	for i := range s.parts {
		p := &s.parts[i]
		if p.size >= 0 {
			if err := s.closeData(p); err != nil {
				return fmt.Errorf("close segment %s: %w", p.g.data, err)
			}
		}
		if len(p.index) > 0 {
			if err := s.writeIndex(p); err != nil {
				return fmt.Errorf("write index %s: %w", p.g.idx, err)
			}
		}
	}
	return nil
}

// closeData cuts the padding of the last run. It does so even if the file seems
// to be as long as it should: the cut may be one of another life of the process
// that a failed sync lost, and then the next loss of power would undo it.
func (s *Sync) closeData(p *syncPart) error {
	fs := s.l.fs
	h, err := s.l.cache.files.acquire(fileID{g: p.g}, func() (vfs.File, error) {
		if p.created {
			return fs.Open(p.g.data)
		}
		return createFile(fs, s.l.dir, p.g.data, fs.Create, fs.Open)
	})
	if err != nil {
		return err
	}
	defer s.l.cache.release(h)
	p.created = true
	s.l.cache.files.dropDirect(p.g)
	return h.Truncate(p.size)
}

func (s *Sync) writeIndex(p *syncPart) (err error) {
	f, err := s.openIndex(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err = f.WriteAt(p.index, p.indexAt); err != nil {
		return err
	}
	return f.Truncate(p.indexAt + int64(len(p.index))) // likewise
}

func (s *Sync) openIndex(p *syncPart) (vfs.File, error) {
	if p.indexAt > 0 {
		return s.l.fs.Open(p.g.idx)
	}
	return createFile(s.l.fs, s.l.dir, p.g.idx, s.l.fs.Create, s.l.fs.Open)
}

// Flush makes durable what is written. It fails with ErrSyncFailed.
func (s *Sync) Flush() error {
	for i := range s.parts {
		if err := s.flushPart(&s.parts[i]); err != nil {
			return fmt.Errorf("sync segment %s: %w", s.parts[i].g.data, err)
		}
	}
	if s.dir && !mutant.On(mutant.NamesUnsynced) {
		if err := s.l.fs.SyncDir(s.l.dir); err != nil {
			return fmt.Errorf("sync directory %s: %w: %w", s.l.dir, ErrSyncFailed, err)
		}
	}
	return nil
}

func (s *Sync) flushPart(p *syncPart) error {
	if p.data {
		h, err := s.l.cache.acquire(s.l.fs, p.g)
		if err != nil {
			return err // nothing was synced, so nothing failed to be
		}
		err = h.Sync()
		s.l.cache.release(h)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSyncFailed, err)
		}
	}
	if len(p.index) == 0 {
		return nil
	}
	f, err := s.l.fs.Open(p.g.idx)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrSyncFailed, err), f.Close())
	}
	return f.Close()
}

// SyncDone ends a Sync with what Do returned. After an ErrSyncFailed no Position
// of this log becomes durable any more; after another error the mark can be
// planned again.
func (l *Log) SyncDone(s *Sync, err error) {
	if l.syncing != s {
		return
	}
	l.syncing = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range s.parts {
		p := &s.parts[i]
		p.g.busy--
		p.g.created = p.g.created || p.created
		if err == nil {
			p.apply()
		}
	}
	switch {
	case err == nil:
		l.synced = max(l.synced, s.names)
		l.durable = s.pos
		l.dropClean()
	case errors.Is(err, ErrSyncFailed):
		l.syncErr = err
	}
	invariant.Costly(l.consistent)
}

// apply notes what is durable now.
func (p *syncPart) apply() {
	g := p.g
	g.synced = max(g.synced, p.written)
	g.indexBytes += int64(len(p.index))
	g.persisted += p.entries
	g.pending = g.pending[p.entries:]
	if len(g.pending) == 0 {
		g.pending = nil
	}
	g.closed = g.closed || p.size >= 0
}

// dropClean takes segments that need no further work out of the dirty list.
func (l *Log) dropClean() {
	kept := l.dirty[:0]
	for _, g := range l.dirty {
		if !g.closed || g.synced < g.bytes {
			kept = append(kept, g)
		}
	}
	clear(l.dirty[len(kept):])
	l.dirty = kept
}
