package segfile_test

import (
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

func BenchmarkBuild(b *testing.B) {
	src, _ := segfiletest.Segment(1, segfiletest.Shape{Batches: 800, Records: 8, ValueSize: 8 << 10})
	b.SetBytes(src.DataBytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := segfile.Build(src, segfile.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTail(b *testing.B) {
	src, _ := segfiletest.Segment(1, segfiletest.Shape{Batches: 20_000})
	obj, _ := build(b, src, segfile.Options{IndexIntervalBytes: 1})
	b.SetBytes(int64(len(obj.Tail())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := segfile.ParseTail(&obj.Segment, src.Partition, obj.Tail()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloor(b *testing.B) {
	src, _ := segfiletest.Segment(1, segfiletest.Shape{Batches: 20_000})
	obj, _ := build(b, src, segfile.Options{IndexIntervalBytes: 1})
	tail := parse(b, obj)
	b.ReportAllocs()
	at := ident.Offset(0)
	for b.Loop() {
		at = (at + 7919) % src.End
		_ = tail.Next(tail.Floor(at))
	}
}
