package storage

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// epochAt is the leader epoch cache of a partition.
func (m *model) epochAt(last ident.Offset) ident.Epoch {
	for _, b := range m.list {
		if b.last >= last {
			return b.epoch
		}
	}
	return -1
}

// holedLog writes batches with holes between some of them and a new leader epoch
// now and then, opening the log again after each few, and returns it open, with
// nothing in memory.
func holedLog(t testing.TB, fs vfs.FS, batches int) (*model, Position) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 9))
	set := Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 4000}
	l := open(t, fs, EmptyPosition(5), set, NewCache(Limits{}))
	m := &model{start: 5, end: 5}
	pos := EmptyPosition(5)
	for i := range batches {
		b := makeBatch(t, m.end, ident.Epoch(i/9), []int64{int64(i * 10), int64(i*10 + 5), int64(i * 10)}, 100, rng)
		b.appendTo(t, l)
		m.list, m.end = append(m.list, b), b.last+1
		if i%3 == 1 {
			m.end += ident.Offset(i%4 + 1)
			l.SetEnd(m.end)
		}
		if i%5 == 4 {
			pos = flush(t, l)
			l.Close()
			l = open(t, fs, pos, set, NewCache(Limits{}))
		}
	}
	pos = flush(t, l)
	l.Close()
	return m, pos
}

// TestPlacementFlipsAreFound: whatever bit of a batch's base offset or leader epoch
// is wrong in a file, the batch is never served, copied or uploaded, and all others
// are, whether the log has holes or not.
func TestPlacementFlipsAreFound(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	m, at := holedLog(t, fs, 50)
	cache := NewCache(Limits{})
	l := open(t, fs, at, Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 4000}, cache)
	defer l.Close()
	l.SetEpochs(m.epochAt)
	if n := len(l.Sealed()); n < 2 {
		t.Fatalf("%d closed segments", n)
	}
	m.allServed(t, l, -1)
	g, position := l.segs[0], int64(0)
	for k, b := range m.list {
		for next := 1; next < len(l.segs) && l.segs[next].base <= b.base; next++ {
			if g != l.segs[next] && l.segs[next].base > g.base {
				g, position = l.segs[next], 0
			}
		}
		for bit := range int64(8 * 12) {
			byteAt := bit / 8
			if byteAt >= 8 {
				byteAt += 4 // the length lies between
			}
			if bit%5 != int64(k%5) { // a fifth of them is enough
				continue
			}
			turn(t, fs, g.data, position+byteAt, 1<<(bit%8))
			m.allServed(t, l, k)
			turn(t, fs, g.data, position+byteAt, 1<<(bit%8))
		}
		position += int64(len(b.stored))
	}
	if cache.Stats().IndexRebuilt > 0 {
		t.Error("an index was damaged")
	}
}

// TestOthersAreServedBehindAWrongEnd: a batch that says of itself that it ends
// earlier than it does is refused by its checksum, and takes none behind it with it.
func TestOthersAreServedBehindAWrongEnd(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	m, at := holedLog(t, fs, 16)
	l := open(t, fs, at, Settings{}, NewCache(Limits{}))
	defer l.Close()
	l.SetEpochs(m.epochAt)
	position := int64(0)
	for k, b := range m.list {
		turn(t, fs, l.segs[0].data, position+26, 2) // the last offset delta: 0 and not 2
		for j, other := range m.list {
			c, err := l.Read(other.base, m.end, 1, true)
			if j == k && !errors.Is(err, ErrDamaged) || j != k && (err != nil || !bytes.Equal(content(c), other.stored)) {
				t.Fatalf("batch %d of which %d is damaged: %v", j, k, err)
			}
		}
		turn(t, fs, l.segs[0].data, position+26, 2)
		position += int64(len(b.stored))
	}
}

// turn flips bits of one byte.
func turn(t testing.TB, fs vfs.FS, name string, at int64, mask byte) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// allServed reads, copies and checks every batch but the damaged one, -1: none.
func (m *model) allServed(t testing.TB, l *Log, damaged int) {
	t.Helper()
	sealed := l.Sealed()
	for k, b := range m.list {
		if k < damaged-3 || k > damaged+3 && k%17 != 0 {
			continue
		}
		c, err := l.Read(b.base, m.end, 1, true)
		piece, copyErr := l.ReadCopy(b.base, m.end, 1)
		if k == damaged {
			if !errors.Is(err, ErrDamaged) || !errors.Is(copyErr, ErrDamaged) {
				t.Fatalf("batch %d at %d was damaged: read %d bytes, %v; copied %d bytes, %v", k, b.base, c.Bytes, err, piece.Bytes, copyErr)
			}
			continue
		}
		if err != nil || copyErr != nil || !bytes.Equal(content(c), b.stored) || !bytes.Equal(content(piece.Chunk), b.stored) {
			t.Fatalf("batch %d at %d, batch %d is damaged: %v, %v", k, b.base, damaged, err, copyErr)
		}
	}
	// A long read ends before the damage.
	if damaged > 0 {
		c, err := l.Read(m.list[0].base, m.end, 1<<20, true)
		if got := content(c); err != nil || c.Batches != damaged || !bytes.Equal(got[len(got)-100:], m.list[damaged-1].stored[len(m.list[damaged-1].stored)-100:]) {
			t.Fatalf("%d batches before batch %d, which is damaged: %v", c.Batches, damaged, err)
		}
	}
	for _, s := range sealed {
		bad := damaged >= 0 && m.list[damaged].base >= s.Base && m.list[damaged].base < s.End
		if err := checkSealed(t, l, s.Base); errors.Is(err, ErrDamaged) != bad || !bad && err != nil {
			t.Fatalf("segment %d to %d is damaged: %v; its upload: %v", s.Base, s.End, bad, err)
		}
	}
}

// checkSealed does what an upload does with a closed segment.
func checkSealed(t testing.TB, l *Log, base ident.Offset) error {
	t.Helper()
	f, err := l.OpenSealed(base)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	pos := int64(0)
	for raw, err := range record.Batches(b) {
		if err != nil {
			t.Fatal(err)
		}
		h, err := record.ParseHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Check(pos, &h); err != nil {
			return err
		}
		pos += int64(len(raw))
	}
	return nil
}

// TestUnknownIndexesAreMadeAgain: a log whose checkpoint does not say where the last
// batch ends, as a repair leaves it, and whose indexes are of a version that is not
// known, is read like any other.
func TestUnknownIndexesAreMadeAgain(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	m, at := holedLog(t, fs, 40)
	entries, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, suffix, _ := parseName(e.Name); suffix == indexSuffix {
			turn(t, fs, testDir+"/"+e.Name, 8, 3)
		}
	}
	at.ActiveEnd = -1
	l := open(t, fs, at, Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 4000}, NewCache(Limits{}))
	l.SetEpochs(m.epochAt)
	m.allServed(t, l, -1)
	b := makeBatch(t, m.end, 9, []int64{1, 2}, 100, rand.New(rand.NewPCG(1, 1)))
	b.appendTo(t, l)
	m.list, m.end = append(m.list, b), b.last+1
	again := open(t, fs, flush(t, l), Settings{}, NewCache(Limits{}))
	again.SetEpochs(m.epochAt)
	m.allServed(t, again, -1)
	l.Close()
	again.Close()
}
