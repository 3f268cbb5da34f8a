package wal

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

const kib = 1 << 10

var testDirectory = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// smallSettings make every border of the log near.
func smallSettings(seed uint64) Settings {
	rng := rand.New(rand.NewPCG(seed, 99))
	return Settings{
		Dir: "wal", FirstFileBytes: 64 * kib, FileBytes: 128 * kib, BytesMax: 1024 * kib,
		ReserveBytes: 16 * kib, Directory: testDirectory, Entropy: rng.Uint64,
	}
}

func mustOpen(t testing.TB, fs vfs.FS, s Settings) (*Log, *Recovered) {
	t.Helper()
	l, rec, err := Open(fs, s)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l, rec
}

// mustPrepare makes the next file if one is wanted.
func mustPrepare(t testing.TB, l *Log) {
	t.Helper()
	if p := l.Prepare(); p != nil {
		err := p.Do()
		l.PrepareDone(p, err)
		if err != nil {
			t.Fatalf("prepare: %v", err)
		}
	}
}

// mustWrite writes records in one group commit and returns its position.
func mustWrite(t testing.TB, l *Log, records ...Record) int64 {
	t.Helper()
	for i := range records {
		if err := l.Enqueue(records[i], i, 0); err != nil {
			t.Fatalf("enqueue: %v", err)
		}
	}
	w := l.Next()
	if w == nil {
		mustPrepare(t, l)
		if w = l.Next(); w == nil {
			t.Fatal("no room for the write")
		}
	}
	tokens := 0
	err := l.Done(w, w.Do(), func(any) { tokens++ })
	if err != nil || tokens != len(records) {
		t.Fatalf("write: %d tokens of %d, %v", tokens, len(records), err)
	}
	return w.head.position
}

// appendOf returns an append of n entries from an index on, with some data.
func appendOf(group ident.GroupID, term, first uint64, n, bytes int) Record {
	a := Append{Term: term, Vote: 1, Commit: first - 1}
	for i := range n {
		data := make([]byte, bytes)
		for k := range data {
			data[k] = byte(int(first) + i + k)
		}
		a.Entries = append(a.Entries, Entry{Index: first + uint64(i), Term: term, Data: data})
	}
	return Record{Group: group, Replica: 1, Kind: KindAppend, Append: a}
}

func checkpointOf(id uint64, groups ...GroupState) Record {
	return Record{Kind: KindCheckpoint, Piece: Piece{ID: id, Last: true, Groups: groups}}
}

// lastIndexes returns each group's last index, or 0.
func lastIndexes(rec *Recovered) map[ident.GroupID]uint64 {
	out := map[ident.GroupID]uint64{}
	for _, g := range rec.Groups {
		out[g.ID] = 0
		if n := len(g.Entries); n > 0 {
			out[g.ID] = g.Entries[n-1].Index
		}
	}
	return out
}

func nilRand() *rand.Rand { return rand.New(rand.NewPCG(0, 0)) }

var errPower = errors.New("test: power is off")

// power is a file system that stops working after a number of operations: the
// last one that it lets through may be done in part.
type power struct {
	rng  *rand.Rand
	left int  // operations until it goes off; below 0 never
	off  bool // it went off
	full bool // Preallocate fails for want of space
}

func (p *power) inject(op vfs.Op) error {
	if p.off {
		return errPower
	}
	if p.left == 0 {
		p.off = true
		if op.Kind == vfs.OpWrite && op.Len > 0 {
			return &vfs.Partial{N: p.rng.IntN(int(op.Len) + 1), Err: errPower}
		}
		return errPower
	}
	if p.left > 0 {
		p.left--
	}
	if p.full && op.Kind == vfs.OpPreallocate {
		return vfs.ErrNoSpace
	}
	return nil
}
