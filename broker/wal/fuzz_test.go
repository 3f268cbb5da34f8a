package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// FuzzOpen mutates the files of a log, also behind correct CRCs. Each mutation
// is six bytes: what, which file, where (3), and a value. If the first one begins
// with 128 or more, the files were used before and hold old writes too.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{0, 0, 0, 16, 0, 1})
	f.Add([]byte{2, 0, 40, 2, 0, 9, 2, 1, 32, 1, 0, 255})
	f.Add([]byte{3, 1, 48, 0, 0, 255, 1, 0, 0, 32, 0, 0})
	f.Add([]byte{4, 1, 4, 2, 0, 255, 4, 1, 40, 1, 0, 3})
	f.Add([]byte{5, 0, 0, 0, 0, 0})
	f.Add([]byte{128, 0, 0, 16, 0, 1})
	f.Add([]byte{134, 1, 24, 1, 0, 255, 2, 1, 40, 2, 0, 9})
	f.Fuzz(func(t *testing.T, mutations []byte) {
		disk, _, _ := writtenDisk(t)
		if len(mutations) > 0 && mutations[0] >= 128 {
			disk, _, _ = reusedDisk(t, 5)
		}
		forged := false // a checksum that holds although what it covers was changed
		for n := 0; len(mutations) >= 6 && n < 32; n++ {
			kind := mutations[0] % 6
			forged = forged || kind >= 2 && kind <= 4
			mutate(t, disk, mutations[:6])
			mutations = mutations[6:]
		}
		before := disk.Digest()
		l, rec, err := Open(disk, smallSettings(2))
		if err != nil {
			if errors.Is(err, ErrCorrupt) && disk.Digest() != before {
				t.Fatal("corrupt, and the disk was changed")
			}
			return
		}
		for _, g := range rec.Groups {
			if len(g.Entries) != len(g.Positions) {
				t.Fatalf("%d entries at %d positions", len(g.Entries), len(g.Positions))
			}
			for i := range g.Entries {
				if i > 0 && g.Entries[i].Index != g.Entries[i-1].Index+1 {
					t.Fatalf("entry %d follows %d", g.Entries[i].Index, g.Entries[i-1].Index)
				}
			}
		}
		mustWrite(t, l, Record{Kind: KindProof})
		l.Close()
		// What was accepted once is accepted again. A write that claims what never
		// was may contradict only what the first start added: that is refused.
		again, _, err := Open(disk, smallSettings(3))
		if forged && errors.Is(err, ErrCorrupt) {
			return
		}
		if err != nil {
			t.Fatalf("the second time: %v", err)
		}
		again.Close()
	})
}

func mutate(t *testing.T, disk *vfs.Mem, b []byte) {
	entries, err := disk.List("wal")
	if err != nil || len(entries) == 0 {
		return // all are removed
	}
	name := "wal/" + entries[int(b[1])%len(entries)].Name
	off, value := int64(b[2])|int64(b[3])<<8|int64(b[4])<<16, b[5]
	file, err := disk.Open(name)
	if err != nil {
		return // removed
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(at, n int64, edit func([]byte)) {
		if at+n <= size {
			change(t, disk, name, at, n, edit)
		}
	}
	le := binary.LittleEndian
	block := off >> 8 & 31 * Block
	switch b[0] % 6 {
	case 0:
		edit(off%max(size, 1), 1, func(p []byte) { p[0] ^= value })
	case 1:
		if err := file.Truncate(off % (size + 1)); err != nil {
			t.Fatal(err)
		}
	case 2: // a write's header, with a CRC that holds
		edit(block, Block, func(p []byte) {
			p[8+off&0xff%(writeHeader-8)] ^= value
			le.PutUint32(p[4:], crc32.Checksum(p[8:writeHeader], castagnoli))
		})
	case 3: // the file's header
		edit(0, Block, func(p []byte) {
			p[off&0xff%80] ^= value
			le.PutUint32(p[12:], headerCRC(p))
		})
	case 4: // the first record of a write
		edit(block, Block, func(p []byte) {
			p = p[writeHeader:]
			n := int64(le.Uint32(p[4:])) + recordHeader
			p[4+off&0xff%int64(recordHeader+appendHeader+entryHeader)] ^= value
			if n <= int64(len(p)) {
				le.PutUint32(p, crc32.Checksum(p[4:n], castagnoli))
			}
		})
	case 5:
		mustRemove(t, disk, name)
	}
}

// FuzzRecord decodes any bytes behind a CRC that holds.
func FuzzRecord(f *testing.F) {
	for _, rec := range goldenRecords() {
		f.Add(rec.encode(nil, 1, 4160))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < recordHeader {
			if _, ok := recordAt(b, 1, 4160); ok {
				t.Fatal("accepted less than a header")
			}
			return
		}
		le := binary.LittleEndian
		recordAt(b, le.Uint64(b[8:]), int64(le.Uint64(b[16:])))
		le.PutUint32(b[4:], uint32(len(b)-recordHeader))
		le.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
		generation, position := le.Uint64(b[8:]), int64(le.Uint64(b[16:]))
		if n, ok := recordAt(b, generation, position); !ok || n != len(b) {
			t.Fatalf("%d of %d, %v", n, len(b), ok)
		}
		rec, err := decodeRecord(b)
		if err != nil {
			if !errors.Is(err, errDecode) {
				t.Fatal(err)
			}
			return
		}
		if again := rec.encode(nil, generation, position); !bytes.Equal(again, b) {
			t.Fatalf("decoded %x\nencoded %x", b, again)
		}
	})
}
