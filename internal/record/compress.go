package record

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// DefaultLevel asks for the codec's default level, which Kafka's
	// compression.gzip.level=-1, compression.lz4.level=9 and
	// compression.zstd.level=3 mean as well.
	DefaultLevel = 0

	maxGzipLevel    = 9
	maxLZ4Level     = 9
	kafkaLZ4Default = 9
	zstdLevels      = int(zstd.SpeedBestCompression) + 1
	// zstdEncoderWindow is the window of broker-built batches, that of level 3.
	zstdEncoderWindow = 2 << 20
)

// Pools are indexed by level. An encoder keeps nothing of what it compressed
// that a later user could see: each starts a new frame.
var (
	gzipWriters  [maxGzipLevel + 1]sync.Pool
	lz4Writers   [maxLZ4Level + 1]sync.Pool
	zstdEncoders [zstdLevels]sync.Pool
)

// Compress returns src compressed as one run of records, in the form that all
// clients read: gzip, xerial snappy blocks, an LZ4 frame of independent 64 KiB
// blocks, or a zstd frame. src is borrowed; the result is the caller's, and for
// None it is src itself. level has Kafka's meaning and is brought into the
// codec's range; codecs without levels ignore it. It fails with ErrCodec.
func Compress(codec Codec, level int, src []byte) ([]byte, error) {
	if codec == None {
		return src, nil
	}
	return appendCompressed(nil, codec, level, src)
}

func appendCompressed(dst []byte, codec Codec, level int, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return appendGzip(dst, level, src)
	case Snappy:
		return appendSnappy(dst, src), nil
	case LZ4:
		return appendLZ4(dst, level, src)
	case Zstd:
		return appendZstd(dst, level, src)
	}
	return nil, fmt.Errorf("compress: %w: %v", ErrCodec, codec)
}

func appendGzip(dst []byte, level int, src []byte) ([]byte, error) {
	level = min(level, maxGzipLevel)
	pool := &gzipWriters[max(level, 0)]
	if level <= DefaultLevel {
		level = gzip.DefaultCompression
	}
	out := bytes.NewBuffer(dst)
	w, ok := pool.Get().(*gzip.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(out, level); err != nil {
			return nil, fmt.Errorf("compress gzip: %w", err)
		}
	}
	if _, err := w.Write(src); err != nil {
		return nil, fmt.Errorf("compress gzip: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress gzip: %w", err)
	}
	w.Reset(nil)
	pool.Put(w)
	return out.Bytes(), nil
}

func appendLZ4(dst []byte, level int, src []byte) ([]byte, error) {
	if level == kafkaLZ4Default {
		level = DefaultLevel
	}
	level = max(min(level, maxLZ4Level), 0)
	option := lz4.Fast
	if level > 0 {
		option = lz4.Level1 << (level - 1)
	}
	out := bytes.NewBuffer(dst)
	w, ok := lz4Writers[level].Get().(*lz4.Writer)
	if ok {
		w.Reset(out)
	} else {
		w = lz4.NewWriter(out)
		err := w.Apply(lz4.ConcurrencyOption(1), lz4.BlockSizeOption(lz4.Block64Kb),
			lz4.ChecksumOption(false), lz4.CompressionLevelOption(option))
		if err != nil {
			return nil, fmt.Errorf("compress lz4: %w", err)
		}
	}
	if _, err := w.Write(src); err != nil {
		return nil, fmt.Errorf("compress lz4: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress lz4: %w", err)
	}
	w.Reset(nil)
	lz4Writers[level].Put(w)
	return out.Bytes(), nil
}

func appendZstd(dst []byte, level int, src []byte) ([]byte, error) {
	speed := zstd.SpeedDefault
	if level != DefaultLevel {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	pool := &zstdEncoders[speed]
	w, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(speed),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(zstdEncoderWindow), zstd.WithZeroFrames(true))
		if err != nil {
			return nil, fmt.Errorf("compress zstd: %w", err)
		}
	}
	dst = w.EncodeAll(src, dst)
	pool.Put(w)
	return dst, nil
}
