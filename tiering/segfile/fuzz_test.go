package segfile

import (
	"bytes"
	"errors"
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
	_, fine := tailOf(f, func(_ *footer, s []section) []section {
		s[4] = blocksOf(BlockBytesMin, make([]uint32, 1))
		return s
	})
	f.Add(fine, int64(7), int64(-2))
	f.Fuzz(func(t *testing.T, tail []byte, offset, ts int64) {
		resealAll(nil, tail)
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
		// Any range is either right or damaged, and says where.
		var bad *BlockError
		for _, n := range []int64{1, got.BlockBytes(), 3000} {
			err := got.VerifyRange(offset, make([]byte, n))
			if err != nil && !errors.As(err, &bad) || err != nil && (bad.To <= bad.From || bad.To > seg.ObjectBytes) {
				t.Fatalf("range of %d at %d: %v", n, offset, err)
			}
		}
		if err := got.VerifyRange(seg.TailOffset(), tail); err != nil {
			t.Fatal(err)
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
	if _, err := Verify(bytes.NewReader(raw), int64(len(raw))); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if foot, err := parseFooter(b); err == nil {
			if at := foot.segment.TailOffset(); at <= int64(len(b)) {
				resealAll(b[:at], b[at:])
			}
		}
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
