package sim

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// errStore is an injected failure of the object store.
var errStore = errors.New("sim: the object store fails")

// errTimeout is an operation of the object store that took too long.
var errTimeout = fmt.Errorf("%w: it does not answer in time", errStore)

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
	// unlisted: a stale listing of its deleted topic left it out.
	unlisted bool
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
	late               // its caller is told that it took too long, and it is done behind that
	troubleEnd         // how many there are
)

// trouble draws what goes wrong with the next operation.
func (st *store) trouble() trouble {
	r := st.s.rng.tier
	if !st.s.faulty() || r.IntN(100) >= st.s.plan.storeFails {
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

// staleFor is how long a listing may lack an object.
const staleFor = 5 * time.Second

// cold is the cold tier as one life of the broker uses it. It implements
// node.Tier.
type cold struct {
	b  *broker
	st *store
}

// lives reports whether the broker that asked is still there.
func (c cold) lives() bool { return c.b.answers() }

// tell gives the broker an answer after some time, if it lives.
func (c cold) tell(f func()) {
	c.st.s.after(c.st.delay(), func() {
		c.st.pending--
		if c.lives() {
			c.b.touch()
			f()
			c.b.wake()
			c.st.crash(c.b)
		}
	})
}

// afterwards has the store do what it was asked for behind the answer that it
// took too long.
func (c cold) afterwards(f func()) {
	c.st.pending++
	c.st.s.after(min(mean(c.st.s.rng.tier, 5*time.Second), 20*time.Second), func() {
		c.st.pending--
		f()
	})
}

// answer tells the broker how an operation ended.
func (c cold) answer(what trouble, done func(error)) {
	var err error
	switch what {
	case fine:
	case late:
		err = errTimeout
	default:
		err = errStore
	}
	c.tell(func() { done(err) })
}

// crash lets power be lost now and then, soon after something that happened, or
// the sync fail that makes it count.
func (st *store) crash(b *broker) {
	s := st.s
	if !s.faulty() || s.plan.faultEvery == 0 || s.rng.tier.IntN(40) > 0 {
		return
	}
	if s.plan.syncError && s.rng.tier.IntN(2) == 0 {
		b.server.disk.failSync, b.server.disk.failUnder = 1, "wal"
		return
	}
	s.after(mean(s.rng.tier, 5*time.Millisecond), func() {
		if b.lives() && !b.server.stopping && s.faulty() {
			b.server.log("fault: power is lost after an answer of the object store")
			b.server.down(true)
		}
	})
}

// Upload implements node.Tier.
func (c cold) Upload(j node.UploadJob, done func(manifest.Segment, error)) {
	s := c.st.s
	borders, _ := j.Partition.Offsets()
	u := &upload{c: c, j: j, o: newObject(&j, c.b), what: c.st.trouble(), floor: borders.LogStart, done: done}
	c.st.pending++
	s.stats.Uploads++
	s.log("store: upload %x of %v [%d, %d), goes wrong: %d", j.Object[:4], j.ID, j.Segment.Base, j.Segment.End, u.what)
	s.collide(j.ID)
	c.then(u.open)
}

// then goes on with an operation after a while, unless the broker that asked for
// it is gone.
func (c cold) then(f func()) {
	c.st.s.after(c.st.delay(), func() {
		if !c.lives() {
			c.st.pending--
			return
		}
		f()
	})
}

// sent goes on with an operation after a while. If the broker is gone it may have
// reached the store before, or not.
func (c cold) sent(f func()) {
	c.st.s.after(c.st.delay(), func() {
		if !c.lives() && c.st.s.rng.tier.IntN(2) == 0 {
			c.st.pending--
			return
		}
		f()
		c.st.crash(c.b)
	})
}

// upload is one upload: it opens the segment, reads it, is stored, and answers,
// each some time after the other.
type upload struct {
	c     cold
	j     node.UploadJob
	o     *object
	what  trouble
	floor ident.Offset // log start when it began
	done  func(manifest.Segment, error)
}

func (u *upload) open() {
	f, release, err := u.j.Partition.OpenUpload(&u.j.Segment)
	u.c.st.s.log("store: upload %x opens its segment: %v", u.j.Object[:4], err)
	if err != nil {
		u.fail(err)
		return
	}
	u.c.then(func() { u.read(f, release) })
}

func (u *upload) read(f *storage.SealedFile, release func()) {
	b := make([]byte, f.Size())
	_, err := f.ReadAt(b, 0)
	release()
	if u.c.b.server.disk.lost {
		u.c.st.pending--
		return
	}
	if err = u.c.fill(u.o, &u.j, u.floor, b, err); err == nil && u.what == before {
		err = errStore
	}
	if err != nil {
		u.fail(err)
		return
	}
	u.c.sent(u.put)
}

func (u *upload) put() {
	if u.what == late {
		u.what = after
		u.c.afterwards(u.store)
		u.fail(errTimeout)
		return
	}
	u.store()
	st, o := u.c.st, u.o
	if u.what != fine {
		u.fail(errStore)
		return
	}
	u.c.tell(func() {
		o.lost, o.told = false, st.s.now
		st.s.log("store: upload %x is answered", u.j.Object[:4])
		u.done(o.segment, nil)
	})
}

// store puts the object.
func (u *upload) store() {
	st, o := u.c.st, u.o
	o.stored = st.s.now
	o.lost = true // until somebody is told
	st.objects[o.segment.ID] = o
	st.s.log("store: %s is there", o.key)
}

func (u *upload) fail(err error) {
	u.c.tell(func() {
		u.c.st.s.log("store: upload %x is answered: %v", u.j.Object[:4], err)
		u.done(u.o.segment, err)
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
	if c.b.server.disk.damaged("partitions/" + j.ID.Dir()) {
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
	c.sent(func() {
		n := len(segments)
		switch what {
		case before:
			n = 0
		case halfway:
			n = s.rng.tier.IntN(n + 1)
		}
		remove := func() {
			for i := range segments[:n] {
				st.remove(segments[i].ID)
			}
		}
		if what == late {
			c.afterwards(remove)
		} else {
			remove()
		}
		c.answer(what, done)
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
	s.checkDropTopic(c.b, id)
	c.sent(func() {
		for _, o := range st.sorted() {
			if o.id.Topic != id || what == before || what == late || what == halfway && s.rng.tier.IntN(2) == 0 {
				continue
			}
			if !s.ending && s.plan.storeFails > 0 && s.now.Sub(o.stored) < staleFor && s.rng.tier.IntN(4) == 0 {
				s.log("store: a stale listing lacks %s", o.key)
				o.unlisted = true // nobody looks again
				continue
			}
			st.remove(o.segment.ID)
		}
		if what == fine {
			st.dropped[id] = s.now
		}
		c.answer(what, done)
	})
}
