package wal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

const (
	liveSuffix  = ".wal"
	spareSuffix = ".spare"
)

// fileName is the name of a file of the log.
func fileName(sequence uint64) string { return fmt.Sprintf("%016x%s", sequence, liveSuffix) }

// spareName is the name of a file that is not part of the log: one that is
// being made, or that waits to be used again. sequence is the one that it is
// made for, or that it had in the log.
func spareName(sequence uint64) string { return fmt.Sprintf("%016x%s", sequence, spareSuffix) }

// parseFileName returns the sequence number in the name of a file of the log.
func parseFileName(name string) (uint64, bool) { return parseName(name, liveSuffix) }

func parseName(name, suffix string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, suffix)
	if !ok || len(base) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(base, 16, 64)
	return n, err == nil && n > 0 && fmt.Sprintf("%016x", n) == base
}

// Prepare is the making of the next file.
type Prepare struct {
	fs    vfs.FS
	dir   string
	head  fileHeader
	spare string // name of the file to use again; "": a new one
	file  vfs.File
}

// zeroPiece is how much of a new file is filled with one write.
const zeroPiece = 1 << 20

// makeFile makes a file of the log: its whole size and its header are durable
// before it gets its name, and its name is before it is returned, so that no
// crash leaves a file of that name without a good header. It is made from the
// spare file of that name, or is a new one if spare is "". A new one is filled
// with zeros if fill is set: blocks that were written once are overwritten
// without any change of metadata. A half-made file is removed.
func makeFile(fs vfs.FS, dir string, head fileHeader, spare string, fill bool) (vfs.File, error) {
	temp, name := dir+"/"+spareName(head.sequence), dir+"/"+fileName(head.sequence)
	open := fs.CreateDirect
	if spare != "" {
		temp, open = dir+"/"+spare, fs.OpenDirect
	}
	f, err := open(temp)
	if err != nil {
		return nil, fmt.Errorf("make %s of %s: %w", name, temp, err)
	}
	// Of a spare file this may be what its maker did not live to sync.
	err = f.Preallocate(head.size)
	if err == nil && fill && spare == "" {
		err = fillZeros(f, head.size)
	}
	if err == nil {
		_, err = f.WriteAt(head.encode(), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(temp, name)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		f.Close()
		// Neither name is used again, and recovery removes a file that holds no
		// write, so it does not matter if this fails too.
		_ = fs.Remove(temp)
		_ = fs.Remove(name)
		return nil, fmt.Errorf("make %s of %d bytes: %w", name, head.size, err)
	}
	return f, nil
}

// fillZeros writes everything behind the header of a new file.
func fillZeros(f vfs.File, size int64) error {
	zeros := vfs.AlignedBuffer(int(min(zeroPiece, size)))
	for off := int64(fileHeaderBytes); off < size; off += int64(len(zeros)) {
		zeros = zeros[:min(int64(len(zeros)), size-off)]
		if _, err := f.WriteAt(zeros, off); err != nil {
			return err
		}
	}
	return nil
}

// Prepare returns the making of the next file if one is wanted and may be made
// now, else nil. A file that waits to be used again is taken before space is
// allocated for another. The caller runs Do, on any goroutine, and then
// PrepareDone.
func (l *Log) Prepare() *Prepare {
	used := l.cur.off > min(16*Block, l.cur.head.size/2) || len(l.queue) > 0 || l.wanting
	most := l.s.BytesMax + int64(l.overdraft)*l.s.FileBytes
	full := len(l.spares) == 0 && l.allocated+l.s.FileBytes > most
	if l.failed != nil || l.next != nil || l.preparing || !used || full {
		return nil
	}
	l.preparing = true
	l.sequence++
	return &Prepare{fs: l.fs, dir: l.s.Dir, spare: l.takeSpare(), head: fileHeader{
		sequence: l.sequence, generation: l.s.Entropy(), base: l.cur.end(), size: l.s.FileBytes,
		low: l.low, directory: l.s.Directory,
	}}
}

// Overdraw allows so many files beyond Settings.BytesMax, 0 forbids them again: a
// checkpoint that does not fit is the only thing that frees space, and restarts
// in a row use up what was kept for it.
func (l *Log) Overdraw(files int) {
	if files > l.overdraft {
		l.wanting = true
	}
	l.overdraft = files
}

// Overdrawn reports whether Overdraw allows files now.
func (l *Log) Overdrawn() bool { return l.overdraft > 0 }

// Excess returns how many files there are beyond Settings.BytesMax.
func (l *Log) Excess() int {
	over := max(l.allocated-l.s.BytesMax, 0)
	return int((over + l.s.FileBytes - 1) / l.s.FileBytes)
}

// MayGrow reports whether the limit allows for one more file of the log, new or
// used again.
func (l *Log) MayGrow() bool {
	return len(l.spares) > 0 || l.allocated+l.s.FileBytes <= l.s.BytesMax
}

// Capacity returns how many bytes the files of the log may have together: less than
// Settings.BytesMax if those that are there leave no room for a whole one.
func (l *Log) Capacity() int64 {
	if l.MayGrow() {
		return l.s.BytesMax
	}
	return min(l.allocated, l.s.BytesMax)
}

// Do makes the file. It blocks.
func (p *Prepare) Do() error {
	f, err := makeFile(p.fs, p.dir, p.head, p.spare, true)
	p.file = f
	return err
}

// PrepareDone takes the outcome of Do. An error (a full disk) is not fatal: the
// caller tries again later, and meanwhile Reserve refuses what does not fit.
// It reports whether there is more space now.
func (l *Log) PrepareDone(p *Prepare, err error) bool {
	l.preparing = false
	if p.spare == "" {
		l.allocated += p.head.size
	}
	if err != nil {
		l.allocated -= p.head.size // whatever it was made of is gone
		return false
	}
	if l.failed != nil {
		p.file.Close()
		return false
	}
	l.next = &segment{head: p.head, file: p.file, off: fileHeaderBytes}
	l.wanting = false
	return true
}

// OldestClosedEnd returns where the oldest file that is written to its end
// ends: a checkpoint that moves low there frees that file. If there is none it
// returns the log's tail.
func (l *Log) OldestClosedEnd() int64 {
	if len(l.old) > 0 {
		return l.old[0].end
	}
	return l.Tail()
}
