package remote

import (
	"context"
	"errors"
)

// chunk returns the chunk that begins at off, with a reference that the caller
// gives back. Many callers share one download, which goes on without them once
// it began. after is as in table.join.
func (r *Reader) chunk(ctx context.Context, o *object, off int64, after uint64) (*chunk, error) {
	id := ChunkID{Object: o.id, Offset: off}
	c, created, err := r.table.join(id, r.chunkLen(o, off), after)
	if err != nil {
		return nil, err
	}
	if created {
		r.launch(c, *o)
	}
	select {
	case <-c.done:
	default:
		select {
		case <-c.done:
		case <-ctx.Done():
			r.table.release(c)
			return nil, ctx.Err()
		}
	}
	if c.err != nil {
		err := c.err
		r.table.release(c)
		return nil, err
	}
	if !created {
		r.n.memoryHits.Add(1)
	}
	return c, nil
}

// launch starts the flight of a chunk that somebody waits for.
func (r *Reader) launch(c *chunk, o object) {
	ctx, cancel := context.WithCancel(r.base)
	r.table.setCancel(c, cancel)
	go func() {
		defer r.running.Done()
		defer cancel()
		data, fromStore, err := r.load(ctx, c, &o)
		r.land(&o, c, data, fromStore, err)
	}()
}

// land publishes what a flight brought, and keeps it. A download whose object's
// tail is not there yet is verified, and kept, by the first who has both.
func (r *Reader) land(o *object, c *chunk, data []byte, fromStore bool, err error) {
	right := false
	if err == nil && !fromStore {
		c.trust()
	} else if err == nil {
		if t := r.tailFor(o, c.id.Offset, data); t != nil {
			right = c.verify(data, t) && len(c.damage) == 0
		}
	}
	r.table.publish(c, data, fromStore, err)
	if right {
		select {
		case r.writes <- struct{}{}:
			r.keep(c)
			<-r.writes
		default: // the disk is behind; reads do not wait for it
			r.n.notKept.Add(1)
		}
	}
	r.table.release(c)
}

// load fetches a chunk from the cache or the store. Until the download begins
// it gives up with ctx.
func (r *Reader) load(ctx context.Context, c *chunk, o *object) (data []byte, fromStore bool, err error) {
	if err := r.table.reserve(ctx, c.n); err != nil {
		return nil, false, r.ended(err)
	}
	data = r.table.buffer(c.n)
	if !c.skipCache && r.o.Cache.Get(c.id, data) {
		r.n.cacheHits.Add(1)
		return data, false, nil
	}
	select {
	case r.slots <- struct{}{}:
		err = errAbandoned
		if r.table.start(c) {
			err = r.download(o, c.id.Offset, data)
		}
		<-r.slots
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.table.unreserve(data, c.n)
		return nil, true, r.ended(err)
	}
	return data, true, nil
}

// errAbandoned ends a flight that nobody waits for.
var errAbandoned = errors.New("remote: nobody waits")

// ended turns the end of a flight's own context into that of the Reader. A
// flight that was given up has no readers who could see its error.
func (r *Reader) ended(err error) error {
	if r.base.Err() != nil {
		return ErrClosed
	}
	return err
}

// download reads a range of an object. The caller has a slot.
func (r *Reader) download(o *object, off int64, into []byte) error {
	ctx, cancel := context.WithTimeout(r.base, r.o.DownloadTimeout)
	defer cancel()
	r.n.misses.Add(1)
	key := r.key(o)
	if err := r.store.GetRange(ctx, key, off, into); err != nil {
		if r.base.Err() != nil {
			return ErrClosed
		}
		r.n.storeErrors.Add(1)
		return storeError(key, err)
	}
	r.n.storeBytes.Add(int64(len(into)))
	return nil
}

// prefetch starts the download of a chunk that nobody waits for yet, if it is
// not here and there is room to spare. It is false if there is none.
func (r *Reader) prefetch(o *object, off int64) bool {
	id := ChunkID{Object: o.id, Offset: off}
	if here, _ := r.table.listedNow(id); here || r.o.Cache.Has(id) {
		return true
	}
	select {
	case r.aheadSlots <- struct{}{}:
	default:
		return false
	}
	select {
	case r.slots <- struct{}{}:
	default:
		<-r.aheadSlots
		return false
	}
	c, here := r.table.joinAhead(id, r.chunkLen(o, off))
	if c == nil {
		<-r.slots
		<-r.aheadSlots
		return here
	}
	r.n.readAhead.Add(1)
	go func(o object) {
		defer r.running.Done()
		data := r.table.buffer(c.n)
		err := r.download(&o, off, data)
		<-r.slots
		<-r.aheadSlots
		if err != nil {
			r.table.unreserve(data, c.n)
			data = nil
		}
		r.land(&o, c, data, true, err)
	}(*o)
	return true
}
