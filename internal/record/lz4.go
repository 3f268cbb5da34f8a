package record

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/pierrec/lz4/v4"
)

const (
	lz4Magic = 0x184D2204

	lz4FlagDict            = 1 << 0
	lz4FlagReserved        = 1 << 1
	lz4FlagContentChecksum = 1 << 2
	lz4FlagContentSize     = 1 << 3
	lz4FlagBlockChecksum   = 1 << 4
	lz4FlagIndependent     = 1 << 5
	lz4VersionShift        = 6
	lz4Version             = 1

	lz4BlockSizeMask  = 0x7fffffff // the top bit marks a block stored as it is
	lz4MinFrame       = 4 + 2 + 1 + 4
	lz4ChecksumSize   = 4
	lz4ContentSizeLen = 8
)

var (
	errLZ4Frame  = errors.New("not one lz4 frame")
	errLZ4Linked = errors.New("linked lz4 blocks, which Java clients cannot read")
)

// lz4Decoder reads one LZ4 frame of independent blocks, the only form that
// Java clients read.
type lz4Decoder struct {
	stream
	lz *lz4.Reader
}

func (d *lz4Decoder) reset(src []byte, limit int) error {
	if err := checkLZ4Frame(src); err != nil {
		return err
	}
	d.src.Reset(src)
	if d.lz == nil {
		d.lz = lz4.NewReader(&d.src)
		return d.lz.Apply(lz4.ConcurrencyOption(1))
	}
	d.lz.Reset(&d.src)
	return nil
}

func (d *lz4Decoder) next(want int) ([]byte, error) { return d.read(d.lz, want) }

func (d *lz4Decoder) release() {
	d.src.Reset(nil)
	if d.lz != nil {
		d.lz.Reset(nil)
	}
}

// checkLZ4Frame checks that src is exactly one frame with the flags that Kafka
// allows, by its headers alone.
func checkLZ4Frame(src []byte) error {
	if len(src) < lz4MinFrame || binary.LittleEndian.Uint32(src) != lz4Magic {
		return errLZ4Frame
	}
	flags := src[4]
	if flags>>lz4VersionShift != lz4Version || flags&(lz4FlagDict|lz4FlagReserved) != 0 {
		return errLZ4Frame
	}
	if flags&lz4FlagIndependent == 0 {
		return errLZ4Linked
	}
	at, blockTail, frameTail := 7, 0, 0
	if flags&lz4FlagContentSize != 0 {
		at += lz4ContentSizeLen
	}
	if flags&lz4FlagBlockChecksum != 0 {
		blockTail = lz4ChecksumSize
	}
	if flags&lz4FlagContentChecksum != 0 {
		frameTail = lz4ChecksumSize
	}
	for {
		if len(src)-at < 4 {
			return io.ErrUnexpectedEOF
		}
		size := binary.LittleEndian.Uint32(src[at:])
		at += 4
		if size == 0 {
			break
		}
		n := int64(size&lz4BlockSizeMask) + int64(blockTail)
		if n > int64(len(src)-at) {
			return io.ErrUnexpectedEOF
		}
		at += int(n)
	}
	if len(src)-at != frameTail {
		return errLZ4Frame
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
