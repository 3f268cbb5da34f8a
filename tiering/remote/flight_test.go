package remote

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// wait lets others run until a condition holds that they bring about.
func wait(cond func() bool) {
	for !cond() {
		runtime.Gosched()
	}
}

// readers returns how many references the only chunk in memory has, without
// that of its flight.
func (r *Reader) readersOfOnly() int {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	n := -1
	for _, c := range r.table.chunks {
		n += c.refs
	}
	return n
}

func (r *Reader) tailReaders() int {
	r.tails.mu.Lock()
	defer r.tails.mu.Unlock()
	n := 0
	for _, f := range r.tails.loading {
		n += f.readers
	}
	return n
}

// TestSingleFlight: readers of one chunk share one download, and one parsing of
// the tail.
func TestSingleFlight(t *testing.T) {
	const n = 20
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 20})
	w, g := newWire(tr.store), newGate()
	w.set(g.rule)
	r := newReader(t, w, Options{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			c, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1<<20, true)
			if err != nil || !bytes.Equal(bytes.Join(c.Buffers, nil), tr.bytes()) {
				t.Errorf("%d bytes, %v", c.Bytes, err)
			}
		})
	}
	wait(func() bool { return r.tailReaders() == n })
	close(g.open)
	wg.Wait()
	if got := w.count(); got != 1 {
		t.Errorf("%d downloads", got)
	}
}

// TestSingleFlightOfChunk: the same, past the tail.
func TestSingleFlightOfChunk(t *testing.T) {
	const n = 20
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 200})
	w, g := newWire(tr.store), newGate()
	r := newReader(t, w, Options{ChunkBytes: 4096})
	if _, err := r.Tail(t.Context(), partition, tr.list.At(0)); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.table.shrink(0)
	before := w.count()
	w.set(g.rule)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1, true); err != nil {
				t.Error(err)
			}
		})
	}
	wait(func() bool { return r.readersOfOnly() == n })
	close(g.open)
	wg.Wait()
	if got := w.count() - before; got != 1 {
		t.Errorf("%d downloads", got)
	}
}

// TestDownloadOutlivesReader: the client gave up, the download fills the cache.
func TestDownloadOutlivesReader(t *testing.T) {
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 20})
	w, g := newWire(tr.store), newGate()
	w.set(g.rule)
	cache := NewMemoryCache(1 << 20)
	r := newReader(t, w, Options{Cache: cache})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := r.Read(ctx, partition, tr.list, tr.list.Start(), tr.end(), 1000, true)
		failed <- err
	}()
	<-g.arrived
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(g.open)
	r.settle()
	if s := cache.Stats(); s.Chunks != 1 {
		t.Errorf("%d chunks in the cache", s.Chunks)
	}
	w.set(down)
	tr.wantAll(t, r, 1000)
}

// TestQueuedDownloadIsAbandoned: what did not begin does not begin when nobody
// waits any more, and leaves nothing behind.
func TestQueuedDownloadIsAbandoned(t *testing.T) {
	tr := newTier(t, 1, 0, segfiletest.Shape{Batches: 20}, segfiletest.Shape{Batches: 20})
	w, g := newWire(tr.store), newGate()
	w.set(g.rule)
	r := newReader(t, w, Options{Downloads: 1})
	done := make(chan error, 2)
	read := func(ctx context.Context, from ident.Offset) {
		_, err := r.Read(ctx, partition, tr.list, from, tr.end(), 1000, true)
		done <- err
	}
	go read(t.Context(), tr.list.Start())
	<-g.arrived
	ctx, cancel := context.WithCancel(t.Context())
	go read(ctx, tr.list.At(1).Base)
	wait(func() bool { return r.tailReaders() == 2 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	wait(func() bool { // until its flight knows
		r.table.mu.Lock()
		defer r.table.mu.Unlock()
		return len(r.table.chunks) == 1
	})
	close(g.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.settle()
	if got := w.count(); got != 1 {
		t.Errorf("%d downloads", got)
	}
	r.table.shrink(0)
	if got := r.table.bytes(); got != 0 {
		t.Errorf("%d bytes are still held", got)
	}
}

// TestMemoryIsBounded: R1. Many readers of many chunks get on with the memory of
// few.
func TestMemoryIsBounded(t *testing.T) {
	tr := newTier(t, 2, 5, segfiletest.Shape{Batches: 200}, segfiletest.Shape{Batches: 200, ValueSize: 3000}, segfiletest.Shape{Batches: 300})
	w := newWire(tr.store)
	const chunkBytes = 2048
	o := Options{ChunkBytes: chunkBytes, MemoryBytes: 1, TailBytes: 1, Downloads: 3, Cache: NewMemoryCache(20_000)}
	r := newReader(t, w, o)
	w.set(func(context.Context, objstore.Op) objstore.Fault {
		r.table.mu.Lock()
		defer r.table.mu.Unlock()
		if r.table.used > 4*chunkBytes || r.table.used < 0 || r.table.ahead > r.table.aheadMax || r.table.ahead < 0 {
			t.Errorf("%d bytes in use, %d ahead", r.table.used, r.table.ahead)
		}
		return objstore.Fault{}
	})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			all, err := tr.scan(t.Context(), r, 500+i*700)
			if err != nil || !bytes.Equal(all, tr.bytes()) {
				t.Errorf("%d bytes, %v", len(all), err)
			}
		})
	}
	wg.Wait()
	r.settle()
	r.table.shrink(0)
	if s := r.Stats(); s.HeldBytes != 0 || r.table.ahead != 0 || len(r.table.chunks) != 0 {
		t.Errorf("%d bytes are held, %d ahead, %d chunks", s.HeldBytes, r.table.ahead, len(r.table.chunks))
	}
}

