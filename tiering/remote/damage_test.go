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

// TestCorruptBodyIsMended: bytes that the store returned wrong once, whatever
// they are, are found, fetched again, and not kept (L2, L8).
func TestCorruptBodyIsMended(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 4))
			block := 1024 << rng.IntN(5)
			shape := segfiletest.Shape{Batches: 30, NoHoles: rng.IntN(2) == 0}
			tr := newTierOf(t, int64(block), seed, 20, shape, shape)
			f := &flipper{Store: tr.store}
			cache := NewMemoryCache(1 << 20)
			r := newReader(t, f, Options{ChunkBytes: block << rng.IntN(3), ReadAheadChunks: rng.IntN(4) - 1, Cache: cache})
			seg := tr.list.At(0)
			at := rng.Int64N(seg.ObjectBytes)
			if seed%3 > 0 { // the header's part that the batch's checksum does not cover
				at = manifest.DataOffset + tr.batches[rng.IntN(30)].Position + rng.Int64N(21)
			}
			f.set(tr.key(0), at, 1<<rng.IntN(8), 1)
			tr.wantAll(t, r, 700)
			if s := r.Stats(); s.Damaged != 1 || f.times != 0 {
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
	at := manifest.DataOffset + b.Position + 13 // the leader epoch
	f.set(tr.key(0), at, 1, 1<<30)
	all, err := tr.scan(t.Context(), r, 500)
	before := tr.before(at/1024*1024 - manifest.DataOffset)
	if !errors.Is(err, ErrDamaged) || !bytes.Equal(all, tr.bytes()[:before]) {
		t.Fatalf("read %d bytes, want %d, damage at %d: %v", len(all), before, b.Position, err)
	}
	r.settle()
	o := r.object(partition, tr.list.At(0))
	if cache.Has(ChunkID{Object: o.id, Offset: r.chunkStart(at)}) {
		t.Error("the cache keeps damaged bytes")
	}
	asked := w.count()
	for range 5 {
		if _, err := r.Read(t.Context(), partition, tr.list, b.Base, tr.end(), 500, true); !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	}
	if got := w.count(); got != asked {
		t.Errorf("%d downloads of what is known to be damaged", got-asked)
	}
	next := tr.batches[70]
	if c, err := r.Read(t.Context(), partition, tr.list, next.Base, tr.end(), 1, true); err != nil || c.First != next.Base {
		t.Errorf("behind the damage: %v, %v", c.First, err)
	}
	f.set("", 0, 0, 0)
	now.advance(time.Minute)
	tr.wantAll(t, r, 500)
}

// before returns where the batch ends that is the last one to end at or before a
// position of the first segment's data.
func (tr *tier) before(pos int64) (end int64) {
	for _, b := range tr.batches {
		if e := b.Position + int64(len(b.Bytes)); e > pos {
			return end
		} else {
			end = e
		}
	}
	return end
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
