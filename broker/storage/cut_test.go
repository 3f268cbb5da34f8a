package storage

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// TestWrongLengthBeforeUnwrittenBytes: while the end of the active segment is not
// in its file yet, a batch whose length field is wrong, so that it seems to reach
// beyond what is written, is damage like any other and no hole.
func TestWrongLengthBeforeUnwrittenBytes(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	cache := NewCache(Limits{})
	rng := rand.New(rand.NewPCG(1, 1))
	l := open(t, fs, EmptyPosition(0), Settings{}, cache)
	var list []testBatch
	add := func(l *Log) {
		b := makeBatch(t, l.End(), 1, []int64{5}, 100, rng)
		b.appendTo(t, l)
		list = append(list, b)
	}
	for range 5 {
		add(l)
	}
	at := flush(t, l)
	l.Close()
	f, err := fs.Open(newSegment(testDir, 0).data)
	if err != nil {
		t.Fatal(err)
	}
	// The highest byte of the second batch's length.
	if _, err := f.WriteAt([]byte{8}, int64(len(list[0].stored))+8); err != nil {
		t.Fatal(err)
	}
	l = open(t, fs, at, Settings{}, cache)
	defer l.Close()
	add(l) // stays in the tail
	if c, err := l.Read(1, l.End(), 1<<20, true); !errors.Is(err, ErrDamaged) {
		t.Errorf("read of a damaged batch: %d batches up to %d, %v", c.Batches, c.NextOffset, err)
	}
	if c, err := l.Read(5, l.End(), 1<<20, true); err != nil || c.Batches != 1 {
		t.Errorf("read behind it: %d batches, %v", c.Batches, err)
	}
	if _, _, _, err := l.OffsetForTimestamp(5, l.End()); err != nil {
		t.Errorf("lookup that needs no damaged batch: %v", err)
	}
}
