package record

// quickBad is a position beyond any chunk. From there, no number is read and no
// field is inside the record.
const quickBad = 1 << 40

// quickScan is cursor.scan for a record at the front of b that is whole and
// common: no number takes more than 4 bytes. It returns the record's size, and 0
// where scan has to decide, so it must accept nothing that scan refuses.
//
// It is the inner loop of the produce path, and the reason why positions are
// checked once at the end instead of at each step.
func quickScan(b []byte, s *recordShape) int {
	u, i := quickNumber(b, 0)
	size := quickLength(u)
	if size < 0 || i > len(b) || size > len(b)-i {
		return 0
	}
	b = b[:i+size]
	u, i = quickNumber(b, i+1) // behind the attributes
	s.timestampDelta = int64(u>>1) ^ -int64(u&1)
	u, i = quickNumber(b, i)
	s.offsetDelta = int32(u>>1) ^ -int32(u&1)
	u, i = quickNumber(b, i)
	n := quickLength(u)
	s.keyLen, i = int32(n), quickSkip(i, n)
	u, i = quickNumber(b, i)
	n = quickLength(u)
	s.valueLen, i = int32(n), quickSkip(i, n)
	u, i = quickNumber(b, i)
	count := quickLength(u)
	if count < 0 {
		return 0
	}
	for range count {
		u, i = quickNumber(b, i)
		if n = quickLength(u); n < 0 {
			return 0
		}
		u, i = quickNumber(b, i+n)
		if i = quickSkip(i, quickLength(u)); i > len(b) {
			return 0
		}
	}
	if i != len(b) {
		return 0
	}
	return i
}

// quickNumber reads a base 128 number of at most 4 bytes at b[i:] and returns
// the position behind it.
func quickNumber(b []byte, i int) (uint32, int) {
	if i < len(b) && b[i] < 0x80 {
		return uint32(b[i]), i + 1
	}
	return quickLong(b, i)
}

func quickLong(b []byte, i int) (uint32, int) {
	var u uint32
	for shift := 0; shift < 28 && i < len(b); shift += 7 {
		v := b[i]
		i++
		u |= uint32(v&0x7f) << shift
		if v < 0x80 {
			return u, i
		}
	}
	return 0, quickBad
}

// quickLength undoes the zigzag of a length, which is -1 for null.
func quickLength(u uint32) int { return int(int32(u>>1) ^ -int32(u&1)) }

// quickSkip returns the position behind a nullable field of n bytes.
func quickSkip(i, n int) int {
	if n < 0 {
		if n < -1 {
			return quickBad
		}
		return i
	}
	return i + n
}
