package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// The first write of a file is damaged, and only the next file says that it was
// durable: the damage is not at the end of the file before.
func TestDamagedFirstWriteBetweenFiles(t *testing.T) {
	for _, off := range []int64{writeHeader + 3000, 9, writeHeader + 2} { // of the write
		disk := vfs.NewMem(vfs.MemOptions{})
		l, _ := mustOpen(t, disk, smallSettings(1))
		var at []int64
		var in []string
		for i, bytes := range []int{40000, 100000, 100000} { // most of a file each
			mustPrepare(t, l)
			at = append(at, mustWrite(t, l, appendOf(1, 3, uint64(i)+1, 1, bytes))-l.cur.head.base)
			in = append(in, l.s.Dir+"/"+fileName(l.cur.head.sequence))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if in[0] == in[1] || in[1] == in[2] || at[1] != fileHeaderBytes {
			t.Fatalf("writes at %v of %v", at, in)
		}
		flip(t, disk, in[1], at[1]+off)
		wantCorrupt(t, disk, smallSettings(2), in[1], at[1])
	}
}

// The first write of a file is damaged, and the checkpoint needs what follows it:
// that file is named, and not the oldest one.
func TestDamagedFirstWriteBeforeWhatIsNeeded(t *testing.T) {
	disk := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, disk, smallSettings(1))
	mustWrite(t, l, appendOf(1, 3, 1, 1, 40000)) // most of the first file
	mustPrepare(t, l)
	first := mustWrite(t, l, appendOf(1, 3, 2, 1, 50000))
	low := mustWrite(t, l, appendOf(1, 3, 3, 1, 50000))
	name, base := l.s.Dir+"/"+fileName(l.cur.head.sequence), l.cur.head.base
	if first != base+fileHeaderBytes || low < base {
		t.Fatalf("writes at %d and %d, the file begins at %d", first, low, base)
	}
	mustWrite(t, l, Record{Kind: KindCheckpoint, Piece: Piece{ID: 1, Last: true, Groups: []GroupState{{Group: 1, Replica: 1, Low: low, State: []byte("s")}}}})
	mustWrite(t, l, Record{Kind: KindProof})
	l.Advance(low) // the oldest file stays, as after a loss of power
	for i := uint64(4); l.cur.head.low < low; i++ {
		mustPrepare(t, l)
		mustWrite(t, l, appendOf(1, 3, i, 1, 50000))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, disk, name, first-base+writeHeader+3000)
	wantCorrupt(t, disk, smallSettings(2), name, first-base)
}

// The last write of a file is damaged, and the first one of the next file, which
// proves that it was durable, is torn: the damage is in the first of the two.
func TestDamageBeforeATornFirstWrite(t *testing.T) {
	disk, writes, first := writtenDisk(t)
	last, torn := writes[first-1], writes[first]
	flip(t, disk, last.file, last.off+2000)
	for _, w := range writes[first+1:] { // were never written
		change(t, disk, w.file, w.off, w.extent, func(b []byte) { clear(b) })
	}
	change(t, disk, torn.file, torn.off+Block, torn.extent-Block, func(b []byte) { clear(b) })
	wantCorrupt(t, disk, smallSettings(2), last.file, last.off)
}
