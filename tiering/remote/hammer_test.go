package remote

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// TestCacheHammer: a disk cache under many users finds what was put, or nothing,
// stays within its bound, and leaves no goroutine when it is closed.
func TestCacheHammer(t *testing.T) {
	before := runtime.NumGoroutine()
	o := diskOptions(t, t.TempDir())
	o.Bytes = 12 * chunkCostMin
	now := newClock()
	o.Now, o.MaxAge = now.now, time.Minute
	c := NewDiskCache(o)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range 150 {
				n := rng.IntN(20)
				switch rng.IntN(8) {
				case 0, 1, 2:
					c.Put(chunkID(n), content(n))
				case 3:
					c.Drop(chunkID(n))
				case 4:
					now.advance(2 * time.Second)
					c.Expire()
				default:
					b := make([]byte, len(content(n)))
					if c.Get(chunkID(n), b) && !bytes.Equal(b, content(n)) {
						t.Errorf("chunk %d is wrong", n)
					}
				}
				if s := c.Stats(); s.Bytes > o.Bytes {
					t.Errorf("%d bytes", s.Bytes)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
	wait(func() bool { return runtime.NumGoroutine() <= before })
}

// noisy is a store that returns a wrong bit now and then.
type noisy struct {
	objstore.Store
	mu  sync.Mutex
	rng *rand.Rand
}

func (n *noisy) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	err := n.Store.GetRange(ctx, key, off, into)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && n.rng.IntN(10) == 0 {
		into[n.rng.IntN(len(into))] ^= 1 << n.rng.IntN(8)
	}
	return err
}

// TestReaderHammer: readers of everything, at random and in order, that give up
// now and then, over a store that fails or lies now and then, get the right
// bytes or an error, and leave nothing behind.
func TestReaderHammer(t *testing.T) {
	tr := newTier(t, 3, 9, segfiletest.Shape{Batches: 150}, segfiletest.Shape{Batches: 40, ValueSize: 5000}, segfiletest.Shape{}, segfiletest.Shape{Batches: 150})
	w := newWire(tr.store)
	var mu sync.Mutex
	faults := rand.New(rand.NewPCG(1, 2))
	w.set(func(context.Context, objstore.Op) objstore.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch faults.IntN(12) {
		case 0:
			return objstore.Fault{Err: objstore.ErrUnavailable}
		case 1:
			return objstore.Fault{Lost: true}
		}
		return objstore.Fault{}
	})
	o := Options{ChunkBytes: 2048, MemoryBytes: 1, Downloads: 3, TailBytes: 1, Cache: NewMemoryCache(30_000), FailureAge: -1}
	r := New(&noisy{Store: w, rng: rand.New(rand.NewPCG(4, 5))}, cluster, o)
	var wg sync.WaitGroup
	for g := range 10 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			at := tr.list.Start()
			for range 200 {
				if rng.IntN(10) == 0 || at >= tr.end() {
					at = tr.batches[rng.IntN(len(tr.batches))].Base
				}
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(5) == 0 {
					go cancel()
				}
				c, err := r.Read(ctx, partition, tr.list, at, tr.end(), rng.IntN(9000), true)
				cancel()
				if err != nil {
					continue
				}
				want, _ := tr.model(at, tr.end(), 1<<30, true)
				var stored []byte
				for _, b := range want[:min(c.Batches, len(want))] {
					stored = append(stored, b.Bytes...)
				}
				if !bytes.Equal(bytes.Join(c.Buffers, nil), stored) || c.NextOffset <= at && at < tr.end() {
					t.Errorf("read from %d: %d bytes, then %d", at, c.Bytes, c.NextOffset)
				}
				at = max(at, c.NextOffset)
				if rng.IntN(30) == 0 {
					r.Expire()
					_, _, _, _ = r.OffsetForTimestamp(ctx, partition, tr.list, 1_700_000_050_000, ident.Offset(rng.IntN(1000)))
				}
			}
		})
	}
	wg.Wait()
	r.settle()
	r.table.shrink(0)
	if s := r.Stats(); s.HeldBytes != 0 || len(r.tails.loading) != 0 || r.tails.room.used != 0 {
		t.Errorf("%d bytes, %d tails, %d bytes of tails are still held", s.HeldBytes, len(r.tails.loading), r.tails.room.used)
	}
	r.Close()
}
