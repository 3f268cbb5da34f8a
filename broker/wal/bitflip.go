package wal

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// One wrong bit under a CRC-32C can be told from the checksum alone. The code's
// generator, 0x11EDC6F41, is x+1 times a primitive polynomial of degree 31
// (bitflip_test.go proves it), so any two sequences of up to 2^31-1 bits,
// checksum included, that are both right differ in at least 4 bits: Castagnoli,
// Bräuer and Herrmann, "Optimization of Cyclic Redundancy-Check Codes with 24 and
// 32 Parity Bits", IEEE Transactions on Communications 41 (1993); Koopman's
// tables give Hamming distance 4 for up to 2,147,483,615 bits of data. So one
// flipped bit leads back to one place only, and two flipped bits never look like
// one.
//
// What is no flip at all, but a block of other bytes, looks like one with a
// chance of one in 2^32 per bit of the record: 1 in 512 at flipBytesMax, 1 in
// 32,768 at 16 KiB. A second checksum inside the record would not help if it is a
// CRC-32C as well: what the one does not see, the other does not see either. So
// the length is bounded, and the commonest of such blocks, a sector of zeros, is
// looked for.
const (
	flipBytesMax = 1 << 20
	sectorBytes  = 512
	castagnoli1  = 0x82f63b78 // the generator without x^32, x^31 as the lowest bit
)

// FlippedBit finds the bit that is wrong in b or in its CRC-32C, if one single
// bit explains why they do not agree: bit n is that of value 1<<(n%8) in byte
// n/8 of b, and -1 is one of the checksum, b being right then. at is where b
// begins in its file. It refuses if b is longer than 1 MiB or holds a whole
// sector of zeros, which the disk may have lost. b is not changed.
func FlippedBit(b []byte, at int64, sum uint32) (bit int64, ok bool) {
	// Checksums are linear: the difference is what the wrong bits alone make.
	wrong := crc32.Checksum(b, castagnoli) ^ sum
	if wrong == 0 || len(b) > flipBytesMax || wiped(b, at) {
		return 0, false
	}
	if wrong&(wrong-1) == 0 {
		return -1, true
	}
	made := uint32(castagnoli1) // by the last bit of all, and then by the ones before it
	for n := int64(len(b))*8 - 1; n >= 0; n-- {
		if made == wrong {
			return n, true
		}
		made = made>>1 ^ castagnoli1&-(made&1)
	}
	return 0, false
}

// wiped reports whether a whole sector of b holds nothing but zeros.
func wiped(b []byte, at int64) bool {
	for off := (sectorBytes - at%sectorBytes) % sectorBytes; off+sectorBytes <= int64(len(b)); off += sectorBytes {
		if zeros(b[off : off+sectorBytes]) {
			return true
		}
	}
	return false
}

// mendRecord puts the one bit right that is wrong in the record at the front of
// b, which lies at an offset of the file, and returns the record's length and
// the byte of b that was wrong.
func mendRecord(b []byte, generation uint64, position, off int64) (n int, at int64, ok bool) {
	if !plausible(b, generation, position) {
		return 0, 0, false
	}
	try := func(bit int64) (int, int64, bool) {
		b[bit/8] ^= 1 << (bit % 8)
		n, ok := recordAt(b, generation, position)
		if !ok {
			b[bit/8] ^= 1 << (bit % 8)
		}
		return n, bit / 8, ok
	}
	const from = 4 // the checksum covers what lies behind it
	sum := binary.LittleEndian.Uint32(b)
	if end := int64(binary.LittleEndian.Uint32(b[from:])) + recordHeader; end <= int64(len(b)) {
		bit, found := FlippedBit(b[from:end], off+from, sum)
		if found && bit < 0 {
			bit = int64(bits.TrailingZeros32(sum ^ crc32.Checksum(b[from:end], castagnoli)))
		} else {
			bit += from * 8
		}
		if found {
			if n, at, ok = try(bit); ok {
				return n, at, ok
			}
		}
	}
	// A wrong length leads to the wrong bytes: they do not tell which bit it is.
	for bit := int64(from * 8); bit < (from+4)*8; bit++ {
		if n, at, ok = try(bit); ok {
			return n, at, ok
		}
	}
	return 0, 0, false
}
