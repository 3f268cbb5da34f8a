package record

import "testing"

func BenchmarkValidate(b *testing.B) {
	shapes := []struct {
		name    string
		codec   Codec
		n, size int
	}{
		{"none/16x1KiB", None, 16, 1024},
		{"none/64x1KiB", None, 64, 1024},
		{"none/1000x100B", None, 1000, 100},
		{"gzip/64x1KiB", Gzip, 64, 1024},
		{"snappy/64x1KiB", Snappy, 64, 1024},
		{"lz4/64x1KiB", LZ4, 64, 1024},
		{"zstd/64x1KiB", Zstd, 64, 1024},
		{"zstd/1000x100B", Zstd, 1000, 100},
	}
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			batch := clientBatch(b, s.codec, s.n, s.size)
			lim := Limits{CheckTimestamps: true, Now: 1000, TimestampAfterMax: 1 << 40}
			b.SetBytes(int64(s.n * s.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch, lim); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyCRC(b *testing.B) {
	batch := clientBatch(b, None, 64, 1024)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if !VerifyCRC(batch) {
			b.Fatal("checksum")
		}
	}
}

func BenchmarkForEach(b *testing.B) {
	for _, codec := range []Codec{None, LZ4, Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			batch := clientBatch(b, codec, 64, 1024)
			var n int
			fn := func(r *Record) error { n += len(r.Value); return nil }
			b.SetBytes(64 * 1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := ForEach(batch, 0, fn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuilder(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			var records []Record
			_ = ForEach(clientBatch(b, None, 64, 1024), 0, func(r *Record) error {
				records = append(records, Record{OffsetDelta: r.OffsetDelta, Key: []byte("key"), Value: append([]byte{}, r.Value...)})
				return nil
			})
			builder := NewBuilder(Params{})
			b.SetBytes(64 * 1024)
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset(DefaultParams(codec, 0))
				for i := range records {
					if err := builder.Append(&records[i]); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := builder.Finish(-1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
