package remote

import (
	"errors"

	"github.com/varvelog/varve/tiering/segfile"
)

// extent is a range of an object, to is exclusive.
type extent struct{ from, to int64 }

// verify compares data, which is what the chunk holds or will hold, with the
// tail of its object, unless that was done. It tells whether it did it.
func (c *chunk) verify(data []byte, t *segfile.Tail) (first bool) {
	if c.verified.Load() {
		return false
	}
	c.verifying.Lock()
	defer c.verifying.Unlock()
	if c.verified.Load() {
		return false
	}
	for at := c.id.Offset; len(data) > 0; {
		err := t.VerifyRange(at, data)
		if err == nil {
			break
		}
		d := extent{at, at + int64(len(data))}
		var bad *segfile.BlockError
		if errors.As(err, &bad) && bad.To > at {
			d = extent{max(bad.From, at), min(bad.To, d.to)}
		}
		if n := len(c.damage); n > 0 && c.damage[n-1].to == d.from {
			c.damage[n-1].to = d.to
		} else {
			c.damage = append(c.damage, d)
		}
		data, at = data[d.to-at:], d.to
	}
	c.verified.Store(true)
	return true
}

// trust marks a chunk that the cache kept: it was verified before it was put
// there, and has a checksum of its own.
func (c *chunk) trust() { c.verified.Store(true) }

// sound returns the bytes of a verified chunk from off on, as far as they are
// what was committed. If the byte at off is not, it returns the range that is
// in doubt.
func (c *chunk) sound(off int64) (b []byte, bad extent) {
	b = c.data[off-c.id.Offset:]
	for _, d := range c.damage {
		switch {
		case d.to <= off:
		case d.from <= off:
			return nil, d
		default:
			return b[:d.from-off], bad
		}
	}
	return b, bad
}

// tailFor returns the tail of an object if it is in memory, or lies wholly in a
// chunk that begins at off. It is nil otherwise.
func (r *Reader) tailFor(o *object, off int64, data []byte) *segfile.Tail {
	if t := r.tails.peek(o.id); t != nil {
		return t
	}
	at := o.seg.TailOffset() - off
	if at < 0 || at > int64(len(data)) || off+int64(len(data)) != o.seg.ObjectBytes {
		return nil
	}
	t, err := r.parseTail(o, data[at:])
	if err != nil {
		return nil // whoever needs the tail says so
	}
	return t
}

// vouch verifies a chunk that the caller holds, and has it kept if nobody did
// so before and it is right.
func (r *Reader) vouch(c *chunk, t *segfile.Tail) {
	if !c.verify(c.data, t) || len(c.damage) > 0 {
		return
	}
	select {
	case r.writes <- struct{}{}:
	default:
		r.n.notKept.Add(1)
		return
	}
	if !r.table.retain(c) {
		<-r.writes
		return
	}
	go func() {
		defer r.running.Done()
		r.keep(c)
		<-r.writes
		r.table.release(c)
	}()
}

// vouchFor does that for the chunks in memory that a tail lies in.
func (r *Reader) vouchFor(o *object, t *segfile.Tail) {
	for off := r.chunkStart(o.seg.TailOffset()); off < o.seg.ObjectBytes; off += int64(r.o.ChunkBytes) {
		if c := r.table.hold(ChunkID{Object: o.id, Offset: off}); c != nil {
			r.vouch(c, t)
			r.table.release(c)
		}
	}
}

// keep writes a verified chunk to the cache. The caller has a slot for that.
func (r *Reader) keep(c *chunk) {
	if r.table.good(c) {
		r.o.Cache.Put(c.id, c.data)
	}
	if !r.table.good(c) { // it was found to be damaged meanwhile
		r.o.Cache.Drop(c.id)
	}
}
