package segfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

func build(t testing.TB, src segfile.Source, o segfile.Options) (*segfile.Object, []byte) {
	t.Helper()
	obj, err := segfile.Build(src, o)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, obj.Size())
	if _, err := obj.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return obj, b
}

func parse(t testing.TB, obj *segfile.Object) *segfile.Tail {
	t.Helper()
	tail, err := segfile.ParseTail(&obj.Segment, segfiletest.Partition, obj.Tail())
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

// golden is the object of two batches: any change of these bytes is a change of
// the format, and needs a new version.
func golden(t *testing.T) segfile.Source {
	var data []byte
	for i, base := range []int64{100, 105} {
		p := record.DefaultParams(record.None, 1_700_000_000_000-int64(i))
		p.BaseOffset, p.LeaderEpoch = base, 3
		b := record.NewBuilder(p)
		if err := b.Append(&record.Record{Key: []byte("k"), Value: []byte("value")}); err != nil {
			t.Fatal(err)
		}
		raw, err := b.Finish(-1)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, raw...)
	}
	return segfile.Source{
		Cluster: "c1", Topic: "t", Partition: ident.Partition{Topic: ident.TopicID{0: 0xa0, 15: 0xaf}, Index: 7},
		Base: 99, End: 110, Term: 5, ID: manifest.ID{0: 0xb0, 15: 0xbf},
		Data: bytes.NewReader(data), DataBytes: int64(len(data)), Producers: []byte{1, 2, 3},
		Epochs: []segfile.Epoch{{Epoch: 2, Start: 0}, {Epoch: 3, Start: 100}, {Epoch: 4, Start: 110}},
	}
}

func TestGolden(t *testing.T) {
	obj, b := build(t, golden(t), segfile.Options{IndexIntervalBytes: 1})
	const header = "564152564553" + "0100" + "ea8aa764" +
		"a00000000000000000000000000000af" + "07000000" + "6300000000000000" + "0500000000000000" +
		"b00000000000000000000000000000bf"
	const tail = "01000000000000000068e5cf8b010000" + "060000004a0000000068e5cf8b010000" + // index
		"020000000000000000000000" + "030000006400000000000000" + // epochs
		"010203" + "020063310100" + "74" + "00000100" + "1e63b3ac" + // producers, names, blocks
		"010000002000000012e853e1" + "0200000018000000954f0790" + "03000000030000001ef230f1" + "04000000070000009202b5ff" + "020000800800000011981014" +
		"5641525645534547" + "01000000" + "18360b8f" + "a00000000000000000000000000000af" + "07000000" + "05000000" +
		"6300000000000000" + "6e00000000000000" + "0500000000000000" + "b00000000000000000000000000000bf" +
		"9400000000000000" + "ca01000000000000" + "0068e5cf8b010000" + "02000000" + "5f7f1169"
	if got := hex.EncodeToString(b[:manifest.DataOffset]); got != header {
		t.Errorf("header %s\nwant   %s", got, header)
	}
	if got := hex.EncodeToString(obj.Tail()); got != tail {
		t.Errorf("tail %s\nwant %s", got, tail)
	}
}

// TestRoundTrip builds objects of many shapes and compares every lookup with a
// scan (L9), and the data with the source (S5).
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(120) {
		rng := rand.New(rand.NewPCG(seed, 1))
		shape := segfiletest.Shape{Base: ident.Offset(rng.IntN(3) * 1000), Batches: rng.IntN(60), ValueSize: 1 + rng.IntN(300)}
		src, batches := segfiletest.Segment(seed, shape)
		o := segfile.Options{IndexIntervalBytes: int64(1 + rng.IntN(2000)), BlockBytes: 1 << rng.IntN(18)}
		obj, raw := build(t, src, o)
		tail := parse(t, obj)

		data := make([]byte, src.DataBytes)
		if _, err := io.ReadFull(io.NewSectionReader(src.Data, 0, src.DataBytes), data); err != nil && len(data) > 0 {
			t.Fatal(err)
		}
		if !bytes.Equal(raw[manifest.DataOffset:][:src.DataBytes], data) || !bytes.Equal(raw[obj.Segment.TailOffset():], obj.Tail()) {
			t.Fatalf("seed %d: the object is not header, data, tail", seed)
		}
		if tail.DataCRC() != crc(data) || tail.Batches() != len(batches) || !bytes.Equal(tail.Producers(), src.Producers) ||
			tail.Topic() != src.Topic || tail.Cluster() != src.Cluster || obj.Segment.TailCRC != crc(obj.Tail()) || obj.DataCRC() != crc(data) {
			t.Fatalf("seed %d: %+v", seed, tail)
		}
		if e := tail.Epochs(); len(e) != 2 || e[0] != src.Epochs[0] || e[1] != src.Epochs[1] {
			t.Fatalf("seed %d: epochs %v", seed, e)
		}
		if tail.MemoryBytes() < int64(len(obj.Tail())) {
			t.Fatalf("seed %d: %d bytes", seed, tail.MemoryBytes())
		}
		checkLookups(t, seed, rng, tail, src, batches)
		checkRanges(t, seed, rng, tail, o.BlockBytes, raw, obj.Segment.TailOffset())
		in, err := segfile.Verify(bytes.NewReader(raw), int64(len(raw)))
		if err != nil || in.Segment != obj.Segment || in.Partition != src.Partition {
			t.Fatalf("seed %d: %+v, %v", seed, in, err)
		}
	}
}

