package vfs

import "bytes"

// memFile is a handle on a file of a Mem, or a lock.
type memFile struct {
	m     *Mem
	n     *node
	name  string // as opened
	align int    // 1: buffered
	locks bool
	// closed is guarded by m.mu.
	closed bool
}

// enter locks the file system. It fails, without the lock, if the handle is
// closed or the file system is dead.
func (f *memFile) enter(op string) error {
	if err := f.m.enter(op, f.name); err != nil {
		return err
	}
	if f.closed {
		f.m.mu.Unlock()
		return opError(op, f.name, ErrClosed)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := checkAligned(p, off, f.align); err != nil {
		return 0, opError("read", f.name, err)
	}
	if err := f.enter("read"); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	return f.n.read(p, off)
}

// WriteAt writes page by page; if space runs out, the pages before stay.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := checkAligned(p, off, f.align); err != nil {
		return 0, opError("write", f.name, err)
	}
	if off > maxMemFile || int64(len(p)) > maxMemFile-off {
		return 0, opError("write", f.name, ErrTooLarge)
	}
	if err := f.enter("write"); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if f.n.at(at/pageSize) == nil {
			if !f.m.fits(1) {
				return n, opError("write", f.name, ErrNoSpace)
			}
			f.m.used += pageSize
		}
		k := min(len(p)-n, int(pageSize-at%pageSize))
		data := zeroPage[:]
		if k < pageSize || !bytes.Equal(p[n:n+k], data) {
			data = bytes.Clone(p[n : n+k])
		}
		f.n.write(data, at)
		f.n.pieces = append(f.n.pieces, piece{kind: pieceWrite, off: at, data: data})
		n += k
	}
	return n, nil
}

func (f *memFile) Sync() error {
	if err := f.enter("sync"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.n.sync()
	return nil
}

// loseUnsynced is what a failed Sync does; Faulty calls it.
func (f *memFile) loseUnsynced() {
	if f.enter("sync") != nil {
		return
	}
	defer f.m.mu.Unlock()
	f.n.failSync()
}

func (f *memFile) Alignment() int { return f.align }

func (f *memFile) Size() (int64, error) {
	if err := f.enter("stat"); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	return f.n.size, nil
}

func (f *memFile) Truncate(size int64) error {
	if err := checkMemSize("truncate", f.name, size); err != nil {
		return err
	}
	if err := f.enter("truncate"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	before := f.n.allocated
	f.n.truncate(size)
	f.n.pieces = append(f.n.pieces, piece{kind: pieceTruncate, off: size})
	f.m.used += (f.n.allocated - before) * pageSize
	return nil
}

func (f *memFile) Preallocate(size int64) error {
	if err := checkMemSize("preallocate", f.name, size); err != nil {
		return err
	}
	if err := f.enter("preallocate"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	holes := f.n.missing(size)
	if holes == 0 && size <= f.n.size {
		return nil
	}
	if !f.m.fits(holes) {
		return opError("preallocate", f.name, ErrNoSpace)
	}
	f.n.preallocate(size)
	f.n.pieces = append(f.n.pieces, piece{kind: piecePreallocate, off: size})
	f.m.used += holes * pageSize
	return nil
}

func (f *memFile) Close() error {
	if err := f.enter("close"); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.closed = true
	if f.locks {
		f.n.locked = false
	}
	f.n.opens--
	if f.n.opens == 0 && f.n.unlinked {
		f.m.used -= f.n.allocated * pageSize
	}
	return nil
}

func checkMemSize(op, name string, size int64) error {
	if size < 0 {
		return opError(op, name, ErrInvalid)
	}
	if size > maxMemFile {
		return opError(op, name, ErrTooLarge)
	}
	return nil
}
