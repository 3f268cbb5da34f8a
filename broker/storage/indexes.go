package storage

import (
	"container/list"
	"sync"
)

// cachedIndex is the entries of the first covered bytes of an index file. The
// entries never change.
type cachedIndex struct {
	g       *segment
	covered int64
	entries []indexEntry
}

func (x *cachedIndex) bytes() int64 { return int64(len(x.entries))*indexEntrySize + 128 }

// indexCache keeps the most recently used indexes. The most recent one stays,
// whatever its size.
type indexCache struct {
	mu      sync.Mutex
	max     int64
	used    int64
	byID    map[*segment]*list.Element
	lru     *list.List // of *cachedIndex, most recent first
	loads   int64
	rebuilt int64
}

func (c *indexCache) init(limit int64) {
	c.max, c.byID, c.lru = limit, map[*segment]*list.Element{}, list.New()
}

// get returns what is known of g's index, or nil.
func (c *indexCache) get(g *segment) *cachedIndex {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[g]
	if e == nil {
		return nil
	}
	c.lru.MoveToFront(e)
	return e.Value.(*cachedIndex)
}

// put stores x unless more is known already.
func (c *indexCache) put(x *cachedIndex, rebuilt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loads++
	if rebuilt {
		c.rebuilt++
	}
	if x.g.gone.Load() {
		return
	}
	if e := c.byID[x.g]; e != nil {
		old := e.Value.(*cachedIndex)
		if old.covered >= x.covered {
			return
		}
		c.remove(e)
	}
	c.byID[x.g] = c.lru.PushFront(x)
	c.used += x.bytes()
	for c.used > c.max && c.lru.Len() > 1 {
		c.remove(c.lru.Back())
	}
}

func (c *indexCache) remove(e *list.Element) {
	x := c.lru.Remove(e).(*cachedIndex)
	delete(c.byID, x.g)
	c.used -= x.bytes()
}

func (c *indexCache) drop(g *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[g]; e != nil {
		c.remove(e)
	}
}

// noteRebuilt counts an index that Open had to rebuild.
func (c *indexCache) noteRebuilt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rebuilt++
}

func (c *indexCache) stats() (used, loads, rebuilt int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, c.loads, c.rebuilt
}
