package vfs

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashOptions says what may survive a power loss. The zero value loses
// everything that is not durable.
type CrashOptions struct {
	// Keep is how likely an unsynced piece of a file survives. With 0 or less
	// nothing unsynced survives, with 1 or more everything does, names
	// included. In between, some files lose or keep everything as well, and
	// each directory keeps a prefix of its unsynced operations of a length
	// drawn uniformly.
	Keep float64
	// Tear lets a piece survive in a part of its sectors.
	Tear bool
	// Reorder lets pieces of a file survive that are later than lost ones.
	// Without it, a prefix of a file's pieces survives, of a length drawn
	// uniformly; with Tear the first piece after it may be torn.
	Reorder bool
}

// Crash returns the disk as it could look if power were lost now; what survives
// is drawn from rng. m is dead afterwards, and locks are gone. A Crash of a dead
// Mem returns an empty one. The cost is that of the number of names and of the
// pieces written since the last syncs, not of the amount of data.
func (m *Mem) Crash(rng *rand.Rand, how CrashOptions) *Mem {
	next := m.succeed()
	surviveNames(next.ops, rng, how.Keep)
	next.ops = nil
	next.recover(next.root, rng, how)
	return next
}

// Kill returns the disk as the next process finds it if this one dies with the
// power on: nothing written is lost, but what was unsynced still is, and a later
// Crash may take it. m is dead afterwards, and locks are gone.
func (m *Mem) Kill() *Mem {
	next := m.succeed()
	next.release(next.root)
	return next
}

// succeed moves what m holds to a new Mem with no space counted yet.
func (m *Mem) succeed() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := &Mem{direct: m.direct, capacity: m.capacity, root: m.root, ops: m.ops}
	m.root, m.ops, m.used, m.dead = newDir(), nil, 0, true
	return next
}

// release resets what handles of a dead process held, below dir.
func (m *Mem) release(dir *node) {
	for _, n := range dir.live {
		if n.isDir() {
			m.release(n)
			continue
		}
		n.opens, n.locked = 0, false
		m.used += n.allocated * pageSize
	}
}

// surviveNames commits what survives of the unsynced operations: of each
// directory's a prefix, and each operation in all of its directories or in none.
func surviveNames(ops []dirOp, rng *rand.Rand, keep float64) {
	left := map[*node]int{} // operations of a directory that may still survive
	var order []*node
	for i := range ops {
		for d := range ops[i].dirs {
			if left[d] == 0 {
				order = append(order, d)
			}
			left[d]++
		}
	}
	for _, d := range order {
		left[d] = prefix(rng, keep, left[d])
	}
	for i := range ops {
		survives := true
		for d := range ops[i].dirs {
			survives = survives && left[d] > 0
		}
		for d := range ops[i].dirs {
			if survives {
				left[d]--
			} else {
				left[d] = 0
			}
		}
		if survives {
			ops[i].commit()
		}
	}
}

// prefix draws how many of n operations in order survive.
func prefix(rng *rand.Rand, keep float64, n int) int {
	switch {
	case keep <= 0:
		return 0
	case keep >= 1:
		return n
	}
	return rng.IntN(n + 1)
}

// recover makes what is durable below dir live, in the order of names, so that
// rng is used in the same order every time.
func (m *Mem) recover(dir *node, rng *rand.Rand, how CrashOptions) {
	dir.live = maps.Clone(dir.durable)
	for _, name := range slices.Sorted(maps.Keys(dir.live)) {
		n := dir.live[name]
		if n.isDir() {
			m.recover(n, rng, how)
			continue
		}
		n.opens, n.unlinked, n.locked = 0, false, false
		if len(n.pieces) > 0 {
			n.crash(rng, how)
		}
		m.used += n.allocated * pageSize
	}
}

// crash leaves of the unsynced pieces what survives.
func (c *content) crash(rng *rand.Rand, how CrashOptions) {
	pieces := c.revert()
	masks := survivors(pieces, rng, how)
	for i, p := range pieces {
		switch {
		case masks[i] == 0:
		case p.kind == pieceTruncate:
			c.truncate(p.off)
		case p.kind == piecePreallocate:
			c.preallocate(p.off)
		default:
			c.writeSectors(p, masks[i])
		}
	}
	c.sync()
}

