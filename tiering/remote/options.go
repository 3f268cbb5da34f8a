package remote

import (
	"log/slog"
	"time"

	"github.com/varvelog/varve/tiering/segfile"
)

// Options are the settings of a Reader. A value of 0 means the default.
type Options struct {
	// ChunkBytes is the unit of downloads and of the cache. Default 4 MiB, at
	// least 1 KiB, at most 64 MiB. It is rounded up to a multiple of
	// segfile.BlockBytes, so that a chunk holds whole blocks and each can be
	// verified. What is below that is rounded up to a power of two, and reads
	// only objects that were built with blocks as small; others are
	// ErrUnavailable.
	ChunkBytes int
	// MemoryBytes bounds the chunks in memory: those in flight, those that
	// reads use, and those kept for the next read. Default 128 MiB, at least
	// 4 chunks.
	MemoryBytes int64
	// TailBytes bounds the parsed tails of objects in memory. Default 64 MiB.
	// Tails that are being loaded have as much again.
	TailBytes int64
	// Downloads is how many downloads run at once. Default 16.
	Downloads int
	// DownloadTimeout ends a download of one chunk. Default 60 s.
	DownloadTimeout time.Duration
	// ReadAheadChunks is how far the window of a sequential reader opens.
	// Default 8; negative: no read-ahead.
	ReadAheadChunks int
	// Streams is how many sequential readers are told apart. Default 4096.
	Streams int
	// StreamAge is after how long without a read a window closes. Default 1 min.
	StreamAge time.Duration
	// FailureAge is how long damage that a second download did not mend is
	// answered without another download. Default 5 s; negative: not at all.
	FailureAge time.Duration
	// MaxDecompressedBytes bounds what one batch may grow to in a lookup by
	// time. Default: that of package record.
	MaxDecompressedBytes int
	// Cache keeps chunks beyond memory. The Reader owns and closes it. Default
	// none.
	Cache Cache
	// Now is the clock of ages. Default time.Now.
	Now func() time.Time
	// Log is told of failures that no reader sees. Default: nobody.
	Log *slog.Logger
}

func (o Options) normal() Options {
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = 4 << 20
	}
	o.ChunkBytes = wholeBlocks(min(max(o.ChunkBytes, segfile.BlockBytesMin), 64<<20))
	orDefault(&o.MemoryBytes, 128<<20)
	o.MemoryBytes = max(o.MemoryBytes, 4*int64(o.ChunkBytes))
	orDefault(&o.TailBytes, 64<<20)
	orDefault(&o.Downloads, 16)
	orDefault(&o.DownloadTimeout, time.Minute)
	if o.ReadAheadChunks == 0 {
		o.ReadAheadChunks = 8
	}
	orDefault(&o.Streams, 4096)
	orDefault(&o.StreamAge, time.Minute)
	if o.FailureAge == 0 {
		o.FailureAge = 5 * time.Second
	}
	if o.Cache == nil {
		o.Cache = noCache{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// wholeBlocks rounds up to the multiple of a block, at first of a smaller one.
func wholeBlocks(n int) int {
	block := segfile.BlockBytesMin
	for block < min(n, segfile.BlockBytes) {
		block *= 2
	}
	return (n + block - 1) / block * block
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
