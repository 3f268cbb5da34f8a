package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/offload"
	"github.com/varvelog/varve/tiering/sweep"
)

// errStore is an injected failure of the object store.
var errStore = errors.New("sim: the object store fails")

// errTimeout is an operation of the object store that took too long.
var errTimeout = fmt.Errorf("%w: it does not answer in time", errStore)

// errLocal is an upload whose local bytes read wrong.
var errLocal = errors.New("sim: the segment reads wrong")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// store is the object store. It outlives brokers, and so does what they asked
// it for.
type store struct {
	s         *run
	objects   map[manifest.ID]*object
	pending   int                         // operations
	dropped   map[ident.TopicID]time.Time // when all objects of a topic were deleted last
	gone      []ghost                     // what was deleted lately
	reads     *rand.Rand                  // what reads that take time draw from
	finds     *rand.Rand                  // what looking for objects draws from
	vanishing bool                        // objects vanish
	reading   int                         // how many of them are under way
}

// ghost is an object that is not there any more, and may still be listed.
type ghost struct {
	*object
	since time.Time
}

func newStore(s *run) *store {
	finds := stream(s.seed, streamFinds)
	vanishing := finds.IntN(2) == 0 && !s.plan.without["vanish"]
	return &store{s: s, objects: map[manifest.ID]*object{}, dropped: map[ident.TopicID]time.Time{}, reads: stream(s.seed, streamReads), finds: finds, vanishing: vanishing}
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
	what := before + trouble(r.IntN(int(troubleEnd-before)))
	st.s.stats.noteTrouble(what)
	return what
}

// delay draws how long a part of an operation takes.
func (st *store) delay() time.Duration { return st.delayOf(st.s.rng.tier) }

func (st *store) delayOf(r *rand.Rand) time.Duration {
	if st.s.ending {
		return mean(r, 20*time.Millisecond)
	}
	if r.IntN(15) == 0 {
		return mean(r, 4*time.Second)
	}
	return mean(r, st.s.plan.storeDelay)
}

// staleFor is how long a listing may lack an object that was put, or have one that
// was deleted.
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
	s.collide(j.ID, s.rng.tier)
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
	if errors.Is(err, partition.ErrDamaged) {
		err = u.c.built(u.o, &u.j, u.floor, err)
	}
	if err != nil {
		u.fail(err)
		return
	}
	u.c.then(func() { u.read(f, release) })
}

func (u *upload) read(f *storage.SealedFile, release func()) {
	b := make([]byte, f.Size())
	_, err := f.ReadAt(b, 0)
	if err == nil {
		err = u.o.build(&u.j, f, b)
	}
	release()
	if u.c.b.server.disk.lost {
		u.c.st.pending--
		return
	}
	if err = u.c.built(u.o, &u.j, u.floor, err); err == nil && u.what == before {
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
		c.delete(what, done, func(b *bucket) error {
			keys := make([]string, len(segments))
			for i := range segments {
				keys[i] = segments[i].Key("sim", p)
			}
			return offload.Discard(context.Background(), b, keys...)
		})
	})
}

// DropTopic implements node.Tier.
func (c cold) DropTopic(id ident.TopicID, done func(error)) {
	st, s := c.st, c.st.s
	what := st.trouble()
	st.pending++
	s.log("store: drop topic %x, goes wrong: %d", id[:4], what)
	s.checkDropTopic(c.b, id)
	c.sent(func() {
		c.delete(what, done, func(b *bucket) error {
			for after, more := "", true; more; more = after != "" {
				var err error
				if _, after, err = sweep.DeleteTopic(context.Background(), b, "sim", id, after); err != nil {
					return err
				}
			}
			if what == fine {
				st.dropped[id] = s.now
			}
			return nil
		})
	})
}

// delete has the store delete what run asks of it, and answers.
func (c cold) delete(what trouble, done func(error), run func(*bucket) error) {
	st := c.st
	b := &bucket{st: st, left: math.MaxInt}
	switch what {
	case before:
	case late:
		c.afterwards(func() { c.deleted(run(b)) })
	case halfway:
		b.left = st.s.rng.tier.IntN(4)
		if err := run(b); err != nil && !errors.Is(err, errStore) {
			c.deleted(err)
		}
	default:
		c.deleted(run(b))
	}
	c.answer(what, done)
}

// deleted: S3. What is gone already is no error.
func (c cold) deleted(err error) {
	if err != nil {
		c.st.s.fail("S3", "objects are not deleted although the store did all it was asked for: %v", err)
	}
}

// remove deletes an object, if it is there.
func (st *store) remove(id manifest.ID) {
	o := st.objects[id]
	if o == nil {
		return
	}
	st.s.checkRemoval(o)
	delete(st.objects, id)
	if p := st.s.model.part(o.id); p != nil {
		p.removed[id] = true
	}
	st.gone = append(st.gone, ghost{o, st.s.now})
	st.s.stats.ObjectsDeleted++
	st.s.log("store: %s is deleted", o.key)
}
