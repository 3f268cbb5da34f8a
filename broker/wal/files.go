package wal

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

func fileName(sequence uint64) string { return fmt.Sprintf("%016x.wal", sequence) }

// parseFileName returns the sequence number in a file's name.
func parseFileName(name string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, ".wal")
	if !ok || len(base) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(base, 16, 64)
	return n, err == nil && n > 0 && fileName(n) == name
}

// Prepare is the making of the next file.
type Prepare struct {
	fs   vfs.FS
	dir  string
	head fileHeader
	file vfs.File
}

// createFile makes a file of the log: name, whole size, header, all durable
// before any write may be placed in it. A half-made file is removed.
func createFile(fs vfs.FS, dir string, head fileHeader) (vfs.File, error) {
	name := dir + "/" + fileName(head.sequence)
	f, err := fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	err = f.Preallocate(head.size)
	if err == nil {
		_, err = f.WriteAt(head.encode(), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		f.Close()
		// The name is not used again, and recovery removes a file that holds no
		// write, so it does not matter if this fails too.
		_ = fs.Remove(name)
		return nil, fmt.Errorf("make %s of %d bytes: %w", name, head.size, err)
	}
	return f, nil
}

// Prepare returns the making of the next file if one is wanted and may be made
// now, else nil. The caller runs Do, on any goroutine, and then PrepareDone.
func (l *Log) Prepare() *Prepare {
	used := l.cur.off > min(16*Block, l.cur.head.size/2) || len(l.queue) > 0 || l.wanting
	most := l.s.BytesMax
	if l.overdrawn {
		most += l.s.FileBytes
	}
	if l.failed != nil || l.next != nil || l.preparing || !used || l.allocated+l.s.FileBytes > most {
		return nil
	}
	l.preparing = true
	l.sequence++
	return &Prepare{fs: l.fs, dir: l.s.Dir, head: fileHeader{
		sequence: l.sequence, generation: l.s.Entropy(), base: l.cur.end(), size: l.s.FileBytes,
		low: l.low, directory: l.s.Directory,
	}}
}

// Overdraw allows one file beyond Settings.BytesMax, or forbids it again: a
// checkpoint that does not fit is the only thing that frees space, and restarts
// in a row use up what was kept for it.
func (l *Log) Overdraw(on bool) {
	if on && !l.overdrawn {
		l.wanting = true
	}
	l.overdrawn = on
}

// MayGrow reports whether the limit allows for one more file than there are.
func (l *Log) MayGrow() bool { return l.allocated+l.s.FileBytes <= l.s.BytesMax }

// Do makes the file. It blocks.
func (p *Prepare) Do() error {
	f, err := createFile(p.fs, p.dir, p.head)
	p.file = f
	return err
}

// PrepareDone takes the outcome of Do. An error (a full disk) is not fatal: the
// caller tries again later, and meanwhile Reserve refuses what does not fit.
// It reports whether there is more space now.
func (l *Log) PrepareDone(p *Prepare, err error) bool {
	l.preparing = false
	if err != nil {
		return false
	}
	if l.failed != nil {
		p.file.Close()
		return false
	}
	l.next = &segment{head: p.head, file: p.file, off: fileHeaderBytes}
	l.allocated += p.head.size
	l.wanting = false
	return true
}

// Garbage is a file that recovery does not need any more.
type Garbage struct {
	fs   vfs.FS
	name string
	size int64
}

// Remove unlinks the file and makes that durable, so that files disappear in
// order and what is left is always the end of the log. It blocks.
func (g Garbage) Remove() error {
	if err := g.fs.Remove(g.name); err != nil {
		return fmt.Errorf("remove %s: %w", g.name, err)
	}
	return g.fs.SyncDir(path.Dir(g.name))
}

// Advance records that a checkpoint needs nothing below low, and returns the files that may go now, oldest first. The caller removes them in
// that order and calls Removed for each. The checkpoint must be durable, and so
// must a later write (a KindProof record, say): else a checkpoint that rots
// would look like a torn tail when what it freed is gone.
func (l *Log) Advance(low int64) []Garbage {
	l.low = max(l.low, low)
	var gone []Garbage
	for len(l.old) > 0 && l.old[0].end <= l.low {
		gone = append(gone, Garbage{fs: l.fs, name: l.s.Dir + "/" + l.old[0].name, size: l.old[0].size})
		l.old = l.old[1:]
	}
	return gone
}

// Removed tells that the file is gone and its space may be used again.
func (l *Log) Removed(g Garbage) { l.allocated -= g.size }

// OldestClosedEnd returns where the oldest file that is written to its end
// ends: a checkpoint that moves low there frees that file. If there is none it
// returns the log's tail.
func (l *Log) OldestClosedEnd() int64 {
	if len(l.old) > 0 {
		return l.old[0].end
	}
	return l.Tail()
}
