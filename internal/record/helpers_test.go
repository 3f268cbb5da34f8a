package record

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// oracleRecords encodes records with kmsg, which shares no code with this
// package.
func oracleRecords(records []kmsg.Record) []byte {
	var out []byte
	for _, r := range records {
		r.Length = 0
		body := r.AppendTo(nil)[1:] // a length of 0 takes one byte
		r.Length = int32(len(body))
		out = r.AppendTo(out)
	}
	return out
}

// oracleBatch encodes a batch with kmsg around records as they stand, after
// which edit may change any field. Length and checksum are set after edit
// unless it set them.
func oracleBatch(codec Codec, count int32, records []byte, edit func(*kmsg.RecordBatch)) []byte {
	rb := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1,
		Magic:                2,
		Attributes:           int16(codec),
		LastOffsetDelta:      count - 1,
		FirstTimestamp:       1000,
		MaxTimestamp:         1000,
		ProducerID:           -1,
		ProducerEpoch:        -1,
		FirstSequence:        -1,
		NumRecords:           count,
		Records:              records,
	}
	if edit != nil {
		edit(&rb)
	}
	if rb.Length == 0 {
		rb.Length = int32(49 + len(records))
	}
	if rb.CRC == 0 {
		whole := rb.AppendTo(nil)
		rb.CRC = int32(crc32.Checksum(whole[21:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return rb.AppendTo(nil)
}

// plainRecords returns n records of the given value size, with timestamps that
// rise by one from the base.
func plainRecords(n, size int) []kmsg.Record {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	out := make([]kmsg.Record, n)
	for i := range out {
		value := make([]byte, size)
		for j := range value {
			value[j] = "abcdefgh"[rng.IntN(8)]
		}
		out[i] = kmsg.Record{
			TimestampDelta64: int64(i),
			OffsetDelta:      int32(i),
			Key:              []byte{byte('k'), byte(i)},
			Value:            value,
			Headers:          []kmsg.Header{{Key: "h", Value: []byte{1}}, {Key: "", Value: nil}},
		}
	}
	return out
}

// foreignCompress compresses with encoders that this package does not use the
// same way: the standard gzip, and others with different settings.
func foreignCompress(t testing.TB, codec Codec, src []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case None:
		return src
	case Gzip:
		w = gzip.NewWriter(&out)
	case Snappy:
		return xerial.Encode(nil, src)
	case LZ4:
		lw := lz4.NewWriter(&out)
		if err := lw.Apply(lz4.ChecksumOption(true), lz4.BlockChecksumOption(true), lz4.BlockSizeOption(lz4.Block256Kb)); err != nil {
			t.Fatal(err)
		}
		w = lw
	case Zstd:
		zw, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
		if err != nil {
			t.Fatal(err)
		}
		w = zw
	}
	if _, err := w.Write(src); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// clientBatch is a valid batch of n records as a producer would send it.
func clientBatch(t testing.TB, codec Codec, n, size int) []byte {
	t.Helper()
	records := oracleRecords(plainRecords(n, size))
	return oracleBatch(codec, int32(n), foreignCompress(t, codec, records), func(rb *kmsg.RecordBatch) {
		rb.MaxTimestamp = 1000 + int64(n-1)
	})
}

// rawRecord frames a body with a length, right or given.
func rawRecord(length int64, body ...byte) []byte {
	return append(binary.AppendVarint(nil, length), body...)
}

func fixCRC(b []byte) []byte {
	binary.BigEndian.PutUint32(b[crcAt:], checksum(b))
	return b
}
