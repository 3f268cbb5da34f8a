package storage

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/vfs"
)

// Run is one write to a segment file. Between NextRun and RunDone it belongs to
// whoever carries it out; its bytes stay as they are, so that it can be tried
// again after an error.
type Run struct {
	// Base names the segment.
	Base ident.Offset
	// Create tells that the file does not exist yet.
	Create bool
	// Off is where the write starts in the file, a multiple of 4 KiB. It may
	// repeat bytes that are in the file, always with the same value.
	Off int64

	l       *Log
	g       *segment
	from    int64       // first new byte
	to      int64       // end of the new bytes
	before  []byte      // the bytes between Off and from, nil: they must be read from the file
	entries []tailEntry // that hold the new bytes
	block   []byte      // what DoRun wrote of the last, incomplete block
	made    bool        // this run created the file
}

// Bytes returns how many bytes of batches the run adds to the file.
func (r *Run) Bytes() int64 { return r.to - r.from }

// NextRun returns the oldest unwritten bytes of one segment, at most
// Settings.RunBytes of them, if there are at least min, or at least one and the
// segment is closed. One run of a log is in flight at a time: until RunDone the
// next call returns false.
func (l *Log) NextRun(min int64) (*Run, bool) {
	if l.running != nil || l.unwritten == 0 {
		return nil, false
	}
	g := l.firstUnwritten()
	if g == nil || (!g.sealed && g.bytes-g.written < max(min, 1)) {
		return nil, false
	}
	off := roundDown(g.written)
	to := g.bytes
	if to-off > l.set.RunBytes {
		to = off + l.set.RunBytes
	}
	r := &Run{Base: g.base, Create: !g.created, Off: off, l: l, g: g, from: g.written, to: to}
	if l.partialOf == g && int64(len(l.partial)) == r.from-off {
		r.before = l.partial
	}
	first := l.tail.list[l.tail.next:]
	n := 0
	for n < len(first) && first[n].g == g && first[n].pos < to {
		n++
	}
	r.entries = append([]tailEntry(nil), first[:n]...)
	g.busy++
	l.running = r
	return r, true
}

func (l *Log) firstUnwritten() *segment {
	for _, g := range l.dirty {
		if g.written < g.bytes {
			return g
		}
	}
	return nil
}

// fill copies the run's bytes from the tail, placements set, into a buffer of
// whole blocks, and pads the last one.
func (r *Run) fill(b []byte) error {
	head := int(r.from - r.Off)
	if r.before != nil {
		copy(b, r.before)
	} else if head > 0 {
		if err := r.l.readBlock(r.g, b[:head], r.Off); err != nil {
			return fmt.Errorf("read last block of %s: %w", r.g.data, err)
		}
	}
	out := b[head : r.to-r.Off]
	for i := range r.entries {
		e := &r.entries[i]
		skip := int64(0)
		if i == 0 {
			skip = r.from - e.pos
		}
		out = out[e.copyFrom(out, skip):]
	}
	clear(b[r.to-r.Off:])
	return nil
}

// DoRun does the I/O of a run: it makes directory and file as needed, and
// writes. It may block, and may be called again with the same run after an
// error, such as vfs.ErrNoSpace: the tail holds the bytes until RunDone.
func (l *Log) DoRun(r *Run) error {
	h, err := l.openForRun(r)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", r.g.data, err)
	}
	defer l.cache.release(h)
	b := l.cache.buffers.get(int(roundUp(r.to - r.Off)))
	defer func() { l.cache.buffers.put(b) }()
	if err := r.fill(b); err != nil {
		return err
	}
	if _, err := h.WriteAt(b, r.Off); err != nil {
		return fmt.Errorf("write %s at %d: %w", r.g.data, r.Off, err)
	}
	l.cache.wrote(h.Alignment() > 1)
	if at := roundDown(r.to); at < r.to {
		r.block = append([]byte(nil), b[at-r.Off:r.to-r.Off]...)
	}
	return nil
}

// readBlock reads what a block holds already, through the buffered handle: the
// length has no alignment.
func (l *Log) readBlock(g *segment, b []byte, off int64) error {
	h, err := l.cache.acquire(l.fs, g)
	if err != nil {
		return err
	}
	defer l.cache.release(h)
	_, err = h.ReadAt(b, off)
	return err
}

// openForRun returns the direct handle of the run's file.
func (l *Log) openForRun(r *Run) (*handle, error) {
	id := fileID{r.g, true}
	if !r.Create || r.made {
		return l.cache.files.acquire(id, func() (vfs.File, error) { return l.fs.OpenDirect(r.g.data) })
	}
	h, err := l.cache.files.acquire(id, func() (vfs.File, error) {
		return createFile(l.fs, l.dir, r.g.data, l.fs.CreateDirect, l.fs.OpenDirect)
	})
	r.made = err == nil
	return h, err
}

// createFile creates a file and the directory it is in, or opens what an
// earlier attempt left.
func createFile(fs vfs.FS, dir, name string, create, open func(string) (vfs.File, error)) (vfs.File, error) {
	f, err := create(name)
	if errors.Is(err, vfs.ErrNotExist) {
		if err = fs.MkdirAll(dir); err != nil {
			return nil, err
		}
		f, err = create(name)
	}
	if errors.Is(err, vfs.ErrExist) {
		return open(name)
	}
	return f, err
}

// RunDone ends a run with what DoRun returned. After an error the bytes are
// unwritten as before, and NextRun returns them again.
func (l *Log) RunDone(r *Run, err error) {
	if l.running != r {
		return
	}
	l.running = nil
	g := r.g
	if r.made {
		l.names++
	}
	l.mu.Lock()
	g.busy--
	g.created = g.created || r.made
	if err == nil && !g.discarded {
		g.written = r.to
		l.tail.advance()
		l.unwritten -= r.to - r.from
	}
	l.mu.Unlock()
	if err == nil && !g.discarded {
		l.partial, l.partialOf = nil, nil
		if r.block != nil && r.to < l.set.SegmentBytes && !g.sealed {
			l.partial, l.partialOf = r.block, g // with which the next run will start
		}
		if l.cache.TailOver() > 0 {
			l.shrinkTail()
		}
	}
	r.entries, r.before, r.block = nil, nil, nil
	invariant.Costly(l.consistent)
}
