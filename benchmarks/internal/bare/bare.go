// Package bare is the peer of what writes durably: a loop that does nothing but
// write blocks past the page cache into a file whose blocks exist, and sync
// after each, through the same file system layer as the broker.
//
// A Loop belongs to one goroutine.
package bare

import (
	"errors"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

const (
	fileBytes = 256 << 20
	fillBytes = 1 << 20
)

// Loop is the loop and its file.
type Loop struct {
	fs   vfs.FS
	name string
	file vfs.File
	off  int64
	buf  []byte
}

// New makes a file of that name and writes every block of it once, so that no
// later write changes metadata. block is what one write holds, a multiple of
// 4 KiB that divides 256 MiB.
func New(fs vfs.FS, name string, block int) (*Loop, error) {
	f, err := fs.CreateDirect(name)
	if err != nil {
		return nil, err
	}
	l := &Loop{fs: fs, name: name, file: f, buf: vfs.AlignedBuffer(block)}
	zeros := vfs.AlignedBuffer(fillBytes)
	for off := int64(0); off < fileBytes; off += fillBytes {
		if _, err := f.WriteAt(zeros, off); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	for i := range l.buf {
		l.buf[i] = byte(i * 31)
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Run writes and syncs for d and returns MB/s.
func (l *Loop) Run(d time.Duration) (float64, error) {
	written, began := 0, time.Now()
	for time.Since(began) < d {
		if _, err := l.file.WriteAt(l.buf, l.off); err != nil {
			return 0, err
		}
		if err := l.file.Sync(); err != nil {
			return 0, err
		}
		written += len(l.buf)
		l.off = (l.off + int64(len(l.buf))) % fileBytes
	}
	return float64(written) / 1e6 / time.Since(began).Seconds(), nil
}

// Close removes the file.
func (l *Loop) Close() error { return errors.Join(l.file.Close(), l.fs.Remove(l.name)) }
