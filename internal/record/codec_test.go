package record

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// samples are inputs of many shapes: empty, small, at and around block and
// window borders, compressible and not.
func samples() [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var out [][]byte
	for _, n := range []int{0, 1, 7, 100, 32 << 10, 32<<10 + 1, 64<<10 + 1, 1 << 20, 1<<20 + 1} {
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		text := make([]byte, n)
		for i := range text {
			text[i] = "the quick brown fox "[rng.IntN(20)]
		}
		out = append(out, noise, text, make([]byte, n))
	}
	return out
}

func TestCodecRoundTrip(t *testing.T) {
	for _, codec := range allCodecs {
		for _, src := range samples() {
			for _, level := range []int{DefaultLevel, -5, 1, 9, 30} {
				if level != DefaultLevel && len(src) > 100_000 {
					continue
				}
				before := bytes.Clone(src)
				packed, err := Compress(codec, level, src)
				if err != nil || !bytes.Equal(src, before) {
					t.Fatalf("%v level %d: %v", codec, level, err)
				}
				got, err := Decompress(codec, packed, max(len(src), 1))
				if err != nil || !bytes.Equal(got, src) {
					t.Fatalf("%v level %d of %d bytes: %d bytes, %v", codec, level, len(src), len(got), err)
				}
				if !bytes.Equal(foreignDecompress(t, codec, packed), src) {
					t.Fatalf("%v level %d of %d bytes: another decoder disagrees", codec, level, len(src))
				}
				if len(src) > 1 {
					if _, err := Decompress(codec, packed, len(src)-1); !errors.Is(err, ErrTooLarge) {
						t.Fatalf("%v of %d bytes, limit one less: %v", codec, len(src), err)
					}
				}
			}
			if len(src) == 0 && codec == Snappy {
				continue
			}
			got, err := Decompress(codec, foreignCompress(t, codec, src), max(len(src), 1))
			if err != nil || !bytes.Equal(got, src) {
				t.Fatalf("foreign %v of %d bytes: %d bytes, %v", codec, len(src), len(got), err)
			}
		}
	}
	if _, err := Compress(Codec(5), 0, nil); !errors.Is(err, ErrCodec) {
		t.Error(err)
	}
	if _, err := Decompress(Codec(-1), []byte{1}, 0); !errors.Is(err, ErrCodec) {
		t.Error(err)
	}
}

