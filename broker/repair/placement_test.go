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

// TestWrongPlacementIsPutRight: every bit of base offset and leader epoch, of every
// batch, also of one behind a hole, is put right by what the index and the epoch
// history say.
func TestWrongPlacementIsPutRight(t *testing.T) {
	const dir = "p"
	fs := vfs.NewMem(vfs.MemOptions{})
	l, err := storage.Open(fs, dir, storage.EmptyPosition(7), storage.Settings{}, storage.NewCache(storage.Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	next, size := ident.Offset(7), int64(0)
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
	at := sync.Position()
	l.Close()
	epochs := []epochStart{{1, 7}, {2, 1009}, {3, 2011}}
	name := segmentName(dir, 7, dataSuffix)
	for pos := int64(0); pos < at.ActiveBytes; pos++ {
		in := pos % size
		if in >= 8 && in < 12 || in >= 16 {
			continue
		}
		for bit := range 8 {
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
				t.Fatalf("bit %d of byte %d is not put right", bit, pos)
			}
		}
	}
	if c, err := checkFiles(fs, dir, at, epochs); err != nil || len(c.damage) > 0 {
		t.Fatalf("%+v, %v", c, err)
	}
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