func checkLookups(t *testing.T, seed uint64, rng *rand.Rand, tail *segfile.Tail, src segfile.Source, batches []segfiletest.Batch) {
	t.Helper()
	starts := map[int64]int{src.DataBytes: len(batches)}
	for i, b := range batches {
		starts[b.Position] = i
	}
	if _, ok := starts[tail.Next(0)]; !ok || len(batches) > 0 && tail.Next(0) == 0 {
		t.Fatalf("seed %d: Next(0) = %d", seed, tail.Next(0))
	}
	for range 60 {
		o := src.Base - 2 + ident.Offset(rng.Int64N(int64(src.End-src.Base)+4))
		first := scan(batches, func(b *segfiletest.Batch) bool { return b.Last >= o })
		pos := tail.Floor(o)
		if at, ok := starts[pos]; !ok || at > first {
			t.Fatalf("seed %d: Floor(%d) = %d, the batch is number %d", seed, o, pos, first)
		}
		if next := tail.Next(pos); first < len(batches) && batches[first].Base <= o && batches[first].Position >= next {
			t.Fatalf("seed %d: offset %d is at %d, not between %d and %d", seed, o, batches[first].Position, pos, next)
		}
	}
	times := []int64{-1, 0, 1 << 60}
	for _, b := range batches {
		times = append(times, b.MaxTimestamp, b.MaxTimestamp+1, b.MaxTimestamp-1)
	}
	for _, ts := range times {
		first := scan(batches, func(b *segfiletest.Batch) bool { return b.MaxTimestamp >= ts })
		pos, ok := tail.SinceTimestamp(ts)
		if ok != (first < len(batches)) {
			t.Fatalf("seed %d: SinceTimestamp(%d) %t, want batch %d", seed, ts, ok, first)
		}
		if at := starts[pos]; ok && (at > first || batches[first].Position >= tail.Next(pos)) {
			t.Fatalf("seed %d: SinceTimestamp(%d) = %d to %d, the batch is at %d", seed, ts, pos, tail.Next(pos), batches[first].Position)
		}
	}
	for pos := int64(0); pos < src.DataBytes; {
		next := tail.Next(pos)
		if _, ok := starts[next]; !ok || next <= pos {
			t.Fatalf("seed %d: Next(%d) = %d", seed, pos, next)
		}
		pos = next
	}
}

func scan(batches []segfiletest.Batch, match func(*segfiletest.Batch) bool) int {
	for i := range batches {
		if match(&batches[i]) {
			return i
		}
	}
	return len(batches)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// The object reads like one piece of memory, whatever the ranges.
func TestObjectReadAt(t *testing.T) {
	src, _ := segfiletest.Segment(5, segfiletest.Shape{Batches: 20})
	obj, raw := build(t, src, segfile.Options{})
	want := bytes.NewReader(raw)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		off := rng.Int64N(int64(len(raw)) + 3)
		a, b := make([]byte, rng.IntN(len(raw)/2)), make([]byte, 0)
		b = append(b, a...)
		n, err := obj.ReadAt(a, off)
		m, werr := want.ReadAt(b, off)
		if n != m || !bytes.Equal(a, b) || n < len(a) && err != io.EOF || n == len(a) && err != nil && werr == nil {
			t.Fatalf("%d bytes at %d: %d, %v; want %d, %v", len(a), off, n, err, m, werr)
		}
	}
	if _, err := obj.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a read at -1 succeeded")
	}
}

// Checksum is that of a store which was sent parts of PartBytes.
func TestChecksumOfParts(t *testing.T) {
	src, _ := segfiletest.Segment(8, segfiletest.Shape{Batches: 400, Records: 3, ValueSize: 40_000, NoHoles: true})
	if src.DataBytes < 11<<20 {
		t.Fatalf("only %d bytes", src.DataBytes)
	}
	for _, part := range []int64{0, 1, 5 << 20, 6<<20 + 1, 16 << 20, 1 << 40} {
		obj, raw := build(t, src, segfile.Options{PartBytes: part})
		size := int(min(max(part, 5<<20), 16<<20))
		if part == 0 {
			size = 8 << 20
		}
		var sums []byte
		n := 0
		for rest := raw; len(rest) > 0; n++ {
			piece := rest[:min(size, len(rest))]
			sums = binary.BigEndian.AppendUint32(sums, crc(piece))
			rest = rest[len(piece):]
		}
		want := "crc32c:" + base64.StdEncoding.EncodeToString(sums)
		if n > 1 {
			want = fmt.Sprintf("crc32c:%s-%d", base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc(sums))), n)
		}
		if obj.Checksum() != want {
			t.Errorf("parts of %d: %s, want %s", part, obj.Checksum(), want)
		}
	}
}

