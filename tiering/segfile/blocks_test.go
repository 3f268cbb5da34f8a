package segfile_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// checkRanges verifies ranges of an object, right and with a flipped bit.
func checkRanges(t *testing.T, seed uint64, rng *rand.Rand, tail *segfile.Tail, asked int64, raw []byte, end int64) {
	t.Helper()
	block := tail.BlockBytes()
	if block < asked && asked <= segfile.BlockBytes || block > segfile.BlockBytes || block < segfile.BlockBytesMin || block&(block-1) != 0 {
		t.Fatalf("seed %d: blocks of %d bytes, %d asked for", seed, block, asked)
	}
	for range 30 {
		from := rng.Int64N(end/block+1) * block
		to := min(from+(1+rng.Int64N(4))*block, int64(len(raw)))
		if rng.IntN(4) == 0 {
			to = max(end+rng.Int64N(int64(len(raw))-end+1), from)
		}
		b := bytes.Clone(raw[from:to])
		if err := tail.VerifyRange(from, b); err != nil {
			t.Fatalf("seed %d: bytes %d to %d of %d: %v", seed, from, to, len(raw), err)
		}
		if len(b) == 0 {
			continue
		}
		i := rng.Int64N(int64(len(b)))
		b[i] ^= 1 << rng.IntN(8)
		var bad *segfile.BlockError
		err := tail.VerifyRange(from, b)
		if !errors.As(err, &bad) || !errors.Is(err, segfile.ErrDamaged) || from+i < bad.From || from+i >= bad.To {
			t.Fatalf("seed %d: byte %d: %v", seed, from+i, err)
		}
		if from+i < end && (bad.To-bad.From > block || bad.To > end) {
			t.Fatalf("seed %d: byte %d: %v, blocks have %d bytes", seed, from+i, err, block)
		}
	}
}

// A range that is not whole blocks is refused, not taken for good, and so is one
// outside the object.
func TestVerifyRangeWantsWholeBlocks(t *testing.T) {
	src, _ := segfiletest.Segment(3, segfiletest.Shape{Batches: 50})
	obj, raw := build(t, src, segfile.Options{BlockBytes: 1024})
	tail, end, size := parse(t, obj), obj.Segment.TailOffset(), obj.Size()
	for _, r := range []struct {
		from, to int64
		ok       bool
	}{
		{0, 1024, true}, {0, 4096, true}, {1024, end, true}, {0, size, true}, {end, size, true}, {end + 7, size - 3, true}, {0, 0, true}, {5, 5, true},
		{0, 1023, false}, {0, 1025, false}, {1, 1024, false}, {64, 1024, false}, {1024, end - 1, false}, {end - 1, end, false}, {end - 1, size, false},
	} {
		if err := tail.VerifyRange(r.from, raw[r.from:r.to]); (err == nil) != r.ok || err != nil && !errors.Is(err, segfile.ErrDamaged) {
			t.Errorf("%d to %d: %v", r.from, r.to, err)
		}
	}
	for _, off := range []int64{-1, -1 << 63, size, size + 1, 1<<63 - 1} {
		if err := tail.VerifyRange(off, raw[:1]); !errors.Is(err, segfile.ErrDamaged) {
			t.Errorf("at %d: %v", off, err)
		}
	}
	if err := tail.VerifyRange(end, append(bytes.Clone(raw[end:]), 0)); !errors.Is(err, segfile.ErrDamaged) {
		t.Errorf("behind the object: %v", err)
	}
}

// What the checksums of batches do not cover, those of the blocks do: a base
// offset that stays in order, a leader epoch.
func TestL2BlocksCoverWhatBatchesDoNot(t *testing.T) {
	src, batches := segfiletest.Segment(3, segfiletest.Shape{Batches: 50})
	obj, raw := build(t, src, segfile.Options{BlockBytes: 1024})
	tail, size := parse(t, obj), int64(len(raw))
	for _, b := range batches {
		for _, field := range []int64{7, 12, 15} {
			at := manifest.DataOffset + b.Position + field
			raw[at] ^= 1
			var bad *segfile.BlockError
			if err := tail.VerifyRange(0, raw); !errors.As(err, &bad) || bad.From != at/1024*1024 {
				t.Errorf("byte %d: %v", at, err)
			}
			if _, err := segfile.Verify(bytes.NewReader(raw), size); !errors.Is(err, segfile.ErrDamaged) {
				t.Errorf("byte %d, offline: %v", at, err)
			}
			raw[at] ^= 1
		}
	}
	// Offline it is told which block, where every batch looks right.
	raw[manifest.DataOffset+batches[9].Position+13] ^= 1
	var bad *segfile.BlockError
	if _, err := segfile.Verify(bytes.NewReader(raw), size); !errors.As(err, &bad) || bad.To-bad.From != 1024 {
		t.Error(err)
	}
}

// The blocks of a segment take 4 bytes per 64 KiB of the tail.
func TestBlocksAreSmall(t *testing.T) {
	src, _ := segfiletest.Segment(8, segfiletest.Shape{Batches: 200, Records: 2, ValueSize: 30_000})
	obj, _ := build(t, src, segfile.Options{IndexIntervalBytes: 1 << 30})
	if most := src.DataBytes/segfile.BlockBytes*4 + 500; int64(len(obj.Tail())) > most {
		t.Errorf("a tail of %d bytes, at most %d", len(obj.Tail()), most)
	}
	if parse(t, obj).BlockBytes() != segfile.BlockBytes {
		t.Error("another size of blocks")
	}
}

func BenchmarkVerifyRange(b *testing.B) {
	src, _ := segfiletest.Segment(1, segfiletest.Shape{Batches: 800, Records: 8, ValueSize: 8 << 10})
	obj, raw := build(b, src, segfile.Options{})
	tail := parse(b, obj)
	b.SetBytes(4 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if err := tail.VerifyRange(4<<20, raw[4<<20:8<<20]); err != nil {
			b.Fatal(err)
		}
	}
}
