package remote

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

const cluster = "cluster-1"

var partition = segfiletest.Partition

// tier is a partition's segments in a store in memory.
type tier struct {
	store   objstore.Store
	list    manifest.List
	batches []segfiletest.Batch
}

// newTier makes segments of the given shapes, one behind the other, with holes
// of up to hole offsets at their ends.
func newTier(t testing.TB, seed uint64, hole int, shapes ...segfiletest.Shape) *tier {
	t.Helper()
	return newTierOf(t, segfile.BlockBytesMin, seed, hole, shapes...)
}

// newTierOf does so with blocks of a given size.
func newTierOf(t testing.TB, block int64, seed uint64, hole int, shapes ...segfiletest.Shape) *tier {
	t.Helper()
	st, err := objstore.Open(t.Context(), "mem://", objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	rng := rand.New(rand.NewPCG(seed, 1))
	tr := &tier{store: st}
	base := ident.Offset(rng.IntN(100))
	for i, shape := range shapes {
		shape.Base = base
		src, batches := segfiletest.Segment(seed+uint64(i)*1000, shape)
		src.ID = segfiletest.NewID(i)
		src.End += ident.Offset(rng.IntN(hole + 1))
		obj, err := segfile.Build(src, segfile.Options{IndexIntervalBytes: int64(1 + rng.IntN(3000)), BlockBytes: block})
		if err != nil {
			t.Fatal(err)
		}
		seg := obj.Segment
		if _, err := st.Put(t.Context(), seg.Key(cluster, partition), obj, obj.Size(), objstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if tr.list, err = tr.list.Append(seg); err != nil {
			t.Fatal(err)
		}
		tr.batches = append(tr.batches, batches...)
		base = seg.End
	}
	return tr
}

func (tr *tier) end() ident.Offset {
	end, _ := tr.list.End()
	return end
}

// key returns the key of a segment's object.
func (tr *tier) key(i int) string { return tr.list.At(i).Key(cluster, partition) }

// bytes returns all batches.
func (tr *tier) bytes() []byte {
	var all []byte
	for i := range tr.batches {
		all = append(all, tr.batches[i].Bytes...)
	}
	return all
}

// scan reads everything with reads of at most max bytes.
func (tr *tier) scan(ctx context.Context, r *Reader, max int) ([]byte, error) {
	var all []byte
	for at := tr.list.Start(); at < tr.end(); {
		c, err := r.Read(ctx, partition, tr.list, at, tr.end(), max, true)
		if err != nil {
			return all, err
		}
		for _, b := range c.Buffers {
			all = append(all, b...)
		}
		at = c.NextOffset
	}
	return all, nil
}

// wantAll scans and fails the test if that does not give all batches.
func (tr *tier) wantAll(t *testing.T, r *Reader, max int) {
	t.Helper()
	all, err := tr.scan(t.Context(), r, max)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	if !bytes.Equal(all, tr.bytes()) {
		t.Fatalf("scan gave %d bytes that are not the %d stored", len(all), len(tr.bytes()))
	}
}

// newReader returns a Reader that ends with the test.
func newReader(t testing.TB, st objstore.Store, o Options) *Reader {
	r := New(st, cluster, o)
	t.Cleanup(r.Close)
	return r
}

// settle waits until no download and no write to the cache is under way.
func (r *Reader) settle() { r.running.Wait() }

// clock is a clock that stands still until it is set.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// wire is what lies between a Reader and its store in a test.
type wire struct {
	objstore.Store
	mu   sync.Mutex
	gets []ChunkID // Object is not set
	rule func(ctx context.Context, op objstore.Op) objstore.Fault
}

func newWire(inner objstore.Store) *wire {
	w := &wire{}
	w.Store = objstore.NewFaulty(inner, func(ctx context.Context, op objstore.Op) objstore.Fault {
		w.mu.Lock()
		rule := w.rule
		w.mu.Unlock()
		if rule == nil {
			return objstore.Fault{}
		}
		return rule(ctx, op)
	})
	return w
}

// set changes what goes wrong from now on.
func (w *wire) set(rule func(ctx context.Context, op objstore.Op) objstore.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rule = rule
}

func (w *wire) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	w.mu.Lock()
	w.gets = append(w.gets, ChunkID{Offset: off})
	w.mu.Unlock()
	return w.Store.GetRange(ctx, key, off, into)
}

// count returns how many ranges were asked for.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.gets)
}

func down(context.Context, objstore.Op) objstore.Fault {
	return objstore.Fault{Err: objstore.ErrUnavailable}
}

// gate holds downloads up until it is opened.
type gate struct {
	arrived chan struct{} // one for each download
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 1000), make(chan struct{})} }

func (g *gate) rule(ctx context.Context, _ objstore.Op) objstore.Fault {
	g.arrived <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
	}
	return objstore.Fault{}
}
