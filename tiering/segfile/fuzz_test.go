package segfile

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

func FuzzParseHeader(f *testing.F) {
	h := Header{Partition: somePartition, Base: 7, Term: 8, ID: manifest.ID{9}}
	f.Add(h.appendTo(nil))
	f.Add([]byte(headerMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && !bytes.Equal(h.appendTo(nil), b[:manifest.DataOffset]) {
			t.Fatal("accepted bytes that it would not write")
		}
	})
}

// FuzzParseTail makes the checksums right, so that what lies behind them is
// tried: lookups in whatever was accepted stay inside the data.
func FuzzParseTail(f *testing.F) {
	_, tail := tailOf(f, func(_ *footer, s []section) []section { return s })
	f.Add(tail, int64(25), int64(1003))
	_, odd := tailOf(f, func(_ *footer, s []section) []section { return append(s, section{9, []byte("x")}) })
	f.Add(odd, int64(-1), int64(-1))
	f.Add(make([]byte, footerBytes), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, tail []byte, offset, ts int64) {
		resealAll(tail)
		foot, err := parseFooter(tail)
		if err != nil {
			return
		}
		seg := foot.segment
		seg.TailCRC = crc32.Checksum(tail, castagnoli)
		got, err := ParseTail(&seg, foot.partition, tail)
		if err != nil {
			return
		}
		pos, ok := got.SinceTimestamp(ts)
		floor := got.Floor(ident.Offset(offset))
		for _, p := range []int64{pos, floor, got.Next(floor), got.Next(pos), got.Next(ts)} {
			if p < 0 || p > seg.DataBytes {
				t.Fatalf("position %d of %d", p, seg.DataBytes)
			}
		}
		if ok != (ts <= seg.MaxTimestamp || ts == -1 && got.entries() > 0) && got.entries() > 0 {
			t.Fatalf("SinceTimestamp(%d) %t, the largest is %d", ts, ok, seg.MaxTimestamp)
		}
		if len(got.Epochs()) > len(tail) || len(got.Topic())+len(got.Cluster())+len(got.Producers()) > len(tail) {
			t.Fatal("more than there is")
		}
	})
}

func FuzzVerify(f *testing.F) {
	src := sourceOf(f, 3)
	obj, err := Build(src, Options{})
	if err != nil {
		f.Fatal(err)
	}
	raw := make([]byte, obj.Size())
	if _, err := obj.ReadAt(raw, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		resealAll(b)
		in, err := Verify(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		// What was accepted can be built again from what it says.
		data := b[manifest.DataOffset:][:in.Segment.DataBytes]
		again, err := Build(Source{
			Cluster: in.Tail.Cluster(), Topic: in.Tail.Topic(), Partition: in.Partition, Base: in.Segment.Base,
			End: in.Segment.End, Term: in.Segment.Term, ID: manifest.ID{1}, Data: bytes.NewReader(data),
			DataBytes: in.Segment.DataBytes, Producers: in.Tail.Producers(), Epochs: in.Tail.Epochs(),
		}, Options{})
		if err != nil || again.DataCRC() != in.Tail.DataCRC() || again.Segment.MaxTimestamp != in.Segment.MaxTimestamp {
			t.Fatalf("%+v: %v", in.Segment, err)
		}
	})
}
