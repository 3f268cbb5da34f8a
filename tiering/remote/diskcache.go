package remote

import (
	"cmp"
	"errors"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// DiskOptions are the settings of a Cache on disk. A value of 0 means the
// default.
type DiskOptions struct {
	// FS is the data directory.
	FS vfs.FS
	// Dir is the cache's directory in FS, its alone. Default "cache".
	Dir string
	// Root is the path of FS in the operating system, below which the index is
	// opened. Empty: there is no index, and after a restart the order of use is
	// that of names.
	Root string
	// Bytes bounds the space that chunks take. Default 1 GiB. Each counts as at
	// least 64 KiB.
	Bytes int64
	// ReserveBytes is how much of the disk stays free: below that nothing is
	// written and chunks are given up. Default 256 MiB; negative: none.
	ReserveBytes int64
	// MaxAge is after how long without a use Expire forgets a chunk. Default
	// 24 h.
	MaxAge time.Duration
	// Now is the clock of ages. Default time.Now.
	Now func() time.Time
	// Log is told once when the disk begins to fail. Default: nobody.
	Log *slog.Logger
}

const (
	chunkCostMin   = 64 << 10
	blockBytes     = 4 << 10
	evictMax       = 256              // chunks that one Put evicts
	giveUpMax      = 4                // chunks that are given up when the disk is full
	pauseAfterFull = time.Minute      // without writes
	useSaveAge     = 10 * time.Minute // between two notes of uses of a chunk
	strayMax       = 1024             // files without a chunk's name that opening removes
)

// diskCache is a Cache in files of one chunk each.
type diskCache struct {
	o    DiskOptions
	dir  string // of chunks, in o.FS
	once sync.Once

	mu      sync.Mutex
	opened  bool
	closed  bool
	off     bool // the directory cannot be used
	chunks  *lru[ChunkID, cached]
	writing int64     // cost of chunks that are being written
	pause   time.Time // no writes before
	failing bool      // and logged
	stats   CacheStats
	index   *chunkIndex    // nil: none, or it failed
	broken  *chunkIndex    // one that failed
	noting  sync.WaitGroup // users of index; Add under mu, while not closed
}

// cached is a chunk that has a file.
type cached struct {
	n       int
	usedMs  int64
	savedMs int64 // usedMs in the index
}

// NewDiskCache returns a Cache in a directory that survives restarts. It is
// opened by its first use; New does no I/O. What fails only makes it forget.
func NewDiskCache(o DiskOptions) Cache {
	if o.Dir == "" {
		o.Dir = "cache"
	}
	orDefault(&o.Bytes, 1<<30)
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 256 << 20
	}
	orDefault(&o.MaxAge, 24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &diskCache{o: o, dir: path.Join(o.Dir, "chunks"), chunks: newLRU[ChunkID, cached]()}
}

// cost is the space that a chunk counts as.
func (d *diskCache) cost(n int) int64 {
	return max((int64(n)+chunkHeaderBytes+blockBytes-1)/blockBytes*blockBytes, chunkCostMin)
}

func (d *diskCache) file(id ChunkID) string { return path.Join(d.dir, chunkName(id)) }

// ready opens the cache the first time and tells whether it can be used.
func (d *diskCache) ready() bool {
	d.once.Do(d.open)
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.closed && !d.off
}

// open finds out what the directory holds. The files say what there is, and the
// index when it was used; a file that the index does not know counts as
// half as old as can be.
func (d *diskCache) open() {
	err := d.o.FS.MkdirAll(d.dir)
	var entries []vfs.Entry
	if err == nil {
		entries, err = d.o.FS.List(d.dir)
	}
	if err != nil {
		d.fail("open", err)
		d.mu.Lock()
		d.off = true
		d.mu.Unlock()
		return
	}
	index, uses := d.openIndex()
	type found struct {
		id ChunkID
		c  cached
	}
	var all []found
	strays := 0
	unknown := d.o.Now().Add(-d.o.MaxAge / 2).UnixMilli()
	for _, e := range entries {
		id, ok := parseChunkName(e.Name)
		n := e.Size - chunkHeaderBytes
		if !ok || e.Dir || n <= 0 || n > d.o.Bytes {
			if strays++; strays <= strayMax {
				_ = d.o.FS.Remove(path.Join(d.dir, e.Name))
			}
			continue
		}
		c := cached{n: int(n), usedMs: unknown}
		if u, ok := uses[id]; ok {
			c.usedMs, c.savedMs = u.usedMs, u.usedMs
		}
		delete(uses, id)
		all = append(all, found{id, c})
	}
	// Names are in order, so that equal ages are.
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.c.usedMs, b.c.usedMs) })
	d.mu.Lock()
	for _, f := range all {
		d.chunks.put(f.id, f.c, d.cost(f.c.n))
	}
	d.opened, d.index = true, index
	d.mu.Unlock()
	gone := make([]ChunkID, 0, len(uses))
	for id := range uses { // order: that of deletions does not show
		gone = append(gone, id)
	}
	d.note(nil, gone)
}

