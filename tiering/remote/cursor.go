package remote

import (
	"context"
	"errors"
	"log/slog"

	"github.com/varvelog/varve/tiering/segfile"
)

// span is a range of an object whose chunks have to come from the store and be
// younger than the chunk that was born as after. The zero value is none.
type span struct {
	from, to int64
	after    uint64
}

// cursor reads an object through its chunks. It holds one of them at most, and
// none while it waits for another: so readers cannot wait for each other's
// memory.
type cursor struct {
	r     *Reader
	o     *object
	tail  *segfile.Tail // nil: it is what is being read
	fresh span
	c     *chunk // nil: none
	at    int64  // where c begins in the object
	seen  uint64 // the youngest chunk that was at hand
}

func (u *cursor) close() {
	if u.c != nil {
		u.r.table.release(u.c)
		u.c = nil
	}
}

// holds tells whether a byte of the object is in the chunk at hand.
func (u *cursor) holds(off int64) bool {
	return u.c != nil && off >= u.at && off < u.at+int64(u.c.n)
}

// cheap tells whether a byte of the object is there without a download.
func (u *cursor) cheap(off int64) bool {
	if u.holds(off) {
		return true
	}
	id := ChunkID{Object: u.o.id, Offset: u.r.chunkStart(off)}
	if u.after(id.Offset) > 0 {
		return false
	}
	here, ready := u.r.table.listedNow(id)
	return ready || (!here && u.r.o.Cache.Has(id))
}

// after returns the mark that counts for the chunk at off.
func (u *cursor) after(off int64) uint64 {
	if off < u.fresh.to && off+int64(u.r.o.ChunkBytes) > u.fresh.from {
		return u.fresh.after
	}
	return 0
}

// rest returns the bytes of the object from off to the end of its chunk, or to
// the first block in that which is not what was committed. They are valid until
// the next call. Without a tail they are not verified.
func (u *cursor) rest(ctx context.Context, off int64) ([]byte, error) {
	if !u.holds(off) {
		u.close()
		at := u.r.chunkStart(off)
		c, err := u.r.chunk(ctx, u.o, at, u.after(at))
		if err != nil {
			return nil, err
		}
		u.c, u.at, u.seen = c, at, max(u.seen, c.born)
	}
	if u.tail == nil {
		return u.c.data[off-u.at:], nil
	}
	u.r.vouch(u.c, u.tail)
	b, bad := u.c.sound(off)
	if len(b) == 0 {
		return nil, u.damage(off, bad.from, bad.to, "checksum of a block")
	}
	return b, nil
}

// copy fills into with the object's bytes from off on.
func (u *cursor) copy(ctx context.Context, into []byte, off int64) error {
	for len(into) > 0 {
		b, err := u.rest(ctx, off)
		if err != nil {
			return err
		}
		n := copy(into, b)
		into, off = into[n:], off+int64(n)
	}
	return nil
}

// damage reports what is not what was committed.
func (u *cursor) damage(at, from, to int64, reason string) error {
	return &damageError{key: u.r.key(u.o), at: at, from: from, to: to, seen: u.seen, reason: reason}
}

// mend calls read, and if that finds damage once more, with the range that is in
// doubt to be taken from the store.
func (r *Reader) mend(o *object, read func(fresh span) error) error {
	err := read(span{})
	var d *damageError
	if !errors.As(err, &d) {
		return err
	}
	id := ChunkID{Object: o.id, Offset: d.from}
	if r.failures.recent(id, r.o.Now()) {
		return err
	}
	r.n.damaged.Add(1)
	r.forget(o, d.from, d.to, d.seen)
	err = read(span{from: d.from, to: d.to, after: d.seen})
	if errors.As(err, &d) {
		r.condemn(o, d.from, d.to)
		r.failures.add(ChunkID{Object: o.id, Offset: d.from}, r.o.Now())
		r.o.Log.Error("object of the cold tier is damaged", slog.String("object", d.key), slog.Any("error", err))
	}
	return err
}

// forget drops the chunks of a range from memory and from the cache, unless they
// are younger than the one that was born as seen: then nobody saw them yet.
func (r *Reader) forget(o *object, from, to int64, seen uint64) {
	for off := r.chunkStart(from); off < to; off += int64(r.o.ChunkBytes) {
		id := ChunkID{Object: o.id, Offset: off}
		if r.table.drop(id, seen) {
			r.o.Cache.Drop(id)
		}
	}
}

// condemn drops the chunks of a range from the cache only. They stay in memory,
// where those who come for them find that they are damaged.
func (r *Reader) condemn(o *object, from, to int64) {
	for off := r.chunkStart(from); off < to; off += int64(r.o.ChunkBytes) {
		id := ChunkID{Object: o.id, Offset: off}
		r.table.condemn(id)
		r.o.Cache.Drop(id)
	}
}
