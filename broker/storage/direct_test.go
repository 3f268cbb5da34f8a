package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// alignments are those of a file system without direct I/O, and of the smallest
// and the largest one with it.
var alignments = []int{1, 512, 4096}

// writeAll carries out all runs.
func writeAll(t testing.TB, l *Log) {
	t.Helper()
	for r, ok := l.NextRun(1); ok; r, ok = l.NextRun(1) {
		err := l.DoRun(r)
		l.RunDone(r, err)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sizeOf returns the length of a file.
func sizeOf(t testing.TB, fs vfs.FS, name string) int64 {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The file is padded while the segment is open. Nobody is told of that, and the
// padding is gone when the segment is closed.
func TestPaddingIsNobodysBusiness(t *testing.T) {
	for _, align := range alignments {
		t.Run(fmt.Sprint(align), func(t *testing.T) {
			fs := vfs.NewMem(vfs.MemOptions{DirectAlignment: align})
			cache := NewCache(Limits{})
			l := open(t, fs, EmptyPosition(0), Settings{}, cache)
			rng := rand.New(rand.NewPCG(1, uint64(align)))
			var m model
			add := func(size int) {
				b := makeBatch(t, m.end, 2, []int64{int64(m.end)}, size, rng)
				b.appendTo(t, l)
				m.list, m.end = append(m.list, b), b.last+1
			}
			add(5000)
			add(10)
			at := flush(t, l)
			name, bytes := l.segs[0].data, l.segs[0].bytes
			if size := sizeOf(t, fs, name); size != roundUp(bytes) || bytes%blockSize == 0 {
				t.Fatalf("%d bytes of batches, a file of %d", bytes, size)
			}
			if l.Size() != bytes || l.Active().Bytes != bytes || at.ActiveBytes != bytes {
				t.Fatalf("%d bytes are told as %d, %d, %d", bytes, l.Size(), l.Active().Bytes, at.ActiveBytes)
			}
			if cache.Stats().Direct != (align > 1) {
				t.Fatalf("alignment %d: %+v", align, cache.Stats())
			}
			l.Close()
			l = open(t, fs, at, Settings{}, NewCache(Limits{}))
			if l.Size() != bytes || l.Active().Bytes != bytes {
				t.Fatalf("%d bytes are %d after a restart", bytes, l.Size())
			}
			add(100)
			l.Roll()
			writeAll(t, l)
			bytes = l.segs[0].bytes
			f, err := l.OpenSealed(0)
			if err != nil {
				t.Fatal(err)
			}
			if f.Size() != bytes {
				t.Fatalf("%d bytes are offered as %d to the tier", bytes, f.Size())
			}
			f.Close()
			flush(t, l)
			if size := sizeOf(t, fs, name); size != bytes || l.Size() != bytes {
				t.Fatalf("a closed segment of %d bytes has a file of %d", bytes, size)
			}
			m.check(t, l, 0, m.end, 1<<20, true)
			l.EvictIdle()
			m.check(t, l, 0, m.end, 1<<20, true)
		})
	}
}

// spy looks at all writes.
type spy struct {
	vfs.FS
	wrote func(name string, p []byte, off int64)
}

type spyFile struct {
	vfs.File
	s    *spy
	name string
}

func (s *spy) CreateDirect(name string) (vfs.File, error) {
	f, err := s.FS.CreateDirect(name)
	return &spyFile{f, s, name}, err
}

func (s *spy) OpenDirect(name string) (vfs.File, error) {
	f, err := s.FS.OpenDirect(name)
	return &spyFile{f, s, name}, err
}

func (f *spyFile) WriteAt(p []byte, off int64) (int, error) {
	f.s.wrote(f.name, p, off)
	return f.File.WriteAt(p, off)
}

// A block that is written again, also after a restart or when its bytes have
// left the memory, begins with the bytes that it had: whatever of the write is
// lost, they stay.
func TestABlockIsRewrittenWithItsPrefix(t *testing.T) {
	for _, align := range alignments {
		rng := rand.New(rand.NewPCG(9, uint64(align)))
		fs := &spy{FS: vfs.NewMem(vfs.MemOptions{DirectAlignment: align})}
		var content []byte // of the segment
		again := 0         // bytes that were written twice
		var written int64
		fs.wrote = func(name string, p []byte, off int64) {
			if off%blockSize != 0 || len(p)%blockSize != 0 {
				t.Fatalf("write of %d bytes at %d", len(p), off)
			}
			n := min(int64(len(p)), int64(len(content))-off)
			if !bytes.Equal(p[:n], content[off:off+n]) {
				t.Fatalf("write of %d bytes at %d of %s is not what was appended", len(p), off, name)
			}
			if rest := p[n:]; len(bytes.Trim(rest, "\x00")) > 0 {
				t.Fatalf("padding of %d bytes is not zero", len(rest))
			}
			again += int(max(written-off, 0))
			written = off + n
		}
		l := open(t, fs, EmptyPosition(0), Settings{RunBytes: 8 << 10}, NewCache(Limits{}))
		at := EmptyPosition(0)
		end := ident.Offset(0)
		for i := range 200 {
			b := makeBatch(t, end, 1, []int64{1}, rng.IntN(3000), rng)
			b.appendTo(t, l)
			content, end = append(content, b.stored...), b.last+1
			switch i % 7 {
			case 2:
				writeAll(t, l)
			case 4:
				at = flush(t, l)
				l.EvictIdle() // the partial block must be read again
			case 6:
				at = flush(t, l)
				l.Close()
				l = open(t, fs, at, Settings{RunBytes: 8 << 10}, NewCache(Limits{}))
			}
		}
		if again < 10_000 {
			t.Fatalf("only %d bytes were written twice", again)
		}
	}
}

// history is what a crash test appends, and where it rolls.
type history struct {
	batches []testBatch
	rolls   map[int]bool // before this batch
}

func (h *history) apply(t testing.TB, l *Log, from int) {
	for i := from; i < len(h.batches); i++ {
		h.step(t, l, i)
	}
}

func (h *history) step(t testing.TB, l *Log, i int) {
	if h.rolls[i] {
		l.Roll()
	}
	h.batches[i].appendTo(t, l)
}

var errCut = errors.New("test: power is cut")

// story appends, writes, syncs and closes segments until the power is cut, and
// returns the newest checkpoint and how many batches are in it.
func (h *history) story(t *testing.T, fs vfs.FS, shared bool) (at Position, covered int, done bool) {
	at = EmptyPosition(0)
	l, err := Open(fs, testDir, at, Settings{RunBytes: 8 << 10, IndexIntervalBytes: 500}, NewCache(Limits{OpenFiles: 2}))
	if err != nil {
		return at, 0, false
	}
	defer l.Close()
	for i := range h.batches {
		h.step(t, l, i)
		if i%2 == 0 {
			continue
		}
		for r, ok := l.NextRun(1); ok; r, ok = l.NextRun(1) {
			err := l.DoRun(r)
			l.RunDone(r, err)
			if err != nil {
				return at, covered, false
			}
		}
		if i%4 == 1 {
			continue // the next run begins in the block where this one ended
		}
		s, err := l.PlanSync(l.Mark())
		if err != nil {
			t.Fatal(err)
		}
		if shared && s.Direct() {
			if err = s.Write(); err == nil {
				err = fs.SyncAll()
			}
		} else {
			err = s.Do()
		}
		l.SyncDone(s, err)
		if err != nil {
			return at, covered, false
		}
		at, covered = s.Position(), i+1
	}
	return at, covered, true
}

// The power is cut before every single operation, in the middle of every write,
// and what was not synced is torn and reordered: the log of the last checkpoint
// is whole, and goes on.
func TestPowerLossAtEveryOperation(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 3))
	h := &history{rolls: map[int]bool{9: true, 14: true, 21: true, 22: true}}
	var m model
	for i := range 26 {
		size := 300 + 150*(i%5)
		if i == 12 {
			size = 20_000
		}
		b := makeBatch(t, m.end, 1, []int64{int64(i)}, size, rng)
		h.batches = append(h.batches, b)
		m.list, m.end = append(m.list, b), b.last+1
	}
	for _, align := range alignments {
		for _, shared := range []bool{false, true} {
			for cut := 1; ; cut++ {
				if h.cutAt(t, &m, align, shared, cut) {
					break
				}
			}
		}
	}
}

// cutAt cuts the power before the nth operation and reports whether there is
// none so late.
func (h *history) cutAt(t *testing.T, m *model, align int, shared bool, n int) bool {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(align)))
	mem := vfs.NewMem(vfs.MemOptions{DirectAlignment: align})
	left := n
	fs := vfs.NewFaulty(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpClose {
			return nil
		}
		if left--; left > 0 {
			return nil
		}
		if left == 0 && op.Kind == vfs.OpWrite {
			return &vfs.Partial{N: rng.IntN(int(op.Len) + 1), Err: errCut}
		}
		return errCut
	})
	at, covered, done := h.story(t, fs, shared)
	if (left > 0) != done {
		t.Fatalf("operation %d: done %v, %d left", n, done, left)
	}
	how := vfs.CrashOptions{Keep: float64(n%4+1) / 5, Tear: true, Reorder: true}
	after := mem.Crash(rng, how)
	cache := NewCache(Limits{})
	l, err := Open(after, testDir, at, Settings{RunBytes: 8 << 10, IndexIntervalBytes: 500}, cache)
	if err != nil {
		t.Fatalf("alignment %d, shared %v, operation %d: %v", align, shared, n, err)
	}
	h.apply(t, l, covered)
	l.EvictIdle()
	m.check(t, l, 0, m.end, 1<<20, true)
	at = flush(t, l)
	l.Close()
	l = open(t, after, at, Settings{}, cache)
	m.check(t, l, 0, m.end, 1<<20, true)
	l.Close()
	if s := cache.Stats(); s.IndexRebuilt != 0 || s.OpenFiles != 0 || s.TailBytes != 0 || s.RunBytes > 8*defaultRunBytes {
		t.Fatalf("operation %d: %+v", n, s)
	}
	return done
}

