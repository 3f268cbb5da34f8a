package kafka

import (
	"runtime"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/internal/record"
)

// recompression returns the codec and level that a topic's batches are stored
// with, and whether a batch of codec have must be rewritten for it.
func recompression(set *config.Topic, have record.Codec) (codec record.Codec, level int, ok bool) {
	switch set.CompressionType {
	case "uncompressed":
		codec = record.None
	case "gzip":
		codec, level = record.Gzip, int(max(set.CompressionGzipLevel, 0)) // -1 and 0: the codec's own
	case "snappy":
		codec = record.Snappy
	case "lz4":
		codec, level = record.LZ4, int(set.CompressionLz4Level)
	case "zstd":
		codec, level = record.Zstd, int(set.CompressionZstdLevel)
	default: // "producer"
		return have, 0, false
	}
	return codec, level, codec != have
}

// unpackers is how many compressed batches are looked into at a time: each takes
// as much memory as its codec looks back, whatever its size.
func unpackers() int { return max(2, runtime.GOMAXPROCS(0)) }

// unpack waits for one of the turns in which compressed batches are looked into,
// and returns what ends it; nil for a batch that is not compressed. What it waits
// for is computation of a bounded length, nothing else.
func (h *Handlers) unpack(batch []byte) (done func()) {
	header, err := record.ParseHeader(batch)
	if err != nil || header.Codec() == record.None {
		return nil
	}
	h.unpacking <- struct{}{}
	return func() { <-h.unpacking }
}

// recompress returns a validated batch with its records compressed otherwise.
// Offsets, timestamps, headers and the producer's fields stay.
func recompress(batch []byte, h *record.Header, codec record.Codec, level int, decompressedMax int64) ([]byte, error) {
	b := record.NewBuilder(record.Params{
		Codec: codec, Level: level,
		LeaderEpoch: h.LeaderEpoch, BaseTimestamp: h.BaseTimestamp,
		ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence,
		Transactional: h.IsTransactional(),
	})
	if err := record.ForEach(batch, int(decompressedMax), b.Append); err != nil {
		return nil, err
	}
	return b.Finish(h.LastOffsetDelta)
}
