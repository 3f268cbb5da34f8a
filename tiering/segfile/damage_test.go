package segfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

func small(t *testing.T) (segfile.Source, []segfiletest.Batch, *segfile.Object, []byte) {
	t.Helper()
	src, batches := segfiletest.Segment(11, segfiletest.Shape{Base: 50, Batches: 8, Records: 2, ValueSize: 12})
	obj, raw := build(t, src, segfile.Options{IndexIntervalBytes: 200})
	return src, batches, obj, raw
}

func known(err error) bool {
	return errors.Is(err, segfile.ErrDamaged) || errors.Is(err, segfile.ErrVersion)
}

// Every flipped bit of an object is found by Verify, and one of a batch is
// reported as one.
func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	_, _, obj, raw := small(t)
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			_, err := segfile.Verify(bytes.NewReader(raw), int64(len(raw)))
			raw[i] ^= 1 << bit
			if !known(err) {
				t.Fatalf("bit %d of byte %d of %d: %v", bit, i, len(raw), err)
			}
			var bad *segfile.BatchError
			inData := int64(i) >= manifest.DataOffset && int64(i) < obj.Segment.TailOffset()
			if errors.As(err, &bad) && !inData {
				t.Fatalf("byte %d, outside the data: %v", i, err)
			}
		}
	}
}

func TestParseTailFindsEveryFlippedBit(t *testing.T) {
	_, _, obj, _ := small(t)
	tail := bytes.Clone(obj.Tail())
	for i := range tail {
		for bit := range 8 {
			tail[i] ^= 1 << bit
			if _, err := segfile.ParseTail(&obj.Segment, segfiletest.Partition, tail); !errors.Is(err, segfile.ErrDamaged) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			tail[i] ^= 1 << bit
		}
	}
}

func TestParseHeaderFindsEveryFlippedBit(t *testing.T) {
	src, _, obj, _ := small(t)
	h, err := segfile.ParseHeader(obj.Header())
	if err != nil || h.Partition != src.Partition || h.Base != src.Base || h.Term != src.Term || h.ID != src.ID {
		t.Fatalf("%+v, %v", h, err)
	}
	b := bytes.Clone(obj.Header())
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := segfile.ParseHeader(b); !known(err) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			b[i] ^= 1 << bit
		}
	}
}

// An object that is cut or that goes on is not the object.
func TestVerifyFindsWrongLengths(t *testing.T) {
	_, _, _, raw := small(t)
	for n := range len(raw) {
		if _, err := segfile.Verify(bytes.NewReader(raw[:n]), int64(n)); !known(err) {
			t.Fatalf("%d of %d bytes: %v", n, len(raw), err)
		}
		// The store says that it has the size, and gives less.
		if _, err := segfile.Verify(bytes.NewReader(raw[:n]), int64(len(raw))); !known(err) {
			t.Fatalf("%d of %d bytes, as claimed: %v", n, len(raw), err)
		}
	}
	longer := append(bytes.Clone(raw), 0)
	if _, err := segfile.Verify(bytes.NewReader(longer), int64(len(longer))); !known(err) {
		t.Fatal(err)
	}
}