// writeSectors writes the part of a piece that lies in the sectors of mask.
func (c *content) writeSectors(p piece, mask uint8) {
	if mask == p.sectors() {
		c.write(p.data, p.off)
		return
	}
	start := p.off / pageSize * pageSize
	end := p.off + int64(len(p.data))
	for s := range int64(pageSize / sectorSize) {
		from := max(start+s*sectorSize, p.off)
		to := min(start+(s+1)*sectorSize, end)
		if mask&(1<<s) != 0 && from < to {
			c.write(p.data[from-p.off:to-p.off], from)
		}
	}
}

// sectors returns the sectors of its page that a write touches, one bit each; a
// change of size counts as one sector.
func (p *piece) sectors() uint8 {
	if p.kind != pieceWrite || len(p.data) == 0 {
		return 1
	}
	first := p.off % pageSize / sectorSize
	last := (p.off%pageSize + int64(len(p.data)) - 1) / sectorSize
	return uint8(1<<(last+1) - 1<<first)
}

// survivors draws for each piece in which of its sectors it survives.
func survivors(pieces []piece, rng *rand.Rand, how CrashOptions) []uint8 {
	masks := make([]uint8, len(pieces))
	draw(masks, pieces, rng, how)
	for i := range pieces {
		switch pieces[i].fate {
		case fateSynced:
			masks[i] = pieces[i].sectors()
		case fateDoomed:
			masks[i] = 0
		}
	}
	closeOver(masks, pieces)
	return masks
}

// closeOver adds what must have survived because something later did. A sector
// never holds a mixture: with a later piece earlier ones survive in it, because
// they were in the sector that the later one changed. And what was written into
// or beyond a page that an unsynced Truncate cut cannot show without it.
func closeOver(masks []uint8, pieces []piece) {
	later := map[int64]uint8{} // by page: sectors that a later piece brings
	var end int64              // of the later writes that survive
	for i := len(pieces) - 1; i >= 0; i-- {
		p := &pieces[i]
		switch p.kind {
		case pieceTruncate:
			if end > p.off/pageSize*pageSize {
				masks[i] = p.sectors()
			}
		case pieceWrite:
			index := p.off / pageSize
			masks[i] |= later[index] & p.sectors()
			if masks[i] != 0 {
				later[index] |= masks[i]
				end = max(end, p.off+int64(len(p.data)))
			}
		}
	}
}

func draw(masks []uint8, pieces []piece, rng *rand.Rand, how CrashOptions) {
	const nothing, everything, choices = 0, 1, 8
	choice := rng.IntN(choices)
	switch {
	case how.Keep <= 0 || how.Keep < 1 && choice == nothing:
		return
	case how.Keep >= 1 || choice == everything:
		for i := range pieces {
			masks[i] = pieces[i].sectors()
		}
	case how.Reorder:
		for i := range pieces {
			if how.Tear && rng.IntN(4) == 0 {
				masks[i] = pieces[i].sectors() & uint8(rng.Uint32())
			} else if rng.Float64() < how.Keep {
				masks[i] = pieces[i].sectors()
			}
		}
	default:
		n := prefix(rng, how.Keep, len(pieces))
		for i := range n {
			masks[i] = pieces[i].sectors()
		}
		if how.Tear && n < len(pieces) {
			masks[n] = pieces[n].sectors() & uint8(rng.Uint32())
		}
	}
}

// Digest returns a hash of all names, sizes and contents as they read now, the
// same for equal disks. Whether a page of zeros is a hole does not matter. A
// dead Mem has the digest of an empty one.
func (m *Mem) Digest() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sha256.New()
	digestDir(h, m.root)
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

func digestDir(h hash.Hash, dir *node) {
	for _, name := range slices.Sorted(maps.Keys(dir.live)) {
		n := dir.live[name]
		digestString(h, name)
		if n.isDir() {
			digestInt(h, -1)
			digestDir(h, n)
			continue
		}
		digestInt(h, n.size)
		for i, s := range n.slots {
			if !equalZero(s.page) {
				digestInt(h, int64(i))
				h.Write(s.page[:])
			}
		}
		digestInt(h, -1)
	}
	digestInt(h, -2)
}

func digestString(h hash.Hash, s string) {
	digestInt(h, int64(len(s)))
	h.Write([]byte(s))
}

func digestInt(h hash.Hash, v int64) {
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(v)))
}
