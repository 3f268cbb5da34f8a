package remote

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// TestEveryByteIsVerified: L2, L8. No byte of an object can come wrong without
// being fetched again; whether the first chunk comes before the tail or behind.
func TestEveryByteIsVerified(t *testing.T) {
	tr := newTier(t, 6, 3, segfiletest.Shape{Batches: 20})
	f := &flipper{Store: tr.store}
	size := tr.list.At(0).ObjectBytes
	if size < 4096 {
		t.Fatalf("an object of %d bytes", size)
	}
	for at := range size {
		f.set(tr.key(0), at, 1<<(at%8), 1)
		r := New(f, cluster, Options{ChunkBytes: 1024, Cache: NewMemoryCache(1 << 20)})
		if at%2 == 0 {
			if _, err := r.Tail(t.Context(), partition, tr.list.At(0)); err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
		}
		tr.wantAll(t, r, 1+int(at))
		// All of it is right in memory and in the cache by now.
		f.set("", 0, 0, 0)
		r.settle()
		r.table.shrink(0)
		tr.wantAll(t, r, 1000)
		if s := r.Stats(); s.Damaged != 1 || s.CacheHits == 0 {
			t.Fatalf("byte %d of %d: %+v", at, size, s)
		}
		r.Close()
	}
}

// stored returns a chunk of an object as it is in the store.
func (tr *tier) stored(t *testing.T, r *Reader, o *object, off int64) []byte {
	t.Helper()
	b := make([]byte, r.chunkLen(o, off))
	if err := tr.store.GetRange(t.Context(), r.key(o), off, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCheckedAgainFromCache: what the cache vouches for is still compared with
// the index, and with the batch's checksum where it is put together from several
// chunks or decoded.
func TestCheckedAgainFromCache(t *testing.T) {
	const chunkBytes = 16 << 10
	tr := newTier(t, 12, 0, segfiletest.Shape{Batches: 200, ValueSize: 4000})
	cache := NewMemoryCache(64 << 20)
	r := newReader(t, tr.store, Options{ChunkBytes: chunkBytes, ReadAheadChunks: -1, Cache: cache})
	tail, err := r.Tail(t.Context(), partition, tr.list.At(0))
	if err != nil {
		t.Fatal(err)
	}
	o := r.object(partition, tr.list.At(0))
	spoil := func(b *segfiletest.Batch, at int64) {
		t.Helper()
		r.settle()
		r.table.shrink(0)
		off := r.chunkStart(at)
		data := tr.stored(t, r, &o, off)
		data[at-off] ^= 1
		cache.Put(ChunkID{Object: o.id, Offset: off}, data)
		before := r.Stats().Damaged
		c, err := r.Read(t.Context(), partition, tr.list, b.Base, tr.end(), 1, true)
		if err != nil || c.First != b.Base || r.Stats().Damaged != before+1 {
			t.Errorf("batch at %d: read from %d, %v", b.Base, c.First, err)
		}
	}
	tried, cut := 0, 0
	for i := 1; i < len(tr.batches); i++ {
		prev, b := &tr.batches[i-1], &tr.batches[i]
		if last := manifest.DataOffset + b.Position + int64(len(b.Bytes)) - 1; r.chunkStart(last) != r.chunkStart(manifest.DataOffset+b.Position) {
			spoil(b, last)
			cut++
		}
		// A base offset that fits between its neighbours.
		if lower := b.Base ^ 1; lower < b.Base && lower > prev.Last && tail.Next(prev.Position) == b.Position {
			spoil(b, manifest.DataOffset+b.Position+7)
			tried++
		}
	}
	if tried == 0 || cut == 0 {
		t.Fatalf("%d batches have an index entry and a hole before them, %d lie in several chunks", tried, cut)
	}
	r.settle()
	r.table.shrink(0)
	b := tr.batches[0]
	data := tr.stored(t, r, &o, 0)
	data[manifest.DataOffset+70] ^= 1
	cache.Put(ChunkID{Object: o.id}, data)
	before := r.Stats().Damaged
	if _, _, _, err := r.OffsetForTimestamp(t.Context(), partition, tr.list, b.MaxTimestamp, b.Base); err != nil || r.Stats().Damaged != before+1 {
		t.Errorf("lookup: %d found, %v", r.Stats().Damaged-before, err)
	}
}

// TestNothingUnverifiedIsKept: a chunk that came without its object's tail goes
// to the cache when the tail is there too, and not before.
func TestNothingUnverifiedIsKept(t *testing.T) {
	tr := newTier(t, 7, 0, segfiletest.Shape{Batches: 200})
	cache := NewMemoryCache(1 << 20)
	w := newWire(tr.store)
	r := newReader(t, w, Options{ChunkBytes: 2048, Cache: cache, ReadAheadChunks: -1})
	o := r.object(partition, tr.list.At(0))
	if o.seg.TailOffset() < 3*2048 {
		t.Fatal("the object is too small")
	}
	if !r.prefetch(&o, 0) {
		t.Fatal("no download")
	}
	r.settle()
	if s := cache.Stats(); s.Chunks != 0 {
		t.Errorf("%d chunks are kept", s.Chunks)
	}
	if _, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1, true); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if !cache.Has(ChunkID{Object: o.id}) {
		t.Error("the first chunk is not kept")
	}
	for off := r.chunkStart(o.seg.TailOffset()); off < o.seg.ObjectBytes; off += 2048 {
		if !cache.Has(ChunkID{Object: o.id, Offset: off}) {
			t.Errorf("the chunk at %d, of the tail, is not kept", off)
		}
	}
	// With the tail there, a chunk is kept that nobody uses.
	if !r.prefetch(&o, 2*2048) {
		t.Fatal("no download")
	}
	r.settle()
	if !cache.Has(ChunkID{Object: o.id, Offset: 2 * 2048}) {
		t.Error("what was read ahead is not kept")
	}
}

// TestTailInSeveralChunks: all of them are kept, and a second life needs no
// download.
func TestTailInSeveralChunks(t *testing.T) {
	tr := newTier(t, 7, 0, segfiletest.Shape{Batches: 400})
	cache := NewMemoryCache(1 << 20)
	w := newWire(tr.store)
	for range 2 {
		r := newReader(t, w, Options{ChunkBytes: 1024, Cache: cache})
		o := r.object(partition, tr.list.At(0))
		if o.seg.ObjectBytes-o.seg.TailOffset() < 3*1024 {
			t.Fatal("the tail is too small")
		}
		if _, err := r.tail(t.Context(), &o); err != nil {
			t.Fatal(err)
		}
		r.settle()
		w.set(down)
	}
}

// TestBlocksLargerThanChunks: an object that cannot be verified is not read.
func TestBlocksLargerThanChunks(t *testing.T) {
	tr := newTierOf(t, segfile.BlockBytes, 3, 0, segfiletest.Shape{Batches: 30})
	r := newReader(t, tr.store, Options{ChunkBytes: 32 << 10})
	_, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1000, true)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrDamaged) || errors.Is(err, objstore.ErrUnavailable) {
		t.Error(err)
	}
	tr.wantAll(t, newReader(t, tr.store, Options{ChunkBytes: 33 << 10}), 1000)
}

