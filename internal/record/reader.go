package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/varvelog/varve/internal/invariant"
)

const (
	// windowSize is how much of a stream is decompressed at a time.
	windowSize = 64 << 10
	// maxPooledScratch is the largest buffer that a pooled Reader keeps.
	maxPooledScratch = 1 << 20
)

// Reader decompresses the records of one batch as a stream. Its memory does
// not depend on the size of the output: a window of 64 KiB, and what the codec
// needs to look back, which is at most 8 MiB for zstd, two blocks of at most
// 4 MiB for lz4 and 32 KiB for gzip. Snappy needs one block as a whole; the
// framing that clients write makes that 32 KiB, a raw block is all records, and
// is decoded only if its claimed length can come from so few bytes.
//
// A Reader belongs to one goroutine at a time. It borrows the source until
// Close, which must be called once and makes the Reader invalid.
type Reader struct {
	codec   Codec
	limit   int
	total   int
	pending []byte // decompressed, not yet taken by Read
	err     error  // sticky, io.EOF at the end
	dec     decoder
}

// decoder is the codec's part of a Reader.
type decoder interface {
	// reset starts on src, which is borrowed until release. limit is the most
	// that will be asked for.
	reset(src []byte, limit int) error
	// next returns the next decompressed bytes, valid until the next call, and
	// io.EOF at the end. want is how much the caller has use for; a decoder
	// that works in blocks may return more, but refuses with ErrTooLarge what
	// it would have to allocate for that.
	next(want int) ([]byte, error)
	// release drops src.
	release()
}

var readerPools = [codecs]sync.Pool{
	Gzip:   {New: func() any { return &Reader{codec: Gzip, dec: new(gzipDecoder)} }},
	Snappy: {New: func() any { return &Reader{codec: Snappy, dec: new(snappyDecoder)} }},
	LZ4:    {New: func() any { return &Reader{codec: LZ4, dec: new(lz4Decoder)} }},
	Zstd:   {New: func() any { return &Reader{codec: Zstd, dec: new(zstdDecoder)} }},
	None:   {New: func() any { return &Reader{codec: None, dec: new(plainDecoder)} }},
}

// readersOut counts the Readers that are not closed.
var readersOut = invariant.NewGauge("readers of compressed records")

// NewReader returns a Reader of src that fails with ErrTooLarge once more than
// limit bytes come out (0: DefaultMaxDecompressedBytes). It fails with ErrCodec
// for an unknown codec and with ErrInvalidRecord if src does not start as the
// codec's output does; later damage is found by Read.
func NewReader(codec Codec, src []byte, limit int) (*Reader, error) {
	if !codec.Known() {
		return nil, fmt.Errorf("decompress: %w: %v", ErrCodec, codec)
	}
	if codec != None && len(src) == 0 {
		return nil, fmt.Errorf("decompress %v: %w: no bytes", codec, ErrInvalidRecord)
	}
	r := readerPools[codec].Get().(*Reader)
	readersOut.Add(1)
	r.limit, r.total, r.pending, r.err = limitOrDefault(limit), 0, nil, nil
	if err := r.dec.reset(src, r.limit); err != nil {
		err = r.wrap(err)
		r.Close()
		return nil, err
	}
	return r, nil
}

// Read implements io.Reader. It never returns more than the limit in total.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.pending) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		chunk, err := r.next()
		if err != nil {
			return 0, err
		}
		r.pending = chunk
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// Close gives the Reader back for reuse.
func (r *Reader) Close() {
	r.dec.release()
	r.pending = nil
	r.err = io.ErrClosedPipe
	readersOut.Add(-1)
	readerPools[r.codec].Put(r)
}

// next returns the next run of decompressed bytes, valid until the next call.
// The error is io.EOF at the end and sticky.
func (r *Reader) next() ([]byte, error) {
	for r.err == nil {
		chunk, err := r.dec.next(r.limit - r.total + 1)
		if err != nil {
			r.err = err
			if err != io.EOF {
				r.err = r.wrap(err)
			}
		}
		if len(chunk) > r.limit-r.total {
			r.err = fmt.Errorf("decompress %v: %w: limit %d", r.codec, ErrTooLarge, r.limit)
			break
		}
		if len(chunk) > 0 {
			r.total += len(chunk)
			return chunk, nil
		}
	}
	return nil, r.err
}

func (r *Reader) wrap(err error) error {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalidRecord) {
		return fmt.Errorf("decompress %v: %w", r.codec, err)
	}
	return fmt.Errorf("decompress %v: %w: %v", r.codec, ErrInvalidRecord, err)
}

func eofIsNil(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// plainDecoder passes uncompressed bytes on.
type plainDecoder struct{ src []byte }

func (d *plainDecoder) reset(src []byte, limit int) error {
	d.src = src
	return nil
}

func (d *plainDecoder) next(want int) ([]byte, error) {
	chunk := d.src
	d.src = nil
	return chunk, io.EOF
}

func (d *plainDecoder) release() { d.src = nil }

// stream is the part that decoders over an io.Reader share: the source, and
// the window that they decompress into.
type stream struct {
	src    bytes.Reader
	window []byte
}

// read fills the window once from in, with no more than want bytes.
func (s *stream) read(in io.Reader, want int) ([]byte, error) {
	if s.window == nil {
		s.window = make([]byte, windowSize)
	}
	n, err := in.Read(s.window[:min(want, windowSize)])
	return s.window[:n], err
}