// onePass fails a test that reads the data other than once from front to back,
// or in large pieces (R1).
type onePass struct {
	t    *testing.T
	r    io.ReaderAt
	next int64
	max  int
}

func (o *onePass) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.r.ReadAt(p, off)
	if off != o.next {
		o.t.Errorf("a read at %d, %d is next", off, o.next)
	}
	o.next += int64(n)
	o.max = max(o.max, len(p))
	return n, err
}

// TestBuildReadsOnceInSmallPieces also has batches larger than any buffer.
func TestBuildReadsOnceInSmallPieces(t *testing.T) {
	src, _ := segfiletest.Segment(2, segfiletest.Shape{Batches: 6, Records: 4, ValueSize: 1 << 20})
	r := &onePass{t: t, r: src.Data}
	src.Data = r
	obj, err := segfile.Build(src, segfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.next != src.DataBytes || r.max > 1<<20 {
		t.Errorf("read to %d of %d, in pieces of %d", r.next, src.DataBytes, r.max)
	}
	if parse(t, obj).DataCRC() == 0 {
		t.Error("no checksum")
	}
}

// However small the interval, the index stays below its bound.
func TestIndexIsBounded(t *testing.T) {
	src, batches := segfiletest.Segment(4, segfiletest.Shape{Batches: 1, Records: 1, ValueSize: 1})
	one, n := batches[0], 70_000
	data := bytes.Repeat(one.Bytes, n)
	for i := range n {
		if err := record.SetPlacement(data[i*len(one.Bytes):], int64(i), 4); err != nil {
			t.Fatal(err)
		}
	}
	src.Base, src.End, src.Data, src.DataBytes = 0, ident.Offset(n), bytes.NewReader(data), int64(len(data))
	obj, _ := build(t, src, segfile.Options{IndexIntervalBytes: 1})
	if size := len(obj.Tail()); size > 16<<16+1000 || size < 16<<14 {
		t.Errorf("a tail of %d bytes for %d batches", size, n)
	}
	if tail := parse(t, obj); tail.Batches() != n || tail.Floor(ident.Offset(n-1)) < src.DataBytes*9/10 {
		t.Errorf("%d batches, the last one at %d", tail.Batches(), tail.Floor(ident.Offset(n-1)))
	}
}

func TestEmptySegment(t *testing.T) {
	src, _ := segfiletest.Segment(1, segfiletest.Shape{Base: 1000})
	src.End, src.Producers = 1<<40, nil
	obj, raw := build(t, src, segfile.Options{})
	tail := parse(t, obj)
	if _, ok := tail.SinceTimestamp(-1); ok || tail.Floor(1005) != 0 || tail.Next(0) != 0 || tail.Producers() != nil || obj.Segment.MaxTimestamp != -1 {
		t.Errorf("%+v", obj.Segment)
	}
	if _, err := segfile.Verify(bytes.NewReader(raw), int64(len(raw))); err != nil {
		t.Error(err)
	}
}

func TestSourcesThatCannotBeTrue(t *testing.T) {
	for name, change := range map[string]func(*segfile.Source){
		"no offsets":       func(s *segfile.Source) { s.End = s.Base },
		"negative base":    func(s *segfile.Source) { s.Base = -1 },
		"no id":            func(s *segfile.Source) { s.ID = manifest.ID{} },
		"partition":        func(s *segfile.Source) { s.Partition.Index = -1 },
		"no data":          func(s *segfile.Source) { s.Data = nil },
		"negative length":  func(s *segfile.Source) { s.DataBytes = -1 },
		"too much data":    func(s *segfile.Source) { s.DataBytes = 4 << 30 },
		"topic's name":     func(s *segfile.Source) { s.Topic = strings.Repeat("x", 1<<16) },
		"cluster's name":   func(s *segfile.Source) { s.Cluster = strings.Repeat("x", 1<<16) },
		"epochs descend":   func(s *segfile.Source) { s.Epochs = []segfile.Epoch{{Epoch: 3, Start: 0}, {Epoch: 2, Start: 5}} },
		"starts descend":   func(s *segfile.Source) { s.Epochs = []segfile.Epoch{{Epoch: 3, Start: 5}, {Epoch: 4, Start: 5}} },
		"a tail too large": func(s *segfile.Source) { s.Producers = make([]byte, 257<<20) },
	} {
		src, _ := segfiletest.Segment(1, segfiletest.Shape{Batches: 3})
		change(&src)
		if _, err := segfile.Build(src, segfile.Options{}); !errors.Is(err, segfile.ErrSource) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
