package wal

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/vfs"
)

// spareFile is a file under a spare file's name that recovery found: whole, or
// half-made. What it holds does not matter.
type spareFile struct {
	name string
	size int64
}

// keepSpares sorts out the spare files that are not whole, or too many. Those
// are removed in the end. The names of the others are made durable: a process
// that was killed may have renamed one just before, and its old name must not
// come back by a power loss when it was written to.
func (r *recovery) keepSpares(l *Log) error {
	for _, f := range r.spares {
		if f.size == r.s.FileBytes && l.allocated+f.size <= r.s.BytesMax {
			l.spares = append(l.spares, f.name)
			l.allocated += f.size
		} else {
			r.dead = append(r.dead, f.name)
		}
	}
	l.peak = l.files() + len(l.spares)
	if len(l.spares) == 0 {
		return nil
	}
	return r.fs.SyncDir(r.s.Dir)
}

// makeCurrent makes the file in which the log goes on: of a spare one of the
// right size, or a new one. On a full disk it takes what there is.
func (r *recovery) makeCurrent(l *Log) error {
	head := fileHeader{
		sequence: l.sequence, generation: r.s.Entropy(), base: r.base, size: r.s.FirstFileBytes,
		low: max(r.provenLow, r.promised()), directory: r.s.Directory,
	}
	if r.end > 0 { // the settings may have been made smaller since
		head.size = max(r.s.FileBytes, fileHeaderBytes+r.lastHead.extent())
	}
	for {
		spare := ""
		if head.size == r.s.FileBytes {
			spare = l.takeSpare()
		}
		if spare == "" && r.end > 0 {
			head.size = r.modest(l, head.size)
		}
		// It is not filled with zeros: that would delay the start.
		file, err := makeFile(r.fs, r.s.Dir, head, spare, false)
		if err == nil && spare == "" {
			l.allocated += head.size
		}
		switch {
		case err == nil:
			l.cur = &segment{head: head, file: file, off: fileHeaderBytes}
			return nil
		case !errors.Is(err, vfs.ErrNoSpace):
			return err
		case spare == "":
			return r.makeOfOld(l, head, err)
		}
		l.allocated -= head.size // it was not whole, and is gone
	}
}

// modest returns how large a new file is made that would be of so many bytes. If that
// left less than half as much of the disk it is smaller, down to half, as long as
// what every group and a checkpoint are going to write fits: the rest of the disk is
// for segments, without which no checkpoint would ever free anything. The file after
// it, a whole one, then finds no room and leaves that alone. Files that are removed
// when the log goes on in the new one count as free.
func (r *recovery) modest(l *Log, size int64) int64 {
	free, err := r.fs.Free()
	if err != nil {
		return size
	}
	dead := int64(0)
	for _, f := range l.old[r.alive():] {
		dead += f.size
	}
	if free >= size && free+dead >= size+size/2 {
		return size
	}
	least := fileHeaderBytes + r.lastHead.extent() + r.s.ReserveBytes + 2*Block*int64(len(r.groups))
	for _, g := range r.groups { // order: a sum
		least += 4 * int64(len(g.State))
	}
	return min(size, align(max(size/2, least)))
}

// makeOfOld makes the current file of a spare one of another size than wanted,
// or of the newest file if no part of the log is in it. That one leaves the log
// first, like any other that is used again: under a new name, durable before
// anything in it changes. full is why there is no new one.
func (r *recovery) makeOfOld(l *Log, head fileHeader, full error) error {
	least := fileHeaderBytes + max(r.lastHead.extent(), Block)
	spare, size := "", int64(0)
	if len(l.spares) > 0 && r.s.FileBytes >= least {
		spare, size = l.takeSpare(), r.s.FileBytes
	}
	last := len(r.files) - 1
	if spare == "" {
		if last < 0 || len(r.last) > 0 && last <= r.lastFile || r.files[last].head.size < least {
			return full
		}
		f := r.files[last]
		spare, size = spareName(f.head.sequence), f.head.size
		// The log goes on where that file would have: if it was the first of
		// all, what is made of it must be as well.
		head.base = f.head.base
		l.old, r.files = l.old[:len(l.old)-1], r.files[:last]
		if err := f.file.Close(); err != nil {
			return err
		}
		g := Garbage{&garbage{fs: r.fs, name: r.s.Dir + "/" + f.name, spare: spare, decided: true}}
		if err := g.Remove(); err != nil {
			return fmt.Errorf("use %s again: %w", f.name, err)
		}
	}
	head.size = size
	file, err := makeFile(r.fs, r.s.Dir, head, spare, false)
	if err != nil {
		return err
	}
	l.cur = &segment{head: head, file: file, off: fileHeaderBytes}
	return nil
}
