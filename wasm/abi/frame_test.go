package abi

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// readFrame is an independent reader, written from SPEC.md. It fails the test on
// anything that the page does not allow.
func readFrame(t *testing.T, b []byte) (Context, Parts, []Record) {
	t.Helper()
	u32 := func(at int) int { return int(int32(le.Uint32(b[at:]))) }
	parts, topicLen := Parts(u32(12)), u32(44)
	if u32(0) != 64 || u32(4) != 32 || u32(48) != 0 || u32(52) != 0 || u32(56) != 0 || u32(60) != 0 {
		t.Fatalf("header %x", b[:64])
	}
	c := Context{
		Topic: string(b[64:][:topicLen]), Partition: int32(u32(40)), AppendTime: int64(le.Uint64(b[16:])),
		Seed: le.Uint64(b[24:]), Generation: le.Uint64(b[32:]),
	}
	at := 64 + (topicLen+7)/8*8
	zeros(t, b[64+topicLen:at])
	take := func(from *int, n int) []byte {
		if n == -1 {
			return nil
		}
		*from += n
		return b[*from-n : *from]
	}
	var rs []Record
	for range u32(8) {
		p := at + 32
		r := Record{Index: uint32(u32(at + 4)), Timestamp: int64(le.Uint64(b[at+8:]))}
		r.Key, r.Value = take(&p, u32(at+16)), take(&p, u32(at+20))
		headers := p
		for range u32(at + 24) {
			name, value := u32(p), u32(p+4)
			p += 8
			r.Headers = append(r.Headers, Header{Key: take(&p, name), Value: take(&p, value)})
		}
		if p-headers != u32(at+28) || at%8 != 0 {
			t.Fatalf("record at %d: headers of %d bytes, %d declared", at, p-headers, u32(at+28))
		}
		next := at + u32(at)
		zeros(t, b[p:next])
		if next-p > 7 {
			t.Fatalf("%d bytes of padding", next-p)
		}
		at = next
		rs = append(rs, r)
	}
	if at != len(b) {
		t.Fatalf("frame ends at %d of %d", at, len(b))
	}
	return c, parts, rs
}

func zeros(t *testing.T, b []byte) {
	t.Helper()
	if len(bytes.Trim(b, "\x00")) > 0 {
		t.Fatalf("padding %x", b)
	}
}

// TestFrameReadsBack builds random frames and reads them with the other reader.
func TestFrameReadsBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() []byte {
		n := rnd.IntN(20) - 2
		if n == -2 {
			return nil
		}
		return bytes.Repeat([]byte{byte(rnd.Uint32()) | 1}, max(n, 0))
	}
	var f Frame
	var buf []byte
	for range 500 {
		c := Context{
			Topic: strings.Repeat("t", rnd.IntN(20)), Partition: int32(rnd.Uint32()), AppendTime: int64(rnd.Uint64()),
			Seed: rnd.Uint64(), Generation: rnd.Uint64(),
		}
		parts := Parts(rnd.IntN(16))
		prefix := rnd.IntN(10)
		f.Begin(append(buf[:0], make([]byte, prefix)...), &c, parts)
		var want []Record
		for range rnd.IntN(8) {
			r := Record{Index: rnd.Uint32(), Timestamp: int64(rnd.Uint64()), Key: random(), Value: random()}
			for range rnd.IntN(3) {
				r.Headers = append(r.Headers, Header{Key: append([]byte{}, random()...), Value: random()})
			}
			before := f.Size()
			if err := f.Add(&r); err != nil {
				t.Fatal(err)
			}
			if n := int64(f.Size() - before); n != RecordSize(&r, parts) {
				t.Fatalf("record of %d bytes, %d announced", n, RecordSize(&r, parts))
			}
			want = append(want, declared(r, parts))
		}
		buf = f.Finish()
		gotC, gotParts, got := readFrame(t, buf[prefix:])
		if gotC != c || gotParts != parts || len(got) != len(want) || FrameCount(buf[prefix:]) != len(want) {
			t.Fatalf("%+v, parts %d, %d records", gotC, gotParts, len(got))
		}
		for i := range want {
			sameRecord(t, got[i], want[i])
		}
	}
}

