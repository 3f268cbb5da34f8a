package wal

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

var errDisk = errors.New("test: input/output error")

func TestFailForEver(t *testing.T) {
	for name, kind := range map[string]vfs.OpKind{"write": vfs.OpWrite, "sync": vfs.OpSync} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMem(vfs.MemOptions{})
			fail := error(nil)
			fs := vfs.NewFaulty(disk, func(op vfs.Op) error {
				if op.Kind == kind {
					return fail
				}
				return nil
			})
			l, _ := mustOpen(t, fs, smallSettings(1))
			mustWrite(t, l, appendOf(1, 1, 1, 1, 100))
			for i := range 2 {
				if err := l.Enqueue(appendOf(1, 1, 2+uint64(i), 1, 100), i, 0); err != nil {
					t.Fatal(err)
				}
			}
			p := l.Prepare()
			if p == nil {
				t.Fatal("no next file is wanted")
			}
			perr := p.Do() // succeeds, and comes back when the log is dead
			fail = errDisk
			w := l.Next()
			if err := l.Enqueue(appendOf(1, 1, 4, 1, 100), 2, 0); err != nil {
				t.Fatal(err)
			}
			durable := l.Durable()
			err := l.Done(w, w.Do(), func(token any) { t.Fatalf("token %v released", token) })
			fail = nil // even if the disk recovers
			for step, err := range map[string]error{
				"done": err, "err": l.Err(), "enqueue": l.Enqueue(Record{Kind: KindProof}, nil, 0),
			} {
				if !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
					t.Errorf("%s: %v", step, err)
				}
			}
			if l.PrepareDone(p, perr) || l.Prepare() != nil || l.Next() != nil || l.Pending() || l.Reserve(Block, true) {
				t.Error("the log goes on")
			}
			if l.Durable() != durable {
				t.Errorf("durable went from %d to %d", durable, l.Durable())
			}
			if err := l.Done(w, nil, func(token any) { t.Fatalf("token %v released", token) }); !errors.Is(err, ErrFailed) {
				t.Errorf("done twice: %v", err)
			}
			l.Close()
		})
	}
}

// TestLostSync: after a failed sync the write reads well until the power goes.
// A restart must not take the page cache's word for it.
func TestLostSync(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{})
	fail := false
	fs := vfs.NewFaulty(disk, func(op vfs.Op) error {
		if fail && op.Kind == vfs.OpSync {
			return &vfs.LostSync{Err: errDisk}
		}
		return nil
	})
	l, _ := mustOpen(t, fs, smallSettings(1))
	mustWrite(t, l, appendOf(1, 1, 1, 1, 100))
	if err := l.Enqueue(appendOf(1, 1, 2, 1, 100), nil, 0); err != nil {
		t.Fatal(err)
	}
	fail = true
	w := l.Next()
	if err := l.Done(w, w.Do(), func(any) { t.Fatal("released") }); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	disk = disk.Kill()
	l, rec := mustOpen(t, disk, smallSettings(2))
	if got := lastIndexes(rec)[1]; got != 2 {
		t.Fatalf("last index %d before the power loss", got)
	}
	mustWrite(t, l, appendOf(1, 1, 3, 1, 100))
	disk = disk.Crash(nilRand(), vfs.CrashOptions{})
	_, rec = mustOpen(t, disk, smallSettings(3))
	if got := lastIndexes(rec)[1]; got != 3 {
		t.Fatalf("last index %d after it", got)
	}
}

func TestClosed(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Enqueue(Record{Kind: KindProof}, nil, 0); !errors.Is(err, vfs.ErrClosed) || !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

func TestTooLarge(t *testing.T) {
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
	if err := l.Enqueue(appendOf(1, 1, 1, 1, 128*kib), nil, 0); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if l.Pending() || l.Err() != nil {
		t.Fatal("the record was taken")
	}
	// The largest one is.
	largest := 128*kib - fileHeaderBytes - writeHeader - recordHeader - appendHeader - entryHeader
	mustWrite(t, l, appendOf(1, 1, 1, 1, largest))
}
