package segfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/tiering/manifest"
)

// An object's bytes before its tail have a checksum for every block. Blocks begin
// at the multiples of their size in the object; the last one is shorter.
const (
	// BlockBytes is the size of the blocks of an object that Options do not ask
	// to be built otherwise, and the largest one that a reader accepts.
	BlockBytes = 64 << 10
	// BlockBytesMin is the smallest size of a block.
	BlockBytesMin = 1 << 10
)

// BlockError is damage of a block, or of the part of the tail that was looked
// at. It is an ErrDamaged too.
type BlockError struct {
	From, To int64 // the bytes of the object that are in doubt, To is exclusive
}

// Error names the bytes.
func (e *BlockError) Error() string {
	return fmt.Sprintf("%v: checksum of the bytes %d to %d of the object", ErrDamaged, e.From, e.To)
}

// Unwrap returns ErrDamaged.
func (e *BlockError) Unwrap() error { return ErrDamaged }

// blockSize makes a size that a reader accepts of what was asked for.
func blockSize(n int64) int64 {
	size := int64(BlockBytesMin)
	for size < BlockBytes && (size < n || n <= 0) {
		size *= 2
	}
	return size
}

// blockCount returns how many blocks lie before the tail.
func blockCount(s *manifest.Segment, block int64) int64 {
	return (s.TailOffset() + block - 1) / block
}

// blocksOf makes the section of the blocks.
func blocksOf(block int64, sums []uint32) section {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, 4+4*len(sums)), uint32(block))
	for _, crc := range sums {
		b = le.AppendUint32(b, crc)
	}
	return section{kindBlocks, b}
}

// setBlocks takes the section of the blocks. There are as many checksums as the
// length of the data asks for.
func (t *Tail) setBlocks(body []byte) error {
	if t.blocks != nil {
		return fmt.Errorf("%w: a second section %#x", ErrDamaged, kindBlocks)
	}
	if len(body) < 4 {
		return fmt.Errorf("%w: checksums of blocks: %d bytes", ErrDamaged, len(body))
	}
	block := int64(binary.LittleEndian.Uint32(body))
	if block != blockSize(block) {
		return fmt.Errorf("%w: blocks of %d bytes", ErrDamaged, block)
	}
	if want := blockCount(&t.foot.segment, block); int64(len(body)-4) != 4*want {
		return fmt.Errorf("%w: checksums of blocks: %d bytes for %d blocks", ErrDamaged, len(body)-4, want)
	}
	t.block, t.blocks = block, body[4:]
	return nil
}

// BlockBytes returns the size of the object's blocks: a power of two from
// BlockBytesMin to BlockBytes.
func (t *Tail) BlockBytes() int64 { return t.block }

// blockCRC returns the CRC-32C of block i.
func (t *Tail) blockCRC(i int64) uint32 { return binary.LittleEndian.Uint32(t.blocks[4*i:]) }

// VerifyRange tells whether b is what the object holds from off on: blocks are
// compared with their checksums, what lies behind them with the tail. The range
// begins at a multiple of BlockBytes or in the tail. It ends at such a multiple,
// at the end of the data, or in the tail: part of a block cannot be verified and
// counts as damage. The error is the *BlockError of the first bytes that are
// wrong; what lies from its To on was not looked at.
func (t *Tail) VerifyRange(off int64, b []byte) error {
	s := &t.foot.segment
	end := s.TailOffset()
	for off < end && len(b) > 0 {
		if off < 0 {
			return &BlockError{From: off, To: 0}
		}
		i := off / t.block
		from, to := i*t.block, min((i+1)*t.block, end)
		if off != from || int64(len(b)) < to-from || crc32.Checksum(b[:to-from], castagnoli) != t.blockCRC(i) && !mutant.On(mutant.BlocksTrusted) {
			return &BlockError{From: from, To: to}
		}
		b, off = b[to-from:], to
	}
	if len(b) == 0 {
		return nil
	}
	at := min(off-end, int64(len(t.raw)))
	if rest := t.raw[at:]; len(b) > len(rest) || !bytes.Equal(b, rest[:len(b)]) {
		return &BlockError{From: end, To: s.ObjectBytes}
	}
	return nil
}
