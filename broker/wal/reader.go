package wal

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/varvelog/varve/internal/vfs"
)

const (
	// readAhead is how much recovery reads at once.
	readAhead = 4 << 20
	// peekAhead is that while only the first write of a file is wanted.
	peekAhead = 64 << 10
)

// reader reads files front to back in large aligned pieces. What view returns
// aliases its buffer, which is used again for the next piece unless keep was
// called in between.
type reader struct {
	buf   []byte
	file  vfs.File
	off   int64 // in the file, of buf[0]
	n     int64 // bytes of buf that were read
	ahead int64 // least to read at once
	kept  bool
}

// keep tells that what was viewed stays in use.
func (r *reader) keep() { r.kept = true }

// view returns bytes [off, off+n) of a file of size bytes, and whether the file
// was long enough. off is a multiple of Block. A slice stays valid until the
// next call, or for ever if keep is called before that.
func (r *reader) view(f vfs.File, off, n, size int64) ([]byte, bool, error) {
	if off+n > size {
		return nil, false, nil
	}
	if f != r.file || off < r.off || off+n > r.off+r.n {
		if err := r.fill(f, off, n, size); err != nil {
			return nil, false, err
		}
	}
	at := off - r.off
	if at+n > r.n {
		return nil, false, nil
	}
	return r.buf[at : at+n : at+n], true, nil
}

// fill reads at least n bytes from off on, if the file has them. Of what it has
// of them already it copies whole blocks.
func (r *reader) fill(f vfs.File, off, n, size int64) error {
	want := min(max(align(n), r.ahead), align(size-off))
	old, have := r.buf, []byte(nil)
	if f == r.file && off >= r.off && off < r.off+r.n && r.n%Block == 0 {
		have = old[off-r.off : r.n]
	}
	if r.kept || int64(len(r.buf)) < want {
		r.buf, r.kept = vfs.AlignedBuffer(int(want)), false
	}
	copy(r.buf, have)
	r.file, r.off, r.n = f, off, int64(len(have))
	got, err := f.ReadAt(r.buf[r.n:want], off+r.n)
	r.n += int64(got)
	if err != nil && !errors.Is(err, io.EOF) {
		r.file = nil
		return err
	}
	return nil
}

// holdsWrite reports whether anything in a file looks like the header of a
// write, of whatever generation, at the position floor or behind it: what was
// written when the file had an earlier use lies before the end of the file that
// is older than it in the log.
func (r *reader) holdsWrite(f vfs.File, size, floor int64) (bool, error) {
	for at := int64(fileHeaderBytes); at < size; at += readChunk {
		b, ok, err := r.view(f, at, min(readChunk, size-at), size)
		if err != nil || !ok {
			return false, err
		}
		for ; len(b) >= writeHeader; b = b[min(Block, len(b)):] {
			if intactHead(b) && int64(binary.LittleEndian.Uint64(b[16:])) >= floor {
				return true, nil
			}
		}
	}
	return false, nil
}

func holdsWrite(f vfs.File, size int64) (bool, error) {
	r := reader{ahead: peekAhead}
	return r.holdsWrite(f, size, 0)
}

// readFull fills b from a buffered file and reports whether the file was long
// enough.
func readFull(f vfs.File, b []byte, off int64) (bool, error) {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return true, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, err
}
