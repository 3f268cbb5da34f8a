package record

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomRecords returns n records with rising, sparse offset deltas.
func randomRecords(rng *rand.Rand, n int) []Record {
	bytesOf := func() []byte {
		switch rng.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		return bytes.Repeat([]byte{byte(rng.Uint32())}, 1+rng.IntN(300))
	}
	out := make([]Record, n)
	delta := int32(-1)
	for i := range out {
		delta += 1 + int32(rng.IntN(3)*rng.IntN(1000))
		r := Record{OffsetDelta: delta, TimestampDelta: rng.Int64N(1<<40) - 1<<39, Attributes: int8(rng.IntN(3)), Key: bytesOf(), Value: bytesOf()}
		for range rng.IntN(4) {
			r.Headers = append(r.Headers, RecordHeader{Key: append([]byte{}, bytesOf()...), Value: bytesOf()})
		}
		out[i] = r
	}
	return out
}

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func sameRecord(a, b *Record) bool {
	return a.OffsetDelta == b.OffsetDelta && a.TimestampDelta == b.TimestampDelta && a.Attributes == b.Attributes &&
		sameBytes(a.Key, b.Key) && sameBytes(a.Value, b.Value) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y RecordHeader) bool {
			return sameBytes(x.Key, y.Key) && sameBytes(x.Value, y.Value)
		})
}

// oracleDecode reads the records of an uncompressed run with kmsg.
func oracleDecode(t *testing.T, run []byte, n int) []Record {
	t.Helper()
	out := make([]Record, n)
	for i := range out {
		c := cursor{buf: run}
		size, _ := c.varint()
		end := c.pos + int(size)
		var r kmsg.Record
		if err := r.ReadFrom(run[:end]); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		run = run[end:]
		out[i] = Record{OffsetDelta: r.OffsetDelta, TimestampDelta: r.TimestampDelta64, Attributes: r.Attributes, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
	}
	if len(run) != 0 {
		t.Fatalf("%d bytes left", len(run))
	}
	return out
}

func TestBuilderAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	b := NewBuilder(Params{})
	for i := range 200 {
		codec := allCodecs[i%len(allCodecs)]
		want := randomRecords(rng, 1+rng.IntN(40))
		p := DefaultParams(codec, 1_700_000_000_000)
		p.BaseOffset, p.LeaderEpoch = int64(i)<<30, int32(i)
		p.ProducerID, p.ProducerEpoch, p.BaseSequence = 42, 3, int32(i)
		p.Transactional = i%2 == 0
		b.Reset(p)
		maxTimestamp := int64(math.MinInt64)
		for j := range want {
			if err := b.Append(&want[j]); err != nil {
				t.Fatal(err)
			}
			maxTimestamp = max(maxTimestamp, p.BaseTimestamp+want[j].TimestampDelta)
		}
		last := want[len(want)-1].OffsetDelta + int32(i%3)
		batch, err := b.Finish(last)
		if err != nil {
			t.Fatal(err)
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(batch); err != nil {
			t.Fatal(err)
		}
		if uint32(rb.CRC) != crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)) || !VerifyCRC(batch) {
			t.Fatal("checksum")
		}
		if int(rb.Length) != len(batch)-12 || rb.FirstOffset != p.BaseOffset || rb.PartitionLeaderEpoch != p.LeaderEpoch ||
			rb.LastOffsetDelta != last || int(rb.NumRecords) != len(want) || rb.MaxTimestamp != maxTimestamp ||
			rb.ProducerID != 42 || rb.ProducerEpoch != 3 || rb.FirstSequence != int32(i) {
			t.Fatalf("header %+v", rb)
		}
		plain := rb.Records
		if codec != None {
			plain = foreignDecompress(t, codec, plain)
		}
		fromOracle := oracleDecode(t, plain, len(want))
		var got int
		err = ForEach(batch, 0, func(r *Record) error {
			if !sameRecord(r, &want[got]) || !sameRecord(&fromOracle[got], &want[got]) {
				t.Fatalf("record %d\ngot    %+v\noracle %+v\nwant   %+v", got, r, fromOracle[got], want[got])
			}
			got++
			return nil
		})
		if err != nil || got != len(want) {
			t.Fatalf("%d records, %v", got, err)
		}
	}
}

func TestBuiltBatchValidates(t *testing.T) {
	for _, codec := range allCodecs {
		b := NewBuilder(DefaultParams(codec, 1000))
		for i := range 100 {
			if err := b.Append(&Record{OffsetDelta: int32(i), Value: bytes.Repeat([]byte("v"), i)}); err != nil {
				t.Fatal(err)
			}
		}
		size := b.Size()
		batch, err := b.Finish(-1)
		if err != nil {
			t.Fatal(err)
		}
		info, err := Validate(batch, Limits{})
		if err != nil || info.UncompressedBytes != int64(size-HeaderSize) || b.Count() != 100 {
			t.Fatalf("%v: %+v %v", codec, info, err)
		}
	}
}

