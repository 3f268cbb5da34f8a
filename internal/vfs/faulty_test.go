package vfs

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"
)

var errInjected = errors.New("injected")

// Every method asks once, with what it is about to do, and returns what it gets.
func TestFaultyAsks(t *testing.T) {
	var ops []Op
	fail := false
	m := NewMem(MemOptions{})
	fsys := NewFaulty(m, func(op Op) error {
		ops = append(ops, op)
		if fail {
			return errInjected
		}
		return nil
	})
	must(t, fsys.MkdirAll("d"))
	f := create(t, fsys, "d/a")
	lockless := m.Digest()
	ops, fsys.n, fail = nil, 0, true
	buf := make([]byte, 3)
	_, createErr := fsys.Create("b")
	_, openErr := fsys.Open("d/a")
	_, directErr := fsys.CreateDirect("c")
	_, openDirectErr := fsys.OpenDirect("d/a")
	_, listErr := fsys.List("d")
	_, freeErr := fsys.Free()
	_, lockErr := fsys.Lock("l")
	_, readErr := f.ReadAt(buf, 7)
	_, writeErr := f.WriteAt(buf, 8)
	_, sizeErr := f.Size()
	errs := []error{
		createErr, openErr, directErr, openDirectErr, listErr, freeErr, lockErr, readErr, writeErr, sizeErr,
		fsys.Rename("d/a", "c"), fsys.Remove("d/a"), fsys.MkdirAll("e"), fsys.SyncDir("d"),
		f.Sync(), f.Truncate(5), f.Preallocate(6), fsys.SyncAll(), f.Close(),
	}
	want := []Op{
		{Kind: OpCreate, Name: "b"}, {Kind: OpOpen, Name: "d/a"},
		{Kind: OpCreate, Name: "c"}, {Kind: OpOpen, Name: "d/a"}, {Kind: OpList, Name: "d"},
		{Kind: OpFree, Name: "."}, {Kind: OpLock, Name: "l"},
		{Kind: OpRead, Name: "d/a", Off: 7, Len: 3}, {Kind: OpWrite, Name: "d/a", Off: 8, Len: 3},
		{Kind: OpSize, Name: "d/a"}, {Kind: OpRename, Name: "d/a", NewName: "c"},
		{Kind: OpRemove, Name: "d/a"}, {Kind: OpMkdirAll, Name: "e"}, {Kind: OpSyncDir, Name: "d"},
		{Kind: OpSync, Name: "d/a"}, {Kind: OpTruncate, Name: "d/a", Len: 5},
		{Kind: OpPreallocate, Name: "d/a", Len: 6}, {Kind: OpSyncAll, Name: "."},
		{Kind: OpClose, Name: "d/a"},
	}
	if len(ops) != len(want) {
		t.Fatalf("asked about %d operations, want %d", len(ops), len(want))
	}
	for i := range want {
		want[i].N = uint64(i + 1)
		if ops[i] != want[i] {
			t.Errorf("asked about %+v, want %+v", ops[i], want[i])
		}
		err := errs[i]
		text := fmt.Sprintf("%s %q", want[i].Kind, want[i].Name)
		if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s returned %v", text, err)
		}
	}
	if m.Digest() != lockless {
		t.Error("a failed operation was done")
	}
	if _, err := f.Size(); !errors.Is(err, errInjected) {
		t.Errorf("Size: %v", err)
	}
	fail = false
	if _, err := f.Size(); !errors.Is(err, ErrClosed) {
		t.Errorf("a failed Close left the file open: %v", err)
	}
}

func TestFaultyPartial(t *testing.T) {
	m := NewMem(MemOptions{})
	for _, n := range []int{-1, 0, 4, 10, 99} {
		fsys := NewFaulty(m, FailNth(OpWrite, "", 1, &Partial{N: n, Err: errInjected}))
		name := fmt.Sprint("f", n)
		f := create(t, fsys, name)
		want := min(max(n, 0), 10)
		if got, err := f.WriteAt([]byte("0123456789"), 0); got != want || !errors.Is(err, errInjected) {
			t.Errorf("WriteAt with Partial %d = %d, %v", n, got, err)
		}
		if got := readBack(t, m, name); string(got) != "0123456789"[:want] {
			t.Errorf("Partial %d left %q", n, got)
		}
	}
	fsys := NewFaulty(m, FailNth(OpRead, "f10", 1, &Partial{N: 3, Err: errInjected}))
	f, err := fsys.Open("f10")
	must(t, err)
	buf := make([]byte, 10)
	if n, err := f.ReadAt(buf, 2); n != 3 || string(buf[:n]) != "234" || !errors.Is(err, errInjected) {
		t.Errorf("ReadAt = %d, %q, %v", n, buf, err)
	}
	if n, err := f.ReadAt(buf, 0); n != 10 || err != nil {
		t.Errorf("the second ReadAt = %d, %v", n, err)
	}
}

