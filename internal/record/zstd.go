package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMagic = "\x28\xb5\x2f\xfd"
	// zstdMaxWindow is how far back a stream may refer. It is the window of
	// level 19. Higher levels announce up to 128 MiB even for a small batch,
	// since producers compress as a stream of unknown length; almost none of it
	// can be used, so the announcement is cut to 8 MiB and only a match that
	// does reach further back is refused.
	zstdMaxWindow = 8 << 20
	// zstdMaxWindowByte is zstdMaxWindow as a window descriptor.
	zstdMaxWindowByte = (23 - 10) << 3
	// zstdScratch is the output up to which a batch is decompressed in one
	// piece, without a look-back buffer as large as the announced window.
	zstdScratch = 1 << 20

	zstdSingleSegment = 1 << 5
)

// zstdDecoder reads zstd frames, one or several in a row, without dictionary.
type zstdDecoder struct {
	zd        *zstd.Decoder
	src       []byte
	scratch   []byte
	window    []byte
	streaming bool
	started   bool
}

func (d *zstdDecoder) reset(src []byte, limit int) error {
	d.src, d.started, d.streaming = src, false, false
	if d.zd != nil {
		return nil
	}
	zd, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), // decodes in the caller's goroutine
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
		zstd.WithDecodeAllCapLimit(true))
	d.zd = zd
	return err
}

func (d *zstdDecoder) next(want int) ([]byte, error) {
	if !d.started {
		d.started = true
		if chunk, ok := d.whole(want); ok {
			return chunk, io.EOF
		}
		d.streaming = true
		if err := d.zd.Reset(clampZstdWindow(d.src)); err != nil {
			return nil, err
		}
		if d.window == nil {
			d.window = make([]byte, windowSize)
		}
	}
	n, err := d.zd.Read(d.window[:min(want, windowSize)])
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fmt.Errorf("%w: %v", ErrTooLarge, err)
	}
	return d.window[:n], err
}

// whole tries to decompress all of the source at once. If that fails, for
// whatever reason, the stream finds out why.
func (d *zstdDecoder) whole(want int) ([]byte, bool) {
	if len(d.src) > zstdScratch {
		return nil, false
	}
	if d.scratch == nil {
		d.scratch = make([]byte, zstdScratch)
	}
	out, err := d.zd.DecodeAll(d.src, d.scratch[:0:min(want, zstdScratch)])
	if err != nil || len(out) > want {
		return nil, false
	}
	return out, true
}

func (d *zstdDecoder) release() {
	d.src = nil
	if d.zd != nil && d.streaming {
		// A nil source always succeeds; it ends a stream that was left early.
		_ = d.zd.Reset(nil)
	}
}

// clampZstdWindow returns a reader of src whose first frame announces a window
// of at most zstdMaxWindow. A frame that is one segment, whose window is its
// content, becomes one with a window.
func clampZstdWindow(src []byte) io.Reader {
	const fixed = len(zstdMagic) + 1
	if len(src) <= fixed || string(src[:len(zstdMagic)]) != zstdMagic {
		return bytes.NewReader(src)
	}
	descriptor := src[fixed-1]
	head := append([]byte(zstdMagic), descriptor&^zstdSingleSegment, zstdMaxWindowByte)
	if descriptor&zstdSingleSegment == 0 {
		if src[fixed] <= zstdMaxWindowByte {
			return bytes.NewReader(src)
		}
		return io.MultiReader(bytes.NewReader(head), bytes.NewReader(src[fixed+1:]))
	}
	// The content size stands behind the dictionary id, whose length the low
	// two bits give; in one byte, or two, it is below the maximum anyway.
	at := fixed + [4]int{0, 1, 2, 4}[descriptor&3]
	var size uint64
	switch descriptor >> 6 {
	case 2:
		if len(src) >= at+4 {
			size = uint64(binary.LittleEndian.Uint32(src[at:]))
		}
	case 3:
		if len(src) >= at+8 {
			size = binary.LittleEndian.Uint64(src[at:])
		}
	}
	if size <= zstdMaxWindow {
		return bytes.NewReader(src)
	}
	return io.MultiReader(bytes.NewReader(head), bytes.NewReader(src[fixed:]))
}
