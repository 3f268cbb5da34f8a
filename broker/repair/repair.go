package repair

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"

	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/vfs"
)

// quarantineDir holds a directory for each repair, by number
// (docs/format/directory.md).
const quarantineDir = "quarantine"

const (
	halfSuffix = ".repair"
	copyBytes  = 1 << 20
)

// ErrStale: the report is not one that Inspect made just before.
var ErrStale = errors.New("repair: the report has no plan; inspect again")

// Repair does what the report of an Inspect of the same directory announced, and
// sets Report.Quarantine. Nothing may have changed in between. After an error, or
// a crash, Inspect and Repair go on from what is there. It fails with ErrObstacle
// if the directory cannot be repaired. It blocks.
func Repair(fs vfs.FS, o Options, r *Report) error {
	switch {
	case r.plan == nil:
		return ErrStale
	case r.Obstacle != "":
		return fmt.Errorf("%w: %s", ErrObstacle, r.Obstacle)
	case !r.Needed:
		return nil
	}
	p := r.plan
	r.plan = nil
	q, err := newQuarantine(fs)
	if err != nil {
		return fmt.Errorf("make the quarantine: %w", err)
	}
	r.Quarantine = q.dir
	if err := q.fill(r, p); err != nil {
		return fmt.Errorf("copy what is damaged to %s: %w", q.dir, err)
	}
	if err := q.begin(); err != nil {
		return fmt.Errorf("begin the repair: %w", err)
	}
	failpoint.Hit(failpoint.RepairKept)
	for i := range p.rewrites {
		if err := p.rewrites[i].do(fs); err != nil {
			return fmt.Errorf("write %s again: %w", p.rewrites[i].data, err)
		}
	}
	failpoint.Hit(failpoint.RepairSegments)
	if err := p.replaceLog(fs, o, q.dir+"/wal"); err != nil {
		return err
	}
	return finished(fs, append(p.unfinished, q.dir))
}

// replaceLog puts the new log in the place of the old one, whose files go to a
// directory.
func (p *plan) replaceLog(fs vfs.FS, o Options, to string) error {
	if !p.newLog {
		return p.salvaged.Retire(fs, to)
	}
	log, err := p.salvaged.Prepare(fs, o.WAL.Entropy, p.groups)
	if err != nil {
		return fmt.Errorf("write the new write-ahead log: %w", err)
	}
	failpoint.Hit(failpoint.RepairPrepared)
	if err := log.Commit(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.RepairCounts)
	return log.Retire(to)
}

// quarantine is one directory of what a repair replaced.
type quarantine struct {
	fs  vfs.FS
	dir string
}

// newQuarantine makes the next directory.
func newQuarantine(fs vfs.FS) (*quarantine, error) {
	entries, err := fs.List(quarantineDir)
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return nil, err
	}
	next := uint64(1)
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name, 10, 32); err == nil {
			next = max(next, n+1)
		}
	}
	q := &quarantine{fs: fs, dir: fmt.Sprintf("%s/%06d", quarantineDir, next)}
	return q, fs.MkdirAll(q.dir + "/wal")
}

// fill copies everything that will be changed, and writes the report.
func (q *quarantine) fill(r *Report, p *plan) error {
	for i := range p.salvaged.Holes {
		h := &p.salvaged.Holes[i]
		if h.File == "" || h.Offset < 0 {
			continue
		}
		to := fmt.Sprintf("%s/wal/%s@%d", q.dir, path.Base(h.File), h.Offset)
		if err := q.copy(h.File, to, h.Offset, h.To-h.From); err != nil {
			return err
		}
	}
	for i := range p.rewrites {
		w := &p.rewrites[i]
		for _, name := range []string{w.data, w.index} {
			if name == "" || name == w.data && w.missing {
				continue
			}
			if err := q.keep(name); err != nil {
				return err
			}
		}
	}
	for _, name := range p.copies {
		if err := q.keep(name); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(q.fs, q.dir+"/report.json", append(text, '\n'))
}

// keep copies a whole file under its own name.
func (q *quarantine) keep(name string) error {
	dir := q.dir + "/" + path.Dir(name)
	if err := q.fs.MkdirAll(dir); err != nil {
		return err
	}
	return q.copy(name, q.dir+"/"+name, 0, 1<<62)
}

// copy copies n bytes of a file, or as many as there are, and makes them durable.
func (q *quarantine) copy(from, to string, off, n int64) error {
	if n <= 0 {
		return nil
	}
	src, err := q.fs.Open(from)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := q.fs.Create(to)
	if errors.Is(err, vfs.ErrExist) {
		return nil // two places of one file
	}
	if err != nil {
		return err
	}
	buf := make([]byte, min(copyBytes, n))
	for at := int64(0); at < n && err == nil; {
		k, rerr := src.ReadAt(buf[:min(int64(len(buf)), n-at)], off+at)
		if k > 0 {
			_, err = dst.WriteAt(buf[:k], at)
		}
		at += int64(k)
		if errors.Is(rerr, io.EOF) {
			break
		}
		err = errors.Join(err, rerr)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return err
	}
	return q.fs.SyncDir(path.Dir(to))
}

// do writes a segment again without what is damaged. Its index goes first: a
// broker makes it again from the segment.
func (w *rewrite) do(fs vfs.FS) error {
	dir := path.Dir(w.data)
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	if err := w.write(fs, w.data+halfSuffix); err != nil {
		return err
	}
	if w.index != "" {
		if err := fs.Remove(w.index); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return err
		}
		if err := fs.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := fs.Rename(w.data+halfSuffix, w.data); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

func (w *rewrite) write(fs vfs.FS, name string) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	dst, err := fs.Create(name)
	if err != nil {
		return err
	}
	if len(w.batches) > 0 {
		err = w.copyTo(fs, dst)
	}
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}

func (w *rewrite) copyTo(fs vfs.FS, dst vfs.File) error {
	src, err := fs.Open(w.data)
	if err != nil {
		return err
	}
	defer src.Close()
	var buf []byte
	at := int64(0)
	for i := range w.batches {
		b := &w.batches[i]
		if n := b.header.Size(); cap(buf) < n {
			buf = make([]byte, n)
		}
		buf = buf[:b.header.Size()]
		if n, err := src.ReadAt(buf, b.pos); n < len(buf) {
			return fmt.Errorf("read a batch at %d: %w", b.pos, errors.Join(err, io.ErrUnexpectedEOF))
		}
		b.fix(buf)
		if _, err := dst.WriteAt(buf, at); err != nil {
			return err
		}
		at += int64(len(buf))
	}
	return nil
}
