package sim

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// errStore is an injected failure of the object store.
var errStore = errors.New("sim: the object store fails")

// errLocal is an upload whose local bytes read wrong.
var errLocal = errors.New("sim: the segment reads wrong")

// tailBytes is what an object is longer than its header and its batches.
const tailBytes = 40

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// object is a segment in the object store.
type object struct {
	key     string
	id      ident.Partition
	segment manifest.Segment
	data    []byte
	batches []placed
	stored  time.Time
	life    *broker // that uploaded it

	told    time.Time // when its broker was told that it is there; zero: never
	named   bool      // a manifest named it
	unnamed time.Time // when none did any more
	// lost: no manifest names it and nobody can know that it is there: the
	// answer to its upload, or to its commit, was lost.
	lost bool
}

// placed is a batch in an object.
type placed struct {
	base, last ident.Offset
	at, size   int
}

// store is the object store. It outlives brokers, and so does what they asked
// it for.
type store struct {
	s       *run
	objects map[manifest.ID]*object
	pending int                         // operations
	dropped map[ident.TopicID]time.Time // when all objects of a topic were deleted last
}

func newStore(s *run) *store {
	return &store{s: s, objects: map[manifest.ID]*object{}, dropped: map[ident.TopicID]time.Time{}}
}

// sorted returns all objects in the order of their keys.
func (st *store) sorted() []*object {
	var out []*object
	for _, o := range st.objects { // order: sorted below
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *object) int { return strings.Compare(a.key, b.key) })
	return out
}

// trouble is what goes wrong with an operation of the store.
type trouble int

const (
	fine       trouble = iota
	before             // it fails and does nothing
	after              // it does what it should, and the answer is lost
	halfway            // it does a part of what it should
	troubleEnd         // how many there are
)

// trouble draws what goes wrong with the next operation.
func (st *store) trouble() trouble {
	r := st.s.rng.tier
	if st.s.ending || r.IntN(100) >= st.s.plan.storeFails {
		return fine
	}
	return before + trouble(r.IntN(int(troubleEnd-before)))
}

// delay draws how long a part of an operation takes.
func (st *store) delay() time.Duration {
	r := st.s.rng.tier
	if st.s.ending {
		return mean(r, 20*time.Millisecond)
	}
	if r.IntN(15) == 0 {
		return mean(r, 4*time.Second)
	}
	return mean(r, st.s.plan.storeDelay)
}

// cold is the cold tier as one life of the broker uses it. It implements
// node.Tier.
type cold struct {
	b  *broker
	st *store
}

// lives reports whether the broker that asked is still there.
func (c cold) lives() bool { return c.st.s.broker == c.b && !c.st.s.disk.lost }

// tell gives the broker an answer after some time, if it lives.
func (c cold) tell(f func()) {
	c.st.s.after(c.st.delay(), func() {
		c.st.pending--
		if c.lives() {
			f()
			c.b.wake()
			c.st.crash()
		}
	})
}

// crash lets power be lost now and then, soon after something that happened, or
// the sync fail that makes it count.
func (st *store) crash() {
	s := st.s
	if s.ending || s.plan.faultEvery == 0 || s.rng.tier.IntN(40) > 0 {
		return
	}
	b := s.broker
	if s.plan.syncError && s.rng.tier.IntN(2) == 0 {
		s.disk.failSync, s.disk.failUnder = 1, "wal"
		return
	}
	s.after(mean(s.rng.tier, 5*time.Millisecond), func() {
		if s.broker == b && b != nil && !s.stopping && !s.ending {
			s.log("fault: power is lost after an answer of the object store")
			s.down(true)
		}
	})
}

// Upload implements node.Tier. It opens the segment, reads it some time later,
// stores it, and answers, each after a while; the broker may be gone before any.
func (c cold) Upload(j node.UploadJob, done func(manifest.Segment, error)) {
	st, s := c.st, c.st.s
	what, key := st.trouble(), j.Object[:4]
	borders, _ := j.Partition.Offsets()
	st.pending++
	s.stats.Uploads++
	o := newObject(&j, c.b)
	s.log("store: upload %x of %v [%d, %d), goes wrong: %d", key, j.ID, j.Segment.Base, j.Segment.End, what)
	s.collide(j.ID)
	s.after(st.delay(), func() {
		if !c.lives() {
			st.pending--
			return
		}
		f, release, err := j.Partition.OpenUpload(&j.Segment)
		s.log("store: upload %x opens its segment: %v", key, err)
		if err != nil {
			c.tell(func() { done(o.segment, err) })
			return
		}
		s.after(st.delay(), func() {
			if !c.lives() {
				st.pending--
				return
			}
			b := make([]byte, f.Size())
			_, err := f.ReadAt(b, 0)
			release()
			if s.disk.lost {
				st.pending--
				return
			}
			if err = c.fill(o, &j, borders.LogStart, b, err); err == nil && what == before {
				err = errStore
			}
			if err != nil {
				s.log("store: upload %x fails: %v", key, err)
				c.tell(func() { done(o.segment, err) })
				return
			}
			c.put(o, what, done)
		})
	})
}

