package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// model is what a read of the same batches in local files returns: all that fit.
func (tr *tier) model(from, until ident.Offset, maxBytes int, minOne bool) (batches []segfiletest.Batch, next ident.Offset) {
	next = from
	left := maxBytes
	for _, b := range tr.batches {
		if b.Last < from {
			continue
		}
		if b.Last >= until {
			break
		}
		if n := len(b.Bytes); n > left && !(minOne && len(batches) == 0) {
			return batches, next
		}
		left -= len(b.Bytes)
		batches, next = append(batches, b), b.Last+1
	}
	return batches, max(next, until)
}

// after returns the base of the first batch behind an offset, or the tier's end.
func (tr *tier) after(o ident.Offset) ident.Offset {
	for _, b := range tr.batches {
		if b.Base >= o {
			return b.Base
		}
	}
	return tr.end()
}

func randomShapes(rng *rand.Rand) []segfiletest.Shape {
	shapes := make([]segfiletest.Shape, 1+rng.IntN(4))
	for i := range shapes {
		shapes[i] = segfiletest.Shape{
			Batches: 1 + rng.IntN(40), Records: 1 + rng.IntN(12), ValueSize: 1 + rng.IntN(400), NoHoles: rng.IntN(3) == 0,
		}
		if rng.IntN(6) == 0 {
			shapes[i].Batches = 0
		}
		if rng.IntN(6) == 0 {
			shapes[i].ValueSize = 6000 // batches larger than a chunk
		}
	}
	return shapes
}

// TestReadAgreesWithScan: S5. Whatever the chunks, a read gives a prefix of what
// a scan of the batches gives, and all of it where nothing has to be downloaded.
func TestReadAgreesWithScan(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			size := rng.IntN(8)
			tr := newTierOf(t, 1024<<rng.IntN(size+1), seed, 30, randomShapes(rng)...)
			o := Options{ChunkBytes: 1024 << size, ReadAheadChunks: rng.IntN(4) - 1}
			if rng.IntN(2) == 0 {
				o.Cache = NewMemoryCache(int64(rng.IntN(1 << 20)))
			}
			warm := o.ChunkBytes >= 16<<10
			r := newReader(t, tr.store, o)
			if warm { // all of it stays in memory
				tr.wantAll(t, r, 1<<20)
			}
			for range 60 {
				from := tr.list.Start() + ident.Offset(rng.Int64N(int64(tr.end()-tr.list.Start())+1))
				until := tr.end() + 5
				if rng.IntN(3) == 0 {
					until = tr.border(rng)
				}
				maxBytes := rng.IntN(1 << (4 + rng.IntN(14)))
				minOne := rng.IntN(2) == 0
				tr.checkRead(t, r, from, until, maxBytes, minOne, warm)
			}
			tr.wantAll(t, r, 1+rng.IntN(20_000))
		})
	}
}

// border returns an offset between two batches.
func (tr *tier) border(rng *rand.Rand) ident.Offset {
	if len(tr.batches) == 0 {
		return tr.end()
	}
	return tr.batches[rng.IntN(len(tr.batches))].Base
}

func (tr *tier) checkRead(t *testing.T, r *Reader, from, until ident.Offset, maxBytes int, minOne, whole bool) {
	t.Helper()
	what := fmt.Sprintf("read from %d until %d, %d bytes, one %v", from, until, maxBytes, minOne)
	got, err := r.Read(t.Context(), partition, tr.list, from, until, maxBytes, minOne)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	until = min(until, tr.end())
	want, next := tr.model(from, until, maxBytes, minOne)
	if got.Batches > len(want) || (got.Batches == 0) != (len(want) == 0) || (whole && got.Batches != len(want)) {
		t.Fatalf("%s: %d batches, the scan gives %d", what, got.Batches, len(want))
	}
	var bytesWant []byte
	first, last := ident.Offset(-1), from-1
	for i, b := range want[:got.Batches] {
		if i == 0 {
			first = b.Base
		}
		bytesWant, last = append(bytesWant, b.Bytes...), b.Last
	}
	if !bytes.Equal(bytes.Join(got.Buffers, nil), bytesWant) || got.Bytes != len(bytesWant) || got.First != first {
		t.Fatalf("%s: %d bytes from %d differ from the %d stored", what, got.Bytes, got.First, len(bytesWant))
	}
	switch {
	case got.Batches == 0 && next >= until:
		if got.NextOffset != max(from, until) {
			t.Fatalf("%s: nothing, then %d", what, got.NextOffset)
		}
	case got.NextOffset < last+1 || got.NextOffset > max(last+1, min(tr.after(last+1), until)):
		t.Fatalf("%s: then %d, the last batch ends at %d", what, got.NextOffset, last)
	}
}

