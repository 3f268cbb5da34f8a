package vfs

import (
	"errors"
	"io"
	"testing"
)

// A crash before any step of WriteFileAtomic leaves the old content or the new
// one, and the new one once it returned.
func TestWriteFileAtomicCrash(t *testing.T) {
	errPower := errors.New("power lost")
	oldData, newData := fill('o', 3*pageSize+7), fill('n', 2*pageSize+100)
	const steps = 9 // remove, create, write, sync, close, rename, syncdir, and none
	got := map[string]int{}
	for step := uint64(1); step <= steps; step++ {
		for seed := range uint64(100) {
			m := NewMem(MemOptions{})
			must(t, WriteFileAtomic(m, "a", oldData))
			broken := NewFaulty(m, func(op Op) error {
				if op.N >= step { // nothing works any more, not even cleaning up
					return errPower
				}
				return nil
			})
			err := WriteFileAtomic(broken, "a", newData)
			m = m.Crash(seeded(seed), harsh)
			data := readBack(t, m, "a")
			switch string(data) {
			case string(oldData):
				got["old"]++
				if err == nil {
					t.Fatalf("step %d, seed %d: reported done, but the content is old", step, seed)
				}
			case string(newData):
				got["new"]++
			default:
				t.Fatalf("step %d, seed %d: content is neither old nor new (%d bytes)", step, seed, len(data))
			}
			must(t, WriteFileAtomic(m, "a", oldData)) // whatever was left behind
		}
	}
	wantOutcomes(t, got, "old", "new")
}

// A failing step is reported, leaves the old content, and leaves no file behind.
func TestWriteFileAtomicFails(t *testing.T) {
	errDisk := errors.New("disk")
	for _, kind := range []OpKind{OpRemove, OpCreate, OpWrite, OpSync, OpClose, OpRename} {
		m := NewMem(MemOptions{})
		must(t, WriteFileAtomic(m, "a", []byte("old")))
		broken := NewFaulty(m, FailNth(kind, "a.tmp", 1, errDisk))
		if err := WriteFileAtomic(broken, "a", []byte("new")); !errors.Is(err, errDisk) {
			t.Errorf("%v: %v", kind, err)
		}
		if got := readBack(t, m, "a"); string(got) != "old" {
			t.Errorf("%v: content %q", kind, got)
		}
		if got := names(m, "."); got != "a" {
			t.Errorf("%v: files %s", kind, got)
		}
	}
}

func TestReadFileFails(t *testing.T) {
	errDisk := errors.New("disk")
	m := NewMem(MemOptions{})
	must(t, WriteFileAtomic(m, "a", []byte("content")))
	for _, kind := range []OpKind{OpOpen, OpSize, OpRead, OpClose} {
		if _, err := ReadFile(NewFaulty(m, FailNth(kind, "", 1, errDisk)), "a", 100); !errors.Is(err, errDisk) {
			t.Errorf("%v: %v", kind, err)
		}
	}
	// A file that shrinks between Size and ReadAt.
	shrink := func(op Op) error {
		if op.Kind == OpRead {
			f, err := m.Open("a")
			if err != nil {
				return err
			}
			return errors.Join(f.Truncate(2), f.Close())
		}
		return nil
	}
	if _, err := ReadFile(NewFaulty(m, shrink), "a", 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("shrunk file: %v", err)
	}
}