// openIndex opens the index and reads it. If it is damaged it begins anew, and if
// that fails too there is none.
func (d *diskCache) openIndex() (*chunkIndex, map[ChunkID]use) {
	if d.o.Root == "" || !d.roomy() {
		return nil, nil
	}
	name := path.Join(d.o.Dir, "index")
	for try := range 2 {
		x, err := openIndex(filepath.Join(d.o.Root, filepath.FromSlash(name)), d.o.Log)
		if err == nil {
			var uses map[ChunkID]use
			if uses, err = x.load(int(d.o.Bytes / chunkCostMin * 2)); err == nil {
				return x, uses
			}
			err = errors.Join(err, x.close())
		}
		d.fail("open index", err)
		if try > 0 || errors.Is(err, errIndexLocked) {
			break
		}
		d.clearIndex(name)
	}
	return nil, nil
}

// clearIndex removes the files of the index.
func (d *diskCache) clearIndex(name string) {
	entries, err := d.o.FS.List(name)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.Dir {
			_ = d.o.FS.Remove(path.Join(name, e.Name))
		}
	}
}

// roomy tells whether the disk has the space that must stay free. Badger maps
// files that have holes, and a full disk would end the process there: so nothing
// is written to the index either if this is false.
func (d *diskCache) roomy() bool {
	if d.o.ReserveBytes < 0 {
		return true
	}
	free, err := d.o.FS.Free()
	return err == nil && free >= d.o.ReserveBytes
}

// fail notes a failure, and logs the first of several.
func (d *diskCache) fail(step string, err error) {
	d.mu.Lock()
	first := !d.failing
	d.failing = true
	d.stats.Errors++
	d.mu.Unlock()
	if first {
		d.o.Log.Warn("the cache of the cold tier fails; reads go to the store",
			slog.String("step", step), slog.Any("error", err))
	}
}

// note writes uses of chunks, and that others are gone, to the index.
func (d *diskCache) note(used []ChunkID, gone []ChunkID) {
	if len(used)+len(gone) == 0 {
		return
	}
	d.mu.Lock()
	index := d.index
	if index == nil || d.closed {
		d.mu.Unlock()
		return
	}
	d.noting.Add(1)
	uses := d.saved(&used)
	d.mu.Unlock()
	defer d.noting.Done()
	if d.roomy() {
		d.indexed(index.put(used, uses, gone))
	}
}

// saved returns what the index is to know of chunks, and leaves those in ids that
// are still there. The caller holds the mutex.
func (d *diskCache) saved(ids *[]ChunkID) []use {
	known, uses := (*ids)[:0], make([]use, 0, len(*ids))
	for _, id := range *ids {
		if c := d.chunks.peek(id); c != nil {
			c.savedMs = c.usedMs
			known, uses = append(known, id), append(uses, use{n: c.n, usedMs: c.usedMs})
		}
	}
	*ids = known
	return uses
}

// indexed gives the index up if it failed. It is closed in the end.
func (d *diskCache) indexed(err error) {
	if err == nil {
		return
	}
	d.fail("write index", err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken, d.index = d.index, nil
}

// Close implements Cache.
func (d *diskCache) Close() {
	d.once.Do(func() {}) // nobody opens it any more, or has
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.closed = true
	d.mu.Unlock()
	d.noting.Wait()

	d.mu.Lock()
	index := d.index
	if index == nil {
		index = d.broken
	}
	var unsaved []ChunkID
	d.chunks.each(func(id ChunkID, c *cached) {
		if c.usedMs != c.savedMs {
			unsaved = append(unsaved, id)
		}
	})
	uses := d.saved(&unsaved)
	healthy := d.index != nil
	d.mu.Unlock()
	// Closing writes, too: on a full disk the index is left as it is, with its
	// goroutines, as it would be by a crash.
	if index == nil || !d.roomy() {
		return
	}
	if healthy && len(unsaved) > 0 {
		d.indexed(index.put(unsaved, uses, nil))
	}
	if err := index.close(); err != nil {
		d.fail("close index", err)
	}
}
