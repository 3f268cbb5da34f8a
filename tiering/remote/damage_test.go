package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// flipper is a store that returns one byte of one object wrong, so many times.
type flipper struct {
	objstore.Store
	mu    sync.Mutex
	key   string
	at    int64
	mask  byte
	times int
}

func (f *flipper) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	err := f.Store.GetRange(ctx, key, off, into)
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.at - off; err == nil && key == f.key && i >= 0 && i < int64(len(into)) && f.times > 0 {
		f.times--
		into[i] ^= f.mask
	}
	return err
}

func (f *flipper) set(key string, at int64, mask byte, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.key, f.at, f.mask, f.times = key, at, mask, times
}

// TestCorruptBodyIsMended: bytes that the store returned wrong once are found,
// fetched again, and not kept.
func TestCorruptBodyIsMended(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 4))
			tr := newTier(t, seed, 0, segfiletest.Shape{Batches: 30, NoHoles: true}, segfiletest.Shape{Batches: 30, NoHoles: true})
			f := &flipper{Store: tr.store}
			cache := NewMemoryCache(1 << 20)
			r := newReader(t, f, Options{ChunkBytes: 1024 << rng.IntN(5), Cache: cache})
			seg := tr.list.At(0)
			at := manifest.DataOffset + rng.Int64N(seg.ObjectBytes-manifest.DataOffset)
			if seed%3 > 0 { // the header's part that no checksum covers, in a batch
				b := tr.batches[rng.IntN(30)]
				at = manifest.DataOffset + b.Position + rng.Int64N(21)
				if at >= manifest.DataOffset+b.Position+12 && at < manifest.DataOffset+b.Position+16 {
					at -= 4 // not the leader epoch, which nothing covers
				}
			}
			f.set(tr.key(0), at, 1<<rng.IntN(8), 1)
			tr.wantAll(t, r, 700)
			if s := r.Stats(); s.Damaged == 0 || f.times != 0 {
				t.Errorf("byte %d: %d found, %d times left", at, s.Damaged, f.times)
			}
			r.settle()
			o := r.object(partition, seg)
			for off := int64(0); off < seg.ObjectBytes; off += int64(r.o.ChunkBytes) {
				kept, stored := make([]byte, r.chunkLen(&o, off)), make([]byte, r.chunkLen(&o, off))
				if err := tr.store.GetRange(t.Context(), tr.key(0), off, stored); err != nil {
					t.Fatal(err)
				}
				if cache.Get(ChunkID{Object: o.id, Offset: off}, kept) && !bytes.Equal(kept, stored) {
					t.Errorf("the chunk at %d is kept with damage", off)
				}
			}
			r.table.shrink(0)
			tr.wantAll(t, r, 700)
		})
	}
}

// TestDamagedObject: an object that stays wrong is an error, is not kept on
// disk, is not fetched again and again, and is read when it was repaired. What
// does not touch the damage stays readable.
func TestDamagedObject(t *testing.T) {
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 100, NoHoles: true}, segfiletest.Shape{Batches: 100, NoHoles: true})
	f := &flipper{Store: tr.store}
	w := newWire(f)
	cache := NewMemoryCache(1 << 20)
	now := newClock()
	r := newReader(t, w, Options{ChunkBytes: 1024, Cache: cache, Now: now.now})
	b := tr.batches[50]
	at := manifest.DataOffset + b.Position + 70
	f.set(tr.key(0), at, 1, 1<<30)
	all, err := tr.scan(t.Context(), r, 500)
	if !errors.Is(err, ErrDamaged) || !bytes.Equal(all, tr.bytes()[:b.Position]) {
		t.Fatalf("read %d bytes, damage at %d: %v", len(all), b.Position, err)
	}
	r.settle()
	o := r.object(partition, tr.list.At(0))
	if cache.Has(ChunkID{Object: o.id, Offset: r.chunkStart(at)}) {
		t.Error("the cache keeps damaged bytes")
	}
	before := w.count()
	for range 5 {
		if _, err := r.Read(t.Context(), partition, tr.list, b.Base, tr.end(), 500, true); !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	}
	if got := w.count(); got != before {
		t.Errorf("%d downloads of what is known to be damaged", got-before)
	}
	next := tr.batches[70]
	if c, err := r.Read(t.Context(), partition, tr.list, next.Base, tr.end(), 1, true); err != nil || c.First != next.Base {
		t.Errorf("behind the damage: %v, %v", c.First, err)
	}
	f.set("", 0, 0, 0)
	now.advance(time.Minute)
	tr.wantAll(t, r, 500)
}

// TestDamagedTail: the same for the tail.
func TestDamagedTail(t *testing.T) {
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 100})
	f := &flipper{Store: tr.store}
	r := newReader(t, f, Options{ChunkBytes: 1024, FailureAge: -1})
	f.set(tr.key(0), tr.list.At(0).TailOffset()+30, 4, 1<<30)
	if _, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 500, true); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	f.set("", 0, 0, 0)
	tr.wantAll(t, r, 500)
}

// TestDamageAmongReaders: readers that meet the same damage share the download
// that mends it. One that comes just between may begin another.
func TestDamageAmongReaders(t *testing.T) {
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 20, NoHoles: true})
	f := &flipper{Store: tr.store}
	w, g := newWire(f), newGate()
	r := newReader(t, w, Options{})
	f.set(tr.key(0), manifest.DataOffset+70, 1, 1)
	w.set(g.rule)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1<<20, true); err != nil {
				t.Error(err)
			}
		})
	}
	wait(func() bool { return r.tailReaders() == 20 })
	close(g.open)
	wg.Wait()
	if got := w.count(); got < 2 || got > 3 {
		t.Errorf("%d downloads", got)
	}
}

// TestBatchIsWhereTheIndexSays: a base offset that fits between its neighbours is
// still compared with the index.
func TestBatchIsWhereTheIndexSays(t *testing.T) {
	tr := newTier(t, 12, 0, segfiletest.Shape{Batches: 200, ValueSize: 4000})
	f := &flipper{Store: tr.store}
	r := newReader(t, f, Options{})
	tail, err := r.Tail(t.Context(), partition, tr.list.At(0))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for i := 1; i < len(tr.batches); i++ {
		prev, b := &tr.batches[i-1], &tr.batches[i]
		lower := b.Base ^ 1
		if lower > b.Base || lower <= prev.Last || tail.Next(prev.Position) != b.Position {
			continue
		}
		tried++
		r.settle()
		r.table.shrink(0)
		f.set(tr.key(0), manifest.DataOffset+b.Position+7, 1, 1)
		before := r.Stats().Damaged
		c, err := r.Read(t.Context(), partition, tr.list, b.Base, tr.end(), 1, true)
		if err != nil || c.First != b.Base || r.Stats().Damaged != before+1 {
			t.Errorf("batch at %d: read from %d, %v", b.Base, c.First, err)
		}
	}
	if tried == 0 {
		t.Fatal("no batch has an index entry and a hole before it")
	}
}
