package wal

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// times multiplies two polynomials modulo CRC-32C's generator; bit n is x^n.
func times(a, b uint32) (product uint32) {
	const generator = 0x1edc6f41 // without x^32
	for i := 31; i >= 0; i-- {
		carry := product >> 31
		product <<= 1
		if carry == 1 {
			product ^= generator
		}
		if b>>i&1 == 1 {
			product ^= a
		}
	}
	return product
}

// TestOneBitIsNotTwo proves what corrections rest on. x^n is 1 modulo the
// generator for n = 2^31-1, which is a prime, so for no smaller n: two errors
// less than that apart never cancel out. And x+1 divides the generator: an odd
// number of errors never does. So at least four do.
func TestOneBitIsNotTwo(t *testing.T) {
	power, square := uint32(1), uint32(2) // x
	for n := uint32(1<<31 - 1); n > 0; n >>= 1 {
		if n&1 == 1 {
			power = times(power, square)
		}
		square = times(square, square)
	}
	if power != 1 {
		t.Errorf("x^(2^31-1) is %#x, not 1", power)
	}
	ones := 0
	for n := uint64(0x11edc6f41); n > 0; n >>= 1 {
		ones += int(n & 1)
	}
	if ones%2 != 0 {
		t.Error("x+1 does not divide the generator")
	}
}

// TestFlippedBit: any one wrong bit is found, in the bytes and in the checksum;
// any two are none.
func TestFlippedBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for _, n := range []int{1, 2, 47, 4096, 70_000, flipBytesMax} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(1 + rng.IntN(255))
		}
		sum := crc32.Checksum(b, castagnoli)
		if _, ok := FlippedBit(b, 0, sum); ok {
			t.Errorf("%d bytes: a wrong bit in what is right", n)
		}
		for range 32 {
			bit, other := rng.Int64N(int64(n)*8), rng.Int64N(int64(n)*8)
			b[bit/8] ^= 1 << (bit % 8)
			if got, ok := FlippedBit(b, 0, sum); !ok || got != bit {
				t.Fatalf("%d bytes: bit %d is found at %d, %v", n, bit, got, ok)
			}
			if _, ok := FlippedBit(b, 0, sum^1<<rng.IntN(32)); ok {
				t.Fatalf("%d bytes: bit %d and one of the checksum are taken for one", n, bit)
			}
			if b[other/8] ^= 1 << (other % 8); other != bit {
				if _, ok := FlippedBit(b, 0, sum); ok {
					t.Fatalf("%d bytes: bits %d and %d are taken for one", n, bit, other)
				}
			}
			b[bit/8] ^= 1 << (bit % 8)
			b[other/8] ^= 1 << (other % 8)
			if got, ok := FlippedBit(b, 0, sum^1<<rng.IntN(32)); !ok || got != -1 {
				t.Fatalf("%d bytes: a wrong checksum is found at %d, %v", n, got, ok)
			}
		}
	}
}

// TestFlipIsNotTrusted: too much, or a sector that the disk lost.
func TestFlipIsNotTrusted(t *testing.T) {
	long := bytes.Repeat([]byte{7}, flipBytesMax+1)
	sum := crc32.Checksum(long, castagnoli)
	long[0] ^= 1
	if _, ok := FlippedBit(long, 0, sum); ok {
		t.Error("more than the bound is corrected")
	}
	b := long[:4096]
	clear(b[1000:2100])
	sum = crc32.Checksum(b, castagnoli)
	b[0] ^= 1
	if _, ok := FlippedBit(b, 0, sum); ok {
		t.Error("a record with a sector of zeros is corrected")
	}
	if bit, ok := FlippedBit(b[:1530], 0, crc32.Checksum(b[:1530], castagnoli)^1); !ok || bit != -1 {
		t.Error("a record with less than a sector of zeros is not corrected")
	}
}

// FuzzFlippedBit: what is corrected is right afterwards, and is what it was if
// one bit was changed.
func FuzzFlippedBit(f *testing.F) {
	f.Add([]byte("some bytes of a record"), uint32(5), uint32(0))
	f.Add([]byte("some bytes of a record"), uint32(5), uint32(9))
	f.Add([]byte{0}, uint32(1), uint32(2))
	f.Fuzz(func(t *testing.T, b []byte, first, second uint32) {
		if len(b) == 0 || len(b) > flipBytesMax {
			return
		}
		sum := crc32.Checksum(b, castagnoli)
		want := bytes.Clone(b)
		one, two := int64(first)%(int64(len(b))*8), int64(second)%(int64(len(b))*8)
		b[one/8] ^= 1 << (one % 8)
		if bit, ok := FlippedBit(b, int64(second), sum); ok && bit != one {
			t.Fatalf("bit %d is found at %d", one, bit)
		} else if !ok && !wiped(b, int64(second)) {
			t.Fatalf("bit %d is not found", one)
		}
		b[two/8] ^= 1 << (two % 8)
		if _, ok := FlippedBit(b, 0, sum); ok && !bytes.Equal(b, want) {
			t.Fatalf("bits %d and %d are taken for one", one, two)
		}
		// Whatever the checksum is.
		bit, ok := FlippedBit(b, 0, first^second)
		if ok && bit >= 0 {
			if b[bit/8] ^= 1 << (bit % 8); crc32.Checksum(b, castagnoli) != first^second {
				t.Fatal("what was corrected is wrong")
			}
		}
	})
}