// declared is what of r shows in a frame of these parts.
func declared(r Record, parts Parts) Record {
	if !parts.Has(PartTimestamp) {
		r.Timestamp = 0
	}
	if !parts.Has(PartKey) {
		r.Key = []byte{}
	}
	if !parts.Has(PartValue) {
		r.Value = []byte{}
	}
	if !parts.Has(PartHeaders) {
		r.Headers = nil
	}
	return r
}

func sameRecord(t *testing.T, a, b Record) {
	t.Helper()
	same := a.Index == b.Index && a.Timestamp == b.Timestamp && describe(a.Key) == describe(b.Key) &&
		describe(a.Value) == describe(b.Value) && describeHeaders(a.Headers) == describeHeaders(b.Headers)
	if !same {
		t.Fatalf("record %+v, want %+v", a, b)
	}
}

func TestRunLimits(t *testing.T) {
	var f Frame
	f.Begin(nil, &Context{}, PartValue)
	for i := range MaxRunRecords {
		if err := f.Add(&Record{Index: uint32(i)}); err != nil {
			t.Fatal(err)
		}
	}
	size := f.Size()
	if err := f.Add(&Record{}); !errors.Is(err, ErrFull) || f.Size() != size || f.Count() != MaxRunRecords {
		t.Fatalf("record beyond the run: %v", err)
	}

	large := &Record{Value: make([]byte, MaxRunBytes)}
	f.Begin(nil, &Context{}, PartValue)
	if err := f.Add(large); err != nil {
		t.Fatalf("large record alone: %v", err)
	}
	if err := f.Add(&Record{}); !errors.Is(err, ErrFull) {
		t.Fatalf("behind a large record: %v", err)
	}
	f.Begin(nil, &Context{}, PartValue)
	exact := &Record{Value: make([]byte, MaxRunBytes-FrameHeaderLen-2*RecordFixedLen)}
	for i, want := range []error{nil, nil, ErrFull} {
		if err := f.Add([]*Record{exact, {}, {}}[i]); !errors.Is(err, want) {
			t.Fatalf("record %d: %v, want %v", i, err, want)
		}
	}
	if f.Size() != MaxRunBytes {
		t.Fatalf("run of %d bytes", f.Size())
	}
	f.Begin(nil, &Context{}, PartKey)
	if err := f.Add(large); err != nil || f.Size() != FrameHeaderLen+RecordFixedLen {
		t.Fatalf("record whose large part is not framed: %d bytes, %v", f.Size(), err)
	}
	// A record beyond any frame, without its memory: the same header many times.
	h := Header{Value: make([]byte, 1<<20)}
	huge := &Record{Headers: make([]Header, MaxFrameBytes>>20)}
	for i := range huge.Headers {
		huge.Headers[i] = h
	}
	f.Begin(nil, &Context{}, AllParts)
	if err := f.Add(huge); !errors.Is(err, ErrTooLarge) || f.Count() != 0 {
		t.Fatalf("record beyond any frame: %v", err)
	}
}

func TestReadProgress(t *testing.T) {
	if _, ok := ReadProgress(make([]byte, FrameHeaderLen-1)); ok {
		t.Error("progress in a cut header")
	}
	if FrameCount(make([]byte, FrameHeaderLen-1)) != 0 {
		t.Error("count in a cut header")
	}
	b := make([]byte, FrameHeaderLen)
	le.PutUint32(b[48:], 1)
	le.PutUint32(b[52:], 2)
	le.PutUint32(b[56:], 3)
	if p, ok := ReadProgress(b); !ok || p != (Progress{1, 2, 3}) {
		t.Errorf("%+v", p)
	}
}

func BenchmarkFrame(b *testing.B) {
	r := Record{Value: make([]byte, 100)}
	var f Frame
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		f.Begin(buf[:0], &goldenContext, PartValue)
		for range 1000 {
			_ = f.Add(&r)
		}
		buf = f.Finish()
	}
}