func TestBuilderErrors(t *testing.T) {
	b := NewBuilder(DefaultParams(None, 0))
	if _, err := b.Finish(5); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if err := b.Append(&Record{OffsetDelta: -1}); !errors.Is(err, ErrOrder) {
		t.Error(err)
	}
	if err := b.Append(&Record{OffsetDelta: 3}); err != nil {
		t.Error(err)
	}
	before := b.Size()
	if err := b.Append(&Record{OffsetDelta: 3}); !errors.Is(err, ErrOrder) {
		t.Error(err)
	}
	if err := b.Append(&Record{OffsetDelta: 4, Headers: []RecordHeader{{}}}); !errors.Is(err, ErrInvalidRecord) {
		t.Error(err)
	}
	if b.Size() != before || b.Count() != 1 {
		t.Error("a refused record left something behind")
	}
	if _, err := b.Finish(2); !errors.Is(err, ErrOrder) {
		t.Error(err)
	}
	b.Reset(DefaultParams(Codec(6), 0))
	_ = b.Append(&Record{})
	if _, err := b.Finish(-1); !errors.Is(err, ErrCodec) {
		t.Error(err)
	}
	p := DefaultParams(None, 0)
	p.TimestampType, p.AppendTime = LogAppendTime, 777
	b.Reset(p)
	_ = b.Append(&Record{TimestampDelta: 5})
	first, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := ParseHeader(first); h.TimestampType() != LogAppendTime || h.MaxTimestamp != 777 {
		t.Errorf("%+v", h)
	}
	kept := bytes.Clone(first)
	b.Reset(DefaultParams(None, 0))
	_ = b.Append(&Record{Value: []byte("another")})
	if !bytes.Equal(first, kept) {
		t.Error("the result changed with the next batch")
	}
}

func TestForEachErrors(t *testing.T) {
	stop := errors.New("stop")
	b := clientBatch(t, Zstd, 5, 10)
	var n int
	if err := ForEach(b, 0, func(*Record) error { n++; return stop }); err != stop || n != 1 {
		t.Fatal(n, err)
	}
	if err := ForEach(b, 10, func(*Record) error { return nil }); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if err := ForEach(b[:len(b)-1], 0, func(*Record) error { return nil }); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	for name, deltas := range map[string][2]int32{"repeated": {1, 1}, "falling": {1, 0}, "negative": {-1, 0}, "above last": {0, 2}} {
		run := oracleRecords([]kmsg.Record{{OffsetDelta: deltas[0]}, {OffsetDelta: deltas[1]}})
		if err := ForEach(oracleBatch(None, 2, run, nil), 0, func(*Record) error { return nil }); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A nested walk has memory of its own.
	err := ForEach(b, 0, func(r *Record) error {
		value := bytes.Clone(r.Value)
		if err := ForEach(clientBatch(t, Zstd, 3, 50), 0, func(*Record) error { return nil }); err != nil {
			return err
		}
		if !bytes.Equal(value, r.Value) || len(r.Headers) != 2 || string(r.Headers[0].Key) != "h" {
			t.Error("record changed under a nested walk")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFiller(t *testing.T) {
	for _, c := range []struct{ base, last, covered int64 }{
		{0, 0, 0}, {5, 5, 5}, {10, 999, 999}, {1 << 40, 1<<40 + 1<<20, 1<<40 + 1<<20},
		{0, 1 << 40, math.MaxInt32}, {7, 3, 7}, {0, math.MaxInt64, math.MaxInt32},
	} {
		b := Filler(c.base, c.last, 12)
		h, err := ParseHeader(b)
		if err != nil || h.Size() != len(b) || !VerifyCRC(b) {
			t.Fatalf("%+v: %+v %v", c, h, err)
		}
		if h.BaseOffset != c.base || h.LastOffset() != c.covered || h.LeaderEpoch != 12 || !h.IsControl() || h.IsTransactional() ||
			h.Count != 1 || h.ProducerID != -1 || h.ProducerEpoch != -1 || h.BaseSequence != -1 || h.BaseTimestamp != -1 || h.MaxTimestamp != -1 {
			t.Errorf("%+v: %+v", c, h)
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		r := oracleDecode(t, rb.Records, 1)[0]
		var key kmsg.ControlRecordKey
		if err := key.ReadFrom(r.Key); err != nil || key.Version != 0 || int16(key.Type) != FillerKeyType {
			t.Errorf("%+v: key %+v %v", c, key, err)
		}
		if int64(r.OffsetDelta)+c.base != c.covered || r.Value == nil || len(r.Value) != 0 {
			t.Errorf("%+v: record %+v", c, r)
		}
		if err := ForEach(b, 0, func(*Record) error { return nil }); err != nil {
			t.Error(err)
		}
		if _, err := Validate(b, Limits{}); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("a client may write a filler: %v", err)
		}
	}
	golden := Filler(3, 5, 1)
	want := []byte{0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0, 1, 2}
	if !bytes.Equal(golden[:17], want) || !bytes.Equal(golden[61:], []byte{20, 0, 0, 4, 8, 0, 0, 0x7f, 0xff, 0, 0}) {
		t.Errorf("golden bytes %x", golden)
	}
}