// put stores an object and answers.
func (c cold) put(o *object, what trouble, done func(manifest.Segment, error)) {
	st, s := c.st, c.st.s
	s.after(st.delay(), func() {
		if !c.lives() && s.rng.tier.IntN(2) == 0 {
			st.pending-- // it never reached the store
			return
		}
		o.stored = s.now
		o.lost = true // until somebody is told
		st.objects[o.segment.ID] = o
		s.log("store: %s is there", o.key)
		st.crash()
		c.tell(func() {
			if what != fine {
				s.log("store: the answer to upload %x is lost", o.segment.ID[:4])
				done(o.segment, errStore)
				return
			}
			o.lost, o.told = false, s.now
			s.log("store: upload %x is answered", o.segment.ID[:4])
			done(o.segment, nil)
		})
	})
}

// newObject makes the object of an upload, without its data.
func newObject(j *node.UploadJob, life *broker) *object {
	u := &j.Segment
	o := &object{id: j.ID, life: life, segment: manifest.Segment{
		Base: u.Base, End: u.End, Term: u.Term, ID: j.Object, DataBytes: u.Bytes,
		ObjectBytes: manifest.DataOffset + u.Bytes + tailBytes, MaxTimestamp: -1,
	}}
	o.key = o.segment.Key("sim", j.ID)
	return o
}

// fill puts into an object what was read, unless that went wrong.
func (c cold) fill(o *object, j *node.UploadJob, floor ident.Offset, b []byte, err error) error {
	s := c.st.s
	if s.disk.damaged("partitions/" + j.ID.Dir()) {
		return errLocal
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	o.data, o.segment.TailCRC = b, crc32.Checksum(b, castagnoli)
	s.checkUpload(o, j, floor)
	return nil
}

// index takes down where the batches of an object are. It fails if they are no
// batches.
func (o *object) index() error {
	at := 0
	for raw, err := range record.Batches(o.data) {
		if err != nil {
			return err
		}
		h, err := record.ParseHeader(raw)
		if err != nil {
			return err
		}
		if !record.VerifyCRC(raw) {
			return record.ErrInvalidRecord
		}
		o.batches = append(o.batches, placed{ident.Offset(h.BaseOffset), ident.Offset(h.LastOffset()), at, len(raw)})
		o.segment.MaxTimestamp = max(o.segment.MaxTimestamp, h.MaxTimestamp)
		at += len(raw)
	}
	return nil
}

// Discard implements node.Tier.
func (c cold) Discard(p ident.Partition, segments []manifest.Segment, done func(error)) {
	st, s := c.st, c.st.s
	what := st.trouble()
	st.pending++
	s.stats.Discards++
	segments = slices.Clone(segments)
	s.log("store: discard %d objects of %v, goes wrong: %d", len(segments), p, what)
	for i := range segments {
		s.checkDiscard(p, &segments[i])
		if o := st.objects[segments[i].ID]; o != nil && !o.named {
			o.lost = true // nobody tries again
		}
	}
	s.after(st.delay(), func() {
		if !c.lives() && s.rng.tier.IntN(2) == 0 {
			st.pending--
			return
		}
		n := len(segments)
		switch what {
		case before:
			n = 0
		case halfway:
			n = s.rng.tier.IntN(n + 1)
		}
		for i := range segments[:n] {
			st.remove(segments[i].ID)
		}
		st.crash()
		c.tell(func() {
			if what != fine {
				done(errStore)
				return
			}
			done(nil)
		})
	})
}

// remove deletes an object, if it is there.
func (st *store) remove(id manifest.ID) {
	o := st.objects[id]
	if o == nil {
		return
	}
	st.s.checkRemoval(o)
	delete(st.objects, id)
	st.s.stats.ObjectsDeleted++
	st.s.log("store: %s is deleted", o.key)
}

// DropTopic implements node.Tier.
func (c cold) DropTopic(id ident.TopicID, done func(error)) {
	st, s := c.st, c.st.s
	what := st.trouble()
	st.pending++
	s.log("store: drop topic %x, goes wrong: %d", id[:4], what)
	s.checkDropTopic(id)
	s.after(st.delay(), func() {
		if !c.lives() && s.rng.tier.IntN(2) == 0 {
			st.pending--
			return
		}
		for _, o := range st.sorted() {
			if o.id.Topic != id || what == before || what == halfway && s.rng.tier.IntN(2) == 0 {
				continue
			}
			st.remove(o.segment.ID)
		}
		if what == fine {
			st.dropped[id] = s.now
		}
		st.crash()
		c.tell(func() {
			if what != fine {
				done(errStore)
				return
			}
			done(nil)
		})
	})
}