// TestReadWaitsForMemory: a read for which there is no memory ends with its
// context, and one that waits goes on when there is.
func TestReadWaitsForMemory(t *testing.T) {
	tr := newTier(t, 2, 0, segfiletest.Shape{Batches: 20})
	r := newReader(t, tr.store, Options{ChunkBytes: 1024, MemoryBytes: 1})
	for range 4 {
		if err := r.table.reserve(t.Context(), 1024); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func() bool {
		r.table.mu.Lock()
		defer r.table.mu.Unlock()
		return r.table.queue.Len() == 1
	}
	done := make(chan error)
	read := func(ctx context.Context) {
		_, err := r.Read(ctx, partition, tr.list, tr.list.Start(), tr.end(), 1000, true)
		done <- err
	}
	ctx, cancel := context.WithCancel(t.Context())
	go read(ctx)
	wait(waiting)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.settle()
	go read(t.Context())
	wait(waiting)
	r.table.unreserve(make([]byte, 1024), 1024)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestClose: downloads in hand are cancelled, waiting reads fail, and no
// goroutine stays.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	tr := newTier(t, 2, 0, segfiletest.Shape{Batches: 200})
	w := newWire(tr.store)
	r := New(w, cluster, Options{ChunkBytes: 1024, Cache: NewMemoryCache(1 << 20)})
	tr.wantAll(t, r, 700)
	r.settle()
	r.table.shrink(0)
	r.o.Cache.Close()
	arrived := make(chan struct{}, 100)
	w.set(func(context.Context, objstore.Op) objstore.Fault {
		arrived <- struct{}{}
		return objstore.Fault{Timeout: true} // until the context ends
	})
	done := make(chan error, 10)
	for i := range 10 {
		go func() {
			_, err := r.Read(context.Background(), partition, tr.list, tr.batches[i*10].Base, tr.end(), 1000, true)
			done <- err
		}()
	}
	<-arrived
	r.Close()
	for range 10 {
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if _, err := r.Read(t.Context(), partition, tr.list, tr.list.Start(), tr.end(), 1000, true); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	r.Close()
	wait(func() bool { return runtime.NumGoroutine() <= before })
}

// TestReadAhead: a sequential reader's window opens chunk by chunk and crosses
// into the next segments.
func TestReadAhead(t *testing.T) {
	const chunkBytes = 4096
	tr := newTier(t, 7, 0, segfiletest.Shape{Batches: 300}, segfiletest.Shape{Batches: 300}, segfiletest.Shape{Batches: 300})
	w := newWire(tr.store)
	now := newClock()
	r := newReader(t, w, Options{ChunkBytes: chunkBytes, MemoryBytes: 1 << 20, ReadAheadChunks: 8, Now: now.now, Downloads: 100})
	at := tr.list.Start()
	read := func() (chunk int64) {
		t.Helper()
		c, err := r.Read(t.Context(), partition, tr.list, at, tr.end(), 600, true)
		if err != nil {
			t.Fatal(err)
		}
		r.settle()
		at = c.NextOffset
		st := r.streams.of.peek(streamKey{partition, at})
		if st == nil {
			t.Fatal("the reader is forgotten")
		}
		return st.chunk.Offset / chunkBytes
	}
	window := func() int { return r.streams.of.peek(streamKey{partition, at}).window }
	chunk := read()
	if window() != 0 || r.n.readAhead.Load() != 1 { // the first chunk, beside the tail
		t.Fatalf("window %d after the first read, %d chunks ahead", window(), r.n.readAhead.Load())
	}
	widest, want := 1, 0
	for at < tr.list.At(0).End {
		before := chunk
		chunk = read()
		switch {
		case want == 0:
			want = 1
		case chunk != before:
			want = min(2*want, 8)
		}
		if window() != want {
			t.Fatalf("window %d, want %d", window(), want)
		}
		widest = max(widest, window())
	}
	if widest != 8 {
		t.Fatalf("the window opened to %d; the segment is too small", widest)
	}
	// Everything that the next segment needs at first is here.
	w.set(down)
	for range 8 {
		read()
	}
	w.set(nil)

	// Another reader at another place has no window, and one that stood still
	// has none any more.
	before := r.n.readAhead.Load()
	if _, err := r.Read(t.Context(), partition, tr.list, tr.batches[len(tr.batches)-50].Base, tr.end(), 600, true); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if got := r.n.readAhead.Load(); got != before {
		t.Errorf("%d chunks ahead of a read at random", got-before)
	}
	now.advance(time.Hour)
	read()
	if window() != 0 {
		t.Errorf("window %d after an hour", window())
	}
}

// TestReadAheadOff: a negative setting turns it off.
func TestReadAheadOff(t *testing.T) {
	tr := newTier(t, 7, 0, segfiletest.Shape{Batches: 300})
	r := newReader(t, tr.store, Options{ChunkBytes: 4096, ReadAheadChunks: -1})
	tr.wantAll(t, r, 600)
	if s := r.Stats(); s.ReadAhead != 1 { // the first chunk, beside the tail
		t.Errorf("%d", s.ReadAhead)
	}
}

// TestStreamsAreBounded: so is what is remembered of readers.
func TestStreamsAreBounded(t *testing.T) {
	s := newStreams(10, time.Minute, 8)
	for i := range 100 {
		from := streamKey{partition, ident.Offset(i * 2)}
		s.move(from, streamKey{partition, ident.Offset(i*2 + 1)}, s.step(from, ChunkID{}, time.Time{}))
	}
	if s.of.len() != 10 {
		t.Errorf("%d", s.of.len())
	}
}