func foreignDecompress(t *testing.T, codec Codec, packed []byte) []byte {
	t.Helper()
	var r io.Reader
	switch codec {
	case None:
		return packed
	case Gzip:
		zr, err := stdgzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		r = zr
	case Snappy:
		return xerialByHand(t, packed)
	case LZ4:
		r = lz4.NewReader(bytes.NewReader(packed))
	case Zstd:
		zr, err := zstd.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		defer zr.Close()
		r = zr
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func xerialByHand(t *testing.T, packed []byte) []byte {
	t.Helper()
	if !bytes.HasPrefix(packed, []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")) {
		t.Fatalf("xerial header %x", packed[:16])
	}
	var out []byte
	for packed = packed[16:]; len(packed) > 0; {
		n := binary.BigEndian.Uint32(packed)
		block, err := snappy.Decode(nil, packed[4:4+n])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, block...)
		packed = packed[4+n:]
	}
	return out
}

func TestCodecNames(t *testing.T) {
	for _, codec := range allCodecs {
		got, err := ParseCodec(codec.String())
		if err != nil || got != codec {
			t.Errorf("%v: %v %v", codec, got, err)
		}
	}
	if _, err := ParseCodec("lzma"); !errors.Is(err, ErrCodec) {
		t.Error(err)
	}
	if Codec(6).String() != "codec(6)" {
		t.Error(Codec(6))
	}
}

func TestSnappyForms(t *testing.T) {
	text := []byte(strings.Repeat("kafka ", 20_000))
	raw := snappy.Encode(nil, text)
	got, err := Decompress(Snappy, raw, 0)
	if err != nil || !bytes.Equal(got, text) {
		t.Fatal("raw block", err)
	}
	small := snappy.Encode(nil, []byte("abc"))
	frame := func(blocks ...[]byte) []byte {
		out := []byte(xerialHeader)
		for _, b := range blocks {
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
		}
		return out
	}
	if got, err := Decompress(Snappy, frame(small, small), 0); err != nil || string(got) != "abcabc" {
		t.Fatal(got, err)
	}
	for name, b := range map[string][]byte{
		"no version":         []byte(xerialMagic),
		"part of a length":   append(frame(small), 0, 0, 0),
		"length too long":    append([]byte(xerialHeader), 0, 0, 0, 9, 1, 2),
		"length huge":        append([]byte(xerialHeader), 0xff, 0xff, 0xff, 0xff, 1, 2),
		"empty block":        frame(nil),
		"claims 4 GiB":       {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0},
		"claims too much":    {0xe8, 0x07, 0, 'a'},
		"framed, claims 1 G": frame([]byte{0x80, 0x80, 0x80, 0x80, 0x04, 0, 0}),
		"s2 repeat offset":   {8, 0, 'a', 0x01, 0x00, 0x01, 0x00},
	} {
		if _, err := Decompress(Snappy, b, 0); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLZ4Forms(t *testing.T) {
	frame := foreignCompress(t, LZ4, []byte(strings.Repeat("kafka ", 100_000)))
	if _, err := Decompress(LZ4, frame, 0); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"two frames": append(bytes.Clone(frame), frame...),
		"trailing":   append(bytes.Clone(frame), 0),
		"legacy":     {0x02, 0x21, 0x4C, 0x18, 1, 0, 0, 0, 0x10, 0, 0},
		"skippable":  append([]byte{0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0}, frame...),
		"linked":     append([]byte{0x04, 0x22, 0x4D, 0x18, 0x40, 0x40, 0xC0}, 0, 0, 0, 0),
		"block 2 GiB": append([]byte{0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82},
			0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
	} {
		if _, err := Decompress(LZ4, b, 0); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// zstdFrame builds a frame of zero bytes out of RLE blocks, by hand.
func zstdFrame(head []byte, blocks, blockSize int) []byte {
	out := append([]byte(zstdMagic), head...)
	for i := range blocks {
		v := uint32(blockSize)<<3 | 1<<1
		if i == blocks-1 {
			v |= 1
		}
		out = append(out, byte(v), byte(v>>8), byte(v>>16), 0)
	}
	return out
}

// TestZstdWindows covers what producers announce: windows of high levels, and
// single segments, whose window is their content.
func TestZstdWindows(t *testing.T) {
	const block = 128 << 10
	window128M := []byte{0, (27 - 10) << 3}
	single := func(n uint32) []byte {
		return binary.LittleEndian.AppendUint32([]byte{2<<6 | zstdSingleSegment}, n)
	}
	single8 := func(n uint64) []byte {
		return binary.LittleEndian.AppendUint64([]byte{3<<6 | zstdSingleSegment}, n)
	}
	for _, c := range []struct {
		name   string
		b      []byte
		length int
	}{
		{"128 MiB window, small", zstdFrame(window128M, 1, 100), 100},
		{"128 MiB window, 1 MiB", zstdFrame(window128M, 8, block), 8 * block},
		{"128 MiB window, 16 MiB", zstdFrame(window128M, 128, block), 128 * block},
		{"single segment of 2 MiB", zstdFrame(single(16*block), 16, block), 16 * block},
		{"single segment of 16 MiB", zstdFrame(single(128*block), 128, block), 128 * block},
		{"single segment of 16 MiB, 8 byte size", zstdFrame(single8(128*block), 128, block), 128 * block},
	} {
		got, err := Decompress(Zstd, c.b, 0)
		if err != nil || len(got) != c.length || len(bytes.Trim(got, "\x00")) != 0 {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
	// A match from beyond 8 MiB is refused, never wrong.
	rng := rand.New(rand.NewPCG(3, 4))
	far := make([]byte, 12<<20)
	for i := range far {
		far[i] = byte(rng.Uint32())
	}
	far = append(far, far[:1<<20]...)
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(32<<20), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(far)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := Decompress(Zstd, packed.Bytes(), 0); err == nil && !bytes.Equal(got, far) {
		t.Fatal("wrong output")
	} else if err != nil && !errors.Is(err, ErrInvalidRecord) && !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"dictionary":     zstdFrame([]byte{1, 0x38, 9}, 1, 10),
		"reserved bit":   zstdFrame([]byte{8, 0x38}, 1, 10),
		"wrong size":     zstdFrame(single(99), 1, 10),
		"no blocks":      zstdFrame(window128M, 0, 0),
		"no magic":       []byte("hello world"),
		"cut after head": []byte(zstdMagic),
	} {
		if _, err := Decompress(Zstd, b, 0); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// bombs returns for each codec an input that stands for about 1 GiB of zeros.
func bombs(t *testing.T) map[Codec][]byte {
	t.Helper()
	const mega = 1 << 20
	zeros := make([]byte, 16*mega)
	var gz bytes.Buffer
	w := stdgzip.NewWriter(&gz)
	for range 4 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	block := snappy.Encode(nil, zeros[:32<<10])
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(block)))
	framed = append(framed, block...)
	var lz bytes.Buffer
	lw := lz4.NewWriter(&lz)
	if err := lw.Apply(lz4.BlockSizeOption(lz4.Block4Mb), lz4.ChecksumOption(false)); err != nil {
		t.Fatal(err)
	}
	if _, err := lw.Write(zeros[:4*mega]); err != nil {
		t.Fatal(err)
	}
	if err := lw.Close(); err != nil {
		t.Fatal(err)
	}
	body := lz.Bytes()[7 : lz.Len()-4]
	lzBomb := append(bytes.Clone(lz.Bytes()[:7]), bytes.Repeat(body, 256)...)
	return map[Codec][]byte{
		Gzip:   bytes.Repeat(gz.Bytes(), 16),
		Snappy: append([]byte(xerialHeader), bytes.Repeat(framed, 1<<15)...),
		LZ4:    append(lzBomb, 0, 0, 0, 0),
		Zstd:   zstdFrame([]byte{0, (27 - 10) << 3}, 1<<13, 128<<10),
	}
}

func TestBombsAreCutOff(t *testing.T) {
	const limit, most = 1 << 20, 64 << 20
	for codec, bomb := range bombs(t) {
		batch := oracleBatch(codec, 1, bomb, nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := Decompress(codec, bomb, limit)
		if !errors.Is(err, ErrTooLarge) || len(out) > limit {
			t.Errorf("%v: %d bytes, %v", codec, len(out), err)
		}
		if _, err := Validate(batch, Limits{MaxDecompressedBytes: limit}); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v: records of zeros: %v", codec, err)
		}
		r, err := NewReader(codec, bomb, limit)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		r.Close()
		if !errors.Is(err, ErrTooLarge) || n > limit {
			t.Errorf("%v: read %d bytes, %v", codec, n, err)
		}
		runtime.ReadMemStats(&after)
		if d := after.TotalAlloc - before.TotalAlloc; d > most {
			t.Errorf("%v: %d MiB allocated", codec, d>>20)
		} else {
			t.Logf("%v: bomb of %d KiB, %d KiB allocated", codec, len(bomb)>>10, d>>10)
		}
	}
}

// TestBombInAValue hides the bomb where the walk would only skip: a record whose
// value is as long as it says.
func TestBombInAValue(t *testing.T) {
	const size = 256 << 20
	body := append([]byte{0, 0, 0, 1}, binary.AppendVarint(nil, size)...)
	head := rawRecord(int64(len(body)+size+1), body...)
	zeros := make([]byte, 1<<20)
	for _, codec := range []Codec{Gzip, LZ4, Zstd} {
		var out bytes.Buffer
		var w io.WriteCloser
		switch codec {
		case Gzip:
			w, _ = stdgzip.NewWriterLevel(&out, stdgzip.BestSpeed)
		case LZ4:
			w = lz4.NewWriter(&out)
		case Zstd:
			w, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		}
		if _, err := w.Write(head); err != nil {
			t.Fatal(err)
		}
		for range size / len(zeros) {
			if _, err := w.Write(zeros); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b := oracleBatch(codec, 1, out.Bytes(), nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Validate(b, Limits{}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: %v", codec, err)
		}
		// With a limit that lets it through, memory stays bounded too.
		info, err := Validate(b, Limits{MaxDecompressedBytes: 1 << 30})
		if err != nil || info.UncompressedBytes != int64(len(head)+size+1) {
			t.Errorf("%v: %+v %v", codec, info, err)
		}
		runtime.ReadMemStats(&after)
		if d := after.TotalAlloc - before.TotalAlloc; d > 64<<20 {
			t.Errorf("%v: %d MiB allocated", codec, d>>20)
		}
	}
}

// TestPoolsDoNotMix runs all codecs at once, with streams left in the middle and
// damaged ones in between, and checks every output.
func TestPoolsDoNotMix(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(g), 9))
			for i := range 150 {
				codec := allCodecs[1+rng.IntN(4)]
				src := bytes.Repeat([]byte{byte(g), byte(i), byte(rng.Uint32())}, 1+rng.IntN(1<<uint(rng.IntN(20))))
				packed, err := Compress(codec, rng.IntN(4), src)
				if err != nil {
					t.Error(err)
					return
				}
				if r, err := NewReader(codec, packed, 0); err == nil {
					_, _ = r.Read(make([]byte, rng.IntN(1000)))
					r.Close()
				}
				bad := bytes.Clone(packed)
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
				_, _ = Decompress(codec, bad, 0)
				got, err := Decompress(codec, packed, 0)
				if err != nil || !bytes.Equal(got, src) {
					t.Errorf("%v of %d bytes: %v", codec, len(src), err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestReaderInSmallSteps(t *testing.T) {
	for _, codec := range allCodecs {
		for _, src := range samples() {
			packed, err := Compress(codec, 0, src)
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewReader(codec, packed, 0)
			if err != nil {
				t.Fatal(codec, len(src), err)
			}
			got, err := io.ReadAll(io.LimitReader(r, 10))
			if err == nil {
				var rest []byte
				rest, err = io.ReadAll(r)
				got = append(got, rest...)
			}
			if _, again := r.Read(make([]byte, 1)); again != io.EOF {
				t.Errorf("%v: the end is not sticky: %v", codec, again)
			}
			r.Close()
			if err != nil || !bytes.Equal(got, src) {
				t.Errorf("%v of %d bytes: %v", codec, len(src), err)
			}
		}
	}
}

func fuzzDecompress(f *testing.F, codec Codec) {
	const limit = 32 << 10
	for _, src := range [][]byte{nil, []byte("hello"), bytes.Repeat([]byte("abcd"), 5000), make([]byte, 2*limit)} {
		packed, err := Compress(codec, 0, src)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := Decompress(codec, b, limit)
		if len(out) > limit {
			t.Fatalf("%d bytes", len(out))
		}
		if err != nil && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrInvalidRecord) {
			t.Fatal(err)
		}
		again, err2 := Decompress(codec, b, limit)
		if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(out, again) {
			t.Fatalf("not the same twice: %v, %v", err, err2)
		}
		// A reader in small steps agrees.
		var steps []byte
		r, err3 := NewReader(codec, b, limit)
		if err3 == nil {
			steps, err3 = io.ReadAll(iotest.OneByteReader(r))
			r.Close()
		}
		if (err == nil) != (err3 == nil) || err == nil && !bytes.Equal(out, steps) {
			t.Fatalf("whole %d bytes, %v; in steps %d bytes, %v", len(out), err, len(steps), err3)
		}
		if err != nil || len(out) > 4<<10 {
			return
		}
		packed, err := Compress(codec, 0, out)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decompress(codec, packed, limit); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%d bytes do not survive: %v", len(out), err)
		}
	})
}

func FuzzDecompressGzip(f *testing.F)   { fuzzDecompress(f, Gzip) }
func FuzzDecompressSnappy(f *testing.F) { fuzzDecompress(f, Snappy) }
func FuzzDecompressLZ4(f *testing.F)    { fuzzDecompress(f, LZ4) }
func FuzzDecompressZstd(f *testing.F)   { fuzzDecompress(f, Zstd) }
