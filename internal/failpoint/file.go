//go:build failpoints

package failpoint

import "github.com/varvelog/varve/internal/vfs"

// faultFile is an open file of a faultFS.
type faultFile struct {
	vfs.File
	fs   *faultFS
	name string // guarded by fs.mu
}

func (f *faultFile) at() string {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.name
}

func (f *faultFile) Close() error {
	f.fs.mu.Lock()
	delete(f.fs.open, f)
	f.fs.mu.Unlock()
	return f.File.Close()
}

// sector is what a disk writes whole, and what O_DIRECT writes at least.
const sector = 4096

func (f *faultFile) WriteAt(p []byte, off int64) (n int, err error) {
	c := call{op: "write", name: f.at(), end: off + int64(len(p))}
	torn := Name(c.class() + ".write.torn")
	if due(torn) {
		part := len(p) / 2
		if align := max(f.File.Alignment(), min(sector, part)); align > 0 {
			part -= part % align
		}
		_ = f.fs.guarded(c, func() error {
			_, err := f.write(p[:part], off)
			return err
		})
		die(torn)
	}
	err = f.fs.change(c, func() error {
		n, err = f.write(p, off)
		return err
	})
	return n, err
}

// ReadAt waits for ever while the process dies: what is there then is not what
// was written.
func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.life.RLock()
	defer f.fs.life.RUnlock()
	return f.File.ReadAt(p, off)
}

func (f *faultFile) write(p []byte, off int64) (int, error) {
	f.fs.undo.writing(f.at(), off, int64(len(p)))
	n, err := f.File.WriteAt(p, off)
	if err == nil {
		f.fs.trouble.grown(f.at(), off+int64(len(p)))
	}
	return n, err
}

func (f *faultFile) Sync() error {
	return f.fs.change(call{op: "sync", name: f.at()}, func() error {
		mark := f.fs.undo.beginSync(f.at())
		err := f.File.Sync()
		if err == nil {
			f.fs.undo.synced(f.at(), mark)
		}
		return err
	})
}

func (f *faultFile) Truncate(size int64) error {
	return f.fs.change(call{op: "truncate", name: f.at(), end: size}, func() error {
		f.fs.undo.resizing(f.at(), size)
		err := f.File.Truncate(size)
		if err == nil {
			f.fs.trouble.sized(f.at(), size)
		}
		return err
	})
}

func (f *faultFile) Preallocate(size int64) error {
	return f.fs.change(call{op: "allocate", name: f.at(), end: size}, func() error {
		f.fs.undo.growing(f.at())
		err := f.File.Preallocate(size)
		if err == nil {
			f.fs.trouble.grown(f.at(), size)
		}
		return err
	})
}
