package kafka

import (
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

// turns are how much is unpacked at a time. Whoever waits for one waits for
// computation of a bounded length, and for nothing else.
type turns struct {
	// check has a place for each compressed batch that is looked into, which takes
	// what its codec looks back at, whatever the size of the batch.
	check chan struct{}
	// rewrite has a place for each batch that is compressed otherwise, which takes
	// several times max.decompressed.message.bytes.
	rewrite chan struct{}
}

// rewritesMax bounds what is compressed otherwise at a time.
const rewritesMax = 4

func newTurns(procs int) turns {
	n := max(2, procs)
	return turns{check: make(chan struct{}, n), rewrite: make(chan struct{}, min(n, rewritesMax))}
}

// validate is record.Validate in its turn.
func (h *Handlers) validate(batch []byte, lim record.Limits) (record.Info, error) {
	if header, err := record.ParseHeader(batch); err == nil && header.Codec() != record.None {
		h.turns.check <- struct{}{}
		defer func() { <-h.turns.check }()
	}
	return record.Validate(batch, lim)
}

// rewrite is recompress in its turn.
func (h *Handlers) rewrite(batch []byte, head *record.Header, codec record.Codec, level int) ([]byte, error) {
	h.turns.rewrite <- struct{}{}
	defer func() { <-h.turns.rewrite }()
	return recompress(batch, head, codec, level, h.b.Config().DecompressedMaxBytes)
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