func TestFaultyCorrupt(t *testing.T) {
	distance := func(a, b []byte) (n int) {
		for i := range a {
			n += bits.OnesCount8(a[i] ^ b[i])
		}
		return n
	}
	data := []byte("0123456789")
	for _, bit := range []int64{0, 13, 79, 80, -1, 1 << 62} {
		m := NewMem(MemOptions{})
		must(t, WriteFileAtomic(m, "a", data))
		got, err := ReadFile(NewFaulty(m, FailNth(OpRead, "a", 1, &Corrupt{Bit: bit})), "a", 100)
		if err != nil || distance(got, data) != 1 {
			t.Errorf("read with bit %d corrupt: %q, %v", bit, got, err)
		}
		if got := readBack(t, m, "a"); distance(got, data) != 0 {
			t.Errorf("a corrupt read changed the file")
		}
		mine := []byte("0123456789")
		must(t, WriteFileAtomic(NewFaulty(m, FailNth(OpWrite, "a", 1, &Corrupt{Bit: bit})), "a", mine))
		if got := readBack(t, m, "a"); distance(got, data) != 1 {
			t.Errorf("written with bit %d corrupt: %q", bit, got)
		}
		if string(mine) != string(data) {
			t.Error("a corrupt write changed the caller's bytes")
		}
	}
	m := NewMem(MemOptions{})
	f := create(t, NewFaulty(m, FailNth(OpRead, "a", 1, &Corrupt{})), "a")
	if n, err := f.ReadAt(nil, 0); n != 0 || err != nil {
		t.Errorf("corrupting nothing = %d, %v", n, err)
	}
}

// After a sync that lost writes, later syncs succeed, reads show everything, and
// a crash takes what was lost then and nothing else.
func TestFaultyLostSync(t *testing.T) {
	for seed := range uint64(50) {
		m := NewMem(MemOptions{})
		f := create(t, NewFaulty(m, FailNth(OpSync, "a", 2, &LostSync{Err: errInjected})), "a")
		writeAt(t, f, fill('a', 3*pageSize), 0)
		must(t, f.Sync())
		must(t, m.SyncDir("."))
		writeAt(t, f, fill('x', pageSize), 0)
		if err := f.Sync(); !errors.Is(err, errInjected) {
			t.Fatalf("Sync: %v", err)
		}
		writeAt(t, f, fill('c', pageSize), pageSize)
		must(t, f.Sync())
		writeAt(t, f, fill('d', pageSize), 2*pageSize) // not synced
		if got := letters(m); got != "xcd" {
			t.Fatalf("reads %q before the crash", got)
		}
		m = m.Crash(seeded(seed), CrashOptions{Keep: float64(seed % 2)})
		want := "aca"
		if seed%2 == 1 {
			want = "acd"
		}
		if got := letters(m); got != want {
			t.Fatalf("seed %d: %q after the crash, want %q", seed, got, want)
		}
	}
	f := create(t, NewFaulty(NewMem(MemOptions{}), FailNth(OpSync, "a", 1, &LostSync{Err: errInjected})), "a")
	if err := f.Sync(); !errors.Is(err, errInjected) { // nothing to lose
		t.Error(err)
	}
}

func TestFailNth(t *testing.T) {
	inject := FailNth(OpSync, "wal/", 2, errInjected)
	for i, tt := range []struct {
		op   Op
		want error
	}{
		{Op{Kind: OpSync, Name: "wal/1"}, nil},
		{Op{Kind: OpSync, Name: "seg/1"}, nil},
		{Op{Kind: OpWrite, Name: "wal/1"}, nil},
		{Op{Kind: OpSync, Name: "wal/2"}, errInjected},
		{Op{Kind: OpSync, Name: "wal/2"}, nil},
	} {
		if got := inject(tt.op); got != tt.want {
			t.Errorf("operation %d: %v, want %v", i, got, tt.want)
		}
	}
}

func TestNoSpaceFrom(t *testing.T) {
	m := NewMem(MemOptions{})
	f := create(t, NewFaulty(m, NoSpaceFrom(10)), "a")
	writeAt(t, f, []byte("0123456"), 0)
	must(t, f.Preallocate(8))
	if n, err := f.WriteAt([]byte("789ab"), 7); n != 3 || !errors.Is(err, ErrNoSpace) {
		t.Fatalf("the crossing write = %d, %v", n, err)
	}
	if n, err := f.WriteAt([]byte("x"), 0); n != 0 || !errors.Is(err, ErrNoSpace) {
		t.Fatalf("a write when full = %d, %v", n, err)
	}
	writeAt(t, f, nil, 0)
	if err := f.Preallocate(100); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Preallocate when full: %v", err)
	}
	must(t, f.Sync())
	if got := readBack(t, m, "a"); string(got) != "0123456789" {
		t.Fatalf("content %q", got)
	}
	exact := create(t, NewFaulty(m, NoSpaceFrom(3)), "b")
	writeAt(t, exact, []byte("012"), 0)
	if err := exact.Preallocate(4); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Preallocate after exactly all bytes: %v", err)
	}
}

func TestChain(t *testing.T) {
	other := errors.New("other")
	inject := Chain(FailNth(OpSync, "", 2, errInjected), FailNth(OpSync, "", 2, other), FailNth(OpSync, "", 3, other))
	for i, want := range []error{nil, errInjected, other, nil} {
		if got := inject(Op{Kind: OpSync}); got != want {
			t.Errorf("operation %d: %v, want %v", i, got, want)
		}
	}
}

func TestOpKindString(t *testing.T) {
	seen := map[string]bool{}
	for k := OpCreate; k <= OpClose; k++ {
		if s := k.String(); strings.HasPrefix(s, "operation") || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		}
		seen[k.String()] = true
	}
	if got := OpKind(200).String(); got != "operation 200" {
		t.Errorf("an unknown kind is called %q", got)
	}
}