// A closed segment keeps no direct handle: it gets no more runs.
func TestClosedSegmentsKeepNoDirectHandle(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	cache := NewCache(Limits{})
	l := open(t, fs, EmptyPosition(0), Settings{}, cache)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range ident.Offset(10) {
		b := makeBatch(t, i, 1, []int64{1}, 100, rng)
		b.appendTo(t, l)
		writeAll(t, l)
		l.Roll()
		flush(t, l)
	}
	for id := range cache.files.byID {
		if id.direct {
			t.Fatalf("%s is open for writing", id.g.data)
		}
	}
	l.Close()
	if n := cache.Stats().OpenFiles; n != 0 {
		t.Fatalf("%d files are open", n)
	}
}

// Buffers of runs are counted, and no more are kept than the limit.
func TestBuffersOfRunsAreBounded(t *testing.T) {
	l := bufferList{max: 2}
	var out [][]byte
	for _, n := range []int{100, 70_000, 1 << 20, 3 << 20, 1 << 20} {
		b := l.get(n)
		if len(b) != n {
			t.Fatalf("%d bytes of %d", len(b), n)
		}
		out = append(out, b)
	}
	if n := l.bytes(); n != 100+3<<20+3<<20 {
		t.Fatalf("%d bytes in use", n)
	}
	for _, b := range out {
		l.put(b)
	}
	if n := l.bytes(); n > 2*3<<20 || len(l.free) != 2 {
		t.Fatalf("%d bytes are kept in %d buffers", n, len(l.free))
	}
	if len(l.get(4<<20)) != 4<<20 {
		t.Fatal("no buffer")
	}
}
