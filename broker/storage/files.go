package storage

import (
	"container/list"
	"sync"

	"github.com/varvelog/varve/internal/vfs"
)

// fileID names an open file: runs write a segment through a direct handle,
// everything else uses a buffered one.
type fileID struct {
	g      *segment
	direct bool
}

// handle is an open segment file that its users share. It is closed when it has
// left the cache and the last of them released it.
type handle struct {
	vfs.File
	id   fileID
	refs int
	elem *list.Element // nil: left the cache
}

// fileCache keeps the most recently used files open. Files are opened and
// closed outside its mutex.
type fileCache struct {
	mu   sync.Mutex
	max  int
	byID map[fileID]*handle
	lru  *list.List // of *handle, most recent first
}

func (c *fileCache) init(limit int) {
	c.max, c.byID, c.lru = limit, map[fileID]*handle{}, list.New()
}

// acquire returns a file, opened with open if it is not.
func (c *fileCache) acquire(id fileID, open func() (vfs.File, error)) (*handle, error) {
	if h := c.lookup(id); h != nil {
		return h, nil
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	h, evicted := c.byID[id], []*handle(nil)
	if h != nil { // somebody was faster
		h.refs++
	} else if h, f = (&handle{File: f, id: id, refs: 1}), nil; !id.g.gone.Load() {
		h.elem = c.lru.PushFront(h)
		c.byID[id] = h
		evicted = c.shrink()
	}
	c.mu.Unlock()
	if f != nil {
		f.Close()
	}
	closeAll(evicted)
	return h, nil
}

func (c *fileCache) lookup(id fileID) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.byID[id]
	if h != nil {
		h.refs++
		c.lru.MoveToFront(h.elem)
	}
	return h
}

// shrink takes unused handles out until the limit holds. The caller closes
// them without the mutex.
func (c *fileCache) shrink() []*handle {
	var out []*handle
	for e := c.lru.Back(); e != nil && c.lru.Len() > c.max; {
		h := e.Value.(*handle)
		e = e.Prev()
		if h.refs == 0 {
			c.remove(h)
			out = append(out, h)
		}
	}
	return out
}

func (c *fileCache) remove(h *handle) {
	c.lru.Remove(h.elem)
	h.elem = nil
	delete(c.byID, h.id)
}

func (c *fileCache) release(h *handle) {
	c.mu.Lock()
	h.refs--
	shut := h.refs == 0 && h.elem == nil
	evicted := c.shrink()
	c.mu.Unlock()
	if shut {
		h.Close()
	}
	closeAll(evicted)
}

// drop takes the files of g, which is marked gone, out of the cache.
func (c *fileCache) drop(g *segment) {
	var unused []*handle
	c.mu.Lock()
	for _, direct := range []bool{false, true} {
		h := c.byID[fileID{g, direct}]
		if h == nil {
			continue
		}
		c.remove(h)
		if h.refs == 0 {
			unused = append(unused, h)
		}
	}
	c.mu.Unlock()
	closeAll(unused)
}

// dropDirect takes the direct handle of g, which gets no more runs, out of the
// cache.
func (c *fileCache) dropDirect(g *segment) {
	c.mu.Lock()
	h := c.byID[fileID{g, true}]
	if h != nil {
		c.remove(h)
		if h.refs > 0 {
			h = nil // its last user closes it
		}
	}
	c.mu.Unlock()
	if h != nil {
		h.Close()
	}
}

func (c *fileCache) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Len()
}

// closeAll closes files that were only read, or whose writes Sync has reported
// or will report through another handle of the same file.
func closeAll(handles []*handle) {
	for _, h := range handles {
		h.Close()
	}
}
