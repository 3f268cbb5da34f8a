package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
)

const (
	// xerialHeader opens the framing of snappy-java, which librdkafka and all
	// other clients read and most write: magic, version 1, compatible from 1,
	// then blocks, each behind its length in 4 bytes.
	xerialHeader     = xerialMagic + "\x00\x00\x00\x01\x00\x00\x00\x01"
	xerialMagic      = "\x82SNAPPY\x00"
	xerialBlock      = 32 << 10
	xerialLengthSize = 4

	// maxSnappyRatio is more than the format can expand: its densest element
	// stands for 64 bytes and takes 3.
	maxSnappyRatio = 22
)

var errXerial = errors.New("bad xerial framing")

// snappyDecoder reads a raw snappy block, or blocks in xerial framing.
type snappyDecoder struct {
	rest    []byte
	framed  bool
	scratch []byte
}

func (d *snappyDecoder) reset(src []byte, limit int) error {
	d.framed = len(src) >= len(xerialMagic) && string(src[:len(xerialMagic)]) == xerialMagic
	if d.framed {
		if len(src) < len(xerialHeader) {
			return errXerial
		}
		src = src[len(xerialHeader):]
	}
	d.rest = src
	return nil
}

func (d *snappyDecoder) next(want int) ([]byte, error) {
	if len(d.rest) == 0 {
		return nil, io.EOF
	}
	block := d.rest
	if d.framed {
		if len(block) < xerialLengthSize {
			return nil, errXerial
		}
		n := binary.BigEndian.Uint32(block)
		block = block[xerialLengthSize:]
		if uint64(n) > uint64(len(block)) {
			return nil, errXerial
		}
		block = block[:n]
		d.rest = d.rest[xerialLengthSize+int(n):]
	} else {
		d.rest = nil
	}
	return d.decode(block, want)
}

func (d *snappyDecoder) decode(block []byte, want int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > maxSnappyRatio*len(block) {
		return nil, fmt.Errorf("a block of %d bytes claims to hold %d", len(block), n)
	}
	if n >= want {
		return nil, fmt.Errorf("%w: a block holds %d bytes", ErrTooLarge, n)
	}
	if n > cap(d.scratch) {
		d.scratch = make([]byte, max(n, windowSize))
	}
	return snappy.DecodeStrict(d.scratch[:n], block)
}

func (d *snappyDecoder) release() {
	d.rest = nil
	if cap(d.scratch) > maxPooledScratch {
		d.scratch = nil
	}
}

// appendSnappy appends src to dst, compressed in xerial framing.
func appendSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		at := len(dst)
		need := at + xerialLengthSize + s2.MaxEncodedLen(len(block))
		if need > cap(dst) {
			dst = append(make([]byte, 0, need+need/2), dst...)
		}
		out := snappy.Encode(dst[at+xerialLengthSize:need], block)
		dst = dst[:at+xerialLengthSize+len(out)]
		binary.BigEndian.PutUint32(dst[at:], uint32(len(out)))
	}
	return dst
}
