package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// TestSalvageDoubtsDamagedNames damages what a record's header says of whose it is,
// and its body: nobody knows then which group lost it, unless what is left of the
// header is a replica that other records name.
func TestSalvageDoubtsDamagedNames(t *testing.T) {
	const body = recordHeader + appendHeader + 20
	for name, c := range map[string]struct {
		at    []int64 // bytes of the record that are wrong
		doubt []ident.GroupID
	}{
		"body":          {[]int64{body, body + 1}, []ident.GroupID{2}},
		"group":         {[]int64{24, body}, []ident.GroupID{1, 2}},
		"group, high":   {[]int64{27, 28}, []ident.GroupID{1, 2}},
		"replica":       {[]int64{32, body}, []ident.GroupID{1, 2}},
		"kind":          {[]int64{40, body}, []ident.GroupID{1, 2}},
		"reserved byte": {[]int64{44, body}, []ident.GroupID{1, 2}},
	} {
		fs := vfs.NewMem(vfs.MemOptions{})
		l, _ := mustOpen(t, fs, smallSettings(1))
		mustWrite(t, l, of(11, appendOf(1, 1, 1, 5, 100)))
		mustWrite(t, l, of(12, appendOf(2, 1, 1, 5, 100)))
		damaged := mustWrite(t, l, of(12, appendOf(2, 1, 6, 1, 100)))
		mustWrite(t, l, Record{Kind: KindProof})
		mustWrite(t, l, Record{Kind: KindProof})
		base := l.cur.head.base
		l.Close()
		for _, at := range c.at {
			change(t, fs, "wal/"+fileName(1), damaged-base+writeHeader+at, 1, func(b []byte) { b[0] ^= 3 })
		}
		s, err := Salvage(fs, smallSettings(1), appliedAt)
		if err != nil || len(s.Groups) != 2 || len(s.Holes) != 1 {
			t.Fatalf("%s: %+v, %v", name, s, err)
		}
		var doubt []ident.GroupID
		for _, g := range []ident.GroupID{1, 2} {
			if s.Doubt(g) {
				doubt = append(doubt, g)
			}
		}
		if len(doubt) != len(c.doubt) || doubt[len(doubt)-1] != 2 {
			t.Errorf("%s: %d are in doubt, want %d: %+v", name, doubt, c.doubt, s.Holes)
		}
	}
}

// of makes a record one of another replica.
func of(id ident.ReplicaID, r Record) Record {
	r.Replica = id
	return r
}

// TestSalvageTakesNoLostRecordForPadding wipes the last records of a write: its
// header says that there were some.
func TestSalvageTakesNoLostRecordForPadding(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l, _ := mustOpen(t, fs, smallSettings(1))
	mustWrite(t, l, of(11, appendOf(1, 1, 1, 5, 100)), of(12, appendOf(2, 1, 1, 5, 100)))
	first, last := of(11, appendOf(1, 1, 6, 1, 100)), of(12, appendOf(2, 1, 6, 1, 100))
	damaged := mustWrite(t, l, first, last)
	mustWrite(t, l, Record{Kind: KindProof})
	mustWrite(t, l, Record{Kind: KindProof})
	base := l.cur.head.base
	l.Close()
	change(t, fs, "wal/"+fileName(1), damaged-base+writeHeader+first.size(), last.size(), func(b []byte) { clear(b) })
	s, err := Salvage(fs, smallSettings(1), appliedAt)
	if err != nil || len(s.Holes) != 1 || !s.Doubt(2) || len(s.Groups[0].Entries) != 6 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// TestSalvageOfAFilesLastWrite wipes a record of the last write of a file, behind
// which the log went on in the next one: what lies behind the record is taken, and
// it is known that something is missing.
func TestSalvageOfAFilesLastWrite(t *testing.T) {
	for _, head := range []bool{false, true} { // the write's header is wiped too
		fs := vfs.NewMem(vfs.MemOptions{})
		set := smallSettings(1)
		l, _ := mustOpen(t, fs, set)
		mustWrite(t, l, of(11, appendOf(1, 1, 1, 5, 100)), of(12, appendOf(2, 1, 1, 5, 100)))
		first, last := of(12, appendOf(2, 1, 6, 1, 100)), of(11, appendOf(1, 1, 7, 1, 100))
		for l.cur.room() > Block {
			mustWrite(t, l, of(11, appendOf(1, 1, 6, 1, 100)))
		}
		damaged, base := mustWrite(t, l, first, last), l.cur.head.base
		mustPrepare(t, l)
		for range 2 {
			mustWrite(t, l, Record{Kind: KindProof})
		}
		l.Close()
		off, n := damaged-base+writeHeader, first.size()
		if head {
			off, n = off-writeHeader, n+writeHeader
		}
		change(t, fs, "wal/"+fileName(1), off, n, func(b []byte) { clear(b) })
		s, err := Salvage(fs, set, appliedAt)
		if err != nil || len(s.Groups) != 2 || !s.Doubt(2) || s.Doubt(1) || len(s.Groups[0].Entries) != 7 {
			t.Errorf("header %v: %+v, %v", head, s, err)
		}
	}
}