// A tail counts only for the segment that the manifest names, even if both are
// undamaged.
func TestParseTailOfAnotherSegment(t *testing.T) {
	src, _, obj, _ := small(t)
	for name, change := range map[string]func(*manifest.Segment, *ident.Partition){
		"topic":       func(_ *manifest.Segment, p *ident.Partition) { p.Topic[3]++ },
		"partition":   func(_ *manifest.Segment, p *ident.Partition) { p.Index++ },
		"base":        func(s *manifest.Segment, _ *ident.Partition) { s.Base++ },
		"end":         func(s *manifest.Segment, _ *ident.Partition) { s.End++ },
		"term":        func(s *manifest.Segment, _ *ident.Partition) { s.Term++ },
		"id":          func(s *manifest.Segment, _ *ident.Partition) { s.ID[0]++ },
		"data bytes":  func(s *manifest.Segment, _ *ident.Partition) { s.DataBytes++; s.ObjectBytes++ },
		"size":        func(s *manifest.Segment, _ *ident.Partition) { s.ObjectBytes++ },
		"timestamp":   func(s *manifest.Segment, _ *ident.Partition) { s.MaxTimestamp++ },
		"checksum":    func(s *manifest.Segment, _ *ident.Partition) { s.TailCRC++ },
		"not a truth": func(s *manifest.Segment, _ *ident.Partition) { s.End = s.Base },
	} {
		s, p := obj.Segment, src.Partition
		change(&s, &p)
		if _, err := segfile.ParseTail(&s, p, obj.Tail()); !errors.Is(err, segfile.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := obj.Segment
	s.CommittedAt = 12345 // the one field that the object does not know
	if _, err := segfile.ParseTail(&s, src.Partition, obj.Tail()); err != nil {
		t.Error(err)
	}
}

// The manifest's checksum tells tails apart: one that ends with its own checksum
// would always have the same.
func TestTailsHaveDifferentChecksums(t *testing.T) {
	seen := map[uint32]bool{}
	for n := range 200 {
		src, _ := segfiletest.Segment(1, segfiletest.Shape{Batches: 3})
		if n%2 == 1 {
			src.ID = segfiletest.NewID(n)
		} else {
			src.Producers = []byte{byte(n), 1, 2, 3, 4, 5, 6, 7}
		}
		obj, _ := build(t, src, segfile.Options{})
		if seen[obj.Segment.TailCRC] {
			t.Fatalf("two tails have the checksum %#x", obj.Segment.TailCRC)
		}
		seen[obj.Segment.TailCRC] = true
	}
}

// L8: a corrupt batch is never copied. Every flipped bit of the source is found,
// but for those of a base offset that stays in order and of the leader epoch,
// which no checksum of the batch covers.
func TestL8BuildFindsEveryFlippedBit(t *testing.T) {
	src, batches, _, raw := small(t)
	data := bytes.Clone(raw[manifest.DataOffset:][:src.DataBytes])
	src.Data = bytes.NewReader(data)
	at := 0
	for i := range data {
		for at+1 < len(batches) && int64(i) >= batches[at+1].Position {
			at++
		}
		in := int64(i) - batches[at].Position
		for bit := range 8 {
			data[i] ^= 1 << bit
			_, err := segfile.Build(src, segfile.Options{})
			data[i] ^= 1 << bit
			if in < 8 && err == nil || in >= 12 && in < 16 {
				continue
			}
			var bad *segfile.BatchError
			if !errors.As(err, &bad) || !errors.Is(err, segfile.ErrDamaged) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			// A base offset that is too large, but in order, shows at the next batch.
			if bad.Position != batches[at].Position && in >= 8 {
				t.Fatalf("bit %d of byte %d: %v, want position %d", bit, i, err, batches[at].Position)
			}
		}
	}
}

func TestBuildRefusesWhatIsNoSegment(t *testing.T) {
	good, batches, _, raw := small(t)
	data := raw[manifest.DataOffset:][:good.DataBytes]
	edit := func(change func(d []byte) []byte) func(*segfile.Source) {
		return func(s *segfile.Source) {
			d := change(bytes.Clone(data))
			s.Data, s.DataBytes = bytes.NewReader(d), int64(len(d))
		}
	}
	third := batches[3]
	cases := map[string]struct {
		change func(*segfile.Source)
		want   error
		text   string
	}{
		"cut in a batch":        {edit(func(d []byte) []byte { return d[:len(d)-1] }), record.ErrTruncated, ""},
		"cut in a header":       {edit(func(d []byte) []byte { return d[:third.Position+30] }), record.ErrTruncated, ""},
		"cut in the first":      {edit(func(d []byte) []byte { return d[:10] }), record.ErrTruncated, "position 0, offset 50"},
		"padding":               {edit(func(d []byte) []byte { return append(d, make([]byte, 4096)...) }), record.ErrCorrupt, ""},
		"twice":                 {edit(func(d []byte) []byte { return append(d, d...) }), record.ErrCorrupt, ""},
		"end below the data":    {func(s *segfile.Source) { s.End = batches[7].Last }, record.ErrCorrupt, ""},
		"base above the data":   {func(s *segfile.Source) { s.Base = batches[0].Base + 1 }, record.ErrCorrupt, "position 0"},
		"shorter than it says":  {func(s *segfile.Source) { s.DataBytes += 61 }, record.ErrTruncated, ""},
		"negative last offset":  {edit(func(d []byte) []byte { d[23] = 0x80; return resum(d) }), record.ErrCorrupt, "position 0, offset"},
		"last offset too large": {edit(func(d []byte) []byte { d[23] = 0x7f; return resum(d) }), record.ErrCorrupt, "position 0, offset"},
	}
	for name, c := range cases {
		src := good
		c.change(&src)
		_, err := segfile.Build(src, segfile.Options{})
		if !errors.Is(err, segfile.ErrDamaged) || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// resum renews the checksum of the first batch.
func resum(d []byte) []byte {
	n := 12 + int(binary.BigEndian.Uint32(d[8:]))
	binary.BigEndian.PutUint32(d[17:], crc(d[21:n]))
	return d
}

type failing struct {
	io.ReaderAt
	err error
}

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// A disk that cannot be read is not a damaged segment, and never an end of it.
func TestReadErrorsArePassedOn(t *testing.T) {
	src, _, _, raw := small(t)
	broken := errors.New("input/output error")
	src.Data = failing{src.Data, broken}
	if _, err := segfile.Build(src, segfile.Options{}); !errors.Is(err, broken) || errors.Is(err, segfile.ErrDamaged) {
		t.Errorf("Build: %v", err)
	}
	if _, err := segfile.Verify(failing{nil, broken}, int64(len(raw))); !errors.Is(err, broken) || errors.Is(err, segfile.ErrDamaged) {
		t.Errorf("Verify: %v", err)
	}
}

// Data that got shorter after the build is an error of the reader, not an end.
func TestObjectOverShorterData(t *testing.T) {
	src, _, obj, raw := small(t)
	data := raw[manifest.DataOffset:][:src.DataBytes]
	src.Data = shrinking{&data}
	obj, err := segfile.Build(src, segfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data = data[:len(data)-1]
	if _, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size())); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

type shrinking struct{ b *[]byte }

func (s shrinking) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(*s.b).ReadAt(p, off)
}
