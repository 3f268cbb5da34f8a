package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestParseHeaderAgainstOracle(t *testing.T) {
	b := oracleBatch(Zstd, 3, []byte("xyz"), func(rb *kmsg.RecordBatch) {
		rb.FirstOffset = 1 << 40
		rb.PartitionLeaderEpoch = 77
		rb.Attributes = int16(Zstd) | 1<<3 | 1<<4 | 1<<5 | 1<<6
		rb.LastOffsetDelta = 9
		rb.FirstTimestamp = -5
		rb.MaxTimestamp = math.MaxInt64
		rb.ProducerID = 123456789012
		rb.ProducerEpoch = 42
		rb.FirstSequence = math.MaxInt32 - 1
	})
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	h, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		BaseOffset: 1 << 40, Length: 52, LeaderEpoch: 77, CRC: uint32(rb.CRC), Attributes: rb.Attributes,
		LastOffsetDelta: 9, BaseTimestamp: -5, MaxTimestamp: math.MaxInt64, ProducerID: 123456789012,
		ProducerEpoch: 42, BaseSequence: math.MaxInt32 - 1, Count: 3,
	}
	if h != want {
		t.Fatalf("got %+v\nwant %+v", h, want)
	}
	if h.Size() != len(b) || h.LastOffset() != 1<<40+9 || h.LastSequence() != 7 || h.Codec() != Zstd ||
		!h.IsControl() || !h.IsTransactional() || !h.HasDeleteHorizon() || h.TimestampType() != LogAppendTime {
		t.Fatalf("methods of %+v", h)
	}
	if !VerifyCRC(b) {
		t.Fatal("checksum")
	}
	again := make([]byte, len(b))
	copy(again, b)
	h.put(again)
	if !bytes.Equal(again, b) {
		t.Fatal("put is not the inverse of ParseHeader")
	}
}

func TestLastSequence(t *testing.T) {
	for _, c := range []struct{ base, delta, want int32 }{
		{-1, 5, -1}, {0, 0, 0}, {0, 4, 4},
		{math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1},
	} {
		h := Header{BaseSequence: c.base, LastOffsetDelta: c.delta}
		if got := h.LastSequence(); got != c.want {
			t.Errorf("base %d delta %d: got %d, want %d", c.base, c.delta, got, c.want)
		}
	}
}

func TestParseHeaderErrors(t *testing.T) {
	good := clientBatch(t, None, 1, 4)
	with := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"zeros", make([]byte, 100), ErrCorrupt},
		{"length negative", with(8, 0xff, 0xff, 0xff, 0xff), ErrCorrupt},
		{"length most negative", with(8, 0x80, 0, 0, 0), ErrCorrupt},
		{"length 48", with(8, 0, 0, 0, 48), ErrCorrupt},
		{"length overflows", with(8, 0x7f, 0xff, 0xff, 0xff), ErrCorrupt},
		{"magic 0", with(16, 0), ErrMagic},
		{"magic 1", with(16, 1), ErrMagic},
		{"magic 3", with(16, 3), ErrMagic},
		{"magic 1 of 17 bytes", with(16, 1)[:17], ErrMagic},
	} {
		if _, err := ParseHeader(c.b); !errors.Is(err, c.want) || errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for n := range HeaderSize {
		if _, err := ParseHeader(good[:n]); !errors.Is(err, ErrTruncated) || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := ParseHeader(good[:HeaderSize]); err != nil {
		t.Error(err)
	}
}

func TestPlacement(t *testing.T) {
	b := clientBatch(t, None, 2, 10)
	before := bytes.Clone(b)
	var head [16]byte
	if err := PatchPlacement(&head, b, 1<<33, 9); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, before) {
		t.Fatal("PatchPlacement changed the batch")
	}
	if err := SetPlacement(b, 1<<33, 9); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(head[:], before[16:]...), b) {
		t.Fatal("PatchPlacement and SetPlacement differ")
	}
	h, err := ParseHeader(b)
	if err != nil || h.BaseOffset != 1<<33 || h.LeaderEpoch != 9 || !VerifyCRC(b) {
		t.Fatalf("%+v %v", h, err)
	}
	if err := PatchPlacement(&head, b[:15], 0, 0); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
	if err := SetPlacement(b[:15], 0, 0); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
}

func TestSetTimestamps(t *testing.T) {
	b := clientBatch(t, Gzip, 3, 10)
	before := bytes.Clone(b)
	if err := SetTimestamps(b, LogAppendTime, 5555); err != nil {
		t.Fatal(err)
	}
	h, _ := ParseHeader(b)
	if h.TimestampType() != LogAppendTime || h.MaxTimestamp != 5555 || h.BaseTimestamp != 1000 || h.Codec() != Gzip || !VerifyCRC(b) {
		t.Fatalf("%+v", h)
	}
	if err := SetTimestamps(b, CreateTime, 1002); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, before) {
		t.Fatal("not undone")
	}
	// What stays the same keeps its checksum, right or wrong.
	b[crcAt]++
	if err := SetTimestamps(b, CreateTime, 1002); err != nil || VerifyCRC(b) {
		t.Fatal("checksum renewed without a change", err)
	}
	if err := SetTimestamps(b[:len(b)-1], LogAppendTime, 1); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
	if err := SetTimestamps(b[:20], LogAppendTime, 1); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	b := clientBatch(t, None, 2, 8)
	for i := attributesAt * 8; i < len(b)*8; i++ {
		b[i/8] ^= 1 << (i % 8)
		if VerifyCRC(b) {
			t.Fatalf("bit %d", i)
		}
		if _, err := Validate(b, Limits{}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d: %v", i, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for i := crcAt; i < attributesAt; i++ {
		b[i] ^= 1
		if VerifyCRC(b) {
			t.Fatalf("byte %d", i)
		}
		b[i] ^= 1
	}
}

