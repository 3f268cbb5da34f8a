package storage

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// The cut of a closed segment's padding that a failed sync lost is made again by
// the next life of the process, although the file seems to have its length: the
// next loss of power shows what is on the disk.
func TestLostCutIsMadeAgain(t *testing.T) {
	errLost := errors.New("lost")
	fail := false
	mem := vfs.NewMem(vfs.MemOptions{DirectAlignment: 4096})
	fs := func(m *vfs.Mem) vfs.FS {
		return vfs.NewFaulty(m, func(op vfs.Op) error {
			if fail && (op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncAll) {
				return &vfs.LostSync{Err: errLost}
			}
			return nil
		})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	first := makeBatch(t, 0, 1, []int64{5}, 5000, rng)
	l := open(t, fs(mem), EmptyPosition(0), Settings{}, NewCache(Limits{}))
	first.appendTo(t, l)
	at := flush(t, l) // padded, as the segment is open
	name, want := l.active().data, l.active().bytes
	if sizeOf(t, mem, name) == want {
		t.Fatal("there is no padding")
	}
	l.Roll()
	s, err := l.PlanSync(l.Mark())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(); err != nil {
		t.Fatal(err)
	}
	fail = true
	if err := fs(mem).SyncAll(); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	fail = false
	// The broker ends, and another one begins where the checkpoint was.
	mem = mem.Kill()
	l = open(t, fs(mem), at, Settings{}, NewCache(Limits{}))
	if sizeOf(t, mem, name) != want {
		t.Fatal("the cut is not to be seen")
	}
	l.Roll()
	flush(t, l)
	l.Close()
	mem = mem.Crash(rng, vfs.CrashOptions{})
	if got := sizeOf(t, mem, name); got != want {
		t.Fatalf("the closed segment has %d bytes, %d were written", got, want)
	}
}

// DropBelow gives up closed segments and moves nothing else: the log is opened
// again as it was, without them.
func TestDropBelow(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	rng := rand.New(rand.NewPCG(1, 1))
	l := open(t, fs, EmptyPosition(0), Settings{}, NewCache(Limits{}))
	for range 4 {
		b := makeBatch(t, l.End(), 1, []int64{5}, 100, rng)
		b.appendTo(t, l)
		l.Roll()
	}
	l.DropBelow(2)
	l.DropBelow(1)
	if l.Start() != 0 || l.LocalStart() != 0 || l.FirstBase() != 2 || len(l.Sealed()) != 2 {
		t.Fatalf("from %d, here from %d, first segment %d of %d", l.Start(), l.LocalStart(), l.FirstBase(), len(l.Sealed()))
	}
	garbage := l.TakeGarbage()
	if len(garbage) != 2 || garbage[1].Base != 1 {
		t.Fatalf("garbage %+v", garbage)
	}
	at := flush(t, l)
	for _, g := range garbage {
		if err := g.Remove(fs); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	l = open(t, fs, at, Settings{}, NewCache(Limits{}))
	defer l.Close()
	l.DropBelow(100)
	if l.Start() != 0 || l.End() != 4 || l.FirstBase() != 4 {
		t.Fatalf("from %d to %d, first segment %d", l.Start(), l.End(), l.FirstBase())
	}
	l.AdvanceStart(3)
	if l.Start() != 3 {
		t.Fatalf("from %d", l.Start())
	}
}

// Owed counts whole blocks, and an index for each segment that has none.
func TestOwed(t *testing.T) {
	l := open(t, vfs.NewMem(vfs.MemOptions{}), EmptyPosition(0), Settings{}, NewCache(Limits{}))
	defer l.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		l.Roll()
		b := makeBatch(t, l.End(), 1, []int64{5}, 100, rng)
		b.appendTo(t, l)
	}
	if got, want := l.Owed(), int64(3*2*blockSize); got != want {
		t.Fatalf("%d, want %d", got, want)
	}
	flush(t, l)
	if l.Owed() != 0 {
		t.Fatalf("%d bytes when all is written", l.Owed())
	}
}
