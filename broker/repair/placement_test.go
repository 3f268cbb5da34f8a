package repair

import (
	"bytes"
	"slices"
	"testing"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// placed is a segment of six batches of three leader epochs, and what is known of it.
func placed(t *testing.T) (fs *vfs.Mem, dir string, at storage.Position, epochs []epochStart, size int64) {
	fs, dir = vfs.NewMem(vfs.MemOptions{}), "p"
	l, err := storage.Open(fs, dir, storage.EmptyPosition(7), storage.Settings{}, storage.NewCache(storage.Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	next := ident.Offset(7)
	for i := range 6 {
		b := batch(t, "value")
		if err := l.Append(next, next, ident.Epoch(i/2+1), 1000, b); err != nil {
			t.Fatal(err)
		}
		next, size = next+1+ident.Offset(i%2*1000), int64(len(b))
	}
	l.SetEnd(next)
	run, _ := l.NextRun(0)
	l.RunDone(run, l.DoRun(run))
	sync, err := l.PlanSync(l.Mark())
	if err == nil {
		err = sync.Do()
	}
	if err != nil {
		t.Fatal(err)
	}
	at = sync.Position()
	l.Close()
	return fs, dir, at, []epochStart{{1, 7}, {2, 1009}, {3, 2011}}, size
}

// everyBit has every bit of every batch of a segment wrong, in turn, if want says so
// of its byte in the batch: it is put right, and nothing else is changed.
func everyBit(t *testing.T, want func(in int64) bool) {
	fs, dir, at, epochs, size := placed(t)
	name := segmentName(dir, 7, dataSuffix)
	for pos := int64(0); pos < at.ActiveBytes; pos++ {
		in := pos % size
		for bit := 0; bit < 8 && want(in); bit++ {
			flip(t, fs, name, pos, bit)
			c, err := checkFiles(fs, dir, at, epochs)
			flip(t, fs, name, pos, bit)
			if err != nil || len(c.lost) > 0 || len(c.damage) != 1 || !c.damage[0].Mended || c.damage[0].Position != pos-in || len(c.rewrites) != 1 {
				t.Fatalf("bit %d of byte %d: %+v, lost %v, %v", bit, pos, c.damage, c.lost, err)
			}
			b := c.rewrites[0].batches[pos/size]
			raw, want := make([]byte, size), make([]byte, size)
			f, err := fs.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadAt(want, pos-in); err != nil {
				t.Fatal(err)
			}
			f.Close()
			copy(raw, want)
			raw[in] ^= 1 << bit
			if b.fix(raw); !bytes.Equal(raw, want) || b.header.BaseOffset != baseOf(want) {
				t.Fatalf("bit %d of byte %d (%d of its batch) is not put right", bit, pos, in)
			}
		}
	}
	if c, err := checkFiles(fs, dir, at, epochs); err != nil || len(c.damage) > 0 {
		t.Fatalf("%+v, %v", c, err)
	}
}

// TestWrongPlacementIsPutRight: every bit of base offset and leader epoch, of every
// batch, also of one behind a hole, is put right by what the index and the epoch
// history say.
func TestWrongPlacementIsPutRight(t *testing.T) {
	everyBit(t, func(in int64) bool { return in < 8 || in >= 12 && in < 16 })
}

// TestMendedBatchKeepsItsPlacement: a wrong bit that a checksum covers costs no batch
// its leader epoch, also one in its last offset, by which the epoch history is asked.
func TestMendedBatchKeepsItsPlacement(t *testing.T) {
	everyBit(t, func(in int64) bool { return in >= 8 && in < 12 || in >= 16 })
}

// baseOf returns the base offset of a batch.
func baseOf(b []byte) int64 {
	h, err := record.ParseHeader(b)
	if err != nil {
		return -1
	}
	return h.BaseOffset
}

// TestEpochsOfFiles: one batch with a wrong epoch does not make a history.
func TestEpochsOfFiles(t *testing.T) {
	for _, c := range []struct{ epochs, want, starts []int }{
		{epochs: []int{1, 1, 3, 3, 4}, want: []int{1, 3, 4}, starts: []int{0, 2, 4}},
		{epochs: []int{1, 1, 900, 1, 3, 3}, want: []int{1, 3}, starts: []int{0, 4}},
		{epochs: []int{900, 1, 1}, want: []int{1}, starts: []int{1}},
		{epochs: []int{2, 2, 0, 2, 3}, want: []int{2, 3}, starts: []int{0, 4}},
		{epochs: []int{2}, want: []int{2}, starts: []int{0}},
	} {
		var runs []epochRun
		var want []epochStart
		for i, e := range c.epochs {
			h := record.Header{BaseOffset: int64(i), LeaderEpoch: int32(e)}
			runs = addRuns(runs, []batchAt{{header: h}})
		}
		for i, e := range c.want {
			want = append(want, epochStart{ident.Epoch(e), ident.Offset(c.starts[i])})
		}
		if got := epochsOf(runs); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", c.epochs, got, want)
		}
	}
}
