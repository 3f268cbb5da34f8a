package wal

import (
	"encoding/binary"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// stateAt is a group's part of a checkpoint that says up to which index it goes.
func stateAt(group ident.GroupID, applied uint64, low int64) GroupState {
	state := binary.LittleEndian.AppendUint64(nil, applied)
	return GroupState{Group: group, Replica: 1, Low: low, State: append(state, "a state of some length"...)}
}

func appliedAt(state []byte) uint64 {
	if len(state) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(state)
}

// pieceOf is one of two pieces of a checkpoint.
func pieceOf(id uint64, number uint32, groups ...GroupState) Record {
	return Record{Kind: KindCheckpoint, Piece: Piece{ID: id, Number: number, Last: number == 1, Groups: groups}}
}

// TestSalvageCheckpoint damages a piece of the newest checkpoint. One wrong bit is
// put right. With more of them the groups of the other piece have its states, and
// those of the damaged one what the checkpoint before says; nobody is suspected
// of having lost a record.
func TestSalvageCheckpoint(t *testing.T) {
	for _, bits := range []int{1, 2} {
		fs := vfs.NewMem(vfs.MemOptions{})
		l, _ := mustOpen(t, fs, smallSettings(1))
		first := mustWrite(t, l, appendOf(1, 1, 1, 5, 100))
		mustWrite(t, l, appendOf(2, 1, 1, 5, 100))
		mustWrite(t, l, pieceOf(1, 0, stateAt(1, 3, first)), pieceOf(1, 1, stateAt(2, 3, first)))
		mustWrite(t, l, appendOf(1, 1, 6, 3, 100))
		mustWrite(t, l, pieceOf(2, 0, stateAt(1, 7, first)))
		damaged := mustWrite(t, l, pieceOf(2, 1, stateAt(2, 5, first)))
		mustWrite(t, l, appendOf(1, 1, 9, 1, 100))
		base := l.cur.head.base
		l.Close()
		f, err := fs.Open("wal/" + fileName(1))
		if err != nil {
			t.Fatal(err)
		}
		var b [2]byte
		at := damaged - base + writeHeader + recordHeader + 60
		_, err = f.ReadAt(b[:], at)
		b[0] ^= 1
		b[1] ^= byte(bits) &^ 1 << 3
		if _, werr := f.WriteAt(b[:], at); err != nil || werr != nil {
			t.Fatal(err, werr)
		}
		f.Close()
		s, err := Salvage(fs, smallSettings(1), appliedAt)
		if err != nil || len(s.Groups) != 2 || len(s.Holes) != 1 || s.Holes[0].Any || len(s.Holes[0].Groups) > 0 {
			t.Fatalf("%d bits: %+v, %v", bits, s, err)
		}
		want := uint64(5)
		if bits > 1 {
			want = 3
		}
		if (len(s.Holes[0].Corrected) == 1) != (bits == 1) || appliedAt(s.Groups[0].State) != 7 || appliedAt(s.Groups[1].State) != want {
			t.Errorf("%d bits: %+v, states at %d and %d", bits, s.Holes[0], appliedAt(s.Groups[0].State), appliedAt(s.Groups[1].State))
		}
		if s.Doubt(1) || s.Doubt(2) || len(s.Groups[0].Entries) != 9 || len(s.Groups[1].Entries) != 5 {
			t.Errorf("%d bits: doubts %v %v, %d and %d entries", bits, s.Doubt(1), s.Doubt(2), len(s.Groups[0].Entries), len(s.Groups[1].Entries))
		}
	}
}

// A write that ends where its file ends has one wrong bit: it costs nothing there
// either.
func TestSalvageCorrectsTheEndOfAFile(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, disk, smallSettings(1))
	mustPrepare(t, l)
	mustWrite(t, l, appendOf(1, 3, 1, 1, 20000))
	at := mustWrite(t, l, appendOf(1, 3, 2, 1, int(l.cur.room())-Block/2))
	if l.cur.room() != 0 {
		t.Fatalf("%d bytes are left", l.cur.room())
	}
	name := l.s.Dir + "/" + fileName(l.cur.head.sequence)
	mustWrite(t, l, appendOf(1, 3, 3, 1, 100))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, disk, name, at+writeHeader+recordHeader+1000)
	s, err := Salvage(disk, smallSettings(2), func([]byte) uint64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Holes) != 1 || s.Holes[0].Any || len(s.Holes[0].Groups) > 0 || len(s.Holes[0].Corrected) != 1 {
		t.Fatalf("%+v", s.Holes)
	}
	if len(s.Groups) != 1 || len(s.Groups[0].Entries) != 3 {
		t.Fatalf("%+v", s.Groups)
	}
}
