package wal

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// golden compares bytes with a file; VARVE_UPDATE=1 rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	text := []byte(hex.Dump(got))
	if os.Getenv("VARVE_UPDATE") == "1" {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s: got\n%swant\n%s", file, text, want)
	}
}

func goldenRecords() map[string]Record {
	return map[string]Record{
		"append": {Group: 7, Replica: 9, Kind: KindAppend, Append: Append{Term: 3, Vote: 2, Commit: 10, Entries: []Entry{
			{Index: 11, Term: 3, Type: 1, Data: []byte("configuration")}, {Index: 12, Term: 3, Data: []byte("batch")}, {Index: 13, Term: 3},
		}}},
		"hardstate": {Group: 7, Replica: 9, Kind: KindAppend, Append: Append{Term: 4, Vote: 1, Commit: 10}},
		"checkpoint": {Kind: KindCheckpoint, Piece: Piece{ID: 5, Number: 2, Last: true, Groups: []GroupState{
			{Group: 0, Replica: 1, Low: 8192, State: []byte("metadata")}, {Group: 7, Replica: 9, Low: 4096, State: []byte{}},
		}}},
		"gone":  {Group: 7, Replica: 9, Kind: KindGone},
		"proof": {Kind: KindProof},
	}
}

func TestGolden(t *testing.T) {
	head := fileHeader{sequence: 3, generation: 0x1122334455667788, base: 1 << 20, size: 64 << 20, low: 4096, directory: testDirectory}
	b := head.encode()
	if len(b) != Block || !bytes.Equal(b[80:], make([]byte, Block-80)) {
		t.Fatal("the file header is not one block that ends in zeros")
	}
	golden(t, "file_header", b[:96])
	if got, err := decodeFileHeader(b); err != nil || got != head {
		t.Fatalf("decoded %+v, %v", got, err)
	}
	for name, rec := range goldenRecords() {
		disk := vfs.NewMem(vfs.MemOptions{})
		s := smallSettings(1)
		s.Entropy = func() uint64 { return 0x1122334455667788 }
		l, _ := mustOpen(t, disk, s)
		mustWrite(t, l, Record{Kind: KindProof})
		mustWrite(t, l, rec)
		b := make([]byte, Block)
		if _, err := l.cur.file.ReadAt(b, 2*Block); err != nil {
			t.Fatal(err)
		}
		used := writeHeader + int(rec.size())
		if !bytes.Equal(b[used:], make([]byte, Block-used)) {
			t.Errorf("%s: padding is not zero", name)
		}
		golden(t, "write_"+name, b[:used])
		n, ok := recordAt(b[writeHeader:], s.Entropy(), 2*Block+writeHeader)
		if !ok || int64(n) != rec.size() {
			t.Fatalf("%s: %d bytes, %v", name, n, ok)
		}
		got, err := decodeRecord(b[writeHeader : writeHeader+n])
		if err != nil || !reflect.DeepEqual(got, rec) {
			t.Errorf("%s: decoded %+v, %v", name, got, err)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 2000 {
		rec := randomRecord(rng)
		generation, position := rng.Uint64(), rng.Int64()
		b := rec.encode(nil, generation, position)
		if int64(len(b)) != rec.size() {
			t.Fatalf("%d bytes, size says %d", len(b), rec.size())
		}
		if rec.Kind == KindAppend {
			data := int64(0)
			for _, e := range rec.Append.Entries {
				data += int64(len(e.Data))
			}
			if want := align(writeHeader + rec.size()); Cost(len(rec.Append.Entries), data) != want {
				t.Fatalf("cost %d, want %d", Cost(len(rec.Append.Entries), data), want)
			}
		}
		if _, ok := recordAt(b, generation+1, position); ok {
			t.Fatal("another generation is accepted")
		}
		if _, ok := recordAt(b, generation, position+1); ok {
			t.Fatal("another position is accepted")
		}
		for cut := range len(b) {
			if _, ok := recordAt(b[:cut], generation, position); ok {
				t.Fatalf("%d of %d bytes are accepted", cut, len(b))
			}
		}
		n, ok := recordAt(append(b, 1, 2, 3), generation, position)
		if !ok || n != len(b) {
			t.Fatalf("%d of %d bytes, %v", n, len(b), ok)
		}
		got, err := decodeRecord(b)
		if err != nil || !reflect.DeepEqual(got, rec) {
			t.Fatalf("decoded %+v, want %+v, %v", got, rec, err)
		}
	}
}

func randomRecord(rng *rand.Rand) Record {
	rec := Record{Group: ident.GroupID(rng.Uint64()), Replica: ident.ReplicaID(rng.Uint64()), Kind: Kind(1 + rng.IntN(4))}
	switch rec.Kind {
	case KindAppend:
		rec.Append = Append{Term: rng.Uint64(), Vote: rng.Uint64(), Commit: rng.Uint64()}
		first := rng.Uint64() >> 1
		for i := range uint64(rng.IntN(4)) {
			e := Entry{Index: first + i, Term: rng.Uint64(), Type: uint8(rng.Uint32())}
			if n := rng.IntN(30); n > 0 {
				e.Data = make([]byte, n)
			}
			rec.Append.Entries = append(rec.Append.Entries, e)
		}
	case KindCheckpoint:
		rec.Piece = Piece{ID: rng.Uint64(), Number: rng.Uint32(), Last: rng.IntN(2) == 0, Groups: []GroupState{}}
		for range rng.IntN(4) {
			rec.Piece.Groups = append(rec.Piece.Groups, GroupState{
				Group: ident.GroupID(rng.Uint64()), Replica: ident.ReplicaID(rng.Uint64()), Low: rng.Int64(), State: make([]byte, rng.IntN(30))})
		}
	}
	return rec
}

func TestFileNames(t *testing.T) {
	for name, want := range map[string]uint64{
		"0000000000000001.wal": 1, "00000000000000ff.wal": 255, "ffffffffffffffff.wal": 1<<64 - 1,
		"0000000000000000.wal": 0, "00000000000000FF.wal": 0, "1.wal": 0, "0000000000000001.tmp": 0, "+000000000000001.wal": 0, "": 0,
	} {
		got, ok := parseFileName(name)
		if ok != (want > 0) || ok && got != want {
			t.Errorf("%q: %d, %v", name, got, ok)
		}
	}
}
