package remote

import (
	"errors"

	"github.com/varvelog/varve/internal/vfs"
)

// Get implements Cache.
func (d *diskCache) Get(id ChunkID, into []byte) bool {
	if !d.ready() {
		return false
	}
	now := d.o.Now().UnixMilli()
	d.mu.Lock()
	c, ok := d.chunks.get(id)
	save := false
	if ok {
		p := d.chunks.peek(id)
		p.usedMs = max(p.usedMs, now)
		save = p.usedMs-p.savedMs > useSaveAge.Milliseconds()
	}
	d.mu.Unlock()
	if !ok {
		return false
	}
	if c.n != len(into) { // of another chunk size
		d.Drop(id)
		return false
	}
	if err := readChunk(d.o.FS, d.file(id), id, into); err != nil {
		d.fail("read chunk", err)
		d.Drop(id)
		return false
	}
	if save {
		d.note([]ChunkID{id}, nil)
	}
	return true
}

// Has implements Cache.
func (d *diskCache) Has(id ChunkID) bool {
	if !d.ready() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.chunks.peek(id) != nil
}

// Put implements Cache.
func (d *diskCache) Put(id ChunkID, data []byte) {
	if len(data) == 0 || !d.ready() {
		return
	}
	if !d.roomy() {
		d.giveUp()
		return
	}
	cost := d.cost(len(data))
	if cost > d.o.Bytes {
		return
	}
	now := d.o.Now()
	d.mu.Lock()
	if now.Before(d.pause) {
		d.mu.Unlock()
		return
	}
	failures := d.stats.Errors
	had := d.chunks.remove(id)
	gone, fits := d.evict(d.o.Bytes-cost, evictMax)
	switch {
	case fits:
		d.writing += cost
	case had:
		gone = append(gone, id)
	}
	d.mu.Unlock()
	d.unlink(gone)
	if !fits {
		return
	}
	err := writeChunk(d.o.FS, d.file(id), id, data)
	d.mu.Lock()
	d.writing -= cost
	if err == nil {
		d.chunks.put(id, cached{n: len(data), usedMs: now.UnixMilli()}, cost)
		// What others met since this write began is newer than its success.
		d.failing = d.failing && d.stats.Errors != failures
	} else if errors.Is(err, vfs.ErrNoSpace) {
		d.pause = now.Add(pauseAfterFull)
	}
	d.mu.Unlock()
	switch {
	case err == nil:
		d.note([]ChunkID{id}, nil)
	case errors.Is(err, vfs.ErrNoSpace):
		d.fail("write chunk", err)
		d.giveUp()
	default:
		d.fail("write chunk", err)
		if errors.Is(err, vfs.ErrNotExist) { // somebody removed the directory
			_ = d.o.FS.MkdirAll(d.dir)
		}
	}
}

// evict takes the oldest chunks out until all cost at most max, and tells
// whether they do. The caller holds the mutex, and unlinks them later.
func (d *diskCache) evict(max int64, n int) (gone []ChunkID, fits bool) {
	for d.chunks.cost+d.writing > max {
		id, _, ok := d.chunks.oldest()
		if !ok || len(gone) == n {
			return gone, false
		}
		d.chunks.remove(id)
		d.stats.Evictions++
		gone = append(gone, id)
	}
	return gone, true
}

// giveUp lets go of a few chunks, for others that need the disk.
func (d *diskCache) giveUp() {
	d.mu.Lock()
	gone, _ := d.evict(0, giveUpMax)
	d.mu.Unlock()
	d.unlink(gone)
}

// unlink removes the files of chunks that were taken out.
func (d *diskCache) unlink(gone []ChunkID) {
	for _, id := range gone {
		if err := d.o.FS.Remove(d.file(id)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			d.fail("remove chunk", err)
		}
	}
	d.note(nil, gone)
}

// Drop implements Cache.
func (d *diskCache) Drop(id ChunkID) {
	if !d.ready() {
		return
	}
	d.mu.Lock()
	known := d.chunks.remove(id)
	d.mu.Unlock()
	if known {
		d.unlink([]ChunkID{id})
	}
}

// expireMax is how many chunks one Expire forgets.
const expireMax = 256

// Expire implements Cache.
func (d *diskCache) Expire() {
	before := d.o.Now().Add(-d.o.MaxAge).UnixMilli()
	var gone []ChunkID
	d.mu.Lock()
	for d.opened && !d.closed && len(gone) < expireMax {
		id, c, ok := d.chunks.oldest()
		if !ok || c.usedMs >= before {
			break
		}
		d.chunks.remove(id)
		d.stats.Evictions++
		gone = append(gone, id)
	}
	d.mu.Unlock()
	d.unlink(gone)
}

// Stats implements Cache.
func (d *diskCache) Stats() CacheStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Bytes, s.Chunks = d.chunks.cost, int64(d.chunks.len())
	return s
}

var _ Cache = (*diskCache)(nil)