// TestReadPassesHole: a hole at the end of a segment is passed, so that the
// caller can go on behind the tier.
func TestReadPassesHole(t *testing.T) {
	tr := newTier(t, 3, 0, segfiletest.Shape{Batches: 3}, segfiletest.Shape{Batches: 3})
	r := newReader(t, tr.store, Options{})
	tr.wantAll(t, r, 1<<20)
	last := tr.batches[len(tr.batches)-1]
	c, err := r.Read(t.Context(), partition, tr.list, last.Base, tr.end(), len(last.Bytes), true)
	if err != nil || c.Batches != 1 || c.NextOffset != tr.end() {
		t.Fatalf("%d batches, then %d, the tier ends at %d: %v", c.Batches, c.NextOffset, tr.end(), err)
	}
	c, err = r.Read(t.Context(), partition, tr.list, last.Last+1, tr.end()+7, 100, true)
	if err != nil || c.Batches != 0 || c.NextOffset != tr.end() || c.First != -1 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestReadOutside(t *testing.T) {
	tr := newTier(t, 3, 0, segfiletest.Shape{Batches: 3})
	r := newReader(t, tr.store, Options{})
	for _, c := range []struct {
		list manifest.List
		from ident.Offset
		want error
	}{
		{tr.list, tr.list.Start() - 1, ErrOutside},
		{tr.list, tr.end() + 1, ErrOutside},
		{manifest.List{}, 0, ErrOutside},
		{tr.list, tr.end(), nil},
	} {
		got, err := r.Read(t.Context(), partition, c.list, c.from, 1<<40, 1000, true)
		if !errors.Is(err, c.want) || got.Batches != 0 || got.NextOffset != c.from {
			t.Errorf("read from %d: %+v, %v", c.from, got, err)
		}
	}
	if s := r.Stats(); s.Misses != 0 {
		t.Errorf("%d downloads", s.Misses)
	}
}

// TestReadIsOfTheCaller: what a Read returned does not change when its chunk is
// used for something else.
func TestReadIsOfTheCaller(t *testing.T) {
	tr := newTier(t, 9, 0, segfiletest.Shape{Batches: 400})
	r := newReader(t, tr.store, Options{ChunkBytes: 2048, MemoryBytes: 1})
	var kept [][]byte
	for at := tr.list.Start(); at < tr.end(); {
		c, err := r.Read(t.Context(), partition, tr.list, at, tr.end(), 1500, true)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c.Buffers...)
		at = c.NextOffset
	}
	if !bytes.Equal(slices.Concat(kept...), tr.bytes()) {
		t.Error("a buffer changed after the read")
	}
}

func TestMissingObject(t *testing.T) {
	tr := newTier(t, 4, 0, segfiletest.Shape{Batches: 20}, segfiletest.Shape{Batches: 20})
	r := newReader(t, tr.store, Options{})
	if err := tr.store.Delete(t.Context(), tr.key(0)); err != nil {
		t.Fatal(err)
	}
	_, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1000, true)
	if !errors.Is(err, ErrMissing) || !errors.Is(err, objstore.ErrNotFound) || errors.Is(err, ErrOutside) {
		t.Errorf("S4: %v", err)
	}
	if _, err := r.Read(t.Context(), partition, tr.list, tr.list.At(1).Base, tr.end(), 1000, true); err != nil {
		t.Errorf("the next segment: %v", err)
	}
}

// TestShortObject: an object that ends before the manifest says so is damage.
func TestShortObject(t *testing.T) {
	tr := newTier(t, 4, 0, segfiletest.Shape{Batches: 20})
	r := newReader(t, tr.store, Options{ChunkBytes: 1024})
	n := tr.list.At(0).ObjectBytes
	b := make([]byte, n-1)
	if err := tr.store.GetRange(t.Context(), tr.key(0), 0, b); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.store.Put(t.Context(), tr.key(0), bytes.NewReader(b), n-1, objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1000, true); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestStoreDownThenUp(t *testing.T) {
	tr := newTier(t, 5, 0, segfiletest.Shape{Batches: 50})
	w := newWire(tr.store)
	r := newReader(t, w, Options{ChunkBytes: 1024})
	read := func() error {
		_, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1000, true)
		return err
	}
	for _, cause := range []error{objstore.ErrUnavailable, objstore.ErrDenied, objstore.ErrInvalid} {
		w.set(func(context.Context, objstore.Op) objstore.Fault { return objstore.Fault{Err: cause} })
		if err := read(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, cause) {
			t.Errorf("%v: %v", cause, err)
		}
	}
	w.set(nil)
	if err := read(); err != nil {
		t.Error(err)
	}
	w.set(down)
	if err := read(); err != nil {
		t.Errorf("of what is in memory: %v", err)
	}
}

// TestDownloadTimeout: a store that does not answer is unavailable, and that is
// not the end of the caller's context.
func TestDownloadTimeout(t *testing.T) {
	tr := newTier(t, 5, 0, segfiletest.Shape{Batches: 5})
	w := newWire(tr.store)
	w.set(func(context.Context, objstore.Op) objstore.Fault { return objstore.Fault{Timeout: true} })
	r := newReader(t, w, Options{DownloadTimeout: 1})
	_, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1000, true)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestReadDoesNotWaitTwice: with batches in hand a read ends where the next ones
// have to be downloaded.
func TestReadDoesNotWaitTwice(t *testing.T) {
	tr := newTier(t, 8, 0, segfiletest.Shape{Batches: 100}, segfiletest.Shape{Batches: 100})
	w := newWire(tr.store)
	r := newReader(t, w, Options{ChunkBytes: 2048, ReadAheadChunks: -1})
	read := func(from ident.Offset) Chunk {
		t.Helper()
		c, err := r.Read(t.Context(), partition, tr.list, from, tr.end(), 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := r.Tail(t.Context(), partition, tr.list.At(0)); err != nil {
		t.Fatal(err)
	}
	before := w.count()
	c := read(tr.batches[2].Base)
	if got := w.count() - before; got > 2 || c.Batches < 2 { // a batch may lie in two chunks
		t.Errorf("%d batches with %d downloads", c.Batches, got)
	}
	for at := tr.list.Start(); at < tr.list.At(0).End; {
		at = read(at).NextOffset
	}
	if got, want := w.count(), int(tr.list.At(0).ObjectBytes+2047)/2048; got != want {
		t.Errorf("%d downloads, the first object has %d chunks", got, want)
	}
	before = w.count()
	c = read(tr.list.Start())
	if c.NextOffset != tr.list.At(0).End || w.count() != before {
		t.Errorf("read to %d with %d downloads, the segment ends at %d", c.NextOffset, w.count()-before, tr.list.At(0).End)
	}
}