func TestChunksAreWholeBlocks(t *testing.T) {
	for asked, want := range map[int]int{
		-1: 4 << 20, 0: 4 << 20, 1: 1024, 1024: 1024, 1025: 2048, 33 << 10: 64 << 10, 64 << 10: 64 << 10,
		64<<10 + 1: 128 << 10, 150 << 10: 192 << 10, 4 << 20: 4 << 20, 4<<20 - 1: 4 << 20, 1 << 40: 64 << 20,
	} {
		if got := (Options{ChunkBytes: asked}).normal().ChunkBytes; got != want {
			t.Errorf("%d: %d, want %d", asked, got, want)
		}
	}
}

// TestDamagedBlocks: reads keep out of the blocks of a chunk that are damaged,
// and only of those.
func TestDamagedBlocks(t *testing.T) {
	tr := newTier(t, 9, 0, segfiletest.Shape{Batches: 300, NoHoles: true})
	f := &flipper{Store: tr.store}
	r := newReader(t, f, Options{ChunkBytes: 1 << 20})
	at := manifest.DataOffset + tr.batches[150].Position
	f.set(tr.key(0), at, 1, 1<<30)
	block := at / segfile.BlockBytesMin * segfile.BlockBytesMin
	bad := 0
	for _, b := range tr.batches {
		from := manifest.DataOffset + b.Position
		touches := from < block+segfile.BlockBytesMin && from+int64(len(b.Bytes)) > block
		if touches {
			bad++
		}
		// The walk begins at the indexed batch before this one.
		c, err := r.Read(t.Context(), partition, tr.list, b.Base, b.Last+1, 1<<20, true)
		if touches && !errors.Is(err, ErrDamaged) || err == nil && c.First != b.Base {
			t.Errorf("batch at %d: %v, %v", from, c.First, err)
		}
		if err != nil && (from+int64(len(b.Bytes)) <= block || from > block+8<<10) {
			t.Errorf("batch at %d, damage in the block at %d: %v", from, block, err)
		}
	}
	if bad < 2 {
		t.Errorf("%d batches touch the damaged block", bad)
	}
	if _, _, _, err := r.OffsetForTimestamp(t.Context(), partition, tr.list, 0, ident.Offset(tr.batches[150].Base)); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}
