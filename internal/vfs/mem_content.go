package vfs

import (
	"bytes"
	"io"
)

const (
	pageSize   = 4096 // what is written to a disk's cache independently
	sectorSize = 512  // what a disk writes as a whole or not at all

	// maxMemFile bounds the page table that one hostile offset can make.
	maxMemFile = 1 << 34
)

type page [pageSize]byte

// zeroPage stands for every page that was allocated and never written, or
// written with zeros as a whole. It is never private, so it is never changed.
var zeroPage page

// slot is the place of one page in a file. A nil page is a hole. A private page
// may be changed in place: it was made since the last sync and nothing else
// refers to it.
type slot struct {
	page    *page
	private bool
}

// undo remembers what a slot held before it was set.
type undo struct {
	index int64
	slot  slot
}

type pieceKind uint8

const (
	pieceWrite pieceKind = iota
	pieceTruncate
	piecePreallocate
)

type pieceFate uint8

const (
	fateOpen   pieceFate = iota // unsynced
	fateSynced                  // synced after a failed sync: survives
	fateDoomed                  // lost by a failed sync
)

// piece is an unsynced change. A write lies within one page.
type piece struct {
	kind pieceKind
	fate pieceFate
	off  int64  // of a write, in bytes; else the size asked for
	data []byte // never changed
}

// content is what a file holds: the pages as they read now, how to get back to
// those of the last sync, and the pieces that led from there to here.
type content struct {
	slots     []slot // pages beyond the last slot are holes
	size      int64
	allocated int64 // slots that have a page

	syncedSize int64
	undo       []undo // oldest first
	pieces     []piece
	doomed     bool // a piece is doomed, so pieces must be kept
}

// set puts a slot at index and remembers what it replaces.
func (c *content) set(index int64, s slot) {
	if index >= int64(len(c.slots)) {
		c.slots = append(c.slots, make([]slot, index+1-int64(len(c.slots)))...)
	}
	old := c.slots[index]
	c.undo = append(c.undo, undo{index, old})
	c.place(index, s)
}

func (c *content) place(index int64, s slot) {
	if c.slots[index].page != nil {
		c.allocated--
	}
	if s.page != nil {
		c.allocated++
	}
	c.slots[index] = s
}

// at returns the page at index, nil for a hole.
func (c *content) at(index int64) *page {
	if index >= int64(len(c.slots)) {
		return nil
	}
	return c.slots[index].page
}

// own returns the page at index for writing in place.
func (c *content) own(index int64) *page {
	if index < int64(len(c.slots)) && c.slots[index].private {
		return c.slots[index].page
	}
	p := new(page)
	if old := c.at(index); old != nil {
		*p = *old
	}
	c.set(index, slot{page: p, private: true})
	return p
}

// write puts data, which lies within one page and is never changed afterwards,
// at off.
func (c *content) write(data []byte, off int64) {
	if len(data) == pageSize {
		c.set(off/pageSize, slot{page: (*page)(data)})
	} else {
		copy(c.own(off / pageSize)[off%pageSize:], data)
	}
	c.size = max(c.size, off+int64(len(data)))
}

// read fills p from off and follows io.ReaderAt.
func (c *content) read(p []byte, off int64) (int, error) {
	if off >= c.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	var err error
	if left := c.size - off; int64(len(p)) > left {
		p, err = p[:left], io.EOF
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		k := min(len(p)-n, int(pageSize-at%pageSize))
		if pg := c.at(at / pageSize); pg != nil {
			copy(p[n:n+k], pg[at%pageSize:])
		} else {
			clear(p[n : n+k])
		}
		n += k
	}
	return n, err
}

// truncate sets the size and gives up the pages beyond it.
func (c *content) truncate(size int64) {
	for i := pagesIn(size); i < int64(len(c.slots)); i++ {
		if c.slots[i].page != nil {
			c.set(i, slot{})
		}
	}
	if last := size / pageSize; size < c.size && size%pageSize != 0 {
		if pg := c.at(last); pg != nil && pg != &zeroPage {
			clear(c.own(last)[size%pageSize:])
		}
	}
	c.size = size
}

// missing counts the holes in [0, size), in pages.
func (c *content) missing(size int64) int64 {
	pages := pagesIn(size)
	holes := max(pages-int64(len(c.slots)), 0)
	for _, s := range c.slots[:min(pages, int64(len(c.slots)))] {
		if s.page == nil {
			holes++
		}
	}
	return holes
}

// preallocate fills the holes in [0, size) and extends the file to size.
func (c *content) preallocate(size int64) {
	for i := range pagesIn(size) {
		if c.at(i) == nil {
			c.set(i, slot{page: &zeroPage})
		}
	}
	c.size = max(c.size, size)
}

// sync makes the content durable, unless a sync failed before: then what was
// unsynced at that time stays lost.
func (c *content) sync() {
	if c.doomed {
		c.decide(fateSynced)
		return
	}
	for _, u := range c.undo {
		c.slots[u.index].private = false
	}
	clear(c.undo)
	c.undo = c.undo[:0]
	clear(c.pieces)
	c.pieces = c.pieces[:0]
	c.syncedSize = c.size
}

// failSync dooms what is unsynced.
func (c *content) failSync() {
	c.decide(fateDoomed)
	c.doomed = c.doomed || len(c.pieces) > 0
}

func (c *content) decide(fate pieceFate) {
	for i := range c.pieces {
		if c.pieces[i].fate == fateOpen {
			c.pieces[i].fate = fate
		}
	}
}

// revert goes back to the last sync and returns the pieces that came after it.
func (c *content) revert() []piece {
	for i := len(c.undo) - 1; i >= 0; i-- {
		c.place(c.undo[i].index, c.undo[i].slot)
	}
	pieces := c.pieces
	c.undo, c.pieces, c.doomed = nil, nil, false
	c.size = c.syncedSize
	return pieces
}

// equalZero reports whether a page reads as zeros.
func equalZero(pg *page) bool {
	return pg == nil || pg == &zeroPage || bytes.Equal(pg[:], zeroPage[:])
}

func pagesIn(size int64) int64 { return (size + pageSize - 1) / pageSize }
