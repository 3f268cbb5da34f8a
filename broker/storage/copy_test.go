package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// A copy begins with the whole of the oldest segment, also with what lies there
// below the local log start, where nobody else may read; from the tail and from
// files alike. It ends where a closed segment does.
func TestCopyReadsBelowTheLocalStart(t *testing.T) {
	l := open(t, vfs.NewMem(vfs.MemOptions{}), EmptyPosition(0), Settings{}, NewCache(Limits{}))
	var all []testBatch
	for i := range 6 {
		if i == 4 {
			l.Roll()
		}
		b := makeBatch(t, ident.Offset(i), 1, []int64{int64(i)}, 50, rand.New(rand.NewPCG(1, 2)))
		b.appendTo(t, l)
		all = append(all, b)
	}
	l.AdvanceLocalStart(2)
	for _, from := range []string{"tail", "files"} {
		if from == "files" {
			flush(t, l)
			l.EvictIdle()
		}
		if _, err := l.Read(0, 6, 1<<20, true); !errors.Is(err, ErrBelowStart) {
			t.Fatalf("%s: a reader below the local log start: %v", from, err)
		}
		c, err := l.ReadCopy(0, 6, 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		var want []byte
		for _, b := range all[:4] {
			want = append(want, b.stored...)
		}
		if got := content(c.Chunk); !bytes.Equal(got, want) || c.NextOffset != 4 || !c.Sealed || c.SegmentEnd != 4 {
			t.Fatalf("%s: %d bytes up to %d of a segment up to %d, want %d", from, len(got), c.NextOffset, c.SegmentEnd, len(want))
		}
	}
	l.AdvanceLocalStart(4) // the oldest segment goes
	if _, err := l.ReadCopy(0, 6, 1<<20); !errors.Is(err, ErrBelowStart) {
		t.Fatalf("a copy of what is gone: %v", err)
	}
	if c, err := l.ReadCopy(4, 6, 1<<20); err != nil || c.NextOffset != 6 || c.Sealed {
		t.Fatalf("%+v %v", c, err)
	}
	l.Close()
}