func TestNextAndBatches(t *testing.T) {
	var run []byte
	var want [][]byte
	for i, codec := range allCodecs {
		b := clientBatch(t, codec, i+1, 20)
		want = append(want, b)
		run = append(run, b...)
	}
	var got [][]byte
	for b, err := range Batches(run) {
		if err != nil {
			t.Fatal(err)
		}
		if cap(b) != len(b) {
			t.Fatal("a batch has room to append into the next")
		}
		got = append(got, b)
	}
	if len(got) != len(want) {
		t.Fatalf("%d batches", len(got))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("batch %d", i)
		}
	}
	if _, _, err := Next(nil); err != io.EOF {
		t.Fatal(err)
	}
	for n := 1; n < len(want[0]); n++ {
		batch, rest, err := Next(want[0][:n])
		if batch != nil || len(rest) != n || !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d: %v", n, err)
		}
	}
	// A damaged batch ends the iteration with its error, after the whole ones.
	cut := append(bytes.Clone(want[0]), make([]byte, 100)...)
	var n int
	var last error
	for b, err := range Batches(cut) {
		n, last = n+1, err
		if (b == nil) != (err != nil) {
			t.Fatal("batch and error")
		}
	}
	if n != 2 || !errors.Is(last, ErrCorrupt) {
		t.Fatal(n, last)
	}
	for range Batches(run) {
		break // an early end must not panic
	}
}

// framed returns the batches at the front of b as its own arithmetic finds them,
// and makes their checksums right.
func framed(b []byte) (batches [][]byte) {
	for len(b) >= 61 {
		size := 12 + int64(int32(binary.BigEndian.Uint32(b[8:])))
		if b[16] != 2 || size < 61 || size > int64(len(b)) {
			break
		}
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:size], crc32.MakeTable(crc32.Castagnoli)))
		batches = append(batches, b[:size:size])
		b = b[size:]
	}
	return batches
}

// FuzzNext: any bytes are cut into the batches that a second reading finds, up to
// what is none; header and checksum of each are taken as they stand, and survive
// being placed and being stamped.
func FuzzNext(f *testing.F) {
	f.Add([]byte{})
	f.Add(clientBatch(f, None, 2, 3))
	f.Add(append(clientBatch(f, LZ4, 2, 3), 1, 2, 3))
	f.Add(append(clientBatch(f, None, 1, 3), clientBatch(f, None, 2, 3)...))
	f.Add(make([]byte, 70))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := framed(b)
		used := 0
		for batch, err := range Batches(b) {
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrMagic) {
					t.Fatal(err)
				}
				used = -1
				break
			}
			if len(want) == 0 || !bytes.Equal(batch, want[0]) {
				t.Fatalf("a batch of %d bytes, want another", len(batch))
			}
			checkBatchHeader(t, batch)
			used, want = used+len(batch), want[1:]
		}
		if len(want) > 0 || used >= 0 && used != len(b) {
			t.Fatalf("%d batches are missing, %d of %d bytes were read", len(want), used, len(b))
		}
	})
}

// checkBatchHeader checks what can be read and set of a batch with a right
// checksum.
func checkBatchHeader(t *testing.T, batch []byte) {
	t.Helper()
	h, err := ParseHeader(batch)
	var again [HeaderSize]byte
	if h.put(again[:]); err != nil || !bytes.Equal(again[:], batch[:HeaderSize]) || h.Size() != len(batch) || !VerifyCRC(batch) {
		t.Fatalf("%+v, %v; the checksum is right: %t", h, err, VerifyCRC(batch))
	}
	placed := bytes.Clone(batch)
	var patch [16]byte
	if err := errors.Join(SetPlacement(placed, 1<<40, 7), PatchPlacement(&patch, batch, 1<<40, 7)); err != nil {
		t.Fatal(err)
	}
	if g, _ := ParseHeader(placed); g.BaseOffset != 1<<40 || g.LeaderEpoch != 7 || !VerifyCRC(placed) || !bytes.Equal(patch[:], placed[:16]) || !bytes.Equal(placed[16:], batch[16:]) {
		t.Fatalf("placed: %+v", g)
	}
	if err := SetTimestamps(placed, LogAppendTime, 99); err != nil {
		t.Fatal(err)
	}
	if g, _ := ParseHeader(placed); g.TimestampType() != LogAppendTime || g.MaxTimestamp != 99 || g.Codec() != h.Codec() || g.Count != h.Count || !VerifyCRC(placed) {
		t.Fatalf("stamped: %+v", g)
	}
	placed[len(placed)-1] ^= 1
	if VerifyCRC(placed) {
		t.Fatal("a flipped bit is not seen")
	}
}
