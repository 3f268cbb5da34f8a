package wal

import (
	"fmt"
	"path"

	"github.com/varvelog/varve/internal/vfs"
)

// Garbage is a file that recovery does not need any more, or a spare file too
// many. A file of the log is kept to be used again as long as the log used that
// many files lately.
type Garbage struct{ *garbage }

type garbage struct {
	fs      vfs.FS
	name    string
	spare   string // what it is renamed to; "": it is unlinked
	size    int64
	free    int64 // bytes that must be free on the disk for keeping it
	decided bool
	counted bool // in Log.retiring
}

// Remove unlinks the file, or renames it to be a spare file, and makes that
// durable, so that files leave the log in order and what is left is always the
// end of it. Only then may the file be written to under another name. It
// blocks, and may be called again if it failed.
func (g Garbage) Remove() error {
	if g.spare != "" && !g.decided {
		// What is nearly full needs the space more than the log needs speed.
		if free, err := g.fs.Free(); err != nil || free < g.free {
			g.spare = ""
		}
	}
	g.decided = true
	if err := g.leave(); err != nil {
		return fmt.Errorf("remove %s: %w", g.name, err)
	}
	return g.fs.SyncDir(path.Dir(g.name))
}

func (g *garbage) leave() error {
	if g.spare == "" {
		return g.fs.Remove(g.name)
	}
	return g.fs.Rename(g.name, path.Dir(g.name)+"/"+g.spare)
}

// Advance records that a checkpoint needs nothing below low, and returns what
// may leave the log now, oldest first. The caller removes it in that order and
// calls Removed for each. The checkpoint must be durable, and so must a later
// write (a KindProof record, say): else a checkpoint that rots would look like a
// torn tail when what it freed is gone.
func (l *Log) Advance(low int64) []Garbage {
	l.low = max(l.low, low)
	return l.retire(l.low)
}

// retire takes the files that end at or below low out of the log.
func (l *Log) retire(low int64) []Garbage {
	// The number of files shrinks by one with each checkpoint; what Overdraw added is over.
	l.peak = min(max(l.files(), l.peak-1), int(l.s.BytesMax/l.s.FileBytes))
	var gone []Garbage
	for len(l.old) > 0 && l.old[0].end <= low {
		c := l.old[0]
		l.old = l.old[1:]
		g := &garbage{fs: l.fs, name: l.s.Dir + "/" + c.name, size: c.size, free: l.s.BytesMax}
		if sequence, ok := parseFileName(c.name); ok && c.size == l.s.FileBytes && l.files()+len(l.spares)+l.retiring < l.peak {
			g.spare, g.counted = spareName(sequence), true
			l.retiring++
		}
		gone = append(gone, Garbage{g})
	}
	return append(gone, l.surplus(l.peak-l.files()-l.retiring)...)
}

// files returns how many files the log consists of.
func (l *Log) files() int {
	n := len(l.old) + 1
	if l.next != nil || l.preparing {
		n++
	}
	return n
}

// DropSpares gives up every file that waits to be used again, because the disk
// is nearly full. The caller does with them as with those of Advance.
func (l *Log) DropSpares() []Garbage { return l.surplus(0) }

// surplus takes away all spare files but n.
func (l *Log) surplus(n int) []Garbage {
	var gone []Garbage
	for len(l.spares) > max(n, 0) {
		gone = append(gone, Garbage{&garbage{fs: l.fs, name: l.s.Dir + "/" + l.takeSpare(), size: l.s.FileBytes}})
	}
	return gone
}

// takeSpare returns the name of the spare file that was used last, which is no
// spare any more, or "".
func (l *Log) takeSpare() string {
	n := len(l.spares)
	if n == 0 {
		return ""
	}
	name := l.spares[n-1]
	l.spares = l.spares[:n-1]
	return name
}

// Spares returns how many files wait to be used again: so many may be made
// without taking space of the disk.
func (l *Log) Spares() int { return len(l.spares) }

// Lacks returns how many bytes of the disk the file after the current one is going
// to take: none if it is there, or being made, or another file will be used again
// for it.
func (l *Log) Lacks() int64 {
	if l.next != nil || l.preparing || !l.MayGrow() || len(l.spares) > 0 {
		return 0
	}
	return l.s.FileBytes
}

// Removed tells that Remove succeeded: the file is gone and its space may be
// used again, or it is a spare file now.
func (l *Log) Removed(g Garbage) {
	if g.spare == "" {
		l.allocated -= g.size
	} else {
		l.spares = append(l.spares, g.spare)
	}
	if g.counted {
		l.retiring--
	}
}
