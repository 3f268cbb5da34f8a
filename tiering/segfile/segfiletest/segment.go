package segfiletest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
)

// Batch is a batch of a segment, as a scan would find it.
type Batch struct {
	Base, Last   ident.Offset
	Position     int64
	Bytes        []byte
	MaxTimestamp int64 // ms, -1: none
}

// Shape says what Segment makes. The zero value of a field is a default.
type Shape struct {
	Base      ident.Offset
	Batches   int // 0: none
	Records   int // at most that many per batch; 0: 5
	ValueSize int // at most that many bytes per record; 0: 100
	// NoHoles makes every batch begin where the one before ends.
	NoHoles bool
}

// Partition is whose segments these are.
var Partition = ident.Partition{Topic: ident.TopicID{0xca, 0xfe, 15: 1}, Index: 3}

// Segment returns a source whose data is in memory, and its batches. The same
// seed and shape give the same bytes; the upload id follows from the seed too.
// Timestamps jump back and forth, and some batches have none.
func Segment(seed uint64, shape Shape) (segfile.Source, []Batch) {
	rng := rand.New(rand.NewPCG(seed, 7))
	if shape.Records == 0 {
		shape.Records = 5
	}
	if shape.ValueSize == 0 {
		shape.ValueSize = 100
	}
	src := segfile.Source{
		Cluster: "cluster-1", Topic: "orders", Partition: Partition, Base: shape.Base, Term: 4,
		Producers: []byte("producers as of the end"),
		Epochs:    []segfile.Epoch{{Epoch: 1, Start: 0}, {Epoch: 4, Start: shape.Base + 1}, {Epoch: 9, Start: 1 << 60}},
	}
	for i := range src.ID {
		src.ID[i] = byte(rng.UintN(256)) | 1
	}
	var data []byte
	var batches []Batch
	next := shape.Base
	for range shape.Batches {
		if !shape.NoHoles && rng.IntN(5) == 0 {
			next += ident.Offset(rng.IntN(1000))
		}
		b := batch(rng, shape, next)
		b.Position = int64(len(data))
		data = append(data, b.Bytes...)
		batches = append(batches, b)
		next = b.Last + 1
	}
	src.End = next + 2 // with a hole at the end
	src.Data, src.DataBytes = bytes.NewReader(data), int64(len(data))
	return src, batches
}

func batch(rng *rand.Rand, shape Shape, base ident.Offset) Batch {
	codecs := []record.Codec{record.None, record.None, record.Zstd, record.LZ4}
	ts := int64(1_700_000_000_000 + rng.IntN(100_000))
	if rng.IntN(8) == 0 {
		ts = record.NoTimestamp
	}
	p := record.DefaultParams(codecs[rng.IntN(len(codecs))], ts)
	p.BaseOffset, p.LeaderEpoch = int64(base), 4
	b := record.NewBuilder(p)
	delta := int32(0)
	for range 1 + rng.IntN(shape.Records) {
		value := make([]byte, rng.IntN(shape.ValueSize)+1)
		for i := 0; i < len(value); i += 8 {
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], rng.Uint64())
			copy(value[i:], word[:])
		}
		r := record.Record{OffsetDelta: delta, Value: value}
		if ts != record.NoTimestamp {
			r.TimestampDelta = int64(rng.IntN(1000))
		}
		must(b.Append(&r))
		delta++
		if !shape.NoHoles && rng.IntN(6) == 0 {
			delta += int32(rng.IntN(4)) // dropped records
		}
	}
	raw, err := b.Finish(-1)
	must(err)
	h, err := record.ParseHeader(raw)
	must(err)
	return Batch{Base: base, Last: ident.Offset(h.LastOffset()), Bytes: raw, MaxTimestamp: max(h.MaxTimestamp, record.NoTimestamp)}
}

// must is for what cannot fail with the arguments given here.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("segfiletest: %v", err))
	}
}

// NewID returns an upload id that differs for every n.
func NewID(n int) manifest.ID {
	return manifest.ID{0xff, byte(n >> 16), byte(n >> 8), byte(n)}
}
