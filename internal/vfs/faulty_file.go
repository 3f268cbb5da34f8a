package vfs

import (
	"errors"
)

// faultyFile is a file opened through a Faulty.
type faultyFile struct {
	fs    *Faulty
	inner File
	name  string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.fs.ask(Op{Kind: OpRead, Name: f.name, Off: off, Len: int64(len(p))})
	if err == nil {
		return f.inner.ReadAt(p, off)
	}
	var part *Partial
	var corrupt *Corrupt
	switch {
	case errors.As(err, &part):
		n, rerr := f.inner.ReadAt(p[:f.cut(part.N, len(p))], off)
		if rerr != nil {
			return n, rerr
		}
		return n, opError("read", f.name, err)
	case errors.As(err, &corrupt):
		n, rerr := f.inner.ReadAt(p, off)
		corrupt.flip(p[:n])
		return n, rerr
	}
	return 0, opError("read", f.name, err)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.fs.ask(Op{Kind: OpWrite, Name: f.name, Off: off, Len: int64(len(p))})
	if err == nil {
		return f.inner.WriteAt(p, off)
	}
	var part *Partial
	var corrupt *Corrupt
	switch {
	case errors.As(err, &part):
		n, werr := f.inner.WriteAt(p[:f.cut(part.N, len(p))], off)
		if werr != nil {
			return n, werr
		}
		return n, opError("write", f.name, err)
	case errors.As(err, &corrupt):
		wrong := AlignedBuffer(len(p))
		copy(wrong, p)
		corrupt.flip(wrong)
		return f.inner.WriteAt(wrong, off)
	}
	return 0, opError("write", f.name, err)
}

func (c *Corrupt) flip(p []byte) {
	if len(p) == 0 {
		return
	}
	bits := int64(len(p)) * 8
	bit := (c.Bit%bits + bits) % bits
	p[bit/8] ^= 1 << (bit % 8)
}

func (f *faultyFile) Sync() error {
	err := f.fs.check(Op{Kind: OpSync, Name: f.name})
	if err == nil {
		return f.inner.Sync()
	}
	var lost *LostSync
	if mem, ok := f.inner.(*memFile); ok && errors.As(err, &lost) {
		mem.loseUnsynced()
	}
	return err
}

func (f *faultyFile) Alignment() int { return f.inner.Alignment() }

func (f *faultyFile) Size() (int64, error) {
	if err := f.fs.check(Op{Kind: OpSize, Name: f.name}); err != nil {
		return 0, err
	}
	return f.inner.Size()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.check(Op{Kind: OpTruncate, Name: f.name, Len: size}); err != nil {
		return err
	}
	return f.inner.Truncate(size)
}

func (f *faultyFile) Preallocate(size int64) error {
	if err := f.fs.check(Op{Kind: OpPreallocate, Name: f.name, Len: size}); err != nil {
		return err
	}
	return f.inner.Preallocate(size)
}

func (f *faultyFile) Close() error {
	return errors.Join(f.fs.check(Op{Kind: OpClose, Name: f.name}), f.inner.Close())
}

// cut returns how much of a call of high bytes is done if n bytes are asked for.
func (f *faultyFile) cut(n, high int) int {
	n = min(max(n, 0), high)
	if n == high {
		return n
	}
	return n - n%f.inner.Alignment()
}
