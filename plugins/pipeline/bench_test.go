package pipeline

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// scripted answers calls of n records with the same bytes.
type scripted struct{ out []byte }

func (s *scripted) Call(_ abi.Hook, _ abi.Context, frame []byte, _ int64, dst []byte) (wasm.Result, error) {
	return wasm.Result{Out: append(dst[:0], s.out...)}, nil
}

var shapes = []struct{ records, bytes int }{{64, 1 << 10}, {1000, 100}}

func benchmarkRun(b *testing.B, codec record.Codec, records, size int, g Guest) {
	rs := make([]record.Record, records)
	v := bytes.Repeat([]byte("abcdefgh"), size/8+1)[:size]
	for i := range rs {
		rs[i] = record.Record{Key: []byte("key"), Value: v}
	}
	in := clientBatch(b, codec, false, rs)
	c := New(testTopic, []Stage{{Name: "a", Guest: g, Parts: abi.PartValue, Spec: plugins.StageSpec{Budget: plugins.DefaultBudget}}}, Options{})
	b.ReportAllocs()
	b.SetBytes(int64(records * size))
	b.ResetTimer()
	for range b.N {
		if o, err := c.Run(in); err != nil || o.Refusal != nil {
			b.Fatal(o.Refusal, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}

// BenchmarkKeep is the cost of a chain that keeps everything, without the guest.
func BenchmarkKeep(b *testing.B) {
	for _, s := range shapes {
		for _, codec := range []record.Codec{record.None, record.LZ4, record.Zstd} {
			b.Run(fmt.Sprintf("%dx%d/%v", s.records, s.bytes, codec), func(b *testing.B) {
				benchmarkRun(b, codec, s.records, s.bytes, &scripted{make([]byte, s.records)})
			})
		}
	}
}

// BenchmarkReplace replaces every value by one of its size.
func BenchmarkReplace(b *testing.B) {
	for _, s := range shapes {
		var out []byte
		for range s.records {
			out = abi.AppendVerdict(out, &abi.Verdict{Action: abi.Replace, Mask: abi.PartValue, Value: make([]byte, s.bytes)})
		}
		b.Run(fmt.Sprintf("%dx%d", s.records, s.bytes), func(b *testing.B) {
			benchmarkRun(b, record.None, s.records, s.bytes, &scripted{out})
		})
	}
}

// BenchmarkDropHalf drops every other record.
func BenchmarkDropHalf(b *testing.B) {
	for _, s := range shapes {
		b.Run(fmt.Sprintf("%dx%d", s.records, s.bytes), func(b *testing.B) {
			benchmarkRun(b, record.None, s.records, s.bytes, &scripted{bytes.Repeat([]byte{0, 1}, s.records/2)})
		})
	}
}
