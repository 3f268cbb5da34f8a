package segfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

var somePartition = ident.Partition{Topic: ident.TopicID{1, 2, 3}, Index: 3}

// sourceOf has n batches of one record, 10 offsets apart, the timestamps of
// which descend and ascend.
func sourceOf(t testing.TB, n int) Source {
	t.Helper()
	var data []byte
	for i := range n {
		p := record.DefaultParams(record.None, int64(1000+(i^3)))
		p.BaseOffset = int64(i * 10)
		b := record.NewBuilder(p)
		if err := b.Append(&record.Record{Value: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
		raw, err := b.Finish(-1)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, raw...)
	}
	return Source{
		Cluster: "c", Topic: "t", Partition: somePartition, End: ident.Offset(n*10 + 1), Term: 1, ID: manifest.ID{1},
		Data: bytes.NewReader(data), DataBytes: int64(len(data)), Producers: []byte("p"), Epochs: []Epoch{{0, 0}},
	}
}

// tailOf returns a tail and its segment after a change of what is written; all
// checksums are right.
func tailOf(t testing.TB, change func(f *footer, s []section) []section) (manifest.Segment, []byte) {
	t.Helper()
	src := sourceOf(t, 6)
	obj, err := Build(src, Options{IndexIntervalBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	in, err := parseTail(obj.tail)
	if err != nil {
		t.Fatal(err)
	}
	f := in.foot
	blocks := make([]uint32, len(in.blocks)/4)
	for i := range blocks {
		blocks[i] = in.blockCRC(int64(i))
	}
	sections := change(&f, append(sectionsOf(&src, bytes.Clone(in.index)), blocksOf(in.block, blocks)))
	tail := f.tail(sections)
	f.segment.TailCRC = crc32.Checksum(tail, castagnoli)
	return f.segment, tail
}

func TestUnknownSectionsAreSkipped(t *testing.T) {
	seg, tail := tailOf(t, func(_ *footer, s []section) []section {
		odd := section{77, []byte("what a later writer added")}
		return append(append([]section{odd}, s...), odd, section{5, nil})
	})
	got, err := ParseTail(&seg, somePartition, tail)
	if err != nil {
		t.Fatal(err)
	}
	if got.entries() != 6 || string(got.Producers()) != "p" || got.Topic() != "t" {
		t.Errorf("%+v", got)
	}
}

func TestSectionsThatMustBeUnderstood(t *testing.T) {
	for _, kind := range []uint32{1 << 31, 1<<31 + 1, 1<<31 + 3, 1<<32 - 1} {
		seg, tail := tailOf(t, func(_ *footer, s []section) []section { return append(s, section{kind, nil}) })
		if _, err := ParseTail(&seg, somePartition, tail); !errors.Is(err, ErrVersion) {
			t.Errorf("%#x: %v", kind, err)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	seg, tail := tailOf(t, func(_ *footer, s []section) []section { return s })
	tail[len(tail)-footerBytes+8] = 2
	seg.TailCRC = crc32.Checksum(tail, castagnoli)
	if _, err := ParseTail(&seg, somePartition, tail); !errors.Is(err, ErrVersion) {
		t.Errorf("tail: %v", err)
	}
	b := (&Header{}).appendTo(nil)
	b[6] = 2
	if _, err := ParseHeader(b); !errors.Is(err, ErrVersion) {
		t.Errorf("header: %v", err)
	}
}

// Tails with right checksums whose content is wrong: a defect or an attack.
func TestHostileTails(t *testing.T) {
	le := binary.LittleEndian
	index := func(change func(b []byte) []byte) func(*footer, []section) []section {
		return func(_ *footer, s []section) []section { s[0].body = change(s[0].body); return s }
	}
	epochs := func(b []byte) func(*footer, []section) []section {
		return func(_ *footer, s []section) []section { s[1].body = b; return s }
	}
	names := func(b []byte) func(*footer, []section) []section {
		return func(_ *footer, s []section) []section { s[3].body = b; return s }
	}
	blocks := func(change func(b []byte) []byte) func(*footer, []section) []section {
		return func(_ *footer, s []section) []section { s[4].body = change(s[4].body); return s }
	}
	size := func(n uint32) func(b []byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b, n); return b }
	}
	epoch := func(b []byte, e int32, o int64) []byte {
		return le.AppendUint64(le.AppendUint32(b, uint32(e)), uint64(o))
	}
	for name, change := range map[string]func(*footer, []section) []section{
		"no index":              func(_ *footer, s []section) []section { return s[1:] },
		"empty index":           index(func([]byte) []byte { return nil }),
		"two indexes":           func(_ *footer, s []section) []section { return append(s, s[0]) },
		"part of an entry":      index(func(b []byte) []byte { return b[:len(b)-1] }),
		"first is not at 0":     index(func(b []byte) []byte { b[4] = 1; return b }),
		"offsets descend":       index(func(b []byte) []byte { b[16] = 0; return b }),
		"offset behind end":     index(func(b []byte) []byte { le.PutUint32(b[80:], 1<<32-1); return b }),
		"positions too near":    index(func(b []byte) []byte { b[20] = 60; return b }),
		"position behind data":  index(func(b []byte) []byte { le.PutUint32(b[84:], 1<<31); return b }),
		"timestamps descend":    index(func(b []byte) []byte { le.PutUint64(b[24:], 0); return b }),
		"timestamp below -1":    index(func(b []byte) []byte { le.PutUint64(b[8:], 1<<63); return b }),
		"timestamp too large":   index(func(b []byte) []byte { le.PutUint64(b[88:], 1<<40); return b }),
		"part of an epoch":      epochs(make([]byte, 13)),
		"negative epoch":        epochs(epoch(nil, -1, 0)),
		"negative epoch start":  epochs(epoch(nil, 1, -1)),
		"epochs descend":        epochs(epoch(epoch(nil, 2, 0), 2, 5)),
		"epoch starts descend":  epochs(epoch(epoch(nil, 2, 5), 3, 5)),
		"epoch behind end":      epochs(epoch(nil, 2, 61)),
		"no names":              names(nil),
		"names too long":        names([]byte{255, 255, 'x'}),
		"one name":              names([]byte{1, 0, 'x'}),
		"more than names":       names([]byte{1, 0, 'x', 0, 0, 0}),
		"no blocks":             func(_ *footer, s []section) []section { return s[:4] },
		"two of blocks":         func(_ *footer, s []section) []section { return append(s, s[4]) },
		"empty blocks":          blocks(func([]byte) []byte { return nil }),
		"no size of blocks":     blocks(func(b []byte) []byte { return b[:3] }),
		"fewer blocks":          blocks(func(b []byte) []byte { return b[:len(b)-4] }),
		"more blocks":           blocks(func(b []byte) []byte { return append(b, 1, 2, 3, 4) }),
		"part of a checksum":    blocks(func(b []byte) []byte { return append(b, 1) }),
		"blocks of nothing":     blocks(size(0)),
		"blocks too small":      blocks(size(512)),
		"blocks too large":      blocks(size(128 << 10)),
		"blocks far too large":  blocks(size(1 << 31)),
		"blocks of odd size":    blocks(size(64<<10 - 1)),
		"negative partition":    func(f *footer, s []section) []section { f.partition.Index = -1; return s },
		"data in an empty one":  func(f *footer, s []section) []section { f.segment.DataBytes = 0; return s },
		"no offsets":            func(f *footer, s []section) []section { f.segment.End = 0; return s },
		"of another term":       func(f *footer, s []section) []section { f.segment.Term++; return s },
		"of another partition":  func(f *footer, s []section) []section { f.partition.Index++; return s },
		"of another topic":      func(f *footer, s []section) []section { f.partition.Topic[9]++; return s },
		"of another upload":     func(f *footer, s []section) []section { f.segment.ID[9]++; return s },
		"of another segment":    func(f *footer, s []section) []section { f.segment.End++; return s },
		"with other timestamps": func(f *footer, s []section) []section { f.segment.MaxTimestamp = 1 << 50; return s },
	} {
		good, _ := tailOf(t, func(_ *footer, s []section) []section { return s })
		seg, tail := tailOf(t, change)
		if seg.ObjectBytes-seg.TailOffset() != int64(len(tail)) { // the writer refused
			continue
		}
		// The manifest says what it always says, only size and checksum agree.
		good.ObjectBytes, good.TailCRC = good.TailOffset()+int64(len(tail)), seg.TailCRC
		if _, err := ParseTail(&good, somePartition, tail); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Tables that claim more than there is.
func TestHostileTables(t *testing.T) {
	for name, change := range map[string]func(table, foot []byte){
		"sections":         func(_, foot []byte) { binary.LittleEndian.PutUint32(foot[36:], 1<<32-1) },
		"fewer sections":   func(_, foot []byte) { foot[36]-- },
		"more sections":    func(_, foot []byte) { foot[36]++ },
		"length":           func(table, _ []byte) { binary.LittleEndian.PutUint32(table[4:], 1<<32-1) },
		"shorter length":   func(table, _ []byte) { table[4]-- },
		"section checksum": func(table, _ []byte) { table[8]++ },
	} {
		seg, tail := tailOf(t, func(_ *footer, s []section) []section { return s })
		foot := tail[len(tail)-footerBytes:]
		table := tail[len(tail)-footerBytes-5*tableEntry : len(tail)-footerBytes]
		change(table, foot)
		reseal(tail)
		seg.TailCRC = crc32.Checksum(tail, castagnoli)
		if _, err := ParseTail(&seg, somePartition, tail); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// reseal makes the footer's checksum right, where there is room for its table.
func reseal(tail []byte) {
	if len(tail) < footerBytes {
		return
	}
	foot := tail[len(tail)-footerBytes:]
	n := int64(binary.LittleEndian.Uint32(foot[36:])) * tableEntry
	if room := int64(len(tail) - footerBytes); n <= room {
		binary.LittleEndian.PutUint32(foot[12:], footerCRC(tail[room-n:room], foot))
	}
}

// resealAll makes the sections' checksums right too, and with what lies before
// the tail, unless that is nil, those of the blocks.
func resealAll(before, tail []byte) {
	if len(tail) < footerBytes {
		return
	}
	le := binary.LittleEndian
	room := int64(len(tail) - footerBytes)
	n := int64(le.Uint32(tail[room+36:])) * tableEntry
	if n <= room {
		bodies := tail[:room-n]
		for table := tail[room-n : room]; len(table) > 0; table = table[tableEntry:] {
			length := int64(le.Uint32(table[4:]))
			if length > int64(len(bodies)) {
				break
			}
			if body := bodies[:length]; le.Uint32(table) == kindBlocks && before != nil {
				resealBlocks(before, body)
			}
			le.PutUint32(table[8:], crc32.Checksum(bodies[:length], castagnoli))
			bodies = bodies[length:]
		}
	}
	reseal(tail)
}

// resealBlocks makes the checksums of blocks right that have a place in a section.
func resealBlocks(before, body []byte) {
	if len(body) < 4 {
		return
	}
	sums := newPieceSums(blockSize(int64(binary.LittleEndian.Uint32(body))), 0)
	sums.write(before)
	for i, crc := range sums.all() {
		if at := 4 + 4*i; at+4 <= len(body) {
			binary.LittleEndian.PutUint32(body[at:], crc)
		}
	}
}

// Verify finds an index that is well formed and points elsewhere.
func TestVerifyComparesIndexWithData(t *testing.T) {
	src := sourceOf(t, 6)
	for name, change := range map[string]func(f *footer, s []section) []section{
		"another offset":    func(_ *footer, s []section) []section { s[0].body[16]++; return s },
		"another position":  func(_ *footer, s []section) []section { s[0].body[20]++; return s },
		"another timestamp": func(_ *footer, s []section) []section { s[0].body[8]--; return s },
		"another maximum": func(f *footer, s []section) []section {
			s[0].body[len(s[0].body)-8]++
			s[0].body[len(s[0].body)-24]++
			f.segment.MaxTimestamp++
			return s
		},
		"another last maximum": func(f *footer, s []section) []section {
			s[0].body[len(s[0].body)-8]++
			f.segment.MaxTimestamp++
			return s
		},
		"fewer batches": func(f *footer, s []section) []section { f.batches--; return s },
		"data checksum": func(f *footer, s []section) []section { f.dataCRC++; return s },
		"a block":       func(_ *footer, s []section) []section { s[4].body[5]++; return s },
	} {
		seg, tail := tailOf(t, change)
		if _, err := parseTail(tail); err != nil {
			t.Errorf("%s: the tail alone: %v", name, err)
			continue
		}
		obj := Object{Segment: seg, data: src.Data, tail: tail}
		h := Header{src.Partition, src.Base, src.Term, src.ID}
		obj.header = h.appendTo(nil)
		if _, err := Verify(&obj, obj.Size()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
